//! Whether anything of a platform lives on after its zsched: its file systems and its namespaces. Both are asked of the
//! kernel by identity, which costs a few microseconds; who holds them is another question ([`super::holders`]).
//!
//! A file system lives on where a copy of its mount is in another mount namespace, or where a file or a folder of it is
//! in use by anybody; no mount table need show it. The kernel gives the device number of one that is gone to the next, so
//! that a number in use is looked up among the mounts of the other zones, whose it is most often.

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

/// The traces of the platform that a process (zsched) is in.
///
/// # Errors
/// ENOENT when the process is gone, else the errno of the call that failed.
pub fn of(pid: i32) -> Result<Traces> {
    Ok(Traces { superblocks: superblocks(pid)?, namespaces: Vec::new() })
}

/// The first of the traces of a zone that is still there; none: all of them are gone. `cgroup` is the zone's.
pub fn left(cgroup: &Path, traces: &Traces) -> Option<Left> {
    let lives = |device: &&u64| sys::has_superblock(**device).unwrap_or(true) && !is_of_another(cgroup, **device);
    traces.superblocks.iter().find(lives).map(|device| Left::Superblock(*device))
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
    pids.any(|pid| mounted(pid).is_ok_and(|mounts| mounts.iter().any(|(mounted, _)| *mounted == device)))
}

/// File systems that are made anew for each zone, so that one of them in a zone's mount table is the zone's alone.
const OWN: [&str; 4] = ["overlay", "tmpfs", "devpts", "proc"];

/// The superblocks, by st_dev, of a process of the zone that are the zone's alone.
///
/// # Errors
/// ENOENT when the process is gone.
pub fn superblocks(pid: i32) -> Result<Vec<u64>> {
    let hosts: Vec<u64> = mounted(std::process::id() as i32)?.into_iter().map(|(device, _)| device).collect();
    let own = |(device, kind): &(u64, String)| OWN.contains(&kind.as_str()) && !hosts.contains(device);
    let mut found: Vec<u64> = mounted(pid)?.into_iter().filter(own).map(|(device, _)| device).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Device and type of each mount in the mount namespace of a process.
fn mounted(pid: i32) -> Result<Vec<(u64, String)>> {
    use crate::error::Context;
    let path = format!("/proc/{pid}/mountinfo");
    let text = std::fs::read(&path).at("read", &path)?;
    Ok(text.split(|&b| b == b'\n').filter_map(|line| parse(&String::from_utf8_lossy(line))).collect())
}

fn parse(line: &str) -> Option<(u64, String)> {
    let (before, after) = line.split_once(" - ")?;
    let (major, minor) = before.split(' ').nth(2)?.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    Some((device, after.split(' ').next()?.to_owned()))
}
