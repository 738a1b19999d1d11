//! The zone's own processes that do not end: which cgroup has them, which threads no signal reaches (state D), and which
//! of those are frozen, by a cgroup of version 1 or 2. A frozen one has to be thawed by whoever froze it.

use super::mounts::Mount;
use super::whose::{Whose, join, version_1, version_2};
use super::{Evidence, EvidenceKind};
use crate::observe::Fact;
use crate::observe::cgroup;
use crate::observe::process::{Proc, ProcDir};
use crate::observe::read::{fact, open_path, record, subdirectories, whole};
use rustix::fd::AsFd;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Processes of one cgroup that are named.
const NAMED_MAX: usize = 8;

/// Threads whose state is read.
const THREADS_MAX: usize = 4096;

/// The processes in the zone's cgroup, by leaf, as its name and their numbers.
pub(super) type Leaves = Vec<(String, Vec<i32>, Vec<i32>)>;

/// Reads the leaves of a zone's cgroup: name, processes, threads. None there: no cgroup.
pub(super) fn leaves(path: &Path, unread: &mut Vec<String>) -> Leaves {
    let mut buffer = Vec::new();
    let dir = match fact(open_path(path), "open", path.display()) {
        Fact::Known(dir) => dir,
        Fact::Absent => return Vec::new(),
        Fact::Unknown(why) => {
            unread.push(why);
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    if let Err(errno) = subdirectories(dir.as_fd(), |name| names.extend(name.map(str::to_owned))) {
        unread.push(format!("getdents64({}): {}", path.display(), std::io::Error::from(errno)));
    }
    let parent = path.display().to_string();
    let mut known = |fact| match fact {
        Fact::Known(pids) => pids,
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => {
            unread.push(why);
            Vec::new()
        }
    };
    let mut found = Leaves::new();
    for name in names {
        let pids = known(cgroup::processes(&mut buffer, dir.as_fd(), &name, &parent));
        let tids = known(cgroup::threads(&mut buffer, dir.as_fd(), &name, &parent));
        found.push((name, pids, tids));
    }
    // In the cgroup itself there should be none.
    let direct =
        whole(&mut buffer, dir.as_fd(), "cgroup.procs").map(|text| crate::observe::read::numbers(text).collect());
    let direct: Vec<i32> = direct.unwrap_or_default();
    if !direct.is_empty() {
        found.push((".".to_owned(), direct.clone(), direct));
    }
    found.sort();
    found
}

/// Where cgroups are mounted, to name the one that a task is frozen by.
pub(super) struct Hierarchies<'m> {
    version_1: Option<&'m Mount>,
    version_2: Option<&'m Mount>,
}

impl<'m> Hierarchies<'m> {
    /// Finds them in the caller's own mount table.
    pub fn of(mounts: &'m [Mount]) -> Self {
        let freezer = |mount: &&Mount| mount.kind == "cgroup" && mount.options.split(',').any(|word| word == "freezer");
        Self { version_1: mounts.iter().find(freezer), version_2: mounts.iter().find(|mount| mount.kind == "cgroup2") }
    }

    /// The folder of the cgroup that freezes a process, if one does: the nearest that was itself told to.
    fn freezer(&self, text: &[u8]) -> Option<PathBuf> {
        let told =
            |folder: &Path, file: &str| std::fs::read(folder.join(file)).is_ok_and(|text| text.trim_ascii() == b"1");
        let climb = |mount: Option<&Mount>, path: Option<String>, file: &str| {
            let (mount, path) = (mount?, path?);
            let below = path.strip_prefix(mount.root.trim_end_matches('/'))?.to_owned();
            let folder = PathBuf::from(join(&mount.point, &below));
            folder
                .ancestors()
                .take_while(|at| at.starts_with(&mount.point))
                .find(|at| told(at, file))
                .map(Path::to_owned)
        };
        climb(self.version_1, version_1(text, "freezer"), "freezer.self_freezing")
            .or_else(|| climb(self.version_2, version_2(text), "cgroup.freeze"))
    }
}

/// What of the zone's own processes is in the way. zsched living in its leaf is as it should be.
pub(super) fn stuck(
    proc: &Proc,
    leaves: &Leaves,
    cgroup: &Path,
    zsched: Option<i32>,
    hierarchies: &Hierarchies<'_>,
    whose: &Whose,
) -> Vec<Evidence> {
    let mut looker =
        Looker { proc, hierarchies, whose, buffer: Vec::new(), found: Vec::new(), frozen: BTreeSet::new() };
    for (leaf, pids, tids) in leaves {
        let folder = if leaf == "." { cgroup.to_owned() } else { cgroup.join(leaf) };
        for &pid in pids.iter().filter(|&&pid| Some(pid) != zsched).take(NAMED_MAX) {
            looker.member(pid, leaf, &folder);
        }
        for &pid in pids {
            looker.frozen(pid);
        }
        for &tid in tids.iter().take(THREADS_MAX) {
            looker.thread(tid);
        }
    }
    looker.found
}

struct Looker<'a> {
    proc: &'a Proc,
    hierarchies: &'a Hierarchies<'a>,
    whose: &'a Whose,
    buffer: Vec<u8>,
    found: Vec<Evidence>,
    /// Processes that a cgroup freezes.
    frozen: BTreeSet<i32>,
}

impl Looker<'_> {
    fn add(&mut self, kind: EvidenceKind, object: String, path: Option<String>, dir: &ProcDir) {
        // One that has ended meanwhile is not in the way any more.
        if let Ok(holder) = self.whose.holder(&mut self.buffer, dir) {
            self.found.push(Evidence { kind, object, path, holder: Some(holder) });
        }
    }

    fn member(&mut self, pid: i32, leaf: &str, folder: &Path) {
        if let Ok(dir) = self.proc.process(pid) {
            self.add(EvidenceKind::Cgroup, format!("cgroup {leaf}"), Some(folder.display().to_string()), &dir);
        }
    }

    fn frozen(&mut self, pid: i32) {
        let Ok(dir) = self.proc.process(pid) else { return };
        let Ok(text) = whole(&mut self.buffer, dir.as_fd(), "cgroup") else { return };
        let Some(folder) = self.hierarchies.freezer(text) else { return };
        self.frozen.insert(pid);
        let folder = folder.display().to_string();
        self.add(EvidenceKind::Frozen, format!("freezer {folder}"), Some(folder), &dir);
    }

    fn thread(&mut self, tid: i32) {
        if !matches!(self.proc.thread_state(&mut self.buffer, tid), Ok('D')) {
            return;
        }
        let Ok(dir) = self.proc.process(tid) else { return };
        let pid = record(&mut self.buffer, dir.as_fd(), "status").ok();
        let pid = pid.and_then(|text| crate::observe::read::number(crate::observe::read::value(text, "Tgid:")?));
        let pid = pid.unwrap_or(tid);
        if self.frozen.contains(&pid) {
            return;
        }
        // "0" where it has gone on meanwhile, or the kernel does not tell.
        let place = record(&mut self.buffer, dir.as_fd(), "wchan").ok().filter(|text| *text != b"0");
        let place = place.map_or_else(|| "?".into(), |text| String::from_utf8_lossy(text).into_owned());
        let Ok(leader) = self.proc.process(pid) else { return };
        self.add(EvidenceKind::Process, format!("task {tid} in {place}"), None, &leader);
    }
}
