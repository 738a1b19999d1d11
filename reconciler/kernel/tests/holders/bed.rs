//! A zone for tests of what holds one: a process in namespaces of its own with a tmpfs, its cgroup and folders, and a
//! mount namespace for the test's thread that everything else is in. All of it is taken away whatever happens.

use reeve_kernel::observe::{Evidence, EvidenceKind, Found, HoldersQuery, Namespaces, holders, superblocks};
use reeve_kernel::sys;
use rustix::fd::AsFd;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static BEDS: AtomicU32 = AtomicU32::new(0);

/// A process that is ended when this is dropped.
pub struct Held(pub Child);

impl Held {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs something when dropped.
pub struct Then<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Then<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A zone, with all that belongs to it.
pub struct Bed {
    pub cgroup: PathBuf,
    pub folder: PathBuf,
    /// Where the zone has its tmpfs, in its own mount namespace.
    pub data: PathBuf,
    starter: Option<Held>,
    pub zsched: i32,
    pub namespaces: Namespaces,
    pub devices: Vec<u64>,
    pub links: Vec<String>,
}

impl Bed {
    /// None without root or cgroup v2: then there is nothing to test with.
    pub fn new() -> Option<Self> {
        let unified = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|mount| Path::new(mount).join("cgroup.controllers").exists());
        let (true, Some(unified)) = (rustix::process::geteuid().is_root(), unified) else {
            eprintln!("skipped: needs root and cgroup v2");
            return None;
        };
        sys::unshare(sys::flags::NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let name = format!("reeve-holders-{}-{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        let mut bed = Self {
            cgroup: Path::new(unified).join(&name),
            data: folder.join("data"),
            folder,
            starter: None,
            zsched: 0,
            namespaces: Namespaces { pid: 0, mnt: 0, net: 0, uts: 0, ipc: 0, cgroup: 0 },
            devices: Vec::new(),
            links: Vec::new(),
        };
        for leaf in ["zone.web/zsched", "zone.web/env.1", "zone.other/env.1"] {
            fs::create_dir_all(bed.cgroup.join(leaf)).unwrap();
        }
        for below in ["data", "run", "state"] {
            fs::create_dir_all(bed.folder.join(below)).unwrap();
        }
        bed.boot();
        Some(bed)
    }

    /// Starts what plays zsched, with namespaces of its own and a tmpfs that has a program and a file.
    pub fn boot(&mut self) {
        let data = self.data.display();
        let inside =
            format!("mount -t tmpfs zone {data} && cp /bin/sleep {data} && echo x > {data}/file && exec sleep 1000");
        let leaf = self.cgroup.join("zone.web/zsched/cgroup.procs");
        let script =
            format!("echo 0 > {} && exec unshare -m -n -u -i -p --fork --kill-child sh -c '{inside}'", leaf.display());
        let starter = shell(&script);
        let children = format!("/proc/{0}/task/{0}/children", starter.pid());
        self.starter = Some(starter);
        wait("zsched", || {
            let child = fs::read_to_string(&children).unwrap_or_default();
            self.zsched = child.trim().parse().unwrap_or(0);
            self.zsched != 0 && fs::read_to_string(format!("/proc/{}/comm", self.zsched)).is_ok_and(|c| c == "sleep\n")
        });
        let inode = |which: &str| fs::metadata(format!("/proc/{}/ns/{which}", self.zsched)).unwrap().ino();
        self.namespaces = Namespaces {
            pid: inode("pid"),
            mnt: inode("mnt"),
            net: inode("net"),
            uts: inode("uts"),
            ipc: inode("ipc"),
            cgroup: inode("cgroup"),
        };
        self.devices = superblocks(self.zsched).unwrap();
    }

    /// Ends the zone, as far as it can be.
    pub fn halt(&mut self) {
        self.zsched = 0;
        self.starter = None;
        let _ = fs::write(self.cgroup.join("zone.web/cgroup.kill"), "1");
        let path = self.cgroup.join("zone.web/cgroup.events");
        wait("the zone's end", || fs::read_to_string(&path).is_ok_and(|text| text.contains("populated 0")));
    }

    /// A file of the zone, as the host reaches it.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.zsched, self.data.join(name).display()))
    }

    /// The same as the zone has it.
    pub fn inside(&self, name: &str) -> Option<String> {
        Some(self.data.join(name).display().to_string())
    }

    pub fn look(&self) -> Found {
        let found = holders(&HoldersQuery {
            zone: "web",
            run_folder: &self.folder.join("run"),
            zonepath: None,
            cgroup: &self.cgroup.join("zone.web"),
            cgroup_root: &self.cgroup,
            zsched: Some(self.zsched).filter(|pid| *pid != 0),
            namespaces: Some(&self.namespaces),
            devices: &self.devices,
            links: &self.links,
        });
        // A busy machine may be slow, and have processes that may do more than this one; nothing else can fail here.
        let reasons = ["no answer within", "long enough", "Permission denied", "not permitted", "entries more"];
        let slow = |why: &String| reasons.iter().any(|reason| why.contains(reason));
        assert!(found.unread.iter().all(slow), "{:?}", found.unread);
        found
    }

    pub fn of(&self, kind: EvidenceKind) -> Vec<Evidence> {
        self.look().evidence.into_iter().filter(|one| one.kind == kind).collect()
    }

    /// Holds the zone: nothing of the kind before, what is expected while `hold`'s value lives, nothing after.
    pub fn held<H>(&self, kind: EvidenceKind, hold: impl FnOnce() -> H, expected: impl Fn(&H, &Evidence) -> bool) {
        let before = self.of(kind);
        assert!(before.is_empty(), "{before:#?}");
        let holding = hold();
        wait(kind.as_str(), || self.of(kind).iter().any(|one| expected(&holding, one)));
        drop(holding);
        wait("nothing any more", || self.of(kind).is_empty());
    }

    /// Starts a process in a leaf of the cgroup.
    pub fn start_in(&self, leaf: &str, then: &str) -> Held {
        let procs = self.cgroup.join(leaf).join("cgroup.procs");
        let held = shell(&format!("echo 0 > {} && exec {then}", procs.display()));
        let pid = held.pid().to_string();
        wait("its cgroup", || fs::read_to_string(&procs).is_ok_and(|text| text.lines().any(|line| line == pid)));
        held
    }

    pub fn device(&self) -> u64 {
        fs::metadata(self.path("")).unwrap().dev()
    }

    pub fn mount_object(&self) -> String {
        let device = self.device();
        format!("mount {}:{} /", rustix::fs::major(device), rustix::fs::minor(device))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.starter = None;
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        let began = Instant::now();
        let path = self.cgroup.join("cgroup.events");
        while fs::read_to_string(&path).is_ok_and(|text| text.contains("populated 1"))
            && began.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        remove_cgroup(&self.cgroup);
        // What a test that failed has left mounted in this thread's mount namespace.
        for below in ["kept", "net", "run/below"] {
            let _ = unmount(self.folder.join(below), UnmountFlags::DETACH);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

pub fn shell(script: &str) -> Held {
    Held(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap())
}

pub fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

pub fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A thread of the test's own process in the zone's mount namespace.
pub fn inside<T: Send>(zsched: i32, body: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/proc/{zsched}/ns/mnt")).unwrap();
    let enter = move || {
        sys::unshare(sys::flags::FS).unwrap();
        sys::setns(file.as_fd(), sys::flags::NEWNS).unwrap();
        body()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
}

pub fn pid_of(one: &Evidence) -> Option<i32> {
    one.holder.as_ref().map(|holder| holder.pid)
}

pub fn own_pid() -> Option<i32> {
    i32::try_from(std::process::id()).ok()
}
