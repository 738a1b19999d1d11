//! Trees of files: removing one and copying one. A zone's files are the zone's to arrange, so nothing in them is reached
//! by a path: every step goes down one name from an open folder, follows no symbolic link and crosses into no other
//! file system.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, OnFile, Result};

/// Below this depth a folder is moved up before it is emptied: a zone may nest folders without end, but neither
/// descriptors nor the stack last that long.
const DEPTH_MAX: usize = 64;
/// The largest extended attribute, xattr(7).
const XATTR_MAX: usize = 64 * 1024;

fn open_folder(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// What identifies the mount and file system that a file is on.
fn place(of: BorrowedFd<'_>, name: &std::ffi::CStr) -> std::result::Result<(u32, u32, u64), Errno> {
    let found: Statx = rustix::fs::statx(
        of,
        name,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT,
        StatxFlags::TYPE | StatxFlags::from_bits_retain(0x1000), // STATX_MNT_ID
    )?;
    Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_mnt_id))
}

/// The names in a folder and what each is.
fn entries(folder: BorrowedFd<'_>, shown: &Path) -> Result<Vec<(std::ffi::CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder).on("readdir", shown)? {
        let entry = entry.on("readdir", shown)?;
        let name = entry.file_name().to_owned();
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let found = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW).on("stat", shown)?;
                FileType::from_raw_mode(found.st_mode)
            }
            known => known,
        };
        entries.push((name, kind));
    }
    Ok(entries)
}

/// Removes a file or a folder with all that is in it; what is gone already is fine. Nothing that is mounted in it is
/// entered: the removal fails then, before or at that folder.
///
/// # Errors
/// What could not be removed; [`Error::Refused`] for something mounted.
pub fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::refused(format!("{} is not something to remove", path.display())));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent_fd = match rustix::fs::open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.on("open", parent)?,
    };
    let name = std::ffi::CString::new(name.as_encoded_bytes()).map_err(std::io::Error::other).on("open", path)?;
    match rustix::fs::unlinkat(&parent_fd, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno).on("unlink", path),
    }
    let top = open_folder(parent_fd.as_fd(), &name).on("open", path)?;
    let mut removal =
        Removal { place: place(top.as_fd(), c"").on("statx", path)?, top, shown: path, moved: 0, names: 0 };
    removal.check_mount(parent_fd.as_fd(), &name)?;
    removal.empty(None, 0)?;
    // What was moved up from below the depth limit is in the top folder now; each round takes one more layer away.
    while removal.moved > 0 {
        removal.moved = 0;
        removal.empty(None, 0)?;
    }
    rustix::fs::unlinkat(&parent_fd, &name, AtFlags::REMOVEDIR).on("rmdir", path)
}

struct Removal<'a> {
    top: OwnedFd,
    place: (u32, u32, u64),
    shown: &'a Path,
    /// How many folders were moved up in this round.
    moved: u64,
    /// How many names for them were tried.
    names: u64,
}

impl Removal<'_> {
    /// The top folder itself may be a mount point, which is of another mount than its parent.
    fn check_mount(&self, parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<()> {
        let above = place(parent, c"").on("statx", self.shown)?;
        let top = place(parent, name).on("statx", self.shown)?;
        if above.2 == top.2 { Ok(()) } else { Err(self.mounted(name)) }
    }

    fn mounted(&self, name: &std::ffi::CStr) -> Error {
        Error::refused(format!(
            "{}: something is mounted at {:?} in it; unmount it first (findmnt -R {0})",
            self.shown.display(),
            name.to_string_lossy()
        ))
    }

    /// Puts a folder into the top one under a name that is free there.
    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<()> {
        loop {
            let target = format!(".removing-{}", self.names);
            self.names += 1;
            match rustix::fs::renameat(folder, name, &self.top, target.as_str()) {
                Ok(()) => break,
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno).on("rename", self.shown),
            }
        }
        self.moved += 1;
        Ok(())
    }

    fn empty(&mut self, folder: Option<BorrowedFd<'_>>, depth: usize) -> Result<()> {
        let top;
        let folder = match folder {
            Some(folder) => folder,
            None => {
                top = open_folder(self.top.as_fd(), c".").on("open", self.shown)?;
                top.as_fd()
            }
        };
        for (name, kind) in entries(folder, self.shown)? {
            if kind != FileType::Directory {
                match rustix::fs::unlinkat(folder, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::BUSY) => return Err(self.mounted(&name)),
                    Err(errno) => return Err(errno).on("unlink", self.shown),
                }
            }
            if depth == DEPTH_MAX {
                self.move_up(folder, &name)?;
                continue;
            }
            let below = open_folder(folder, &name).on("open", self.shown)?;
            if place(below.as_fd(), c"").on("statx", self.shown)? != self.place {
                return Err(self.mounted(&name));
            }
            self.empty(Some(below.as_fd()), depth + 1)?;
            match rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY) => return Err(self.mounted(&name)),
                Err(errno) => return Err(errno).on("rmdir", self.shown),
            }
        }
        Ok(())
    }
}

/// Copies the tree at `from` into the empty folder `to`: owners, modes, times, extended attributes, hard links; symbolic
/// links as such. A folder on another file system is made and left empty. Devices and sockets are left out: a zone gets
/// its devices from its platform.
///
/// # Errors
/// What could not be read or made.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::open(from, flags, Mode::empty()).on("open", from)?;
    let target = rustix::fs::open(to, flags, Mode::empty()).on("open", to)?;
    let found = rustix::fs::fstat(&source).on("fstat", from)?;
    let mut copying = Copying { device: found.st_dev, from, root: target.as_fd(), links: HashMap::new() };
    copying.folder(source.as_fd(), target.as_fd(), Path::new(""))
}

struct Copying<'a> {
    device: u64,
    from: &'a Path,
    root: BorrowedFd<'a>,
    /// Where each file with several names was put first, relative to the root, by its inode.
    links: HashMap<u64, std::path::PathBuf>,
}

impl Copying<'_> {
    fn folder(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, relative: &Path) -> Result<()> {
        for (name, kind) in entries(source, self.from)? {
            let relative = relative.join(std::ffi::OsStr::new(&*name.to_string_lossy()));
            let shown = self.from.join(&relative);
            let found = rustix::fs::statat(source, &name, AtFlags::SYMLINK_NOFOLLOW).on("stat", &shown)?;
            match kind {
                FileType::Directory => {
                    rustix::fs::mkdirat(target, &name, Mode::from_raw_mode(0o700)).on("mkdir", &shown)?;
                    let into = open_folder(target, &name).on("open", &shown)?;
                    let below = open_folder(source, &name).on("open", &shown)?;
                    if found.st_dev == self.device {
                        self.folder(below.as_fd(), into.as_fd(), &relative)?;
                    }
                    attributes(below.as_fd(), into.as_fd(), &found, &shown)?;
                }
                FileType::RegularFile => self.file((source, target), &name, &found, &relative)?,
                FileType::Symlink => {
                    let link = rustix::fs::readlinkat(source, &name, Vec::new()).on("readlink", &shown)?;
                    rustix::fs::symlinkat(&*link, target, &name).on("symlink", &shown)?;
                    owner_and_times(target, &name, &found).on("chown", &shown)?;
                }
                FileType::Fifo => {
                    rustix::fs::mknodat(target, &name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                        .on("mknod", &shown)?;
                    owner_and_times(target, &name, &found).on("chown", &shown)?;
                    rustix::fs::chmodat(target, &name, Mode::from_raw_mode(found.st_mode), AtFlags::empty())
                        .on("chmod", &shown)?;
                }
                _ => tracing::warn!("{}: neither devices nor sockets are copied into a zone", shown.display()),
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        (source, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        name: &std::ffi::CStr,
        found: &rustix::fs::Stat,
        relative: &Path,
    ) -> Result<()> {
        let shown = self.from.join(relative);
        if found.st_nlink > 1 {
            if let Some(first) = self.links.get(&found.st_ino) {
                return rustix::fs::linkat(self.root, first, target, name, AtFlags::empty()).on("link", &shown);
            }
            self.links.insert(found.st_ino, relative.to_owned());
        }
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let input = rustix::fs::openat(source, name, read, Mode::empty()).on("open", &shown)?;
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let output = rustix::fs::openat(target, name, create, Mode::from_raw_mode(0o600)).on("open", &shown)?;
        let (mut input, mut output) = (std::fs::File::from(input), std::fs::File::from(output));
        std::io::copy(&mut input, &mut output).on("copy", &shown)?;
        attributes(input.as_fd(), output.as_fd(), found, &shown)
    }
}

/// The owner first: changing it takes set-user-ID bits and file capabilities away.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, found: &rustix::fs::Stat, shown: &Path) -> Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(found.st_uid), rustix::fs::Gid::from_raw(found.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid)).on("chown", shown)?;
    copy_xattrs(from, to).on("xattr", shown)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777)).on("chmod", shown)?;
    rustix::fs::futimens(to, &times(found)).on("utimens", shown)
}

fn owner_and_times(
    folder: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    found: &rustix::fs::Stat,
) -> std::result::Result<(), Errno> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(found.st_uid), rustix::fs::Gid::from_raw(found.st_gid));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(folder, name, &times(found), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(found: &rustix::fs::Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: found.st_atime, tv_nsec: found.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: found.st_mtime, tv_nsec: found.st_mtime_nsec as _ },
    }
}

/// Capabilities of files, access lists and users' own attributes; what belongs to the host's security module or to its
/// overlays (`trusted.`) does not go into a zone.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    let mut names = vec![0u8; XATTR_MAX];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let wanted: [&[u8]; 3] = [b"user.", b"security.capability", b"system.posix_acl_"];
        if !wanted.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut value = vec![0u8; XATTR_MAX];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
