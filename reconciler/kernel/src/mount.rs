//! Mounts made from descriptors: a file system or a copy of a mount is made detached, and attached to a place that was
//! opened below a root with no symbolic link followed. No path that a zone controls is ever walked by name.

use crate::error::{Context, Error, Result};
use crate::sys::{self, MountAttr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::path::Path;
use std::sync::OnceLock;

/// What file systems of this process are said to be made from.
static SOURCE: OnceLock<String> = OnceLock::new();

/// Marks every file system that this process makes from now on: `source` is the first field of its lines in /proc/mounts,
/// and of those of every copy, whoever made it and where ever it is. Only the first call counts.
pub fn mark_with(source: &str) {
    SOURCE.get_or_init(|| source.to_owned());
}

/// Makes a file system of type `kind` with `options` (an empty value: a flag) and the `MOUNT_ATTR_*` of `attributes`,
/// attached nowhere yet.
///
/// # Errors
/// The errno of fsopen(2), fsconfig(2) or fsmount(2), with the option that was refused.
pub fn create(kind: &str, options: &[(&str, &str)], attributes: u64) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).at("fsopen", kind)?;
    let mark = SOURCE.get().map(|source| ("source", source.as_str()));
    for (key, value) in options.iter().copied().chain(mark) {
        let set = if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&context, key)
        } else {
            rustix::mount::fsconfig_set_string(&context, key, value)
        };
        set.map_err(|errno| Error::os("fsconfig", format!("{kind}, {key}={value}"), errno))?;
    }
    rustix::mount::fsconfig_create(&context).at("fsconfig", format!("{kind}, CMD_CREATE"))?;
    let flags = MountAttrFlags::from_bits_retain(attributes as u32);
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).at("fsmount", kind)
}

/// Copies the mount that `path` (below `folder`) is on, from `path` down and without what is mounted below it. The copy
/// is attached nowhere yet.
///
/// # Errors
/// The errno of open_tree(2).
pub fn copy(folder: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(folder, path, flags).at("open_tree", path)
}

/// [`copy`] of an absolute path of the caller's mount namespace.
///
/// # Errors
/// The errno of open_tree(2).
pub fn copy_path(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).at("open_tree", path.display().to_string())
}

/// Attaches a detached mount at the place `target` is.
///
/// # Errors
/// The errno of move_mount(2).
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &str) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags).at("move_mount", name)
}

/// Sets `MOUNT_ATTR_*` on a mount, and maps its IDs through `user_ns` when one is given.
///
/// # Errors
/// The errno of mount_setattr(2); EINVAL where the file system cannot be idmapped.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: u64, user_ns: Option<BorrowedFd<'_>>) -> Result<()> {
    use std::os::fd::AsRawFd;
    let mut attr = MountAttr { set: attributes, ..MountAttr::default() };
    if let Some(user_ns) = user_ns {
        attr.set |= sys::MOUNT_ATTR_IDMAP;
        attr.userns_fd = user_ns.as_raw_fd() as u64;
    }
    sys::mount_setattr(mount, attr)
}

/// Opens the folder at an absolute path for use as a root or a target (O_PATH).
///
/// # Errors
/// The errno of open(2); ELOOP or ENOTDIR when the last part is a symbolic link or no folder.
pub fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).at("open", path.display().to_string())
}

/// Opens `path` below `root` (O_PATH), following no symbolic link on the way and never leaving `root`.
///
/// # Errors
/// ELOOP when a part of it is a symbolic link, ENOENT when it is missing, else the errno of openat2(2).
pub fn open_in(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    openat2(root, path).at("openat2", format!("{path}, RESOLVE_IN_ROOT|NO_SYMLINKS"))
}

fn openat2(root: BorrowedFd<'_>, path: &str) -> std::result::Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { "." } else { path };
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Whether `path` is there below `root`, symbolic links followed as a process with that root would.
///
/// # Errors
/// ENOENT when it is not, else the errno of openat2(2).
pub fn exists_in(root: BorrowedFd<'_>, path: &str) -> Result<()> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).at("execve", path)?;
    Ok(())
}

/// What a mount point has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A folder.
    Folder,
    /// A file.
    File,
}

/// Opens the mount point `path` below `root` as [`open_in`] does, making what is missing of it: folders of mode 0755 and,
/// for [`Shape::File`], an empty file as the last part, owned by `owner`.
///
/// # Errors
/// As [`open_in`]; else the errno of mkdirat(2), openat(2) or fchownat(2).
pub fn mount_point(root: BorrowedFd<'_>, path: &str, shape: Shape, owner: u32) -> Result<OwnedFd> {
    match openat2(root, path) {
        Err(Errno::NOENT) => {}
        found => return found.at("openat2", format!("{path}, RESOLVE_IN_ROOT|NO_SYMLINKS")),
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut at = openat2(root, ".").at("openat2", ".")?;
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        at = match openat2(at.as_fd(), part) {
            Err(Errno::NOENT) => make(at.as_fd(), part, if last { shape } else { Shape::Folder }, owner)?,
            found => found.at("openat2", format!("{path}, RESOLVE_IN_ROOT|NO_SYMLINKS"))?,
        };
    }
    Ok(at)
}

/// Makes a mount point in a folder of ours that has none of that name.
///
/// # Errors
/// EEXIST where it has; else the errno of the failed call.
pub fn make(folder: BorrowedFd<'_>, name: &str, shape: Shape, owner: u32) -> Result<OwnedFd> {
    match shape {
        Shape::Folder => rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)).at("mkdirat", name)?,
        Shape::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644)).at("openat", name)?);
        }
    }
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .at("fchownat", name)?;
    open_in(folder, name)
}

/// Makes `root` the root of the caller's mount namespace, and takes the old root with all that is mounted below it away.
///
/// # Errors
/// The errno of fchdir(2), pivot_root(2) or umount2(2).
pub fn pivot_into(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root).at("fchdir", "new root")?;
    rustix::process::pivot_root(".", ".").at("pivot_root", "., .")?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH).at("umount2", "old root, MNT_DETACH")?;
    rustix::process::chdir("/").at("chdir", "/")
}

/// Unmounts what is mounted at `path`; nothing mounted there is no error, so that a teardown can be run again.
///
/// # Errors
/// EBUSY while something holds it, else the errno of umount2(2).
pub fn unmount(path: &str) -> Result<()> {
    match rustix::mount::unmount(path, rustix::mount::UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::os("umount2", path, errno)),
    }
}

/// Takes what is mounted at `path`, and all below it, out of the tree at once; the kernel frees it when nobody uses it any
/// more (MNT_DETACH). Nothing mounted there is no error.
///
/// # Errors
/// The errno of umount2(2).
pub fn detach(path: &str) -> Result<()> {
    use rustix::mount::UnmountFlags;
    match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::os("umount2", format!("{path}, MNT_DETACH"), errno)),
    }
}
