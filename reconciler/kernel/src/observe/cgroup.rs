//! The cgroup of a zone and its leaves: `zone.NAME/` with `zsched`, `env.N` and `login.N`. What lives in a leaf
//! belongs to that part of the zone, whatever it calls itself and whatever namespaces it made.

use super::Fact;
use super::read::{fact, is_gone, numbers, open_dir, record, subdirectories, unknown, value, whole};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::AtFlags;
use rustix::io::Errno;

/// A zone may nest cgroups in its own; a reading goes through this many at most.
const NESTED_MAX: usize = 1024;

/// And this many levels: each holds a descriptor open while it is read.
const DEPTH_MAX: usize = 32;

/// Which part of the zone a leaf holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// zsched, and nothing else.
    Zsched,
    /// Application environment N.
    Env(u32),
    /// Login N.
    Login(u32),
    /// A cgroup that is not of Reeve's layout.
    Other(String),
}

impl Part {
    /// The part that a leaf of this name holds.
    pub(super) fn of(name: &str) -> Self {
        let numbered = |prefix| name.strip_prefix(prefix).and_then(|number: &str| number.parse().ok());
        if name == "zsched" {
            Self::Zsched
        } else if let Some(number) = numbered("env.") {
            Self::Env(number)
        } else if let Some(number) = numbered("login.") {
            Self::Login(number)
        } else {
            Self::Other(name.to_owned())
        }
    }
}

/// A child of the zone's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What it holds.
    pub part: Part,
    /// Its processes and those of the cgroups below it, by their number in the global zone. Ended ones that nobody
    /// waited for yet are not in it.
    pub pids: Fact<Vec<i32>>,
}

/// The limits of a zone's cgroup: the file's content without its newline; Absent where the controller is not on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `memory.max`: bytes, or `max`.
    pub memory_max: Fact<String>,
    /// `pids.max`: a number, or `max`.
    pub pids_max: Fact<String>,
    /// `cpu.max`: quota (or `max`) and period in microseconds.
    pub cpu_max: Fact<String>,
    /// `cpu.weight`: 1 to 10000.
    pub cpu_weight: Fact<String>,
}

/// The cgroup of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneCgroup {
    /// A process lives in it or below it.
    pub populated: Fact<bool>,
    /// All of it is frozen.
    pub frozen: Fact<bool>,
    /// Its limits as the kernel shows them.
    pub limits: Limits,
    /// Its children, in the order of [`Part`].
    pub leaves: Vec<Leaf>,
}

impl ZoneCgroup {
    /// The number of the newest application environment that has a process. (A leaf without one is what an environment
    /// left, or what the next one will have.)
    pub fn environment(&self) -> Option<u32> {
        let inhabited = |leaf: &&Leaf| !matches!(&leaf.pids, Fact::Known(pids) if pids.is_empty());
        let number = |leaf: &Leaf| if let Part::Env(number) = leaf.part { Some(number) } else { None };
        self.leaves.iter().filter(inhabited).filter_map(number).max()
    }

    /// Leaves these processes out: they are of no application environment that is there.
    pub(super) fn leave_out(&mut self, processes: &[i32]) {
        for leaf in &mut self.leaves {
            if let Fact::Known(pids) = &mut leaf.pids {
                pids.retain(|pid| !processes.contains(pid));
            }
        }
    }

    /// Processes of all application environments.
    pub fn environment_processes(&self) -> Fact<u32> {
        self.count(|part| matches!(part, Part::Env(_)))
    }

    /// Processes of all logins.
    pub fn login_processes(&self) -> Fact<u32> {
        self.count(|part| matches!(part, Part::Login(_)))
    }

    /// Processes of the leaves that `of` picks: Absent when there is no such leaf, Unknown when one could not be read.
    pub fn count(&self, of: impl Fn(&Part) -> bool) -> Fact<u32> {
        let mut sum = Fact::Absent;
        for leaf in self.leaves.iter().filter(|leaf| of(&leaf.part)) {
            let so_far = if let Fact::Known(n) = sum { n } else { 0 };
            match &leaf.pids {
                Fact::Known(pids) => sum = Fact::Known(so_far + u32::try_from(pids.len()).unwrap_or(u32::MAX)),
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why.clone()),
            }
        }
        sum
    }
}

/// Which of the controllers that Reeve sets limits with are on for the zones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Controllers {
    memory: bool,
    pids: bool,
    cpu: bool,
}

impl Controllers {
    /// Those that the parent of the zones hands down; without an answer every file is tried.
    pub fn of(buffer: &mut Vec<u8>, root: BorrowedFd<'_>) -> Self {
        let Ok(text) = record(buffer, root, "cgroup.subtree_control") else {
            return Self { memory: true, pids: true, cpu: true };
        };
        let on = |name: &str| text.split(u8::is_ascii_whitespace).any(|word| word == name.as_bytes());
        Self { memory: on("memory"), pids: on("pids"), cpu: on("cpu") }
    }
}

/// Reads the cgroup of the zone `name` below `root`.
pub(super) fn zone(
    buffer: &mut Vec<u8>,
    root: BorrowedFd<'_>,
    name: &str,
    controllers: Controllers,
) -> Fact<ZoneCgroup> {
    let directory = format!("zone.{name}");
    let dir = match fact(open_dir(root, &directory), "openat", &directory) {
        Fact::Known(dir) => dir,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    let (populated, frozen) = events(buffer, dir.as_fd(), &directory);
    if populated.is_absent() {
        // It went between its opening and this.
        return Fact::Absent;
    }
    let limits = limits(buffer, dir.as_fd(), &directory, controllers);
    let mut leaves = Vec::new();
    let listed = subdirectories(dir.as_fd(), |name| {
        let part = name.map_or_else(|| Part::Other("(not UTF-8)".to_owned()), Part::of);
        leaves.push((part, name.map(str::to_owned)));
    });
    match listed {
        Ok(()) => {}
        Err(errno) if is_gone(errno) => return Fact::Absent,
        Err(errno) => return unknown(errno, "getdents64", &directory),
    }
    let mut read: Vec<Leaf> = Vec::with_capacity(leaves.len());
    for (part, name) in leaves {
        let pids = match name {
            Some(name) => processes(buffer, dir.as_fd(), &name, &directory),
            None => Fact::Unknown(format!("{directory} has a cgroup whose name is not UTF-8")),
        };
        // A leaf that went under the reading is no leaf.
        if !pids.is_absent() {
            read.push(Leaf { part, pids });
        }
    }
    read.sort_by(|a, b| a.part.cmp(&b.part));
    Fact::Known(ZoneCgroup { populated, frozen, limits, leaves: read })
}

/// `populated` and `frozen` of a cgroup.
pub(super) fn events(buffer: &mut Vec<u8>, dir: BorrowedFd<'_>, args: &str) -> (Fact<bool>, Fact<bool>) {
    match fact(record(buffer, dir, "cgroup.events"), "read", format_args!("{args}/cgroup.events")) {
        Fact::Known(text) => {
            let is = |key| value(text, key).map_or(Fact::Absent, |value| Fact::Known(value == b"1"));
            (is("populated"), is("frozen"))
        }
        Fact::Absent => (Fact::Absent, Fact::Absent),
        Fact::Unknown(why) => (Fact::Unknown(why.clone()), Fact::Unknown(why)),
    }
}

fn limits(buffer: &mut Vec<u8>, dir: BorrowedFd<'_>, args: &str, on: Controllers) -> Limits {
    let mut read = |on: bool, name: &str| {
        if !on {
            return Fact::Absent;
        }
        let text = record(buffer, dir, name).map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
        fact(text, "read", format_args!("{args}/{name}"))
    };
    Limits {
        memory_max: read(on.memory, "memory.max"),
        pids_max: read(on.pids, "pids.max"),
        cpu_max: read(on.cpu, "cpu.max"),
        cpu_weight: read(on.cpu, "cpu.weight"),
    }
}

/// The processes of a cgroup and of all below it; Absent when it is gone.
pub(super) fn processes(buffer: &mut Vec<u8>, at: BorrowedFd<'_>, name: &str, parent: &str) -> Fact<Vec<i32>> {
    members(buffer, at, name, "cgroup.procs", parent)
}

/// As [`processes`], every thread of them.
pub(super) fn threads(buffer: &mut Vec<u8>, at: BorrowedFd<'_>, name: &str, parent: &str) -> Fact<Vec<i32>> {
    members(buffer, at, name, "cgroup.threads", parent)
}

fn members(buffer: &mut Vec<u8>, at: BorrowedFd<'_>, name: &str, file: &str, parent: &str) -> Fact<Vec<i32>> {
    let mut walk = Walk { file, found: Vec::new(), left: NESTED_MAX };
    match walk.collect(buffer, at, name, 0) {
        Err(Errno::LOOP) => Fact::Unknown(format!(
            "{parent}/{name}: more than {NESTED_MAX} cgroups in it, or more than {DEPTH_MAX} levels of them"
        )),
        // The kernel shows a process of a PID namespace that is not below the reader's as 0.
        Ok(()) if walk.found.contains(&0) => {
            Fact::Unknown(format!("{parent}/{name}/{file}: has a process from outside this PID namespace"))
        }
        read => fact(read.map(|()| walk.found), "read", format_args!("{parent}/{name}/{file}")),
    }
}

/// A reading of a cgroup and all below it. The zone makes and names those below, so their number is bounded.
struct Walk<'a> {
    file: &'a str,
    found: Vec<i32>,
    left: usize,
}

impl Walk<'_> {
    fn collect(
        &mut self,
        buffer: &mut Vec<u8>,
        at: BorrowedFd<'_>,
        name: &str,
        depth: usize,
    ) -> rustix::io::Result<()> {
        self.left = self.left.checked_sub(1).filter(|_| depth < DEPTH_MAX).ok_or(Errno::LOOP)?;
        self.found.extend(numbers(whole(buffer, at, &format!("{name}/{}", self.file))?));
        // The link count of a cgroup is 2 and one for each child: opening it is only paid for where there is one.
        if rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?.st_nlink == 2 {
            return Ok(());
        }
        let dir = open_dir(at, name)?;
        let mut children = Vec::new();
        subdirectories(dir.as_fd(), |name| children.push(name.map(str::to_owned)))?;
        for child in children {
            match self.collect(buffer, dir.as_fd(), &child.ok_or(Errno::ILSEQ)?, depth + 1) {
                Err(errno) if is_gone(errno) => {}
                result => result?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(Part::of("zsched"), Part::Zsched);
        assert_eq!(Part::of("env.12"), Part::Env(12));
        assert_eq!(Part::of("login.0"), Part::Login(0));
        assert_eq!(Part::of("env.x"), Part::Other("env.x".to_owned()));
    }

    #[test]
    fn an_unread_leaf_makes_the_count_unknown() {
        let leaf = |part, pids| Leaf { part, pids };
        let mut cgroup = ZoneCgroup {
            populated: Fact::Known(true),
            frozen: Fact::Known(false),
            limits: Limits::default(),
            leaves: vec![leaf(Part::Env(1), Fact::Known(vec![1, 2])), leaf(Part::Env(2), Fact::Known(vec![3]))],
        };
        assert_eq!(cgroup.environment_processes(), Fact::Known(3));
        assert_eq!(cgroup.login_processes(), Fact::Absent);
        assert_eq!(cgroup.environment(), Some(2));
        cgroup.leaves[0].pids = Fact::Unknown("why".to_owned());
        assert_eq!(cgroup.environment_processes(), Fact::Unknown("why".to_owned()));
    }
}
