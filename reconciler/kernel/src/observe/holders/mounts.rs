//! Every mount table of the host: one reading for each mount namespace that a thread lives in or that a file keeps.
//!
//! A namespace is read from inside: a thread of the look joins it, and is then at its root. The mountinfo of a member
//! would show only what that member can reach, nothing above its root. All that the thread does there is to read
//! the host's proc through a descriptor; no path is resolved but those of namespace files, and through no link.

use super::guard::{Job, run};
use super::survey::Survey;
use crate::observe::host::unescape;
use crate::observe::process::Proc;
use crate::observe::read::{is_gone, whole};
use crate::sys;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Mount namespaces that are read at most.
const NAMESPACES_MAX: usize = 4096;

/// How many members of a namespace are tried, as each may end meanwhile.
const MEMBERS_TRIED: usize = 4;

/// A mount, from a line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Its number, which no other mount of the host has while it is there.
    pub id: u64,
    /// st_dev of its superblock.
    pub device: u64,
    /// Which part of the file system is mounted; of a namespace file `net:[4026532573]`.
    pub root: String,
    /// Where, in its namespace.
    pub point: String,
    /// Type of the file system.
    pub kind: String,
    /// Options of the superblock.
    pub options: String,
}

impl Mount {
    /// As evidence names it.
    pub fn object(&self) -> String {
        format!("mount {}:{} {}", rustix::fs::major(self.device), rustix::fs::minor(self.device), self.root)
    }
}

/// The mounts in the text of a mountinfo.
pub(super) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let plain = |text: &[u8]| String::from_utf8_lossy(&unescape(text)).into_owned();
    let mut fields = line.split(|&b| b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let (major, minor) = std::str::from_utf8(fields.nth(1)?).ok()?.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (plain(fields.next()?), plain(fields.next()?));
    // Optional fields, as many as there are, end with a single dash.
    fields.by_ref().find(|field| *field == b"-")?;
    let (kind, options) = (plain(fields.next()?), plain(fields.nth(1).unwrap_or_default()));
    Some(Mount { id, device, root, point, kind, options })
}

/// The mounts of one mount namespace.
#[derive(Debug)]
pub(super) struct Table {
    /// The namespace's inode number; 0 where the kernel does not tell it.
    pub namespace: u64,
    /// The process whose namespace it is, where the kernel does not tell which.
    pub closed: Option<i32>,
    pub mounts: Vec<Mount>,
    /// Mount namespaces that files in this one keep.
    kept: Vec<(u64, OwnedFd)>,
}

/// All tables that could be read. Why another could not is in `unread`.
pub(super) fn tables(proc: &Arc<Proc>, survey: &Survey, until: Instant, unread: &mut Vec<String>) -> Vec<Table> {
    let mut known: BTreeSet<u64> = survey.mount_namespaces.keys().copied().collect();
    let mut jobs = Vec::new();
    for (&namespace, members) in &survey.mount_namespaces {
        let members: Vec<i32> = members.iter().map(|member| member.tid).take(MEMBERS_TRIED).collect();
        let proc = Arc::clone(proc);
        let work = move || of_members(&proc, namespace, &members);
        jobs.push(Job { what: what(namespace), work: Box::new(work) });
    }
    for &pid in &survey.closed {
        let proc = Arc::clone(proc);
        jobs.push(Job { what: format!("mountinfo of process {pid}"), work: Box::new(move || of_closed(&proc, pid)) });
    }
    let mut found: Vec<Table> = Vec::new();
    while !jobs.is_empty() {
        if known.len() > NAMESPACES_MAX {
            unread.push(format!("more than {NAMESPACES_MAX} mount namespaces"));
            jobs.truncate(NAMESPACES_MAX);
        }
        let mut errors = Vec::new();
        let first = found.len();
        run(std::mem::take(&mut jobs), until, unread, |result| match result {
            Ok(Some(table)) => found.push(table),
            Ok(None) => {}
            Err(why) => errors.push(why),
        });
        unread.append(&mut errors);
        drop_seen_twice(&mut found);
        // A namespace that only a file keeps can hold such files itself.
        for (namespace, file) in found[first..].iter_mut().flat_map(|table| table.kept.drain(..)) {
            if known.insert(namespace) {
                let proc = Arc::clone(proc);
                let work = move || of_file(&proc, namespace, &file).map(Some);
                jobs.push(Job { what: what(namespace), work: Box::new(work) });
            }
        }
    }
    found
}

fn what(namespace: u64) -> String {
    format!("mountinfo of mnt:[{namespace}]")
}

/// The table of a namespace by one of its threads; None when all of them are gone.
fn of_members(proc: &Proc, namespace: u64, members: &[i32]) -> Result<Option<Table>, String> {
    for &tid in members {
        let open = || -> rustix::io::Result<OwnedFd> {
            let dir = proc.process(tid)?;
            if dir.namespace("ns/mnt")? != namespace {
                return Err(Errno::SRCH);
            }
            openat(dir.as_fd(), "ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        match open() {
            Ok(file) => return of_file(proc, namespace, &file).map(Some),
            Err(errno) if is_gone(errno) => {}
            Err(errno) => return Err(format!("openat(/proc/{tid}/ns/mnt): {}", std::io::Error::from(errno))),
        }
    }
    Ok(None)
}

/// The table of a process whose namespace is not told: what it can reach of it.
fn of_closed(proc: &Proc, pid: i32) -> Result<Option<Table>, String> {
    let mut buffer = Vec::new();
    let dir = proc.process(pid);
    match dir.and_then(|dir| whole(&mut buffer, dir.as_fd(), "mountinfo").map(parse)) {
        Ok(mounts) => Ok(Some(Table { namespace: 0, closed: Some(pid), mounts, kept: Vec::new() })),
        Err(errno) if is_gone(errno) || errno == Errno::INVAL => Ok(None),
        Err(errno) => Err(format!("read(/proc/{pid}/mountinfo): {}", std::io::Error::from(errno))),
    }
}

/// Of tables without a namespace only those are kept that are of none of the others: a mount is in one namespace.
fn drop_seen_twice(tables: &mut Vec<Table>) {
    let mut seen: BTreeSet<u64> = tables.iter().filter(|table| table.namespace != 0).flat_map(ids).collect();
    tables.retain(|table| table.namespace != 0 || ids(table).any(|id| seen.insert(id)));
}

fn ids(table: &Table) -> impl Iterator<Item = u64> {
    table.mounts.iter().map(|mount| mount.id)
}

fn of_file(proc: &Proc, namespace: u64, file: &OwnedFd) -> Result<Table, String> {
    let read = || -> crate::error::Result<Table> {
        use crate::error::Context;
        // The threads of a process share root and current folder, and one that does may not join a mount namespace.
        sys::unshare(sys::flags::FS)?;
        sys::setns(file.as_fd(), sys::flags::NEWNS)?;
        let mut buffer = Vec::new();
        let text =
            whole(&mut buffer, proc.as_fd(), "thread-self/mountinfo").at("read", "/proc/thread-self/mountinfo")?;
        let mounts = parse(text);
        let mut kept = Vec::new();
        for mount in &mounts {
            // One that went meanwhile, or was covered, is not the file that the table named.
            if let Some(number) = namespace_file(mount, "mnt")
                && let Ok(file) = open_namespace_file(proc, &mount.point, number)
            {
                kept.push((number, file));
            }
        }
        Ok(Table { namespace, closed: None, mounts, kept })
    };
    read().map_err(|error| format!("{}: {error}", what(namespace)))
}

/// The number of the namespace that a mount is the file of, if it is one of this kind (`net`, `mnt`, ...).
pub(super) fn namespace_file(mount: &Mount, kind: &str) -> Option<u64> {
    if mount.kind != "nsfs" {
        return None;
    }
    mount.root.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// Opens a namespace file in the mount namespace that this thread is in, if it still is the one that is meant.
fn open_namespace_file(proc: &Proc, path: &str, number: u64) -> rustix::io::Result<OwnedFd> {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let place = rustix::fs::openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if rustix::fs::fstatfs(&place)?.f_type as u64 != NSFS_MAGIC || rustix::fs::fstat(&place)?.st_ino != number {
        return Err(Errno::NOENT);
    }
    let link = format!("thread-self/fd/{}", place.as_raw_fd());
    openat(proc.as_fd(), &link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let text = b"36 35 98:5 /a\\040b /mnt rw,noatime master:1 shared:2 - ext4 /dev/root rw,errors=continue\n\
            37 35 0:4 net:[4026532573] /run/netns/x rw - nsfs nsfs rw\nnot a line\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, &*mounts[0].kind, &*mounts[0].options), (36, "ext4", "rw,errors=continue"));
        assert_eq!((mounts[0].object().as_str(), mounts[0].point.as_str()), ("mount 98:5 /a b", "/mnt"));
        assert_eq!(namespace_file(&mounts[1], "net"), Some(4_026_532_573));
        assert_eq!((namespace_file(&mounts[1], "mnt"), namespace_file(&mounts[0], "net")), (None, None));
    }
}
