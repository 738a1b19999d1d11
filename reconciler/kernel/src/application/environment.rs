//! Making an application environment: one clone3(2) by zsched, and in the child, before it waits to be told what to execute,
//! the last mounts, the step into the zone's user namespace and the loss of everything the zone's root must not have.
//!
//! The order settles what zone root can undo. proc, its masks, /run and the cgroup file system are mounted in a copy of
//! zsched's mount namespace that the host still owns; the next copy is made by unshare(2) inside the zone's user
//! namespace, so that all mounts and flags arrive locked as one piece (mount_namespaces(7)): no umount(2), no remount
//! and no look beneath a mask works on them from inside. proc can be mounted because this copy is the host's; in the
//! zone's own it would be refused beside the masks.

use crate::application::waiting::{Streams, Waiting};
use crate::error::{Context, Result};
use crate::mount::{self, Shape};
use crate::platform::file_systems::{EMPTY_FILE, EMPTY_FOLDER, tmpfs};
use crate::sys::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, flags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// Files of proc that tell of the host or act on it, and are masked. Their own permissions refuse zone root already;
/// this holds where a permission is forgotten.
const MASKED_FILES: [&str; 4] = ["kcore", "keys", "sysrq-trigger", "timer_list"];
/// Folders likewise.
const MASKED_FOLDERS: [&str; 2] = ["acpi", "scsi"];

/// What every process started in a zone needs to know of its platform.
#[derive(Debug, Clone, Copy)]
pub struct Platform<'a> {
    /// The zone's user namespace.
    pub user_ns: BorrowedFd<'a>,
    /// First host ID of the zone's range.
    pub id_base: u32,
    /// Size limit in bytes of /run.
    pub tmpfs_bytes: u64,
    /// Reeve's own program, which is also the default init.
    pub program: BorrowedFd<'a>,
}

/// Makes a new application environment in `cgroup`, a fresh one of this environment's own, up to the execution of its first
/// process.
///
/// # Errors
/// The call that failed, also in the child. Nothing is left running.
pub fn make<'a>(cgroup: BorrowedFd<'_>, platform: Platform<'a>, streams: Streams<'_>) -> Result<Waiting<'a>> {
    Waiting::make(flags::NEWPID | flags::NEWNS, cgroup, platform, streams, &[], || {
        mount_environment(platform)?;
        let scaffold = own_mount_namespace()?;
        sys::setns(platform.user_ns, flags::NEWUSER)?;
        sys::unshare(flags::NEWNS)?;
        Ok(Some(scaffold))
    })
}

/// The mount namespace of the calling process.
fn own_mount_namespace() -> Result<OwnedFd> {
    let this = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    if let Ok(namespace) = this.and_then(|this| sys::pidfd_mount_namespace(this.as_fd())) {
        return Ok(namespace);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/ns/mnt", flags, Mode::empty()).at("open", "/proc/self/ns/mnt")
}

/// The mounts that belong to this environment alone. The caller's root is the zone's tree already.
fn mount_environment(platform: Platform<'_>) -> Result<()> {
    let zone = mount::open_folder(Path::new("/"))?;
    let masks = Masks::open(zone.as_fd())?;
    let quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let proc = mount::create("proc", &[], quiet)?;
    let target = mount::mount_point(zone.as_fd(), "/proc", Shape::Folder, platform.id_base)?;
    mount::attach(proc.as_fd(), target.as_fd(), "/proc")?;
    masks.cover(proc.as_fd())?;

    let run = tmpfs(platform.tmpfs_bytes, 0o755, platform.id_base, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    let target = mount::mount_point(zone.as_fd(), "/run", Shape::Folder, platform.id_base)?;
    mount::attach(run.as_fd(), target.as_fd(), "/run")?;

    // The child was born in its cgroup, so that this is what it sees as the root of the hierarchy.
    sys::unshare(flags::NEWCGROUP)?;
    let cgroups = mount::create("cgroup2", &[], quiet)?;
    // sysfs has this folder wherever the kernel has control groups.
    let target = mount::open_in(zone.as_fd(), "/sys/fs/cgroup")?;
    mount::attach(cgroups.as_fd(), target.as_fd(), "/sys/fs/cgroup")
}

/// The empty file and the empty folder that masks are copies of, opened before the new proc covers them.
struct Masks {
    file: OwnedFd,
    folder: OwnedFd,
}

impl Masks {
    fn open(zone: BorrowedFd<'_>) -> Result<Self> {
        Ok(Self { file: mount::open_in(zone, EMPTY_FILE)?, folder: mount::open_in(zone, EMPTY_FOLDER)? })
    }

    fn cover(&self, proc: BorrowedFd<'_>) -> Result<()> {
        for (names, empty) in [(&MASKED_FILES[..], &self.file), (&MASKED_FOLDERS[..], &self.folder)] {
            for name in names {
                let target = match mount::open_in(proc, name) {
                    Ok(target) => target,
                    // Not every kernel has every one of them.
                    Err(error) if error.errno() == Some(Errno::NOENT) => continue,
                    Err(error) => return Err(error),
                };
                // A copy keeps the flags of the mount it is of, which is read-only.
                let cover = mount::copy(empty.as_fd(), "")?;
                mount::attach(cover.as_fd(), target.as_fd(), name)?;
            }
        }
        Ok(())
    }
}
