//! What is there: the kernel as the kernel crate reads it, and what the files say beside it, as the facts that the state
//! crate derives everything from.

pub mod closer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use reeve_kernel::netlink::{Link, Rtnl};
use reeve_kernel::observe::{self as kernel, Detail, Hints, Observer, ZoneObservation, traces};
use reeve_kernel::platform::network;
use reeve_kernel::wire::Traces;
use reeve_state::difference::Recorded;
use reeve_state::observed::{BridgeFacts, CgroupFacts, InstalledFacts, LinkFacts, ProcessId, RecordedConfig, Who};
use reeve_state::{Fact, HostFacts, Timestamp, ZoneFacts, wanted};

use crate::error::Result;
use crate::install;
use crate::places::Places;
use crate::store::files::{self, Content};
use crate::store::zone::{Configured, Memory, ZoneFiles};

/// One zone as it is, and what earlier walks left of it.
#[derive(Clone, Debug)]
pub struct ZoneSeen {
    /// The facts.
    pub facts: ZoneFacts,
    /// What was remembered.
    pub memory: Memory,
    /// R.
    pub recorded: Option<Recorded>,
}

/// The whole host as it is.
#[derive(Clone, Debug)]
pub struct HostSeen {
    /// The facts.
    pub facts: HostFacts,
    /// What was remembered, by zone.
    pub memories: BTreeMap<String, Memory>,
    /// R, by zone.
    pub recorded: BTreeMap<String, Recorded>,
}

/// What is known of a zone that is looked at again. It is checked by the kernel's answers; a link of another name than
/// follows from it is not seen, nor are mounts in the zone's folders.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What was seen last.
    pub facts: &'a ZoneFacts,
    /// The manifest that it was made from.
    pub manifest: Option<&'a serde_json::Value>,
}

/// How many eyes are kept open while nobody looks: more are needed only while many zones go down at once, and their
/// descriptors are given back.
const IDLE_MAX: usize = 8;
/// How often a zone is looked at while somebody else walks it.
const LOOKS_MAX: usize = 3;

/// How many zones are looked at again, each for itself, that somebody walked during a look at all.
const AGAIN_MAX: usize = 16;

/// Whether somebody else walked the zone while it was looked at: its files are of a later time then than what was seen of the kernel.
fn was_walked_meanwhile(seen: &ZoneSeen, begun: Timestamp) -> bool {
    let journal = seen.facts.journal.as_ref().map(|entry| entry.at);
    let recorded = seen.memory.recorded.as_ref().map(|recorded| recorded.at);
    journal.max(recorded).is_some_and(|at| at > begun)
}

/// Looks at the host. Several threads may look at once.
#[derive(Debug)]
pub struct Looker {
    places: Places,
    boot_id: String,
    /// Those that are not looking now.
    idle: Mutex<Vec<Eye>>,
    /// For closer looks.
    strict: Mutex<Option<Rtnl>>,
    /// Processes that entered zones from outside, as they were looked for last.
    entered: Mutex<BTreeMap<String, Vec<Who>>>,
}

#[derive(Debug)]
struct Eye {
    observer: Observer,
    rtnl: Rtnl,
}

impl Looker {
    /// Reads the host's boot id; everything else is opened when it is needed.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn new(places: &Places) -> Result<Self> {
        let path = std::path::Path::new("/proc/sys/kernel/random/boot_id");
        let text = files::read(path)?.unwrap_or_default();
        let boot_id = String::from_utf8_lossy(&text).trim().to_owned();
        let (idle, strict, entered) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { places: places.clone(), boot_id, idle, strict, entered })
    }

    /// The host's boot.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    fn with_eye<T>(&self, look: impl FnOnce(&mut Eye) -> T) -> Result<T> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut eye = match idle {
            Some(eye) => eye,
            None => Eye { observer: Observer::new(self.kernel_places()?)?, rtnl: Rtnl::open()? },
        };
        let seen = look(&mut eye);
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < IDLE_MAX
        {
            idle.push(eye);
        }
        Ok(seen)
    }

    fn kernel_places(&self) -> Result<kernel::Places> {
        Ok(kernel::Places {
            cgroup_root: self.places.cgroup_parent()?,
            tag: self.places.tag().to_owned(),
            run_dir: self.places.run().to_owned(),
            state_dir: self.places.state().to_owned(),
            zonepaths: BTreeMap::new(),
        })
    }

    /// Everything, in one look. `wanted` names the zones that must be told of even where nothing could be read.
    pub fn host(&self, wanted: &mut dyn Iterator<Item = &str>) -> HostSeen {
        let observed_at = crate::store::now();
        let look = |eye: &mut Eye| eye.observer.observe();
        let observation = match self.with_eye(look) {
            Ok(observation) => observation,
            Err(error) => return self.blind(&error.to_string(), wanted),
        };
        let mut names: BTreeSet<String> = observation.zones.keys().cloned().collect();
        if let Fact::Unknown { why } = fact(&observation.complete) {
            // A list that could not be read whole says nothing of who is not in it.
            tracing::warn!("the list of zones could not be read whole: {why}");
            names.extend(wanted.map(str::to_owned));
        }
        let bridge_names: BTreeMap<u32, String> = match &observation.bridges {
            kernel::Fact::Known(bridges) => bridges.iter().map(|link| (link.ifindex, link.name.clone())).collect(),
            _ => BTreeMap::new(),
        };
        let mut seen = HostSeen {
            facts: HostFacts {
                boot_id: self.boot_id.clone(),
                observed_at,
                zones: BTreeMap::new(),
                bridges: self.bridges(&observation.bridges),
            },
            memories: BTreeMap::new(),
            recorded: BTreeMap::new(),
        };
        let mut again = 0;
        for name in names {
            let mut zone =
                self.zone_seen(&name, observation.zone(&name), &mut |master| bridge_names.get(&master).cloned());
            if again < AGAIN_MAX && was_walked_meanwhile(&zone, observed_at) {
                again += 1;
                zone = self.zone(&name, None);
            }
            seen.facts.zones.insert(name.clone(), zone.facts);
            seen.memories.insert(name.clone(), zone.memory);
            seen.recorded.extend(zone.recorded.map(|recorded| (name, recorded)));
        }
        seen
    }

    /// Nothing could be read at all: nothing is known of any zone.
    fn blind(&self, why: &str, wanted: &mut dyn Iterator<Item = &str>) -> HostSeen {
        let zones = wanted.map(|name| (name.to_owned(), unreadable(name, why))).collect();
        let facts = HostFacts {
            boot_id: self.boot_id.clone(),
            observed_at: crate::store::now(),
            zones,
            bridges: Fact::unknown(why),
        };
        HostSeen { facts, memories: BTreeMap::new(), recorded: BTreeMap::new() }
    }

    fn bridges(&self, bridges: &kernel::Fact<Vec<Link>>) -> Fact<Vec<BridgeFacts>> {
        let one = |link: &Link| BridgeFacts {
            name: link.name.clone(),
            ours: kernel::is_own_bridge(link, self.places.tag()),
            up: link.up,
        };
        match bridges {
            kernel::Fact::Known(links) => Fact::Known(links.iter().map(one).collect()),
            kernel::Fact::Absent => Fact::Absent,
            kernel::Fact::Unknown(why) => Fact::unknown(why.as_str()),
        }
    }

    /// One zone. `known` is what is known of it already, which spares reading what belongs to others.
    pub fn zone(&self, name: &str, known: Option<Known<'_>>) -> ZoneSeen {
        let look = || {
            let begun = crate::store::now();
            let seen =
                self.with_observation(name, known, |observation, bridge| self.zone_seen(name, observation, bridge));
            let overtaken = seen.as_ref().is_ok_and(|seen| was_walked_meanwhile(seen, begun));
            (seen, overtaken)
        };
        let (mut seen, mut overtaken) = look();
        for _ in 1..LOOKS_MAX {
            if !overtaken {
                break;
            }
            (seen, overtaken) = look();
        }
        seen.unwrap_or_else(|error| {
            let facts = unreadable(name, &error.to_string());
            ZoneSeen { facts, memory: Memory::default(), recorded: None }
        })
    }

    /// Looks at the kernel's side of a zone again and leaves what its files say: for whoever holds the zone's lock and
    /// wrote them.
    pub fn kernel(&self, facts: &mut ZoneFacts, manifest: Option<&serde_json::Value>) {
        let before = facts.clone();
        let known = Known { facts: &before, manifest };
        let looked = self.with_observation(&before.name, Some(known), |observation, bridge| {
            self.kernel_facts(facts, observation, bridge);
        });
        if let Err(error) = looked {
            let unknown = unreadable(&before.name, &error.to_string());
            (facts.zsched, facts.init) = (unknown.zsched, unknown.init);
        }
    }

    /// Looks at the application environment alone: whether the process that zoneadmd names as init of environment `number` is
    /// there, a child of zsched, and has been executed; or with none, whether nothing is in that cgroup. What else there is of the zone was seen
    /// before and cannot have become more by a boot or a stop. False where it is not as it should be, and all has to be
    /// looked at.
    pub fn environment(&self, facts: &mut ZoneFacts, number: u32, init: Option<i32>) -> bool {
        match init {
            Some(pid) => {
                let Some(zsched) = facts.zsched.known() else { return false };
                let Some(start_time) = kernel::start_of_executed(pid, zsched.pid) else { return false };
                facts.init = Fact::Known(ProcessId { pid, start_time });
                facts.environment = Some(number);
                // At least; how many there are is for whoever asks later.
                facts.environment_processes = Fact::Known(1);
            }
            None => {
                let Ok(zone) = self.places.zone_cgroup(&facts.name) else { return false };
                match files::read(&zone.join(format!("env.{number}/cgroup.events"))) {
                    Ok(None) => {}
                    Ok(Some(text)) if text.starts_with(b"populated 0") => {}
                    _ => return false,
                }
                facts.init = Fact::Absent;
                facts.environment_processes = Fact::Absent;
            }
        }
        true
    }

    /// Looks whether anything of a zone that was just halted is left: its cgroup, and so any process of it, or a link. True
    /// when nothing is, and the facts say so then; false where all has to be looked at.
    pub fn is_gone(&self, facts: &mut ZoneFacts, manifest: Option<&serde_json::Value>) -> bool {
        let Some(links) = self.link_names(Known { facts, manifest }) else { return false };
        let no_cgroup = self.places.zone_cgroup(&facts.name).is_ok_and(|path| {
            std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        });
        let absent = links.iter().all(|name| matches!(network::has_link(name), Ok(false)));
        if !no_cgroup || !absent || !self.remains(facts).is_absent() {
            return false;
        }
        let gone = ZoneFacts::absent(&facts.name);
        *facts = ZoneFacts {
            configured: facts.configured.clone(),
            installed: self.installation(&facts.name),
            zonepath: facts.zonepath.take(),
            zone_id: facts.zone_id,
            journal: facts.journal.take(),
            halt_intent: facts.halt_intent,
            ..gone
        };
        true
    }

    fn with_observation<T>(
        &self,
        name: &str,
        known: Option<Known<'_>>,
        take: impl FnOnce(&ZoneObservation, &mut dyn FnMut(u32) -> Option<String>) -> T,
    ) -> Result<T> {
        let expected: Option<Vec<String>> = known.and_then(|known| self.link_names(known));
        let links: Option<Vec<&str>> = expected.as_ref().map(|names| names.iter().map(String::as_str).collect());
        let zoneadmd = known.and_then(|known| known.facts.zoneadmd.known()).map(|process| process.pid);
        let hints = Hints { links: links.as_deref(), zoneadmd, skip_mounts: known.is_some() };
        self.with_eye(|eye| {
            let observation = eye.observer.observe_zone(name, &hints, Detail::Quick);
            let rtnl = &mut eye.rtnl;
            let mut bridge = |master| rtnl.link_by_index(master).ok().flatten().map(|link| link.name);
            take(&observation, &mut bridge)
        })
    }

    /// The names that the zone's links have, as they follow from its ID and its manifest.
    fn link_names(&self, known: Known<'_>) -> Option<Vec<String>> {
        let id = known.facts.zone_id?;
        let net = &known.manifest?["spec"]["net"];
        let count = net.as_array().map_or(0, Vec::len);
        Some((0..count).map(|index| self.places.link_name(id, index)).collect())
    }

    fn zone_seen(&self, name: &str, seen: &ZoneObservation, bridge: &mut dyn FnMut(u32) -> Option<String>) -> ZoneSeen {
        let zone_files = ZoneFiles::new(&self.places, name);
        let memory = zone_files.memory(&self.boot_id);
        let configured = zone_files.configured();
        let value = match &configured {
            Ok(Content::Value(configured)) => Some(configured),
            _ => None,
        };
        let recorded = zone_files.recorded(&memory, value, &self.boot_id);
        let mut facts = ZoneFacts::absent(name);
        facts.zonepath = value.and_then(|configured| wanted::zonepath(&configured.manifest)).map(str::to_owned);
        facts.configured = configuration(&configured);
        facts.installed = self.installation(name);
        facts.journal = zone_files.journal(&self.boot_id);
        facts.halt_intent = facts.journal.as_ref().is_some_and(reeve_state::journal::Entry::halt_intent);
        facts.last_exit = memory.policy.restarts.pending;
        let journal_id = facts.journal.as_ref().and_then(|entry| entry.zone_id);
        facts.zone_id = journal_id.or_else(|| memory.recorded.as_ref().and_then(|recorded| recorded.zone_id));
        self.kernel_facts(&mut facts, seen, bridge);
        ZoneSeen { facts, memory, recorded }
    }

    /// What the files of a zone say of its installation, read again.
    pub fn installation(&self, name: &str) -> Fact<InstalledFacts> {
        match install::installed(&self.places, name) {
            Ok(Some(installed)) => Fact::Known(InstalledFacts { at: installed.at }),
            Ok(None) => Fact::Absent,
            Err(error) => Fact::unknown(error.to_string()),
        }
    }

    fn kernel_facts(
        &self,
        facts: &mut ZoneFacts,
        seen: &ZoneObservation,
        bridge: &mut dyn FnMut(u32) -> Option<String>,
    ) {
        facts.platform = None;
        facts.zoneadmd = process(&seen.zoneadmd);
        facts.zsched = process(&seen.zsched);
        facts.init = process(&seen.init);
        facts.namespaces = fact(&seen.namespaces.clone().map(|n| {
            let named =
                [("pid", n.pid), ("mnt", n.mnt), ("net", n.net), ("uts", n.uts), ("ipc", n.ipc), ("cgroup", n.cgroup)];
            named.into_iter().map(|(name, inode)| (name.to_owned(), inode)).collect::<BTreeMap<_, _>>()
        }));
        match &seen.cgroup {
            kernel::Fact::Known(cgroup) => {
                facts.environment = cgroup.environment();
                facts.environment_processes = fact(&cgroup.environment_processes());
                facts.login_processes = fact(&cgroup.login_processes());
                let text = |limit: &kernel::Fact<String>| limit.known().cloned();
                facts.cgroup = Fact::Known(CgroupFacts {
                    memory_max: text(&cgroup.limits.memory_max),
                    pids_max: text(&cgroup.limits.pids_max),
                    cpu_max: text(&cgroup.limits.cpu_max),
                    cpu_weight: text(&cgroup.limits.cpu_weight),
                });
            }
            kernel::Fact::Absent => facts.cgroup = Fact::Absent,
            kernel::Fact::Unknown(why) => {
                facts.cgroup = Fact::unknown(why.as_str());
                facts.environment_processes = Fact::unknown(why.as_str());
                facts.login_processes = Fact::unknown(why.as_str());
            }
        }
        facts.links = fact(&seen.links.clone().map(|links| {
            let one = |link: Link| LinkFacts {
                host_name: link.name,
                up: link.up,
                master: link.master.and_then(&mut *bridge),
                zone_name: None,
                addresses: None,
            };
            links.into_iter().map(one).collect::<Vec<_>>()
        }));
        facts.mounts = fact(&seen.mounts.clone().map(|mounts| u32::try_from(mounts.len()).unwrap_or(u32::MAX)));
        facts.remains = if facts.zsched.is_absent() { self.remains(facts) } else { Fact::Absent };
    }

    /// What lives on of a platform whose zsched is gone, by the journal's evidence; a zone that was halted has none.
    fn remains(&self, facts: &ZoneFacts) -> Fact<Vec<String>> {
        match traces::left(&traces_of(&self.places, facts)) {
            Some(left) => Fact::Known(vec![left.to_string()]),
            None => Fact::Absent,
        }
    }
}

/// The traces that the journal has of a zone.
pub fn traces_of(places: &Places, facts: &ZoneFacts) -> Traces {
    let mark = Traces::mark(&places.link_alias(&facts.name), facts.zone_id.unwrap_or_default());
    match facts.journal.as_ref().map(|entry| &entry.evidence) {
        Some(evidence) => {
            Traces { mark, superblocks: evidence.superblocks.clone(), namespaces: evidence.namespace_handles.clone() }
        }
        None => Traces::none(mark),
    }
}

/// The facts of a zone of which nothing could be read.
fn unreadable(name: &str, why: &str) -> ZoneFacts {
    ZoneFacts {
        configured: Fact::unknown(why),
        installed: Fact::unknown(why),
        zsched: Fact::unknown(why),
        init: Fact::unknown(why),
        ..ZoneFacts::absent(name)
    }
}

fn configuration(configured: &Result<Content<Configured>>) -> Fact<RecordedConfig> {
    match configured {
        Ok(Content::Value(configured)) => {
            Fact::Known(RecordedConfig { digest: configured.digest.clone(), source: configured.source.clone() })
        }
        Ok(Content::Absent) => Fact::Absent,
        Ok(Content::Bad(why)) => Fact::unknown(why.as_str()),
        Err(error) => Fact::unknown(error.to_string()),
    }
}

fn fact<T: Clone>(fact: &kernel::Fact<T>) -> Fact<T> {
    match fact {
        kernel::Fact::Known(value) => Fact::Known(value.clone()),
        kernel::Fact::Absent => Fact::Absent,
        kernel::Fact::Unknown(why) => Fact::unknown(why.as_str()),
    }
}

fn process(process: &kernel::Fact<kernel::Process>) -> Fact<ProcessId> {
    fact(&process.clone().map(|process| ProcessId { pid: process.pid, start_time: process.start_time }))
}
