//! Whether anything of a platform lives on after its zsched: its file systems and its namespaces. The kernel is asked by
//! identity, which costs microseconds where all is gone; who holds what is left is another question ([`super::holders`]).
//!
//! A file system lives on where a copy of its mount is in another mount namespace, or where a file or a folder of it is in
//! use by anybody; no mount table need show it. What is asked for by number is the overlay, which has the zone's files: the
//! kernel goes through all superblocks of the host for each question. The zone's tmpfs are with it in every copy of its
//! tree; one that was bound somewhere by itself shows in the host's own mount table, by its mark.
//!
//! The kernel gives the device number of a file system that is gone to the next. So one that is in use is looked up in the
//! mount tables: where it is mounted and no mount has the zone's mark, it is another by now.

use super::Fact;
use super::holders::{NamespaceHandle, Nsfs, namespace_handles};
use super::read;
use crate::error::{Context, Result};
use crate::sys;
use crate::wire::Traces;
use rustix::fs::{major, makedev, minor};
use std::collections::BTreeSet;

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
            // Or the mount table: it comes to the same for whoever reads it.
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

/// Namespaces that must be seen to be gone. The PID namespace is dead with its first process, zsched: nothing can be
/// started in it again. It and the user namespace hold nothing of the zone's, and the kernel frees them late (50 ms).
const PROVED: [&str; 4] = ["net", "mnt", "uts", "ipc"];

/// The traces of the platform that zsched holds, with file systems of this mark.
///
/// # Errors
/// ENOENT or ESRCH when zsched is gone, else the errno of the call that failed.
pub fn of(zsched: i32, mark: &str) -> Result<Traces> {
    let handles = namespace_handles(zsched, &PROVED)?.unwrap_or_default();
    let namespaces = handles.iter().map(ToString::to_string).collect();
    Ok(Traces { mark: mark.to_owned(), superblocks: stores(zsched, mark)?, namespaces })
}

/// The overlays with this mark that a process has mounted, by st_dev.
///
/// # Errors
/// ENOENT when the process is gone.
pub fn stores(pid: i32, mark: &str) -> Result<Vec<u64>> {
    let own = |mount: &Mount| mount.source == mark && mount.kind == "overlay";
    let found: BTreeSet<u64> = mounts(pid)?.into_iter().filter(own).map(|mount| mount.device).collect();
    Ok(found.into_iter().collect())
}

/// The first of the traces of a zone that is still there; none: all of them are gone.
pub fn left(traces: &Traces) -> Option<Left> {
    file_system_left(traces).or_else(|| namespace_left(traces))
}

/// The first of the namespaces that is still there.
pub fn namespace_left(traces: &Traces) -> Option<Left> {
    let nsfs = Nsfs::open();
    let held = |text: &&String| {
        let handle = text.parse::<NamespaceHandle>();
        handle.is_ok_and(|handle| nsfs.is_gone(&handle) == Fact::Known(false))
    };
    traces.namespaces.iter().find(held).cloned().map(Left::Namespace)
}

/// The first of the file systems that is still there. What is gone stays gone.
pub fn file_system_left(traces: &Traces) -> Option<Left> {
    let lives = |device: &&u64| sys::has_store(**device).unwrap_or(true) && !is_another(**device, &traces.mark);
    if let Some(device) = traces.superblocks.iter().find(lives) {
        return Some(Left::Superblock(*device));
    }
    if traces.superblocks.is_empty() {
        return None;
    }
    let here = read::file("/proc/self/mountinfo").unwrap_or_default();
    // Mostly the mark is nowhere in it, and then nothing has to be taken apart.
    let named = here.windows(traces.mark.len().max(1)).any(|bytes| bytes == traces.mark.as_bytes());
    let marked = |mount: &Mount| mount.source == traces.mark;
    let found = named.then(|| parse_all(&here).into_iter().find(marked)).flatten();
    found.map(|mount| Left::Superblock(mount.device))
}

/// Whether the superblock with this number is mounted somewhere, and nowhere with the mark: then it is another one. Each
/// mount namespace is read once, by the first process that is found in it.
fn is_another(device: u64, mark: &str) -> bool {
    let (mut read, mut found) = (BTreeSet::new(), false);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let namespace = std::fs::read_link(entry.path().join("ns/mnt")).ok();
        if namespace.is_none_or(|namespace| !read.insert(namespace)) {
            continue;
        }
        for mount in mounts(pid).unwrap_or_default().into_iter().filter(|mount| mount.device == device) {
            if mount.source == mark {
                return false;
            }
            found = true;
        }
    }
    found
}

/// A line of mountinfo, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: u64,
    kind: String,
    source: String,
}

fn mounts(pid: i32) -> Result<Vec<Mount>> {
    let path = format!("/proc/{pid}/mountinfo");
    Ok(parse_all(&read::file(&path).at("read", &path)?))
}

fn parse_all(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(|line| parse(&String::from_utf8_lossy(line))).collect()
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let (major, minor) = before.split(' ').nth(2)?.split_once(':')?;
    let mut after = after.split(' ');
    let (kind, source) = (after.next()?.to_owned(), after.next()?.to_owned());
    Some(Mount { device: makedev(major.parse().ok()?, minor.parse().ok()?), kind, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "61 60 0:57 / /data rw,nodev master:1 - overlay reeve:d75c:web:7 rw,lowerdir=lower";
        let mount = Mount { device: makedev(0, 57), kind: "overlay".into(), source: "reeve:d75c:web:7".into() };
        assert_eq!(parse(line), Some(mount));
        assert_eq!(parse("61 60 0:57 / /data"), None);
    }

    #[test]
    fn what_is_mounted_is_seen_to_live_and_to_be_of_its_mark() {
        let temporary = crate::mount::create("tmpfs", &[("source", "traces-test")], 0);
        // Only root can make one.
        let Ok(temporary) = temporary else { return };
        let device = rustix::fs::fstat(&temporary).map(|stat| stat.st_dev).unwrap_or_default();
        let traces = Traces { mark: "traces-test".into(), superblocks: vec![device], namespaces: Vec::new() };
        assert_eq!(left(&traces), Some(Left::Superblock(device)), "held by a descriptor, in no mount table");
        drop(temporary);
        // A number that is given again at once is mounted nowhere or counts nothing; both are told apart elsewhere.
    }

    #[test]
    fn a_number_that_is_anothers_now_does_not_count() {
        let shm = mounts(std::process::id() as i32).unwrap_or_default();
        let Some(mount) = shm.iter().find(|mount| mount.kind == "tmpfs") else { return };
        let traces = Traces { mark: "no such mark".into(), superblocks: vec![mount.device], namespaces: Vec::new() };
        assert_eq!(left(&traces), None, "{mount:?}");
        let traces = Traces { mark: mount.source.clone(), ..traces };
        assert_eq!(left(&traces), Some(Left::Superblock(mount.device)));
    }
}
