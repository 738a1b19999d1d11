//! The zone's file systems. The root is an overlay of what install put under zonepath/root (read-only, its IDs mapped
//! into the zone's range) and of what the zone wrote (zonepath/upper, in the zone's own IDs); then come /usr of the host
//! where it is shared, /sys, and the configured file systems in their order. /dev is the devices' step; /proc and /run
//! belong to each application environment, and /proc holds what its masks are made of until then.
//!
//! All of it is built on a small tmpfs, the stage, before the root is moved to it; a halt moves the root to a new stage
//! to be able to unmount it.

use crate::error::{Context, Error, Result};
use crate::mount::{self, Shape};
use crate::sys::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use crate::wire::{FileSystem, FileSystemKind, PlatformSpec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use std::path::Path;

/// An empty file, which masks are made of. An application environment's own /proc covers it.
pub const EMPTY_FILE: &str = "/proc/empty";
/// An empty folder, which masks are made of.
pub const EMPTY_FOLDER: &str = "/proc/none";
/// Where the zone's tree stands below the stage of a halt; paths of whoever holds a file of it then begin with it.
const OLD: &str = "zone";

/// What is mounted for the zone, in the order in which it was, so that it can be taken down in the reverse order.
#[derive(Debug)]
pub struct FileSystems {
    mounted: Vec<String>,
    /// Whether the root has been moved to the stage of a halt.
    staged: bool,
}

impl FileSystems {
    /// Builds the zone's tree in the caller's mount namespace, a private copy of the host's, and leaves nothing else in
    /// it. The caller is in the zone's network namespace, which decides what /sys shows.
    ///
    /// # Errors
    /// What is wrong with the zonepath and what to do, or the call that failed.
    pub fn build(spec: &PlatformSpec, user_ns: BorrowedFd<'_>) -> Result<Self> {
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .at("mount", "/, MS_PRIVATE|MS_REC")?;
        let stage = enter_stage(Path::new(&spec.run_folder))?;
        let mut built = Self { mounted: vec![String::new()], staged: false };
        mount_root(spec, user_ns)?;
        let zone = mount::open_in(stage.as_fd(), "zone")?;
        if spec.host_usr {
            let usr = share(Path::new("/usr"), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, Some(user_ns))?;
            built.attach(usr.as_fd(), zone.as_fd(), "/usr", Shape::Folder, spec.id_base)?;
        }
        let flags = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        let sys = mount::create("sysfs", &[], flags)?;
        built.attach(sys.as_fd(), zone.as_fd(), "/sys", Shape::Folder, spec.id_base)?;
        for resource in &spec.file_systems {
            built.mount_resource(resource, zone.as_fd(), user_ns, spec.id_base)?;
        }
        let masks = make_masks()?;
        built.attach(masks.as_fd(), zone.as_fd(), "/proc", Shape::Folder, spec.id_base)?;
        mount::pivot_into(zone.as_fd())?;
        Ok(built)
    }

    fn attach(
        &mut self,
        mount: BorrowedFd<'_>,
        zone: BorrowedFd<'_>,
        dir: &str,
        shape: Shape,
        owner: u32,
    ) -> Result<()> {
        let target = mount::mount_point(zone, dir, shape, owner)?;
        mount::attach(mount, target.as_fd(), dir)?;
        self.mounted.push(dir.to_owned());
        Ok(())
    }

    fn mount_resource(
        &mut self,
        resource: &FileSystem,
        zone: BorrowedFd<'_>,
        user_ns: BorrowedFd<'_>,
        owner: u32,
    ) -> Result<()> {
        let (made, shape) = match &resource.kind {
            FileSystemKind::Loopback(special) => {
                // A writable share keeps the host's IDs: root of the zone must not write files of root of the host.
                let read_only = resource.attributes & MOUNT_ATTR_RDONLY != 0;
                let made = share(Path::new(special), resource.attributes, read_only.then_some(user_ns))?;
                let kind = rustix::fs::fstat(&made).at("fstat", special)?.st_mode;
                let folder = rustix::fs::FileType::from_raw_mode(kind) == rustix::fs::FileType::Directory;
                (made, if folder { Shape::Folder } else { Shape::File })
            }
            FileSystemKind::Tmpfs(bytes, mode) => (tmpfs(*bytes, *mode, owner, resource.attributes)?, Shape::Folder),
        };
        self.attach(made.as_fd(), zone, &resource.dir, shape, owner)
    }

    /// Unmounts all of it, last mounted first. What is gone already is passed over, so that it can be run again. A mount
    /// that is busy does not keep the others, beside those that it is on; with `detach` it is detached. Returns the mount
    /// points of those.
    ///
    /// # Errors
    /// EBUSY with the mount points that something holds; else the errno of the first call that failed.
    pub fn unmount(&mut self, detach: bool) -> Result<Vec<String>> {
        if !self.staged {
            leave_zone()?;
            self.staged = true;
        }
        let (mut left, mut busy, mut detached) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(dir) = self.mounted.pop() {
            let path = format!("/{OLD}{dir}");
            // What something is mounted on cannot go, and that is no news.
            let holds_another = left.iter().any(|other: &String| is_below(other, &dir));
            match if holds_another { Err(None) } else { mount::unmount(&path).map_err(Some) } {
                Ok(()) => {}
                Err(Some(error)) if error.errno() == Some(Errno::BUSY) && detach => {
                    mount::detach(&path)?;
                    detached.push(shown(&dir));
                }
                Err(error) => {
                    busy.extend(error.map(|error| (shown(&dir), error.errno().unwrap_or(Errno::BUSY))));
                    left.push(dir);
                }
            }
        }
        left.reverse();
        self.mounted = left;
        match busy.first() {
            None => Ok(detached),
            Some((_, errno)) => {
                let errno = *errno;
                let dirs: Vec<String> = busy.into_iter().map(|(dir, _)| dir).collect();
                Err(Error::os("umount2", dirs.join(", "), errno))
            }
        }
    }
}

/// Whether the mount point `other` is below `dir`; all are below the root, which is the empty one.
fn is_below(other: &str, dir: &str) -> bool {
    other.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// A mount point as the zone has it.
fn shown(dir: &str) -> String {
    if dir.is_empty() { "/".to_owned() } else { dir.to_owned() }
}

fn make_stage(folders: &[&str]) -> Result<OwnedFd> {
    let flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let stage = mount::create("tmpfs", &[("size", "64k"), ("nr_inodes", "16"), ("mode", "0755")], flags)?;
    for name in folders {
        rustix::fs::mkdirat(&stage, *name, Mode::from_raw_mode(0o755)).at("mkdirat", name)?;
    }
    Ok(stage)
}

/// Mounts the stage over the zone's run folder, which is ours alone, and goes there.
fn enter_stage(run_folder: &Path) -> Result<OwnedFd> {
    let stage = make_stage(&["zone", "lower", "data"])?;
    mount::attach(stage.as_fd(), mount::open_folder(run_folder)?.as_fd(), "stage")?;
    rustix::process::fchdir(&stage).at("fchdir", "stage")?;
    Ok(stage)
}

/// Moves the caller's root from the zone's tree to a new stage, with the tree below it.
fn leave_zone() -> Result<()> {
    let stage = make_stage(&[OLD])?;
    mount::attach(stage.as_fd(), mount::open_in(rustix::fs::CWD, "/proc")?.as_fd(), "stage")?;
    let moved = rustix::process::fchdir(&stage)
        .at("fchdir", "stage")
        .and_then(|()| rustix::process::pivot_root(".", OLD).at("pivot_root", format!("., {OLD}")));
    if moved.is_err() {
        // So that the next try finds the tree as this one did. (Where it succeeded, the stage is the current folder.)
        rustix::process::chdir("/").at("chdir", "/")?;
        drop(stage);
        mount::unmount("/proc")?;
    }
    moved
}

/// What the masks of /proc are copies of.
fn make_masks() -> Result<OwnedFd> {
    let masks = make_stage(&["none"])?;
    let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    drop(rustix::fs::openat(&masks, "empty", create, Mode::from_raw_mode(0o444)).at("openat", "empty")?);
    mount::set_attributes(masks.as_fd(), MOUNT_ATTR_RDONLY, None)?;
    Ok(masks)
}

/// Mounts the overlay at `zone` below the current folder, the stage. Its layers are named relative to the stage, so that
/// no character of a zonepath needs quoting and every kernel since 5.19 takes them.
fn mount_root(spec: &PlatformSpec, user_ns: BorrowedFd<'_>) -> Result<()> {
    let zonepath = mount::open_folder(Path::new(&spec.zonepath))?;
    check_owner(zonepath.as_fd(), 0o700, &spec.zonepath)?;
    let root_path = format!("{}/root", spec.zonepath);
    let root = mount::open_in(zonepath.as_fd(), "root")?;
    check_owner(root.as_fd(), 0o755, &root_path)?;

    let lower = mount::copy(root.as_fd(), "")?;
    mount::set_attributes(lower.as_fd(), MOUNT_ATTR_RDONLY, Some(user_ns)).map_err(|error| {
        let help = "the file system below the zonepath cannot map IDs; use ext4, xfs or btrfs (tmpfs since Linux 6.3)";
        if error.errno() == Some(Errno::INVAL) { Error::new("mount_setattr", &root_path, help) } else { error }
    })?;
    let data = mount::copy(zonepath.as_fd(), "")?;
    for (made, name) in [(&lower, "lower"), (&data, "data")] {
        mount::attach(made.as_fd(), mount::open_folder(Path::new(name))?.as_fd(), name)?;
    }
    let options = [("lowerdir", "lower"), ("upperdir", "data/upper"), ("workdir", "data/work")];
    let overlay = mount::create("overlay", &options, MOUNT_ATTR_NODEV)
        .map_err(|error| Error::new(error.call(), format!("{}, of {}", error.args(), spec.zonepath), error.reason()))?;
    mount::attach(overlay.as_fd(), mount::open_folder(Path::new("zone"))?.as_fd(), "zone")?;
    // The layers' own mounts go with the stage; the overlay keeps its layers by itself.
    Ok(())
}

/// Seed [0064], [0077]: owned by root, and of this mode and no other.
fn check_owner(folder: BorrowedFd<'_>, mode: u32, path: &str) -> Result<()> {
    let stat = rustix::fs::fstat(folder).at("fstat", path)?;
    if stat.st_uid != 0 || stat.st_gid != 0 {
        let message = format!("owned by {}:{}; do: chown root:root {path}", stat.st_uid, stat.st_gid);
        return Err(Error::new("verify", path, message));
    }
    if stat.st_mode & 0o7777 != mode {
        let message = format!("mode {:04o}; do: chmod {mode:o} {path}", stat.st_mode & 0o7777);
        return Err(Error::new("verify", path, message));
    }
    Ok(())
}

/// A copy of a host mount, with `attributes`; its IDs are mapped into the zone where a user namespace is given and the
/// file system can do that (where it cannot, its files show as nobody's, which is the same for who may only read them).
fn share(path: &Path, attributes: u64, user_ns: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
    let made = mount::copy_path(path)?;
    match mount::set_attributes(made.as_fd(), attributes, user_ns) {
        Err(error) if error.errno() == Some(Errno::INVAL) && user_ns.is_some() => {
            mount::set_attributes(made.as_fd(), attributes, None)?;
        }
        set => set?,
    }
    Ok(made)
}

/// An empty memory file system owned by the zone's root.
///
/// # Errors
/// The errno of the failed call.
pub fn tmpfs(bytes: u64, mode: u32, owner: u32, attributes: u64) -> Result<OwnedFd> {
    let (size, mode, owner) = (bytes.to_string(), format!("{mode:o}"), owner.to_string());
    let options = [("size", size.as_str()), ("mode", &mode), ("uid", &owner), ("gid", &owner)];
    mount::create("tmpfs", &options, attributes)
}
