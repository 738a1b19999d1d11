//! Zones at rest. A pass over everything must not cost for a zone that is as it was: so of a zone that had nothing to do
//! when it was looked at, a witness is kept, and the kernel is asked whether what the witness saw is still so. A zone is
//! looked at again, whole, as soon as anything of it is not.
//!
//! A witness holds descriptors of the zone's processes (pidfd: the process and no later one of its number), of the files
//! with its limits, and the marks that the file system puts on a folder when a file in it is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::start_time;
use reeve_state::observed::{CgroupFacts, LinkFacts, ProcessId};
use reeve_state::{Fact, ZoneFacts};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Resource};

use crate::error::{Error, OnFile, Result};
use crate::host::Host;
use crate::places::Places;

/// A folder that was changed so short a time ago may change again without its mark changing: the kernel's marks are as
/// coarse as its clock tick.
const TICK_NS: i128 = 50_000_000;
/// How many zones at rest are looked at closely each time.
const CLOSELY: usize = 4;
/// Descriptors of one witness, at most.
const FDS: usize = 7;

/// The mark of a file: inode, and seconds and nanoseconds of its last change.
type Mark = (u64, i64, i64);

/// The marks of a zone's folders: state, run, and its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    state: Option<Mark>,
    run: Option<Mark>,
    root: Option<u64>,
}

/// One zone that was seen at rest.
#[derive(Debug)]
struct Witness {
    marks: Marks,
    root: Option<String>,
    processes: Vec<OwnedFd>,
    links: Vec<LinkFacts>,
    has_cgroup: bool,
    limits: Vec<(File, String)>,
}

/// The zones at rest.
#[derive(Debug, Default)]
pub struct Quiet {
    zones: BTreeMap<String, Witness>,
    /// The zone that was looked at closely last although nothing told of it.
    last: String,
}

/// What is there, as far as it takes one look for all zones.
struct Around {
    names: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    links: BTreeMap<String, Vec<LinkFacts>>,
    folders: Folders,
}

/// The folders whose entries are zones.
struct Folders {
    state: OwnedFd,
    run: OwnedFd,
}

impl Quiet {
    /// The zone is not at rest any more, as far as anybody knows.
    pub fn doubt(&mut self, zone: &str) {
        self.zones.remove(zone);
    }

    /// Asks whether the zones at rest are still as they were. Returns those that are, and those that are there (or were)
    /// and have to be looked at; none where that could not be asked.
    pub fn sift(&mut self, host: &Host) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        if self.zones.is_empty() {
            return None;
        }
        let around = Around::look(host.places()).ok()?;
        let dead = self.dead()?;
        let as_it_was = |zone: &String, witness: &Witness| {
            around.names.contains(zone) && !dead.contains(zone) && witness.holds(zone, &around)
        };
        let mut still: BTreeSet<String> = self
            .zones
            .iter()
            .filter(|(zone, witness)| as_it_was(zone, witness))
            .map(|(zone, _)| zone.clone())
            .collect();
        for zone in self.next(&still) {
            still.remove(&zone);
        }
        let there = around.names.into_iter().chain(self.zones.keys().cloned());
        let others = there.filter(|zone| !still.contains(zone)).collect();
        self.zones.retain(|zone, _| still.contains(zone));
        Some((still, others))
    }

    /// A few that are looked at closely all the same: what a witness does not see, and what no event told of, is found in time.
    fn next(&mut self, still: &BTreeSet<String>) -> Vec<String> {
        let after = still.range::<String, _>((Bound::Excluded(&self.last), Bound::Unbounded));
        let next: Vec<String> = after.chain(still.iter()).take(CLOSELY.min(still.len())).cloned().collect();
        if let Some(last) = next.last() {
            self.last.clone_from(last);
        }
        next
    }

    /// The zones one of whose processes has ended: one question for all.
    fn dead(&self) -> Option<BTreeSet<String>> {
        let all: Vec<(&String, &OwnedFd)> =
            self.zones.iter().flat_map(|(zone, witness)| witness.processes.iter().map(move |fd| (zone, fd))).collect();
        let mut polled: Vec<PollFd<'_>> = all.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::IN)).collect();
        rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
        let ended = all.iter().zip(&polled).filter(|(_, fd)| !fd.revents().is_empty());
        Some(ended.map(|((zone, _), _)| (*zone).clone()).collect())
    }

    /// The marks of zones, taken before they are looked at: what changes after that changes them.
    pub fn marks<'z>(
        host: &Host,
        zones: impl Iterator<Item = (&'z String, Option<&'z str>)>,
    ) -> BTreeMap<String, Marks> {
        let Ok(folders) = Folders::open(host.places()) else { return BTreeMap::new() };
        zones.map(|(zone, zonepath)| (zone.clone(), folders.marks(zone, zonepath.map(root).as_deref()))).collect()
    }

    /// Keeps a witness of a zone that was seen at rest, if one can be had.
    pub fn keep(&mut self, host: &Host, facts: &ZoneFacts, marks: Marks) {
        if self.zones.contains_key(&facts.name) || self.is_full() || marks.are_fresh() {
            return;
        }
        if let Some(witness) = Witness::of(host.places(), facts, marks) {
            self.zones.insert(facts.name.clone(), witness);
        }
    }

    /// Half of the descriptors that this process may have are for everything else.
    fn is_full(&self) -> bool {
        let limit = rustix::process::getrlimit(Resource::Nofile).current;
        limit.is_some_and(|limit| (self.zones.len() + 1) * FDS > usize::try_from(limit / 2).unwrap_or(usize::MAX))
    }
}

fn root(zonepath: &str) -> String {
    format!("{zonepath}/root")
}

impl Folders {
    fn open(places: &Places) -> Result<Self> {
        let open = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).on("open", path)
        };
        Ok(Self { state: open(&places.state().join("zones"))?, run: open(&places.run().join("zones"))? })
    }

    fn marks(&self, zone: &str, root: Option<&str>) -> Marks {
        let mark = |folder: &OwnedFd| {
            let found = rustix::fs::statat(folder, zone, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((found.st_ino, found.st_mtime, i64::try_from(found.st_mtime_nsec).ok()?))
        };
        let root = root.and_then(|root| rustix::fs::lstat(root).ok()).map(|found| found.st_ino);
        Marks { state: mark(&self.state), run: mark(&self.run), root }
    }
}

impl Marks {
    fn are_fresh(&self) -> bool {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        let fresh = |mark: Option<Mark>| {
            mark.is_some_and(|(_, secs, nanos)| now - (i128::from(secs) * 1_000_000_000 + i128::from(nanos)) < TICK_NS)
        };
        fresh(self.state) || fresh(self.run)
    }
}

impl Witness {
    /// None where something of the zone is not known, or cannot be held.
    fn of(places: &Places, facts: &ZoneFacts, marks: Marks) -> Option<Self> {
        let processes = [&facts.zsched, &facts.init, &facts.zoneadmd];
        let mut held = Vec::new();
        for process in processes {
            match process {
                Fact::Known(process) => held.push(hold(*process)?),
                Fact::Absent => {}
                Fact::Unknown { .. } => return None,
            }
        }
        let links = match &facts.links {
            Fact::Known(links) => links.clone(),
            Fact::Absent => Vec::new(),
            Fact::Unknown { .. } => return None,
        };
        let (has_cgroup, limits) = match &facts.cgroup {
            Fact::Known(limits) => (true, limit_files(places, &facts.name, limits)?),
            Fact::Absent => (false, Vec::new()),
            Fact::Unknown { .. } => return None,
        };
        let root = facts.zonepath.as_deref().map(root);
        Some(Self { marks, root, processes: held, links, has_cgroup, limits })
    }

    fn holds(&self, zone: &str, around: &Around) -> bool {
        let links = around.links.get(zone).map(Vec::as_slice).unwrap_or_default();
        self.has_cgroup == around.cgroups.contains(zone)
            && self.links == links
            && self.limits.iter().all(|(file, value)| says(file, value))
            && self.marks == around.folders.marks(zone, self.root.as_deref())
    }
}

/// A descriptor of this very process.
fn hold(process: ProcessId) -> Option<OwnedFd> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    (start_time(process.pid) == Some(process.start_time)).then_some(pidfd)
}

fn limit_files(places: &Places, zone: &str, limits: &CgroupFacts) -> Option<Vec<(File, String)>> {
    let cgroup = places.zone_cgroup(zone).ok()?;
    let files = [
        ("memory.max", &limits.memory_max),
        ("pids.max", &limits.pids_max),
        ("cpu.max", &limits.cpu_max),
        ("cpu.weight", &limits.cpu_weight),
    ];
    let there = files.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    there.map(|(name, value)| Some((File::open(cgroup.join(name)).ok()?, value))).collect()
}

/// Whether a file of a cgroup still says what it did.
fn says(file: &File, value: &str) -> bool {
    let mut buffer = [0u8; 64];
    let read = file.read_at(&mut buffer, 0).unwrap_or(0);
    buffer[..read].trim_ascii_end() == value.as_bytes()
}

impl Around {
    fn look(places: &Places) -> Result<Self> {
        let mut names: BTreeSet<String> = crate::store::zone_names(places.state())?.into_iter().collect();
        let mut cgroups = BTreeSet::new();
        let parent = places.cgroup_parent()?;
        match std::fs::read_dir(&parent) {
            Ok(entries) => {
                for entry in entries {
                    let name = entry.on("readdir", &parent)?.file_name();
                    if let Some(zone) = name.to_str().and_then(|name| name.strip_prefix("zone.")) {
                        cgroups.insert(zone.to_owned());
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).on("readdir", &parent),
        }
        names.extend(cgroups.iter().cloned());
        Ok(Self { names, cgroups, links: links(places)?, folders: Folders::open(places)? })
    }
}

/// The links that carry a zone's mark, by zone, as observation has them.
fn links(places: &Places) -> Result<BTreeMap<String, Vec<LinkFacts>>> {
    let all = Rtnl::open().and_then(|mut rtnl| rtnl.links()).map_err(Error::from)?;
    let names: BTreeMap<u32, &str> = all.iter().map(|link| (link.ifindex, link.name.as_str())).collect();
    let prefix = format!("reeve:{}:", places.tag());
    let mut by_zone: BTreeMap<String, Vec<LinkFacts>> = BTreeMap::new();
    for link in &all {
        let Some(zone) = link.alias.as_deref().and_then(|alias| alias.strip_prefix(&prefix)) else { continue };
        by_zone.entry(zone.to_owned()).or_default().push(LinkFacts {
            host_name: link.name.clone(),
            up: link.up,
            master: link.master.and_then(|master| names.get(&master)).map(|name| (*name).to_owned()),
            zone_name: None,
            addresses: None,
        });
    }
    Ok(by_zone)
}
