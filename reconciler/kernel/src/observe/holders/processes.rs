//! What one process holds of a zone: its current folder, root and program; its namespaces; its descriptors; the files
//! mapped into its memory.
//!
//! No look here may wait for a file system. A descriptor's mount is read from fdinfo, which asks the mount alone. The
//! links cwd, root and exe have no such file; statx(2) follows them with no field asked for and AT_STATX_DONT_SYNC, so
//! that FUSE and NFS answer from what they know. Some still check a folder with their server when a link of /proc is
//! followed (NFS), and the memory map can be locked: what waits nevertheless is left behind by the guard.

use super::guard::beat;
use super::whose::Whose;
use super::{Evidence, EvidenceKind, PATH_MAX};
use crate::observe::process::{Proc, ProcDir};
use crate::observe::read::{is_gone, open_dir, value, whole};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, RawDir, StatxFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::MaybeUninit;

/// Entries of one kind for one process; more of the same tell nothing new.
const SAME_MAX: usize = 4;

/// What is the zone's, to compare with.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Its superblocks, and the loop devices that are made of its files.
    pub devices: BTreeSet<u64>,
    /// Those of them that it is seen to have now. The number of another one may be a later file system's.
    pub live: BTreeSet<u64>,
    /// Every mount of the host by number: as evidence names it where it is the zone's, none where it is another's.
    pub mounts: HashMap<u64, Option<String>>,
    /// Its namespaces by inode number, each with its kind.
    pub namespaces: BTreeMap<u64, &'static str>,
    /// Whether the zone's own processes are seen to be in them now. Otherwise a number may be a later namespace's.
    pub namespaces_live: bool,
    /// Its name.
    pub zone: String,
    /// FUSE connections that have requests waiting.
    pub fuse: BTreeSet<u32>,
    /// Tells the zone of a process.
    pub whose: Whose,
}

impl Marks {
    /// The zone's mount or superblock with these numbers, as evidence names it. A mount that no table shows has been
    /// unmounted lazily, or is the kernel's own; of it the superblock decides.
    fn object(&self, mount: u64, device: impl FnOnce() -> Option<u64>) -> Option<String> {
        if let Some(known) = self.mounts.get(&mount) {
            return known.clone();
        }
        let device = device().filter(|device| self.devices.contains(device))?;
        let told = if self.live.contains(&device) { "" } else { super::BY_NUMBER };
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Some(format!("mount {major}:{minor}, unmounted lazily{told}"))
    }
}

/// How closely a process is looked at; the quick looks at all processes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Namespaces, current folder, root, program.
    Places,
    /// Descriptors.
    Files,
    /// Memory map.
    Mapped,
}

/// What was found of one process, and what could not be read of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub evidence: Vec<Evidence>,
    pub unread: Vec<String>,
}

/// Looks at one process and its threads. One that ends meanwhile holds nothing.
pub(super) fn held(proc: &Proc, marks: &Marks, pid: i32, tids: &[i32], look: Look) -> Held {
    let Ok(dir) = proc.process(pid) else { return Held::default() };
    let mut looker = Looker { marks, dir, pid, hits: Vec::new(), unread: Vec::new(), buffer: Vec::new(), pidfd: None };
    let result = match look {
        Look::Places => looker.places(tids),
        Look::Files => looker.files(tids),
        Look::Mapped => looker.mapped(),
    };
    if let Err((call, errno)) = result {
        looker.failed(&call, errno);
    }
    looker.finish()
}

type Step = Result<(), (String, Errno)>;

struct Looker<'a> {
    marks: &'a Marks,
    dir: ProcDir,
    pid: i32,
    hits: Vec<(EvidenceKind, String, Option<String>)>,
    unread: Vec<String>,
    buffer: Vec<u8>,
    /// Opened for the first socket.
    pidfd: Option<OwnedFd>,
}

impl Looker<'_> {
    fn failed(&mut self, call: &str, errno: Errno) {
        if matches!(errno, Errno::ACCESS | Errno::PERM) {
            // The same for all that the process has: told once.
            let error = std::io::Error::from(errno);
            self.unread.push(format!("readlinkat(/proc/{}/ns, cwd, root, exe, fd, map_files): {error}", self.pid));
        } else if !is_gone(errno) {
            self.unread.push(format!("{call}: {}", std::io::Error::from(errno)));
        }
    }

    /// Whether there is time left for the next entry of a folder; where not, that is told.
    fn goes_on(&mut self, folder: &str) -> bool {
        let time = beat();
        if !time {
            self.unread.push(format!("/proc/{}/{folder} not to its end: the look had taken long enough", self.pid));
        }
        time
    }

    fn hit(&mut self, kind: EvidenceKind, object: String, path: Option<String>) {
        let same = self.hits.iter().filter(|(other, ..)| *other == kind).count();
        if same < SAME_MAX && !self.hits.iter().any(|(k, o, p)| (*k, o, p) == (kind, &object, &path)) {
            self.hits.push((kind, object, path));
        }
    }

    /// The process is named once it is known to hold something; if it has ended by then, it holds nothing.
    fn finish(mut self) -> Held {
        let mut held = Held { evidence: Vec::new(), unread: self.unread };
        if self.hits.is_empty() {
            return held;
        }
        let holder = match self.marks.whose.holder(&mut self.buffer, &self.dir) {
            Ok(holder) => holder,
            Err(errno) => {
                if !is_gone(errno) {
                    held.unread.push(format!("read(/proc/{}/stat): {}", self.pid, std::io::Error::from(errno)));
                }
                return held;
            }
        };
        // No process of another zone gets into this one's namespaces: there it is a number that was given again.
        let unsure = !self.marks.namespaces_live
            && self.marks.whose.is_other_zones(&mut self.buffer, &self.dir, &self.marks.zone);
        if unsure {
            let by_number = [EvidenceKind::NamespaceMember, EvidenceKind::NamespaceDescriptor];
            self.hits.retain(|(kind, ..)| !by_number.contains(kind));
        }
        let named = |(kind, object, path)| Evidence { kind, object, path, holder: Some(holder.clone()) };
        held.evidence = self.hits.into_iter().map(named).collect();
        held
    }

    fn places(&mut self, tids: &[i32]) -> Step {
        for &tid in tids {
            if !self.goes_on("task") {
                break;
            }
            for (kind, link) in NAMESPACE_LINKS {
                let name = format!("task/{tid}/ns/{link}");
                match self.dir.namespace(&name) {
                    Ok(number) if self.marks.namespaces.contains_key(&number) => {
                        self.hit(EvidenceKind::NamespaceMember, format!("{kind}:[{number}]"), None);
                    }
                    Ok(_) => {}
                    Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err((name, errno)),
                    Err(errno) => self.failed(&format!("readlinkat(/proc/{}/{name})", self.pid), errno),
                }
            }
            let links = [("cwd", EvidenceKind::Cwd), ("root", EvidenceKind::Root), ("exe", EvidenceKind::Executable)];
            for (name, kind) in links {
                // The program is the same for all threads.
                if name == "exe" && tid != self.pid {
                    continue;
                }
                self.place(&format!("task/{tid}/{name}"), kind);
            }
        }
        Ok(())
    }

    fn place(&mut self, name: &str, kind: EvidenceKind) {
        match location(self.dir.as_fd(), name) {
            Ok((mount, device)) => {
                if let Some(object) = self.marks.object(mount, || Some(device)) {
                    let path = link(self.dir.as_fd(), name).ok();
                    self.hit(kind, object, path);
                }
            }
            Err(errno) => self.failed(&format!("statx(/proc/{}/{name})", self.pid), errno),
        }
    }

    /// The tables of descriptors of its threads: nearly always one, which the first thread shows.
    fn files(&mut self, tids: &[i32]) -> Step {
        match self.table("fd", "fdinfo") {
            // The first thread can end before the others.
            Err((_, errno)) if is_gone(errno) => {}
            read => read?,
        }
        let pid = self.pid;
        for &tid in tids.iter().filter(|&&tid| tid != pid) {
            match sys::same_files(pid, tid) {
                Ok(true) => {}
                Ok(false) => match self.table(&format!("task/{tid}/fd"), &format!("task/{tid}/fdinfo")) {
                    Err((_, errno)) if is_gone(errno) => {}
                    read => read?,
                },
                // Without kcmp(2) all are taken for the same, as they are in any program but a few.
                Err(Errno::NOSYS) => break,
                Err(errno) => self.failed(&format!("kcmp({pid}, {tid}, KCMP_FILES)"), errno),
            }
        }
        Ok(())
    }

    fn table(&mut self, folder: &str, info: &str) -> Step {
        let pid = self.pid;
        let named = |errno| (format!("openat(/proc/{pid}/{folder})"), errno);
        let dir = open_dir(self.dir.as_fd(), folder).map_err(named)?;
        let mut space = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&dir, &mut space);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(named)?;
            if !self.goes_on(folder) {
                break;
            }
            let Ok(name) = entry.file_name().to_str() else { continue };
            if entry.file_type() != FileType::Symlink {
                continue;
            }
            match self.descriptor(dir.as_fd(), name, info) {
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(named(errno)),
                Err(errno) if !is_gone(errno) => self.failed(&format!("read(/proc/{}/{info}/{name})", self.pid), errno),
                _ => {}
            }
        }
        Ok(())
    }

    fn descriptor(&mut self, dir: BorrowedFd<'_>, name: &str, info: &str) -> rustix::io::Result<()> {
        let path = link(dir, name)?;
        if path.starts_with("socket:[") {
            match self.socket(name) {
                // Of a thread that has descriptors of its own, the number is asked of another table; and a number
                // that was closed meanwhile may by now be a file (ENOTTY) or a mere path (EBADF).
                Ok(()) | Err(Errno::NOTTY | Errno::BADF) => {}
                Err(errno) => self.failed(&format!("ioctl(/proc/{}/fd/{name}, SIOCGSKNS)", self.pid), errno),
            }
            return Ok(());
        }
        if !path.starts_with('/') {
            // "net:[4026532573]", "socket:[1]", "anon_inode:[eventfd]".
            let number = path.split_once(":[").and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok());
            if let Some((kind, number)) =
                number.and_then(|number: u64| Some((self.marks.namespaces.get(&number)?, number)))
                && path == format!("{kind}:[{number}]")
            {
                self.hit(EvidenceKind::NamespaceDescriptor, path, Some(format!("/proc/{}/fd/{name}", self.pid)));
            }
            return Ok(());
        }
        let text = whole(&mut self.buffer, self.dir.as_fd(), &format!("{info}/{name}"))?;
        let number = |key| value(text, key).and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        let (mount, connection) = (number("mnt_id:"), number("fuse_connection:"));
        if let Some(connection) = connection.and_then(|n| u32::try_from(n).ok()).filter(|n| self.marks.fuse.contains(n))
        {
            self.hit(EvidenceKind::Fuse, super::devices::fuse_object(connection), None);
        }
        let device = || location(dir, name).ok().map(|(_, device)| device);
        if let Some(object) = mount.and_then(|mount| self.marks.object(mount, device)) {
            self.hit(EvidenceKind::OpenFile, object, Some(path));
        }
        Ok(())
    }

    /// A socket keeps the network namespace that it was made in, wherever its process has gone. No file tells which, so
    /// the kernel is asked by a descriptor of the same socket, which is closed at once.
    fn socket(&mut self, name: &str) -> rustix::io::Result<()> {
        if !self.marks.namespaces.values().any(|kind| *kind == "net") {
            return Ok(());
        }
        let number: i32 = name.parse().map_err(|_| Errno::INVAL)?;
        let pidfd = match &self.pidfd {
            Some(pidfd) => pidfd,
            None => {
                let pid = rustix::process::Pid::from_raw(self.pid).ok_or(Errno::SRCH)?;
                self.pidfd.insert(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
            }
        };
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let socket = rustix::process::pidfd_getfd(pidfd, number, flags)?;
        let space = rustix::fs::fstat(&sys::socket_namespace(socket.as_fd())?)?.st_ino;
        if self.marks.namespaces.contains_key(&space) {
            let path = Some(format!("/proc/{}/fd/{name}", self.pid));
            self.hit(EvidenceKind::NamespaceDescriptor, format!("net:[{space}]"), path);
        }
        Ok(())
    }

    /// Mapped files, each once. The number of the superblock in `maps` is that of the file below an overlay on some
    /// kernels, so the mount behind the link in `map_files` is asked.
    fn mapped(&mut self) -> Step {
        let text = match whole(&mut self.buffer, self.dir.as_fd(), "maps") {
            Ok(text) => text.to_vec(),
            Err(errno) => return Err((format!("read(/proc/{}/maps)", self.pid), errno)),
        };
        let mut seen = BTreeSet::new();
        for line in text.split(|&b| b == b'\n') {
            // "7f00-7f01 r-xp 00000000 00:39 12    /path"
            let mut fields = line.split(|&b| b == b' ');
            let (Some(range), Some(device), Some(inode)) = (fields.next(), fields.nth(2), fields.next()) else {
                continue;
            };
            if inode == b"0" || !seen.insert((device, inode)) {
                continue;
            }
            // maps fills addresses up to eight digits, map_files does not.
            if !self.goes_on("map_files") {
                break;
            }
            let Some((from, to)) = std::str::from_utf8(range).ok().and_then(|range| range.split_once('-')) else {
                continue;
            };
            let name = format!("map_files/{}-{}", from.trim_start_matches('0'), to.trim_start_matches('0'));
            self.place(&name, EvidenceKind::MappedFile);
        }
        Ok(())
    }
}

/// Links in /proc/PID/ns with the kind of namespace that they lead to.
const NAMESPACE_LINKS: [(&str, &str); 8] = [
    ("net", "net"),
    ("pid", "pid"),
    // What a process that has joined a PID namespace keeps for its children, without being in it.
    ("pid", "pid_for_children"),
    ("mnt", "mnt"),
    ("uts", "uts"),
    ("ipc", "ipc"),
    ("cgroup", "cgroup"),
    ("user", "user"),
];

/// The namespaces of a process that count as a zone's: by inode number, each with its kind.
pub(super) fn namespaces(dir: &ProcDir) -> impl Iterator<Item = (u64, &'static str)> {
    let number = |(kind, link)| dir.namespace(&format!("ns/{link}")).ok().map(|number| (number, kind));
    NAMESPACE_LINKS.into_iter().filter_map(number)
}

/// The mount and the superblock of what a link in /proc leads to.
pub(super) fn location(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<(u64, u64)> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    // The number of the mount is told unasked; asked for nothing, FUSE tells its superblock to whom it tells nothing else.
    let stat = rustix::fs::statx(dir, name, flags, StatxFlags::empty())?;
    Ok((stat.stx_mnt_id, rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)))
}

/// What a link in /proc says, which asks no file system.
fn link(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<String> {
    let mut space = [MaybeUninit::uninit(); PATH_MAX];
    let (path, _) = rustix::fs::readlinkat_raw(dir, name, &mut space)?;
    Ok(String::from_utf8_lossy(path).into_owned())
}
