//! Whether anything of a platform lives on after its zsched: its file systems and its namespaces. Both are asked of the
//! kernel by identity, which costs a few microseconds; who holds them is another question ([`super::holders`]).
//!
//! A file system lives on where a copy of its mount is in another mount namespace, or where a file or a folder of it is
//! in use by anybody; no mount table need show it. The kernel gives the device number of one that is gone to the next, so
//! that a number in use is looked up among the mounts of the other zones, whose it is most often.

use super::Fact;
use super::holders::{NamespaceHandle, is_namespace_gone, namespace_handles, superblocks};
use crate::error::Result;
use crate::sys;
use crate::wire::Traces;
use rustix::fs::{major, minor};
use std::path::Path;

/// Something that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A file system, by its st_dev.
    Superblock(u64),
    /// A namespace, by its handle as text.
    Namespace(String),
}

impl Left {
    /// The call that shows it.
    pub fn call(&self) -> &'static str {
        match self {
            Self::Superblock(_) => "ustat",
            Self::Namespace(_) => "open_by_handle_at",
        }
    }

    /// Its name: `0:57`, or the kind of the namespace.
    pub fn object(&self) -> String {
        match self {
            Self::Superblock(device) => format!("{}:{}", major(*device), minor(*device)),
            Self::Namespace(handle) => handle.split(':').next().unwrap_or(handle).to_owned(),
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Superblock(_) => "file system",
            Self::Namespace(_) => "namespace",
        };
        write!(f, "{kind} {}", self.object())
    }
}

/// The traces of the platform that zsched holds.
///
/// # Errors
/// ENOENT or ESRCH when zsched is gone, else the errno of the call that failed.
pub fn of(zsched: i32) -> Result<Traces> {
    let handles = namespace_handles(zsched)?.unwrap_or_default();
    let proved = handles.iter().filter(|handle| PROVED.contains(&handle.kind.as_str()));
    Ok(Traces { superblocks: superblocks(zsched)?, namespaces: proved.map(ToString::to_string).collect() })
}

/// Namespaces that must be seen to be gone. The PID namespace is dead with its first process, zsched: nothing can be
/// started in it again. It and the user namespace hold nothing of the zone's, and the kernel frees them late (50 ms).
const PROVED: [&str; 4] = ["net", "mnt", "uts", "ipc"];

/// The first of the traces of a zone that is still there; none: all of them are gone. `cgroup` is the zone's.
pub fn left(cgroup: &Path, traces: &Traces) -> Option<Left> {
    let lives = |device: &&u64| sys::has_superblock(**device).unwrap_or(true) && !is_of_another(cgroup, **device);
    if let Some(device) = traces.superblocks.iter().find(lives) {
        return Some(Left::Superblock(*device));
    }
    let held = |text: &&String| {
        let handle = text.parse::<NamespaceHandle>();
        handle.is_ok_and(|handle| is_namespace_gone(&handle) == Fact::Known(false))
    };
    traces.namespaces.iter().find(held).map(|handle| Left::Namespace(handle.clone()))
}

/// Whether a zone beside the one with `cgroup` has a file system with this number mounted.
fn is_of_another(cgroup: &Path, device: u64) -> bool {
    let (Some(parent), own) = (cgroup.parent(), cgroup.file_name()) else { return false };
    let folders = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let zones = folders(parent).filter(|path| path.file_name() != own);
    let zones = zones.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"zone.")));
    // All processes of a leaf were born with one mount namespace, and those of a zone keep it.
    let first = |leaf: std::path::PathBuf| {
        let pids = std::fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
        pids.lines().next().and_then(|pid| pid.parse().ok())
    };
    let mut pids = zones.flat_map(|zone| folders(&zone).filter_map(first).collect::<Vec<i32>>());
    pids.any(|pid| superblocks(pid).is_ok_and(|mounted| mounted.contains(&device)))
}
