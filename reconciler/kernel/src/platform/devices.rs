//! The zone's devices and its console: a /dev of our own with the few nodes every program expects, a pseudo-terminal file
//! system of the zone's own, and one terminal of it as the console (seed [0049], [0054]).

use crate::error::{Context, Result};
use crate::mount::{self, Shape};
use crate::platform::file_systems::tmpfs;
use crate::sys::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::pty::OpenptFlags;
use std::path::Path;

/// Name, major and minor number of the nodes in every zone's /dev, all of mode 0666 (Documentation/admin-guide/devices.txt).
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The names of the nodes in every zone's /dev.
pub fn node_names() -> impl Iterator<Item = &'static str> {
    NODES.iter().map(|(name, ..)| *name)
}

/// Symbolic links in /dev that programs rely on.
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Group `tty` inside the zone, which owns its terminals.
const GROUP_TTY: u32 = 5;

/// The zone's console: a pseudo-terminal that lives as long as the platform.
#[derive(Debug)]
pub struct Console {
    /// The end that the global zone reads and writes.
    pub master: OwnedFd,
    /// The end that init has. It is kept open here, so that the console does not hang up when init ends.
    pub slave: OwnedFd,
}

/// Makes /dev in the zone's tree, which is the caller's root, and the console.
///
/// # Errors
/// The call that failed.
pub fn create(id_base: u32, tmpfs_bytes: u64) -> Result<Console> {
    let zone = mount::open_folder(Path::new("/"))?;
    let dev = tmpfs(256 * 1024, 0o755, id_base, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
    let target = mount::mount_point(zone.as_fd(), "/dev", Shape::Folder, id_base)?;
    mount::attach(dev.as_fd(), target.as_fd(), "/dev")?;
    make_nodes(dev.as_fd(), id_base)?;

    let gid = (id_base + GROUP_TTY).to_string();
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", gid.as_str()), ("max", "1024")];
    let pts = mount::create("devpts", &options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
    attach_in(dev.as_fd(), pts.as_fd(), "pts", Shape::Folder, id_base)?;
    let shm = tmpfs(tmpfs_bytes, 0o1777, id_base, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    attach_in(dev.as_fd(), shm.as_fd(), "shm", Shape::Folder, id_base)?;

    let (master, slave) = open_terminal(pts.as_fd(), id_base)?;
    // The console is the first terminal of a file system made just now.
    let node = mount::copy(pts.as_fd(), "0")?;
    attach_in(dev.as_fd(), node.as_fd(), "console", Shape::File, id_base)?;
    Ok(Console { master, slave })
}

fn attach_in(dev: BorrowedFd<'_>, made: BorrowedFd<'_>, name: &str, shape: Shape, owner: u32) -> Result<()> {
    let target = mount::make(dev, name, shape, owner)?;
    mount::attach(made, target.as_fd(), name)
}

fn make_nodes(dev: BorrowedFd<'_>, owner: u32) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
    for (name, major, minor) in NODES {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
            .at("mknodat", name)?;
        rustix::fs::chownat(dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).at("fchownat", name)?;
    }
    for (name, to) in LINKS {
        rustix::fs::symlinkat(to, dev, name).at("symlinkat", name)?;
        rustix::fs::chownat(dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).at("fchownat", name)?;
    }
    Ok(())
}

/// Opens a new terminal of the pseudo-terminal file system whose root is `pts`: master and slave. The slave belongs to
/// the zone's root.
///
/// # Errors
/// ENOSPC when the zone has used up its terminals, else the errno of the failed call.
pub fn open_terminal(pts: BorrowedFd<'_>, id_base: u32) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::openat(pts, "ptmx", flags, Mode::empty()).at("openat", "ptmx")?;
    rustix::pty::unlockpt(&master).at("TIOCSPTLCK", "0")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).at("TIOCGPTPEER", "")?;
    let owner = (Some(Uid::from_raw(id_base)), Some(Gid::from_raw(id_base + GROUP_TTY)));
    rustix::fs::fchown(&slave, owner.0, owner.1).at("fchown", "terminal")?;
    Ok((master, slave))
}

/// Opens a new terminal of the zone's own for a login. No process of the zone can have put something else there: the
/// path is looked up in zsched's mount namespace, which no process of the zone shares.
///
/// # Errors
/// As [`open_terminal`].
pub fn login_terminal(id_base: u32) -> Result<(OwnedFd, OwnedFd)> {
    let pts = mount::open_in(mount::open_folder(Path::new("/"))?.as_fd(), "/dev/pts")?;
    open_terminal(pts.as_fd(), id_base)
}

/// Takes /dev and all in it down. What is gone already is passed over.
///
/// # Errors
/// EBUSY while something holds one of them.
pub fn remove() -> Result<()> {
    for name in ["console", "shm", "pts", ""] {
        mount::unmount(format!("/dev/{name}").trim_end_matches('/'))?;
    }
    Ok(())
}
