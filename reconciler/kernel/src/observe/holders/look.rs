//! The look itself: what is the zone's, then everything on the host compared with it.

use super::guard::{Job, run};
use super::mounts::{Mount, Table, namespace_file, parse, tables};
use super::processes::{Held, Look, Marks, held, namespaces};
use super::survey::{Survey, survey};
use super::tasks::{Hierarchies, Leaves, leaves, stuck};
use super::whose::Whose;
use super::{Evidence, EvidenceKind, Found, Holder, HoldersQuery, devices, handles};
use crate::error::{Context, Result};
use crate::netlink::Rtnl;
use crate::observe::process::Proc;
use crate::observe::read::{numbers, whole};
use rustix::fd::AsFd;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a look may take, but for the job that it is in.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// Entries that are gathered before the bound of what is told: past it no further process is looked at.
const GATHERED_MAX: usize = 1024;

/// Processes of the zone that are asked for their namespaces.
const ASKED_MAX: usize = 256;

/// How many looks there have been.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// One look at a time: its thread joins the mount namespaces that it reads, and another look would find it there.
static LOOKING: Mutex<()> = Mutex::new(());

/// Finds what holds a zone, in about a second at most. To be called on a thread of the host's namespaces that may wait.
pub fn holders(query: &HoldersQuery<'_>) -> Found {
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    match Host::read(Some(query.cgroup_root)) {
        Ok(host) => host.holders(query).bound(),
        Err(error) => Found::failed(error),
    }
}

/// The superblocks that only this zone has mounted, by st_dev: its overlay, memory file systems, terminals, proc and
/// sysfs. To be recorded when the zone is ready, for [`HoldersQuery::devices`] and [`mounted_anywhere`].
///
/// # Errors
/// ENOENT or ESRCH when zsched is gone, else the errno of reading its mountinfo or the caller's.
pub fn superblocks(zsched: i32) -> Result<Vec<u64>> {
    let proc = Proc::open()?;
    let mut buffer = Vec::new();
    let own = parse(proc.own_mounts(&mut buffer).at("read", "/proc/thread-self/mountinfo")?);
    let path = || format!("/proc/{zsched}/mountinfo");
    let dir = proc.process(zsched).at("openat", path())?;
    let zone = parse(whole(&mut buffer, dir.as_fd(), "mountinfo").at("read", path())?);
    Ok(exclusive(&zone, &own).into_iter().collect())
}

/// Types of file systems that a zone has a superblock of its own of. Any other is the host's, shared into the zone.
const ZONE_KINDS: [&str; 6] = ["overlay", "tmpfs", "devpts", "proc", "sysfs", "mqueue"];

fn exclusive(zone: &[Mount], own: &[Mount]) -> BTreeSet<u64> {
    let own: BTreeSet<u64> = own.iter().map(|mount| mount.device).collect();
    let of_zone = |mount: &&Mount| ZONE_KINDS.contains(&mount.kind.as_str()) && !own.contains(&mount.device);
    zone.iter().filter(of_zone).map(|mount| mount.device).collect()
}

/// Where any of these superblocks is mounted: in which mount namespace that a thread lives in or a file of the mount
/// tables keeps. No evidence and nothing unread together prove that none is mounted there.
///
/// The kernel gives the number of a superblock that is gone to the next one, often within milliseconds. So a mount that
/// is found once the zone's own are gone, in another zone or of a service of the host, can be of a later file system.
/// Asked while zsched still has its mounts, the answer is exact: what is not in zsched's own mount namespace is a copy,
/// and without a copy nobody can make one later. The zone of a holder is told by the layout of Reeve's cgroups.
pub fn mounted_anywhere(devices: &[u64]) -> Found {
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    match Host::read(None) {
        Ok(host) => host.mounted(devices).bound(),
        Err(error) => Found::failed(error),
    }
}

/// The threads and mount tables of the host.
struct Host {
    proc: Arc<Proc>,
    until: Instant,
    /// The caller's namespaces, which are nobody's to hold.
    own: BTreeMap<u64, &'static str>,
    own_mounts: Vec<Mount>,
    survey: Survey,
    tables: Vec<Table>,
    whose: Whose,
    unread: Vec<String>,
}

impl Host {
    fn read(cgroup_root: Option<&Path>) -> Result<Self> {
        let until = Instant::now() + LOOK_TIME;
        let proc = Arc::new(Proc::open()?);
        let own = namespaces(&proc.own().at("openat", "/proc/thread-self")?).collect();
        let mut buffer = Vec::new();
        let own_mounts = parse(proc.own_mounts(&mut buffer).at("read", "/proc/thread-self/mountinfo")?);
        let whose = cgroup_root.map(|root| Whose::new(root, &own_mounts)).unwrap_or_default();
        let mut unread = Vec::new();
        let survey = survey(&proc, &mut unread);
        let tables = tables(&proc, &survey, until, &mut unread);
        Ok(Self { proc, until, own, own_mounts, survey, tables, whose, unread })
    }

    fn is_own(&self, table: &Table) -> bool {
        self.own.contains_key(&table.namespace)
    }

    /// A process that is in the mount namespace of a table, one of the global zone if there is one; none for the
    /// caller's own namespace, where a mount needs no process to be there.
    fn member(&self, table: &Table) -> Option<Holder> {
        if self.is_own(table) {
            return None;
        }
        let threads = self.survey.mount_namespaces.get(&table.namespace).map_or(&[][..], Vec::as_slice);
        let mut pids: Vec<i32> = threads.iter().map(|thread| thread.pid).chain(table.closed).collect();
        pids.dedup();
        let mut buffer = Vec::new();
        let holder = |pid| self.whose.holder(&mut buffer, &self.proc.process(pid).ok()?).ok();
        let mut found: Vec<Holder> = pids.into_iter().take(ASKED_MAX).filter_map(holder).collect();
        found.sort_by_key(|holder| (holder.zone.is_some(), holder.start_time, holder.pid));
        found.into_iter().next()
    }

    fn mount_evidence(&self, table: &Table, mount: &Mount, holder: &Option<Holder>) -> Evidence {
        let place = match table.namespace {
            0 => " in a mount namespace that is not told".to_owned(),
            _ if self.is_own(table) => String::new(),
            number => format!(" in mnt:[{number}]"),
        };
        let object = format!("{}{place}", mount.object());
        Evidence { kind: EvidenceKind::Mount, object, path: Some(mount.point.clone()), holder: holder.clone() }
    }

    fn mounted(self, devices: &[u64]) -> Found {
        let mut evidence = Vec::new();
        for table in &self.tables {
            let mut mounts = table.mounts.iter().filter(|mount| devices.contains(&mount.device)).peekable();
            if mounts.peek().is_some() {
                let holder = self.member(table);
                evidence.extend(mounts.map(|mount| self.mount_evidence(table, mount, &holder)));
            }
        }
        Found { evidence, unread: self.unread }
    }

    fn holders(mut self, query: &HoldersQuery<'_>) -> Found {
        let mut evidence = links(query.links, &mut self.unread);
        let leaves = leaves(query.cgroup, &mut self.unread);
        let hierarchies = Hierarchies::of(&self.own_mounts);
        evidence.extend(stuck(&self.proc, &leaves, query.cgroup, query.zsched, &hierarchies, &self.whose));
        let platform = self.platform(query, &leaves);

        let mut marks = Marks { zone: query.zone.to_owned(), ..Marks::default() };
        self.mark_namespaces(query, &platform, &mut marks);
        marks.live = self.live_devices(&marks);
        marks.devices = marks.live.iter().chain(query.devices).copied().collect();
        evidence.extend(devices::loops(&mut marks, self.until, &mut self.unread));
        self.compare_tables(query, &mut marks, &mut evidence);
        evidence.extend(devices::swaps(&marks.devices, self.until, &mut self.unread));
        let mut unread = Vec::new();
        let fuse = devices::waiting_fuse(self.marked(&marks), &mut unread);
        self.unread.append(&mut unread);
        marks.fuse = fuse.keys().copied().collect();
        marks.whose = std::mem::take(&mut self.whose);

        self.processes(marks, &platform, &mut evidence);
        name_fuse_servers(&fuse, &mut evidence);
        Found { evidence, unread: self.unread }
    }

    /// The zone's own processes and those that keep its platform: they are what is being ended, not what is in the way.
    fn platform(&self, query: &HoldersQuery<'_>, leaves: &Leaves) -> BTreeSet<i32> {
        let mut pids: BTreeSet<i32> = leaves.iter().flat_map(|(_, pids, _)| pids.iter().copied()).collect();
        pids.extend(query.zsched);
        let mut buffer = Vec::new();
        let supervisors = std::fs::read(query.cgroup_root.join("zoneadmd/cgroup.procs")).unwrap_or_default();
        let of_zone =
            |pid: &i32| self.proc.zoneadmd(&mut buffer, *pid).known().is_some_and(|(name, _)| name == query.zone);
        pids.extend(numbers(&supervisors).filter(of_zone));
        pids
    }

    /// Namespaces of the zone: zsched's and those that its processes are in, or without zsched those that were recorded
    /// of it. What the caller is in is the host's.
    fn mark_namespaces(&self, query: &HoldersQuery<'_>, platform: &BTreeSet<i32>, marks: &mut Marks) {
        let found = &mut marks.namespaces;
        for dir in platform.iter().take(ASKED_MAX).filter_map(|&pid| self.proc.process(pid).ok()) {
            found.extend(namespaces(&dir));
            if Some(dir.pid) == query.zsched {
                marks.namespaces_live = true;
                found.extend(handles::user_namespace(&dir).ok().flatten().map(|(number, _)| (number, "user")));
            }
        }
        if let Some(seen) = query.namespaces.filter(|_| !marks.namespaces_live) {
            let all = [
                (seen.pid, "pid"),
                (seen.mnt, "mnt"),
                (seen.net, "net"),
                (seen.uts, "uts"),
                (seen.ipc, "ipc"),
                (seen.cgroup, "cgroup"),
            ];
            found.extend(all);
        }
        // A mount namespace that another zone's process is in has been given the number anew.
        let mut buffer = Vec::new();
        let mut others = |number: u64| {
            let members = self.survey.mount_namespaces.get(&number).and_then(|members| members.first());
            let dir = members.and_then(|member| self.proc.process(member.pid).ok());
            dir.is_some_and(|dir| self.whose.is_other_zones(&mut buffer, &dir, query.zone))
        };
        let live = marks.namespaces_live;
        found.retain(|number, _| *number != 0 && !self.own.contains_key(number) && (live || !others(*number)));
    }

    fn zone_tables<'a>(&'a self, marks: &'a Marks) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(|table| marks.namespaces.contains_key(&table.namespace))
    }

    /// Superblocks that the zone has mounted now. A recorded number that is not among them may be another's by now.
    fn live_devices(&self, marks: &Marks) -> BTreeSet<u64> {
        self.zone_tables(marks).flat_map(|table| exclusive(&table.mounts, &self.own_mounts)).collect()
    }

    /// Mounts that count as the zone's.
    fn marked<'a>(&'a self, marks: &'a Marks) -> impl Iterator<Item = &'a Mount> {
        let all = self.tables.iter().flat_map(|table| &table.mounts);
        all.filter(|mount| matches!(marks.mounts.get(&mount.id), Some(Some(_))))
    }

    /// Goes through all mount tables for mounts of the zone and files of its namespaces.
    fn compare_tables(&self, query: &HoldersQuery<'_>, marks: &mut Marks, evidence: &mut Vec<Evidence>) {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // A zonepath that is a mount itself is the administrator's disk; what is below it and the run folder is not.
        let folders: Vec<_> = query.zonepath.into_iter().chain([query.run_folder]).map(real).collect();
        let below = |mount: &Mount| {
            let point = Path::new(&mount.point);
            folders.iter().any(|folder| point.starts_with(folder) && point != folder)
                || folders.last().is_some_and(|run| point == run)
        };
        let mut buffer = Vec::new();
        for table in &self.tables {
            if marks.namespaces.contains_key(&table.namespace) {
                marks.mounts.extend(table.mounts.iter().map(|mount| (mount.id, Some(mount.object()))));
                continue;
            }
            let holder = self.member(table);
            // No process of another zone can mount what is this one's: there it is a number that was given again.
            let others = holder.as_ref().and_then(|holder| self.proc.process(holder.pid).ok());
            let others = others.is_some_and(|dir| self.whose.is_other_zones(&mut buffer, &dir, query.zone));
            for mount in &table.mounts {
                let is_live = marks.live.contains(&mount.device);
                let by_place = self.is_own(table) && below(mount);
                let zones = is_live || by_place || (!others && marks.devices.contains(&mount.device));
                if zones {
                    let mut one = self.mount_evidence(table, mount, &holder);
                    if !is_live && !by_place {
                        one.object.push_str(super::BY_NUMBER);
                    }
                    evidence.push(one);
                }
                marks.mounts.insert(mount.id, zones.then(|| mount.object()));
                evidence.extend(namespace_of(mount, marks).map(|object| {
                    let (path, holder) = (Some(mount.point.clone()), holder.clone());
                    Evidence { kind: EvidenceKind::NamespaceFile, object, path, holder }
                }));
            }
        }
    }

    /// All processes but the zone's own: first what is quick to see, of every one.
    fn processes(&mut self, marks: Marks, platform: &BTreeSet<i32>, evidence: &mut Vec<Evidence>) {
        let marks = Arc::new(marks);
        let turn = LOOKS.fetch_add(1, Ordering::Relaxed);
        for look in [Look::Places, Look::Files, Look::Mapped] {
            if evidence.len() > GATHERED_MAX {
                self.unread.push(format!("processes, {look:?}: enough was found before"));
                return;
            }
            // Each look begins elsewhere, so that one that does not get through all goes on where others did not come to.
            let (before, after) = self.survey.processes.split_at(self.survey.processes.len() * (turn % 4) / 4);
            let others = after.iter().chain(before).filter(|(pid, _)| !platform.contains(pid));
            let job = |(pid, tids): &(i32, Vec<i32>)| {
                let (proc, marks, pid, tids) = (Arc::clone(&self.proc), Arc::clone(&marks), *pid, tids.clone());
                let what = format!("process {pid}, {look:?}");
                Job { what, work: Box::new(move || held(&proc, &marks, pid, &tids, look)) }
            };
            let mut unread = Vec::new();
            run(others.map(job).collect(), self.until, &mut self.unread, |mut found: Held| {
                evidence.append(&mut found.evidence);
                unread.append(&mut found.unread);
            });
            self.unread.append(&mut unread);
        }
    }
}

/// The zone's namespace that a mount is a file of.
fn namespace_of(mount: &Mount, marks: &Marks) -> Option<String> {
    let kinds = ["net", "pid", "mnt", "uts", "ipc", "cgroup", "user"];
    let of = |kind: &&str| namespace_file(mount, kind).is_some_and(|number| marks.namespaces.contains_key(&number));
    kinds.iter().find(|kind| of(kind)).map(|_| mount.root.clone())
}

/// Links that are still on the host.
fn links(names: &[String], unread: &mut Vec<String>) -> Vec<Evidence> {
    let mut found = Vec::new();
    let mut look = || -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut rtnl = Rtnl::open()?;
        for name in names {
            if rtnl.link_by_name(name)?.is_some() {
                let object = format!("link {name}");
                found.push(Evidence { kind: EvidenceKind::Link, object, path: None, holder: None });
            }
        }
        Ok(())
    };
    if let Err(error) = look() {
        unread.push(error.to_string());
    }
    found
}

/// Puts to each connection that waits where it is mounted; one whose server was not found is told without.
fn name_fuse_servers(fuse: &BTreeMap<u32, String>, evidence: &mut Vec<Evidence>) {
    for (&connection, point) in fuse {
        let (kind, object) = (EvidenceKind::Fuse, devices::fuse_object(connection));
        let mut servers = evidence.iter_mut().filter(|one| one.kind == kind && one.object == object).peekable();
        let found = servers.peek().is_some();
        servers.for_each(|one| one.path = Some(point.clone()));
        if !found {
            evidence.push(Evidence { kind, object, path: Some(point.clone()), holder: None });
        }
    }
}
