//! One host: what commands and the controller look at and change, with blocking calls.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::Channel;
use reeve_schema::{ManifestSet, Zone};
use reeve_state::approval::Approvals;
use reeve_state::audit::Finding;
use reeve_state::observed::derive_state;
use reeve_state::plan::basis::Basis;
use reeve_state::plan::{Plan, ZonePlan};
use reeve_state::removal::Removal;
use reeve_state::status::HostStatus;
use reeve_state::wanted;
use reeve_state::{Fact, HostFacts, Timestamp, Transition, ZoneFacts, ZoneState};

use crate::error::{Error, Result};
use crate::install;
use crate::observe::Looker;
use crate::pass::{self, Aim, World};
use crate::places::{self, Places};
use crate::progress::Observer;
use crate::rest::Halted;
use crate::secrets::Secrets;
use crate::store::files::{self, Content};
use crate::store::zone::ZoneFiles;
use crate::store::{self, Holder, Lock};
use crate::supervisor::{Next, Zoneadmd};
use crate::{cgroup, console, desired, imperative, planned_walk, removal, run};

pub use crate::install::Refusal;

/// A transition that somebody asks for by name, whatever the manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// installed to ready.
    Ready,
    /// ready to running; from installed through ready.
    Boot,
    /// running to ready.
    Stop,
    /// Whatever is up to installed.
    Halt,
    /// running to ready to running: the ID and the platform stay.
    Restart,
    /// running to running with a new ID.
    Reboot,
    /// configured to installed.
    Install,
    /// installed to configured: the files are gone.
    Uninstall,
    /// configured to none.
    Unconfigure,
}

impl Goal {
    /// The transition of the table; none for a restart, which is two of them.
    pub fn transition(self) -> Option<Transition> {
        Some(match self {
            Self::Ready => Transition::Ready,
            Self::Boot => Transition::Boot,
            Self::Stop => Transition::Stop,
            Self::Halt => Transition::Halt,
            Self::Restart => return None,
            Self::Reboot => Transition::Reboot,
            Self::Install => Transition::Install,
            Self::Uninstall => Transition::Uninstall,
            Self::Unconfigure => Transition::Unconfigure,
        })
    }
}

/// A plan with all that it was made from.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was seen.
    pub facts: HostFacts,
    /// What is to be done.
    pub plan: Plan,
    /// What the audit says about it; a zone with a fatal finding is not walked.
    pub findings: Vec<Finding>,
    /// What it stands on. (The commit is filled in by who read the manifests.)
    pub basis: Basis,
}

/// What became of one zone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ZoneResult {
    /// It is where it should be.
    Converged,
    /// It waits: backoff, confirmation, dependency, time.
    Waiting(String),
    /// It cannot go on by itself: a halt is blocked, or the restart policy gave up.
    Blocked(String),
    /// A step failed.
    Failed(String),
}

/// One zone at the end of an `apply`, `down` or imperative command.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneOutcome {
    /// The zone.
    pub zone: String,
    /// Its state, as seen at the end; none when it is gone or not known.
    pub state: Option<ZoneState>,
    /// What became of it.
    pub result: ZoneResult,
}

/// How a piece of work ended. It never fails as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Each zone that was wanted or touched, by name.
    pub zones: Vec<ZoneOutcome>,
}

/// One host. Copies of it are the same one.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

/// What all copies share.
#[derive(Debug)]
pub struct Inner {
    places: Places,
    looker: Looker,
    secrets: Secrets,
    zoneadmd_cgroup: OnceLock<Cgroup>,
    /// Whether the controllers were handed down to it, as far as the host has them.
    handed_down: AtomicBool,
    preparing: Mutex<()>,
    next_zoneadmd: Next,
    halted: Halted,
}

impl Deref for Host {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// Where its files are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Who looks at it.
    pub fn looker(&self) -> &Looker {
        &self.looker
    }

    /// The values that are in no manifest.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The host's boot.
    pub fn boot_id(&self) -> &str {
        self.looker.boot_id()
    }

    /// Who becomes the zoneadmd of the zone that is brought up next.
    pub fn next_zoneadmd(&self) -> &Next {
        &self.next_zoneadmd
    }

    /// The zones whose folders can be cleared up while nobody waits.
    pub fn halted(&self) -> &Halted {
        &self.halted
    }

    /// The cgroup in which zoneadmd processes are born, where zones were brought up.
    pub fn zoneadmd_cgroup_if_made(&self) -> Option<&Cgroup> {
        self.zoneadmd_cgroup.get()
    }

    /// The cgroup in which zoneadmd processes are born; made with its parents when it is first needed.
    ///
    /// # Errors
    /// A cgroup that could not be made.
    pub fn zoneadmd_cgroup(&self) -> Result<&Cgroup> {
        if let (Some(cgroup), true) = (self.zoneadmd_cgroup.get(), self.handed_down.load(Ordering::Relaxed)) {
            return Ok(cgroup);
        }
        let _one = self.preparing.lock();
        if !self.handed_down.load(Ordering::Relaxed) {
            // What is in the way of the controllers may have gone since.
            let prepared = cgroup::prepare(&self.places)?;
            self.handed_down.store(prepared.blocked.is_none(), Ordering::Relaxed);
            if let (Some(blocked), None) = (prepared.blocked, self.zoneadmd_cgroup.get()) {
                tracing::warn!("no limits for zones: {}; {}", blocked.what, blocked.todo);
            }
            let _ = self.zoneadmd_cgroup.set(prepared.zoneadmds);
        }
        self.zoneadmd_cgroup.get().ok_or_else(|| Error::refused("the cgroup of the zoneadmds is not there"))
    }
}

impl Host {
    /// Opens the host: checks what is needed of it and makes Reeve's own folders, 0700.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] naming what is missing and what to do, or the file that could not be made.
    pub fn open(places: Places) -> Result<Self> {
        places::check_host()?;
        let zones = |folder: &Path| folder.join("zones");
        for folder in
            [places.state(), &zones(places.state()), places.run(), &zones(places.run()), &places.run().join("ids")]
        {
            files::private_folder(folder)?;
        }
        // Descriptors are held of every zone's processes. What is started gets the old limit back.
        places::raise_descriptor_limit();
        let looker = Looker::new(&places)?;
        let secrets = Secrets::new(&places);
        Ok(Self(Arc::new(Inner {
            places,
            looker,
            secrets,
            zoneadmd_cgroup: OnceLock::new(),
            handed_down: AtomicBool::new(false),
            preparing: Mutex::new(()),
            next_zoneadmd: Next::default(),
            halted: Halted::default(),
        })))
    }

    /// Everything that is there, in one look at the kernel and the state folder. Takes no lock.
    pub fn observe(&self) -> HostFacts {
        self.looker().host(&mut std::iter::empty()).facts
    }

    /// What would be done for this set, and why. `source` is the file or folder that it is from: zones that came from
    /// elsewhere are left out. Takes no lock, touches no zone; encrypted files of the set are kept, for whoever carries the
    /// plan out.
    pub fn plan(&self, set: &ManifestSet, source: &Path) -> Planned {
        let aim = Aim::Manifests { source: source.to_owned(), follows: false };
        let mut world = World::new(self, aim, desired::wanted_here(set, self));
        world.approved = desired::approvals(set);
        let findings = pass::look_only(self, &mut world);
        let mut zones: Vec<ZonePlan> = std::mem::take(&mut world.plans).into_values().collect();
        // As the planner arranges them: who is torn down first.
        let is_up = |plan: &ZonePlan| !plan.path.iter().any(|t| matches!(t, Transition::Halt | Transition::Stop));
        zones.sort_by_key(is_up);
        let plan = Plan { zones };
        let basis = world.basis(&plan);
        Planned { facts: world.facts, plan, findings, basis }
    }

    /// The status of every zone, from the kernel and from what the last walks left. Takes no lock.
    pub fn status(&self) -> HostStatus {
        let mut seen = self.looker().host(&mut std::iter::empty());
        self.hear_ends(&mut seen);
        let items = seen.facts.zones.values().map(|facts| {
            let kept = ZoneFiles::new(self.places(), &facts.name).status();
            pass::status_now(facts, seen.memories.get(&facts.name), seen.recorded.get(&facts.name), kept)
        });
        HostStatus::new(items.collect())
    }

    /// The zones whose recorded manifest is the file `source`, or was below that folder.
    pub fn zones_from(&self, source: &Path) -> Vec<String> {
        let source = source.to_string_lossy();
        let from_there = |facts: &ZoneFacts| {
            let place = facts.configured.known().and_then(|configured| configured.source.as_deref());
            place.is_some_and(|place| wanted::is_from(place, &source))
        };
        let zones = self.observe().zones.into_values().filter(from_there);
        zones.map(|facts| facts.name).collect()
    }

    /// The recorded configuration of a zone (`zone.json`) as a manifest; none when it is not configured.
    ///
    /// # Errors
    /// When the file cannot be read or is not one of this version.
    pub fn configuration(&self, zone: &str) -> Result<Option<Zone>> {
        match ZoneFiles::new(self.places(), zone).configured()? {
            Content::Value(configured) => configured.zone().map(Some),
            Content::Absent => Ok(None),
            Content::Bad(why) => Err(Error::refused(why)),
        }
    }

    /// Takes the state lock for `command`, which works on `source`, and clears away what writers left that were killed.
    ///
    /// # Errors
    /// [`crate::Error::Held`] with who has it.
    pub fn lock(&self, command: &str, source: Option<&str>) -> Result<Lock> {
        let lock = Lock::take(self.places().state(), command, source)?;
        if let Err(error) = store::sweep(self.places()) {
            tracing::warn!("what an earlier writer left is still there: {error}");
        }
        if let Err(error) = self.secrets().prune(self.places(), self.boot_id()) {
            tracing::warn!("encrypted files that no zone needs are still there: {error}");
        }
        Ok(lock)
    }

    /// Who holds the state lock now.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn holder(&self) -> Result<Option<Holder>> {
        Lock::current(self.places().state())
    }

    /// Walks every zone of the set to where it should be, several at once, until each is there, waits for longer than
    /// `patience`, or cannot go on. `source` is the file or folder that the set is from: a zone without a manifest is let
    /// go only if it came from there.
    pub fn apply(
        &self,
        _lock: &Lock,
        set: &ManifestSet,
        source: &Path,
        patience: Duration,
        observer: &Observer,
    ) -> Outcome {
        let wanted = desired::wanted_here(set, self);
        let aim = Aim::Manifests { source: source.to_owned(), follows: false };
        run::once(self, aim, wanted, desired::approvals(set), patience, observer)
    }

    /// The zones that came from `source` and are not in the set, where they are too many to be let go unasked and nobody
    /// approved it.
    pub fn refused_removal(&self, set: &ManifestSet, source: &Path) -> Option<Removal> {
        removal::refused(self, source, &BTreeMap::new(), &desired::wanted(set, self.places()))
    }

    /// Walks a plan that was made earlier, and nothing else. `set` and `source` are what it was made from, read again: what
    /// is told of the zones afterwards is what these manifests want of them.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] when a zone is no longer as the plan saw it.
    pub fn apply_plan(
        &self,
        _lock: &Lock,
        planned: &Planned,
        set: &ManifestSet,
        source: &Path,
        observer: &Observer,
    ) -> Result<Outcome> {
        let aim = Aim::Manifests { source: source.to_owned(), follows: false };
        let mut world = World::new(self, aim, desired::wanted_here(set, self));
        world.approved = desired::approvals(set);
        world.commit.clone_from(&planned.basis.commit);
        planned_walk::walk(self, planned, world, observer)
    }

    /// Halts these zones, all at once. With `purge` uninstalls and unconfigures them, and when no zone is left removes the
    /// bridges, cgroups and files that Reeve made.
    pub fn down(&self, _lock: &Lock, zones: &[String], purge: bool, observer: &Observer) -> Outcome {
        let aim = Aim::Down { zones: zones.iter().cloned().collect(), purge };
        let outcome = run::once(self, aim, BTreeMap::new(), Approvals::default(), Duration::from_secs(60), observer);
        if purge {
            crate::purge::leftovers(self, observer);
        }
        outcome
    }

    /// Carries out what somebody asks of one zone. Beside a controller this is allowed: it is recorded as an event, and
    /// the outcome's message says what the controller will do next.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] for no such zone or a transition that is not legal from its state.
    pub fn imperative(&self, zone: &str, goal: Goal, observer: &Observer) -> Result<ZoneOutcome> {
        imperative::carry_out(self, zone, goal, false, observer)
    }

    /// Halts a zone and detaches mounts that are busy, where a person takes that upon himself: what uses them goes on with
    /// them, unseen, and the zone stays `down` until it is proved that nothing does any more.
    ///
    /// # Errors
    /// As [`Host::imperative`].
    pub fn halt_by_force(&self, zone: &str, observer: &Observer) -> Result<ZoneOutcome> {
        imperative::carry_out(self, zone, Goal::Halt, true, observer)
    }

    /// Makes a zone that was given up (or waits) be tried again at once, by whoever makes the next pass.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] for no such zone.
    pub fn retry(&self, zone: &str) -> Result<()> {
        imperative::retry(self, zone)
    }

    /// A connection to the zone's zoneadmd; a missing one is started and takes the zone over.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] when the zone is not active.
    pub fn zoneadmd(&self, zone: &str) -> Result<Channel> {
        let seen = self.looker().zone(zone, None);
        let state = derive_state(&seen.facts);
        match &state {
            Fact::Known(state) if state.is_active() => {}
            Fact::Known(state) => return Err(Error::refused(format!("zone {zone} is {state}, not ready or running"))),
            Fact::Absent => return Err(Error::refused(format!("there is no zone {zone}"))),
            Fact::Unknown { why } => return Err(Error::refused(format!("zone {zone}: {why}"))),
        }
        if let Some(found) = Zoneadmd::connect(self.places(), zone)? {
            return Ok(found.into_channel());
        }
        let files = ZoneFiles::new(self.places(), zone);
        let _lock = files.lock()?;
        let known = seen.facts.zoneadmd.known().map(|process| process.pid);
        // A halt may have begun since the look.
        let halting = files.is_halting(self.boot_id());
        let (found, _) = Zoneadmd::find_or_adopt(self.places(), zone, self.zoneadmd_cgroup()?, known, halting)?;
        Ok(found.into_channel())
    }

    /// The newest bytes of what the zone's console said, oldest first, at most `max` of them.
    ///
    /// # Errors
    /// When the zone has no log, or it cannot be read.
    pub fn console_log(&self, zone: &str, max: usize) -> Result<Vec<u8>> {
        console::newest(&self.places().zone_run(zone), max)
    }

    /// Gives what the console says from now on (after its newest `max` bytes) to `sink`, until `sink` returns false.
    ///
    /// # Errors
    /// As [`Host::console_log`].
    pub fn follow_console(&self, zone: &str, max: usize, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        console::follow(&self.places().zone_run(zone), max, sink)
    }

    /// Checks whether a zone can be installed and brought up safely (seed [0077]): zonepath, root, file systems, limits.
    /// Empty: it can.
    pub fn verify(&self, zone: &Zone) -> Vec<Refusal> {
        install::verify(self.places(), zone)
    }

    /// The newest events, oldest first: what was done and by whom.
    pub fn events(&self, max: usize) -> Vec<store::HostEvent> {
        store::events::newest(self.places().state(), max)
    }

    /// The clock that all timestamps come from.
    pub fn now(&self) -> Timestamp {
        store::now()
    }

    /// A zone's folder in the run folder.
    pub fn run_folder(&self, zone: &str) -> PathBuf {
        self.places().zone_run(zone)
    }

    /// See [`Places::state`].
    pub fn state_folder(&self) -> &Path {
        self.places().state()
    }
}
