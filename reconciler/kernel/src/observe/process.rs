//! One process as /proc shows it. Only files that never wait for the process: `stat`, `status`, `ns`, `children`,
//! `mountinfo`. A process stuck in the kernel blocks the reader of its `cmdline` and `environ`, so those of a
//! zone's processes are never read; zoneadmd is ours, and its `cmdline` is.

use super::Fact;
use super::read::{fact, number, numbers, record, value, whole};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// A process, told apart from a later one of the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its number in the global zone.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since the host's boot.
    pub start_time: u64,
    /// Field 3 of it: `R` running, `S` sleeping, `D` not interruptible, `T` stopped, `Z` ended and not waited for.
    pub state: char,
}

/// The namespaces of a process, each by its inode number. Two processes share one when the numbers are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Namespaces {
    /// PID namespace.
    pub pid: u64,
    /// Mount namespace.
    pub mnt: u64,
    /// Network namespace.
    pub net: u64,
    /// UTS namespace (host name).
    pub uts: u64,
    /// IPC namespace.
    pub ipc: u64,
    /// Cgroup namespace.
    pub cgroup: u64,
}

/// /proc, held open.
#[derive(Debug)]
pub(super) struct Proc {
    root: OwnedFd,
    /// In how many PID namespaces the observer itself is: 1 on a plain host.
    pub depth: usize,
}

/// /proc/PID, held open: a later process of the same number is not taken for this one.
pub(super) struct ProcDir {
    pub pid: i32,
    dir: OwnedFd,
}

impl Proc {
    pub fn open() -> crate::error::Result<Self> {
        use crate::error::Context;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, "/proc", flags, Mode::empty()).at("open", "/proc")?;
        let mut buffer = Vec::new();
        let status = record(&mut buffer, root.as_fd(), "thread-self/status").at("open", "/proc/thread-self/status")?;
        let depth = pids(status).count().max(1);
        Ok(Self { root, depth })
    }

    /// The directory of a process; Absent when it is gone.
    pub fn process(&self, pid: i32) -> rustix::io::Result<ProcDir> {
        let mut name = Digits::default();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.root, name.of(pid), flags, Mode::empty())?;
        Ok(ProcDir { pid, dir })
    }

    /// The directory of the calling thread.
    pub fn own(&self) -> rustix::io::Result<ProcDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.root, "thread-self", flags, Mode::empty())?;
        Ok(ProcDir { pid: rustix::thread::gettid().as_raw_nonzero().get(), dir })
    }

    /// The PID 1 of a PID namespace `below` levels beneath the observer's, its facts, and whether it has executed anything, if
    /// `pid` is such a process.
    pub fn first_process(&self, buffer: &mut Vec<u8>, pid: i32, below: usize) -> Fact<(Process, bool, ProcDir)> {
        let mut read = || -> rustix::io::Result<Option<(Process, bool, ProcDir)>> {
            let dir = self.process(pid)?;
            let status = record(buffer, dir.dir.as_fd(), "status")?;
            let (depth, last) = pids(status).fold((0, 0), |(depth, _), pid| (depth + 1, pid));
            if depth != self.depth + below || last != 1 {
                return Ok(None);
            }
            let (process, executed) = dir.life(buffer)?;
            Ok(Some((process, executed, dir)))
        };
        match fact(read(), "openat", format_args!("/proc/{pid}/status")) {
            Fact::Known(Some(found)) => Fact::Known(found),
            Fact::Known(None) | Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    /// A process, if it is in another PID namespace than `outer`, and whether it has executed anything.
    pub fn outside_of(&self, buffer: &mut Vec<u8>, pid: i32, outer: u64) -> Fact<(Process, bool)> {
        let mut read = || -> rustix::io::Result<Option<(Process, bool)>> {
            let dir = self.process(pid)?;
            if dir.namespace("ns/pid")? == outer { Ok(None) } else { dir.life(buffer).map(Some) }
        };
        match fact(read(), "readlinkat", format_args!("/proc/{pid}/ns/pid")) {
            Fact::Known(Some(found)) => Fact::Known(found),
            Fact::Known(None) | Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    /// Whether a process has ended, waited for or not.
    pub fn is_gone(&self, buffer: &mut Vec<u8>, pid: i32) -> bool {
        let life = self.process(pid).and_then(|dir| dir.life(buffer));
        matches!(life, Err(Errno::SRCH | Errno::NOENT))
    }

    /// The state letter of a thread, from its own `stat`.
    pub fn thread_state(&self, buffer: &mut Vec<u8>, tid: i32) -> rustix::io::Result<char> {
        self.process(tid)?.identity(buffer).map(|process| process.state)
    }

    /// The zone that a zoneadmd is of, by its command line `zoneadmd NAME`; Absent when the process is gone or is none.
    pub fn zoneadmd(&self, buffer: &mut Vec<u8>, pid: i32) -> Fact<(String, Process)> {
        let mut read = || -> rustix::io::Result<Option<(String, Process)>> {
            let dir = self.process(pid)?;
            let words = record(buffer, dir.dir.as_fd(), "cmdline")?;
            let Some(name) = zone_of_cmdline(words) else { return Ok(None) };
            Ok(Some((name, dir.identity(buffer)?)))
        };
        match fact(read(), "openat", format_args!("/proc/{pid}/cmdline")) {
            Fact::Known(Some(found)) => Fact::Known(found),
            Fact::Known(None) | Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    /// The mounts of the observer's own mount namespace: the text of mountinfo.
    pub fn own_mounts<'b>(&self, buffer: &'b mut Vec<u8>) -> rustix::io::Result<&'b [u8]> {
        whole(buffer, self.root.as_fd(), "thread-self/mountinfo")
    }

    /// The boot id of the host.
    pub fn boot_id(&self, buffer: &mut Vec<u8>) -> Fact<String> {
        let read = record(buffer, self.root.as_fd(), "sys/kernel/random/boot_id");
        let read = read.map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
        fact(read, "openat", "/proc/sys/kernel/random/boot_id")
    }
}

impl ProcDir {
    /// Start time and state; `ESRCH` when it has ended, waited for or not.
    pub fn identity(&self, buffer: &mut Vec<u8>) -> rustix::io::Result<Process> {
        self.life(buffer).map(|(process, _)| process)
    }

    /// The same, and whether it has executed anything since it was forked.
    fn life(&self, buffer: &mut Vec<u8>) -> rustix::io::Result<(Process, bool)> {
        let stat = Stat::parse(record(buffer, self.dir.as_fd(), "stat")?).ok_or(Errno::SRCH)?;
        // With other threads alive, `Z` says that the first one has ended and no more.
        if matches!(stat.state, 'Z' | 'X') && stat.threads <= 1 {
            return Err(Errno::SRCH);
        }
        let process = Process { pid: self.pid, start_time: stat.start_time, state: stat.state };
        Ok((process, stat.flags & FORKED_ONLY == 0))
    }

    /// The namespaces it is in.
    pub fn namespaces(&self) -> Fact<Namespaces> {
        let read = |name| self.namespace(name);
        let all = || -> rustix::io::Result<Namespaces> {
            Ok(Namespaces {
                pid: read("ns/pid")?,
                mnt: read("ns/mnt")?,
                net: read("ns/net")?,
                uts: read("ns/uts")?,
                ipc: read("ns/ipc")?,
                cgroup: read("ns/cgroup")?,
            })
        };
        fact(all(), "readlinkat", format_args!("/proc/{}/ns/*", self.pid))
    }

    /// The inode number of one namespace, by its link (`ns/net`).
    pub fn namespace(&self, name: &str) -> rustix::io::Result<u64> {
        let mut space = [MaybeUninit::uninit(); 64];
        let (link, _) = rustix::fs::readlinkat_raw(&self.dir, name, &mut space)?;
        // "net:[4026531840]"
        let digits = link.iter().position(|&b| b == b'[').map_or(&[][..], |at| &link[at + 1..]);
        number(digits).ok_or(Errno::INVAL)
    }

    /// Its children; Absent where the kernel does not list them (CONFIG_PROC_CHILDREN).
    pub fn children(&self, buffer: &mut Vec<u8>) -> Fact<Vec<i32>> {
        let mut name = Digits::default();
        let path = name.between(b"task/", self.pid, b"/children");
        fact(
            whole(buffer, self.dir.as_fd(), path).map(|text| numbers(text).collect()),
            "openat",
            format_args!("/proc/{}/task/*/children", self.pid),
        )
    }

    /// How many mounts its mount namespace has.
    pub fn mount_count(&self, buffer: &mut Vec<u8>) -> Fact<u32> {
        let count = |text: &[u8]| u32::try_from(text.iter().filter(|&&b| b == b'\n').count()).unwrap_or(u32::MAX);
        let read = whole(buffer, self.dir.as_fd(), "mountinfo").map(count);
        fact(read, "openat", format_args!("/proc/{}/mountinfo", self.pid))
    }
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// The numbers of a process in its PID namespaces, outermost first (`NSpid` in `status`).
fn pids(status: &[u8]) -> impl Iterator<Item = i32> {
    numbers(value(status, "NSpid:").unwrap_or(b""))
}

/// `PF_FORKNOEXEC`: "forked but didn't exec" (ps(1), PROCESS FLAGS).
const FORKED_ONLY: u32 = 0x40;

/// What is read of `stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    flags: u32,
    threads: u32,
    start_time: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        use std::io::Read;
        // One read(2) gives all of it.
        let mut space = [0; 1024];
        let length =
            std::fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut space)).ok()?;
        Self::parse(space.get(..length)?)
    }

    /// The name of the process, in brackets, may hold anything, brackets too.
    fn parse(stat: &[u8]) -> Option<Self> {
        let end = stat.iter().rposition(|&b| b == b')')?;
        let mut fields = stat[end + 1..].split(|&b| b == b' ').filter(|field| !field.is_empty());
        let state = char::from(*fields.next()?.first()?);
        // That was field 3. From there on it is counted how many are passed over.
        let (parent, flags, threads, start_time) = (fields.next()?, fields.nth(4)?, fields.nth(10)?, fields.nth(1)?);
        let (parent, flags) = (number(parent)?, number(flags)?);
        Some(Self { state, parent, flags, threads: number(threads)?, start_time: number(start_time)? })
    }
}

/// When a process was started (field 22 of `stat`), if it is a child of `parent` and has executed anything since it was forked:
/// what waits in a zone to become its init has not. None also where it is gone.
pub fn start_of_executed(pid: i32, parent: i32) -> Option<u64> {
    let stat = Stat::of(pid)?;
    (stat.parent == parent && stat.flags & FORKED_ONLY == 0).then_some(stat.start_time)
}

/// Field 22 of /proc/PID/stat (proc_pid_stat(5)): when the process started, in clock ticks since boot. None where it is gone.
pub fn start_time(pid: i32) -> Option<u64> {
    Some(Stat::of(pid)?.start_time)
}

fn zone_of_cmdline(cmdline: &[u8]) -> Option<String> {
    let mut words = cmdline.split(|&b| b == 0 || b == b' ').filter(|word| !word.is_empty());
    let program = words.next()?;
    let base = program.rsplit(|&b| b == b'/').next()?;
    if base != b"zoneadmd" {
        return None;
    }
    String::from_utf8(words.next()?.to_vec()).ok()
}

/// A path with a number in it, without allocating.
#[derive(Default)]
struct Digits {
    bytes: [u8; 32],
}

impl Digits {
    fn of(&mut self, number: i32) -> &str {
        self.between(b"", number, b"")
    }

    fn between(&mut self, before: &[u8], number: i32, after: &[u8]) -> &str {
        use std::io::Write;
        let mut rest = &mut self.bytes[..];
        // At most 5 + 11 + 9 bytes: it fits.
        let _ = rest.write_all(before);
        let _ = write!(rest, "{number}");
        let _ = rest.write_all(after);
        let left = rest.len();
        let len = self.bytes.len() - left;
        std::str::from_utf8(&self.bytes[..len]).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields() {
        let stat = b"42 (x) R 9 (y)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 5 18 777 20 21\n";
        assert_eq!(Stat::parse(stat), Some(Stat { state: 'S', parent: 1, flags: 6, threads: 5, start_time: 777 }));
        assert_eq!(Stat::parse(b"42 (x) S 1 2"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn the_zone_of_a_zoneadmd() {
        assert_eq!(zone_of_cmdline(b"zoneadmd\0web\0").as_deref(), Some("web"));
        assert_eq!(zone_of_cmdline(b"/memfd:x/zoneadmd web\0\0\0").as_deref(), Some("web"));
        assert_eq!(zone_of_cmdline(b"sh\0-c\0zoneadmd web\0"), None);
        assert_eq!(zone_of_cmdline(b""), None);
    }

    #[test]
    fn paths_with_numbers() {
        assert_eq!(Digits::default().between(b"task/", i32::MAX, b"/children"), "task/2147483647/children");
    }
}
