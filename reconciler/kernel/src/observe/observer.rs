//! The reading itself: in which order the kernel is asked, and what is made of the answers.

use super::cgroup::{self, Controllers, Part, ZoneCgroup};
use super::host::{self, Links, Store};
use super::process::{Namespaces, Proc, ProcDir, Process};
use super::{Closer, Detail, Fact, Hints, Observation, Places, ZoneObservation, read};
use crate::error::Result;
use crate::netlink::{Link, Rtnl};
use rustix::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Without zsched's list of children, init is looked for among this many processes.
const CANDIDATES_MAX: usize = 256;

/// Reads the kernel: /proc and a netlink socket held open, buffers kept, nothing remembered of what was read.
#[derive(Debug)]
pub struct Observer {
    places: Places,
    proc: Proc,
    rtnl: Rtnl,
    buffer: Vec<u8>,
}

impl Observer {
    /// Opens what is read from. Links are those of the calling thread's network namespace, for as long as it lives.
    ///
    /// # Errors
    /// When /proc cannot be opened, or netlink not be reached.
    pub fn new(mut places: Places) -> Result<Self> {
        // The mount table has real paths; a folder that is not there yet has none.
        let resolve = |path: &mut PathBuf| {
            if let Ok(real) = std::fs::canonicalize(&*path) {
                *path = real;
            }
        };
        resolve(&mut places.run_dir);
        resolve(&mut places.state_dir);
        places.zonepaths.values_mut().for_each(resolve);
        Ok(Self { places, proc: Proc::open()?, rtnl: Rtnl::open()?, buffer: Vec::new() })
    }

    /// Says where a zone's files are, or with none that they are at the default place.
    pub fn set_zonepath(&mut self, zone: &str, path: Option<&Path>) {
        match path {
            Some(path) => {
                let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                self.places.zonepaths.insert(zone.to_owned(), real);
            }
            None => drop(self.places.zonepaths.remove(zone)),
        }
    }

    /// Reads everything. A failure is in the facts that it leaves unknown.
    pub fn observe(&mut self) -> Observation {
        let mut seen = Observation { boot_id: self.proc.boot_id(&mut self.buffer), ..Observation::default() };
        let links = Links::read(&mut self.rtnl, &self.places.tag);
        let mounts = self.mounts();
        let mut store = Store::open(&self.places);
        let mut names = Vec::new();
        seen.complete = store.zones(|name| names.push(name.to_owned()));
        seen.zones.extend(names.into_iter().map(|name| (name, ZoneObservation::default())));

        let root = read::fact(read::open_path(&self.places.cgroup_root), "open", self.places.cgroup_root.display());
        self.all_cgroups(&mut seen, &root);
        self.share(&mut seen, links, mounts);
        seen.nothing.files = store.nothing();
        for (name, zone) in &mut seen.zones {
            zone.fail_like(&seen.nothing);
            zone.files = store.files(name, &self.places);
        }
        seen
    }

    /// Reads one zone.
    pub fn observe_zone(&mut self, name: &str, hints: &Hints<'_>, detail: Detail) -> ZoneObservation {
        let mut zone = ZoneObservation { links: self.links_of(name, hints), ..ZoneObservation::default() };
        if !hints.skip_mounts {
            zone.mounts = self.mounts().map(|(mut zones, _)| zones.remove(name).unwrap_or_default());
        }
        match read::fact(read::open_path(&self.places.cgroup_root), "open", self.places.cgroup_root.display()) {
            Fact::Known(root) => {
                let controllers = Controllers::of(&mut self.buffer, root.as_fd());
                self.inside(&mut zone, &root, name, controllers, detail);
                self.one_zoneadmd(&mut zone, &root, name, hints.zoneadmd);
            }
            Fact::Absent => {}
            Fact::Unknown(why) => zone.unknown_inside(&why),
        }
        zone.files = Store::closed(&self.places).files(name, &self.places);
        zone
    }

    fn all_cgroups(&mut self, seen: &mut Observation, root: &Fact<OwnedFd>) {
        let root = match root {
            Fact::Known(root) => root,
            Fact::Absent => return,
            Fact::Unknown(why) => {
                seen.nothing.unknown_inside(why);
                seen.complete = Fact::Unknown(why.clone());
                return;
            }
        };
        let controllers = Controllers::of(&mut self.buffer, root.as_fd());
        let mut names = Vec::new();
        let listed =
            read::subdirectories(root.as_fd(), |name| match name.map(|name| (name, name.strip_prefix("zone."))) {
                Some((_, Some(zone))) => names.push(zone.to_owned()),
                Some(("zoneadmd", None)) => {}
                Some((other, None)) => seen.leftovers.cgroups.push(other.to_owned()),
                None => seen.leftovers.cgroups.push("(not UTF-8)".to_owned()),
            });
        if let Err(errno) = listed {
            seen.complete = read::unknown(errno, "getdents64", self.places.cgroup_root.display());
        }
        for name in names {
            self.inside(seen.zones.entry(name.clone()).or_default(), root, &name, controllers, Detail::Quick);
        }
        seen.leftovers.processes = host::strays(&mut self.buffer, root.as_fd());
        self.all_zoneadmd(seen, root);
    }

    /// The zone's cgroup and the processes in it.
    fn inside(
        &mut self,
        zone: &mut ZoneObservation,
        root: &OwnedFd,
        name: &str,
        controllers: Controllers,
        detail: Detail,
    ) {
        zone.cgroup = cgroup::zone(&mut self.buffer, root.as_fd(), name, controllers);
        let cgroup = match &zone.cgroup {
            Fact::Known(cgroup) => cgroup,
            Fact::Absent => return,
            Fact::Unknown(why) => {
                let why = why.clone();
                return zone.unknown_inside(&why);
            }
        };
        let zsched = self.first_of(cgroup, |part| *part == Part::Zsched, 1);
        let zsched = zsched.map(|(process, _, dir)| (process, dir));
        let namespaces = match &zsched {
            Fact::Known((_, dir)) => dir.namespaces(),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        };
        let mut no_ones = Vec::new();
        let init = match &zsched {
            Fact::Known((_, dir)) => self.init_of(cgroup, dir, &namespaces, &mut no_ones),
            _ => self.first_of(cgroup, |part| matches!(part, Part::Env(_)), 2).map(|(process, ..)| process),
        };
        if init.is_absent() {
            // What waited when the leaves were read may have ended since.
            let pids = cgroup.leaves.iter().filter(|leaf| matches!(leaf.part, Part::Env(_)));
            let pids =
                pids.filter_map(|leaf| if let Fact::Known(pids) = &leaf.pids { Some(pids) } else { None }).flatten();
            let is_gone = |pid: &&i32| !no_ones.contains(*pid) && self.proc.is_gone(&mut self.buffer, **pid);
            let gone: Vec<i32> = pids.filter(is_gone).copied().collect();
            no_ones.extend(gone);
        }
        let closer = (detail == Detail::Full).then(|| Closer {
            uninterruptible: self.uninterruptible(root, name, cgroup),
            zsched_mounts: match &zsched {
                Fact::Known((_, dir)) => dir.mount_count(&mut self.buffer),
                _ => Fact::Absent,
            },
            frozen: self.frozen(root, name, cgroup),
        });
        if let Fact::Known(cgroup) = &mut zone.cgroup {
            cgroup.leave_out(&no_ones);
        }
        zone.init = init;
        zone.namespaces = namespaces;
        zone.zsched = zsched.map(|(process, _)| process);
        zone.closer = closer;
    }

    /// The PID 1 of a PID namespace `below` levels beneath this one, among the processes of some leaves.
    fn first_of(
        &mut self,
        cgroup: &ZoneCgroup,
        of: impl Fn(&Part) -> bool,
        below: usize,
    ) -> Fact<(Process, bool, ProcDir)> {
        let mut tried = 0;
        for leaf in cgroup.leaves.iter().filter(|leaf| of(&leaf.part)) {
            let pids = match &leaf.pids {
                Fact::Known(pids) => pids,
                Fact::Absent => continue,
                Fact::Unknown(why) => return Fact::Unknown(why.clone()),
            };
            for &pid in pids {
                if tried == CANDIDATES_MAX {
                    let why = format!("no PID 1 among the first {CANDIDATES_MAX} processes of {:?}", leaf.part);
                    return Fact::Unknown(why);
                }
                tried += 1;
                match self.proc.first_process(&mut self.buffer, pid, below) {
                    Fact::Absent => {}
                    found => return found,
                }
            }
        }
        Fact::Absent
    }

    /// init is a child of zsched: looked for there, the zone's own processes do not come into it. One that waits to be told what
    /// to execute is no init yet.
    fn init_of(
        &mut self,
        cgroup: &ZoneCgroup,
        zsched: &ProcDir,
        zsched_ns: &Fact<Namespaces>,
        waiting: &mut Vec<i32>,
    ) -> Fact<Process> {
        let is_env = |part: &Part| matches!(part, Part::Env(_));
        let (Fact::Known(children), Fact::Known(outer)) = (zsched.children(&mut self.buffer), zsched_ns) else {
            let mut init = Fact::Absent;
            for leaf in cgroup.leaves.iter().filter(|leaf| is_env(&leaf.part)) {
                match self.first_of(cgroup, |part| *part == leaf.part, 2) {
                    Fact::Known((process, true, _)) if init.is_absent() => init = Fact::Known(process),
                    Fact::Known((process, false, _)) => waiting.push(process.pid),
                    Fact::Known(_) | Fact::Absent => {}
                    Fact::Unknown(why) => return Fact::Unknown(why),
                }
            }
            return init;
        };
        let mut init = Fact::Absent;
        for leaf in cgroup.leaves.iter().filter(|leaf| is_env(&leaf.part)) {
            let pids = match &leaf.pids {
                Fact::Known(pids) => pids,
                Fact::Absent => continue,
                Fact::Unknown(why) => return Fact::Unknown(why.clone()),
            };
            for &pid in children.iter().filter(|pid| pids.contains(pid)) {
                // Born in a PID namespace that is not its parent's, it is the first there: dearer proof is not needed.
                match self.proc.outside_of(&mut self.buffer, pid, outer.pid) {
                    Fact::Known((process, true)) if init.is_absent() => init = Fact::Known(process),
                    Fact::Known((process, false)) => waiting.push(process.pid),
                    Fact::Known(_) | Fact::Absent => {}
                    Fact::Unknown(why) => return Fact::Unknown(why),
                }
            }
        }
        init
    }

    fn uninterruptible(&mut self, root: &OwnedFd, name: &str, cgroup: &ZoneCgroup) -> Fact<Vec<i32>> {
        // Nobody lives in it: nobody is stuck.
        if cgroup.populated == Fact::Known(false) {
            return Fact::Known(Vec::new());
        }
        cgroup::threads(&mut self.buffer, root.as_fd(), &format!("zone.{name}"), "").map(|threads| {
            let stuck = |tid: &i32| self.proc.thread_state(&mut self.buffer, *tid) == Ok('D');
            threads.into_iter().filter(stuck).collect()
        })
    }

    fn frozen(&mut self, root: &OwnedFd, name: &str, cgroup: &ZoneCgroup) -> Vec<Part> {
        let mut frozen = |part: &Part| {
            let directory = match part {
                Part::Zsched => format!("zone.{name}/zsched"),
                Part::Env(number) => format!("zone.{name}/env.{number}"),
                Part::Login(number) => format!("zone.{name}/login.{number}"),
                Part::Other(other) => format!("zone.{name}/{other}"),
            };
            let Ok(dir) = read::open_dir(root.as_fd(), &directory) else { return false };
            cgroup::events(&mut self.buffer, dir.as_fd(), &directory).1 == Fact::Known(true)
        };
        cgroup.leaves.iter().map(|leaf| leaf.part.clone()).filter(|part| frozen(part)).collect()
    }

    fn all_zoneadmd(&mut self, seen: &mut Observation, root: &OwnedFd) {
        match cgroup::processes(&mut self.buffer, root.as_fd(), "zoneadmd", "the zones' cgroup") {
            Fact::Known(pids) => {
                for pid in pids {
                    match self.proc.zoneadmd(&mut self.buffer, pid) {
                        Fact::Known((name, process)) => seen.zones.entry(name).or_default().add_zoneadmd(process),
                        Fact::Absent if self.proc.process(pid).is_err() => {}
                        Fact::Absent | Fact::Unknown(_) => seen.leftovers.processes.push(pid),
                    }
                }
            }
            Fact::Absent => {}
            Fact::Unknown(why) => seen.nothing.zoneadmd = Fact::Unknown(why),
        }
    }

    fn one_zoneadmd(&mut self, zone: &mut ZoneObservation, root: &OwnedFd, name: &str, hint: Option<i32>) {
        if let Some(pid) = hint
            && let Fact::Known((of, process)) = self.proc.zoneadmd(&mut self.buffer, pid)
            && of == name
        {
            zone.zoneadmd = Fact::Known(process);
            return;
        }
        match cgroup::processes(&mut self.buffer, root.as_fd(), "zoneadmd", "the zones' cgroup") {
            Fact::Known(pids) => {
                for pid in pids {
                    match self.proc.zoneadmd(&mut self.buffer, pid) {
                        Fact::Known((of, process)) if of == name => zone.add_zoneadmd(process),
                        _ => {}
                    }
                }
            }
            Fact::Absent => {}
            Fact::Unknown(why) => zone.zoneadmd = Fact::Unknown(why),
        }
    }

    fn mounts(&mut self) -> Fact<host::Mounts> {
        let read = self.proc.own_mounts(&mut self.buffer).map(|text| host::mounts(text, &self.places));
        read::fact(read, "read", "/proc/thread-self/mountinfo")
    }

    fn links_of(&mut self, zone: &str, hints: &Hints<'_>) -> Fact<Vec<Link>> {
        let Some(names) = hints.links else {
            return Links::read(&mut self.rtnl, &self.places.tag)
                .map(|mut links| links.zones.remove(zone).unwrap_or_default());
        };
        let alias = format!("reeve:{}:{zone}", self.places.tag);
        let mut found = Vec::new();
        for name in names {
            match self.rtnl.link_by_name(name) {
                Ok(link) => found.extend(link.filter(|link| link.alias.as_deref() == Some(&*alias))),
                Err(error) => return Fact::Unknown(error.to_string()),
            }
        }
        Fact::Known(found)
    }

    fn share(&self, seen: &mut Observation, links: Fact<Links>, mounts: Fact<host::Mounts>) {
        match links {
            Fact::Known(links) => {
                for (name, links) in links.zones {
                    seen.zones.entry(name).or_default().links = Fact::Known(links);
                }
                seen.bridges = Fact::Known(links.bridges);
                seen.leftovers.links = links.nobodys;
            }
            Fact::Absent => {}
            Fact::Unknown(why) => {
                seen.nothing.links = Fact::Unknown(why.clone());
                seen.bridges = Fact::Unknown(why);
            }
        }
        match mounts {
            Fact::Known((zones, nobodys)) => {
                for (name, mounts) in zones {
                    seen.zones.entry(name).or_default().mounts = Fact::Known(mounts);
                }
                seen.leftovers.mounts = nobodys;
            }
            Fact::Absent => {}
            Fact::Unknown(why) => seen.nothing.mounts = Fact::Unknown(why),
        }
    }
}
