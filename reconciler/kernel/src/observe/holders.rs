//! Who holds what of a zone whose halt does not finish: processes of others by their folders, files, memory and
//! namespaces, mounts in other mount namespaces, files of namespaces, what the kernel holds itself, and the zone's own
//! tasks that do not end.
//!
//! It is asked when a step failed, from the host's namespaces and as root. It takes about a second at most and waits for
//! no file system. What stays invisible: descriptors in messages that nobody has received, files of io_uring, references
//! of the kernel's own. So nothing found is no proof that nothing holds; only [`mounted_anywhere`] and
//! [`is_namespace_gone`] prove, each for what it says.

mod devices;
mod guard;
mod handles;
mod look;
mod mounts;
mod processes;
mod survey;
mod tasks;
mod whose;

pub use handles::{NamespaceHandle, Nsfs, namespace_handles};
pub use look::{holders, mounted_anywhere, superblocks};

use super::process::Namespaces;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Entries that are told at most.
const EVIDENCE_MAX: usize = 64;

/// Notes on what could not be read that are told at most.
const UNREAD_MAX: usize = 16;

/// Put to an object that is known by its recorded number alone, which may be another's by now.
const BY_NUMBER: &str = " (by its recorded number)";

/// The most bytes of a path, as the kernel has it.
const PATH_MAX: usize = 4096;

/// What is known of the zone whose halt is stuck.
#[derive(Debug, Clone, Copy)]
pub struct HoldersQuery<'a> {
    /// Its name.
    pub zone: &'a str,
    /// `<run>/zones/NAME`.
    pub run_folder: &'a Path,
    /// Its zonepath, where it has one.
    pub zonepath: Option<&'a Path>,
    /// Its cgroup.
    pub cgroup: &'a Path,
    /// The parent of all zones' cgroups, which says what zone a holder belongs to.
    pub cgroup_root: &'a Path,
    /// Process ID of zsched, if it lives.
    pub zsched: Option<i32>,
    /// Namespaces of zsched as they were seen last, by inode number; read only where zsched is gone. The kernel gives a
    /// number again once the namespace is gone: None when [`is_namespace_gone`] says so of all.
    pub namespaces: Option<&'a Namespaces>,
    /// st_dev of the zone's superblocks as [`superblocks`] gave them. The kernel gives a number again once the
    /// superblock is gone: while zsched lives those that it has are sure, and what is found by another number says so.
    pub devices: &'a [u64],
    /// Names of the host ends of its links.
    pub links: &'a [String],
}

/// In which way something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceKind {
    /// The current folder of a process.
    Cwd,
    /// The root of a process.
    Root,
    /// The program that a process runs.
    Executable,
    /// A descriptor of a process.
    OpenFile,
    /// A file in the memory of a process.
    MappedFile,
    /// A mount in another mount namespace, the holder being a process that is in it; without, in the caller's own or in
    /// one that only a file or a descriptor keeps.
    Mount,
    /// A process is in a namespace of the zone, or its children will be.
    NamespaceMember,
    /// A process has a descriptor of a namespace of the zone, or of a socket in its network namespace.
    NamespaceDescriptor,
    /// A namespace of the zone is mounted on a file.
    NamespaceFile,
    /// A thread of the zone is in an uninterruptible sleep (`D`); the object says where in the kernel.
    Process,
    /// A process of the zone is frozen, by the cgroup that is the path.
    Frozen,
    /// A loop device is made of a file of the zone.
    LoopDevice,
    /// A swap area is on the zone's files.
    Swap,
    /// Requests wait for the server of a FUSE file system, which is the holder where it is known.
    Fuse,
    /// A link of the zone is still on the host.
    Link,
    /// A cgroup of the zone has a process.
    Cgroup,
}

impl EvidenceKind {
    /// Its name as status documents have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cwd => "cwd",
            Self::Root => "root",
            Self::Executable => "executable",
            Self::OpenFile => "openFile",
            Self::MappedFile => "mappedFile",
            Self::Mount => "mount",
            Self::NamespaceMember => "namespaceMember",
            Self::NamespaceDescriptor => "namespaceDescriptor",
            Self::NamespaceFile => "namespaceFile",
            Self::Process => "process",
            Self::Frozen => "frozen",
            Self::LoopDevice => "loopDevice",
            Self::Swap => "swap",
            Self::Fuse => "fuse",
            Self::Link => "link",
            Self::Cgroup => "cgroup",
        }
    }
}

/// A process that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number in the caller's PID namespace.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since the host's boot.
    pub start_time: u64,
    /// Its name, as it may have chosen it: at most 64 bytes, not safe to print.
    pub comm: String,
    /// The zone that it belongs to by its cgroup; None for the global zone.
    pub zone: Option<String>,
}

/// One thing that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// In which way.
    pub kind: EvidenceKind,
    /// What: `mount 0:57 /`, `net:[4026532573]`, `/dev/loop3`.
    pub object: String,
    /// Where, as the kernel shows it: at most 4 KiB, not safe to print. For a file of a mount namespace that is not the
    /// caller's, it is a path in that namespace.
    pub path: Option<String>,
    /// By whom; None when that is not known.
    pub holder: Option<Holder>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// At most 64 entries, of every kind that was found some.
    pub evidence: Vec<Evidence>,
    /// What could not be read and why, and what was left out.
    pub unread: Vec<String>,
}

impl Found {
    fn failed(why: impl ToString) -> Self {
        Self { evidence: Vec::new(), unread: vec![why.to_string()] }
    }

    /// Keeps to the bounds: by turns the first entry of each kind, then the second, so that one process with a
    /// thousand files does not hide another that has the mount.
    fn bound(mut self) -> Self {
        let mut ranks: HashMap<EvidenceKind, usize> = HashMap::new();
        let mut ranked: Vec<(usize, Evidence)> = Vec::new();
        for mut one in self.evidence {
            truncate(&mut one.object, PATH_MAX);
            one.path.iter_mut().for_each(|path| truncate(path, PATH_MAX));
            let rank = ranks.entry(one.kind).or_default();
            ranked.push((*rank, one));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, one)| (*rank, one.kind));
        if ranked.len() > EVIDENCE_MAX {
            self.unread.push(format!("{} entries more were found", ranked.len() - EVIDENCE_MAX));
            ranked.truncate(EVIDENCE_MAX);
        }
        ranked.sort_by_key(|(rank, one)| (one.kind, *rank));
        let mut seen = HashSet::new();
        self.unread.retain(|why| seen.insert(why.clone()));
        if self.unread.len() > UNREAD_MAX {
            let more = self.unread.len() - UNREAD_MAX;
            self.unread.truncate(UNREAD_MAX);
            self.unread.push(format!("{more} more of these"));
        }
        self.unread.iter_mut().for_each(|why| truncate(why, PATH_MAX));
        Self { evidence: ranked.into_iter().map(|(_, one)| one).collect(), unread: self.unread }
    }
}

fn truncate(text: &mut String, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(end);
}
