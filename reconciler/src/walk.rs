//! Walking: the steps of one zone's plan are carried out, and nothing is decided. For each transition the intent is
//! written first, then comes the effect, then the zone is looked at again: done is what was seen. Then it is recorded.

mod down;
mod halt;
mod mend;
mod restart;
mod stage;
mod up;

use std::time::Instant;

use reeve_kernel::wire::{EndOfInit, Event, Snapshot, StepName};
use reeve_state::difference::Recorded;
use reeve_state::journal::{self, Entry, Evidence, Phase};
use reeve_state::observed::derive_state;
use reeve_state::plan::{Action, Step, ZonePlan, step_name};
use reeve_state::restart::{ExitKind, ExitReport};
use reeve_state::status::{DONE, HistoryEntry, Outcome};
use reeve_state::suspension::Suspension;
use reeve_state::{Fact, Timestamp, Transition, ZoneFacts, ZoneState, lifecycle, wanted};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::observe::ZoneSeen;
use crate::planted::{self, Planted, planted};
use crate::progress::{Notice, Observer, StepPhase, StepProgress};
use crate::store::zone::{Memory, ZoneFiles};
use crate::supervisor::Zoneadmd;
use stage::{Part, Stage};

/// What a walk came to.
#[derive(Debug)]
pub struct Walked {
    /// The zone as it was seen last.
    pub seen: ZoneSeen,
    /// What came of it.
    pub outcome: Outcome,
    /// Somebody else was at work on the zone since the plan was made: nothing was done, and a new plan is needed.
    pub stale: bool,
}

/// One walk over one zone.
pub struct Walk<'a> {
    host: &'a Host,
    plan: &'a ZonePlan,
    source: Option<&'a str>,
    observer: &'a Observer,
    files: ZoneFiles,
    zoneadmd: &'a mut Option<Zoneadmd>,
    facts: ZoneFacts,
    memory: Memory,
    recorded: Option<Recorded>,
    outcome: Outcome,
    halting: halt::Halting,
}

/// Walks `plan`, which was made from `seen`. `zoneadmd` is the connection that is held to the zone's zoneadmd, if any, and
/// afterwards the one that there is then. `source` is where the manifest came from, for `zone.json`.
pub fn walk(
    host: &Host,
    plan: &ZonePlan,
    seen: ZoneSeen,
    source: Option<&str>,
    zoneadmd: &mut Option<Zoneadmd>,
    observer: &Observer,
) -> Walked {
    let known = seen.memory.policy.suspended.clone();
    carry_out(host, plan, seen, source, zoneadmd, observer, By::Plan { known })
}

/// Who has a walk made.
enum By {
    /// The plan, which was made knowing of this suspension.
    Plan { known: Option<Suspension> },
    /// Somebody who stands by, and whom a suspension does not stop.
    Hand { force_detach: bool },
}

/// The same for somebody who stands by: with `force_detach`, a halt detaches mounts that are busy.
pub fn walk_by_hand(
    host: &Host,
    plan: &ZonePlan,
    seen: ZoneSeen,
    source: Option<&str>,
    zoneadmd: &mut Option<Zoneadmd>,
    observer: &Observer,
    force_detach: bool,
) -> Walked {
    carry_out(host, plan, seen, source, zoneadmd, observer, By::Hand { force_detach })
}

fn carry_out(
    host: &Host,
    plan: &ZonePlan,
    seen: ZoneSeen,
    source: Option<&str>,
    zoneadmd: &mut Option<Zoneadmd>,
    observer: &Observer,
    by: By,
) -> Walked {
    let files = ZoneFiles::new(host.places(), &plan.name);
    let ZoneSeen { facts, mut memory, recorded } = seen;
    host.boot_id().clone_into(&mut memory.boot_id);
    let outcome = Outcome::default();
    let halting = halt::Halting::new(matches!(by, By::Hand { force_detach: true }));
    let mut walk = Walk { host, plan, source, observer, files, zoneadmd, facts, memory, recorded, outcome, halting };
    let lock = match walk.files.lock() {
        Ok(lock) => lock,
        Err(error) => {
            walk.outcome.failed = Some(error.to_string());
            return walk.end(false);
        }
    };
    // Whoever suspends a zone takes its lock after it was written down, so that no walk begins afterwards.
    let suspended = matches!(&by, By::Plan { known } if walk.files.suspension() != *known);
    if suspended || !walk.is_unwalked_since() {
        walk.look(true);
        return walk.end(true);
    }
    match walk.is_overtaken() {
        Ok(false) => walk.run(),
        Ok(true) => {
            walk.look(true);
            return walk.end(true);
        }
        Err(error) => walk.outcome.failed = Some(error.to_string()),
    }
    drop(lock);
    walk.end(false)
}

impl Walk<'_> {
    fn end(self, stale: bool) -> Walked {
        let seen = ZoneSeen { facts: self.facts, memory: self.memory, recorded: self.recorded };
        Walked { seen, outcome: self.outcome, stale }
    }

    /// Whether nobody else walked the zone since this walk's facts were seen.
    fn is_unwalked_since(&self) -> bool {
        self.files.journal_is(self.facts.journal.as_ref(), self.memory.written.as_deref(), self.host.boot_id())
    }

    fn run(&mut self) {
        if self.state().is_some_and(|state| !state.is_halting()) {
            // It came through without a walk: what held it was the last that was there.
            self.memory.halt = None;
        }
        let stages = stage::stages(&self.plan.steps);
        let made = mend::Made::by(&stages, self.plan);
        let mut history: Option<HistoryEntry> = None;
        let mut stages = stages.iter().enumerate().peekable();
        while let Some((index, stage)) = stages.next() {
            if let Some((_, boot)) = stages.next_if(|(_, next)| stage.part == Part::Stop && next.part == Part::Boot) {
                self.outcome.walked.extend(history.take());
                if self.restart(stage, boot).is_err() {
                    break;
                }
                continue;
            }
            let started = Instant::now();
            let begun = crate::store::now();
            let from = self.state();
            let result = self.stage(stage);
            if result.is_err() {
                // Where it ended is what is seen now, not what was seen before the step that failed.
                self.look(true);
            }
            if let Some(transition) = stage.transition {
                let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let outcome = result.as_ref().err().map_or_else(|| DONE.to_owned(), Error::to_string);
                let to = self.state();
                match &mut history {
                    // The parts of a reboot are one entry.
                    Some(entry) if entry.transition == transition && index > 0 => {
                        entry.to = to;
                        entry.took_ms += took_ms;
                        entry.outcome = outcome;
                    }
                    _ => {
                        self.outcome.walked.extend(history.take());
                        let entry = HistoryEntry::new(begun, transition, from);
                        history = Some(HistoryEntry { to, outcome, took_ms, ..entry });
                    }
                }
            }
            if let Err(error) = result {
                self.failed(stage, &error);
                // What cannot be mended keeps no zone from being started.
                if stage.part != Part::Mend {
                    break;
                }
            }
        }
        self.outcome.walked.extend(history);
        self.tell_state();
        self.take_stock(if self.outcome.failed.is_some() { mend::Made::Nothing } else { made });
    }

    /// The state as the facts have it; none also when it is not known.
    fn state(&self) -> Option<ZoneState> {
        derive_state(&self.facts).known().copied()
    }

    fn stage(&mut self, stage: &Stage) -> Result<()> {
        match stage.part {
            Part::Configure => self.configure(stage),
            Part::Install => self.install(stage),
            Part::Ready => self.ready(stage),
            Part::Boot => self.boot(stage),
            Part::Stop => self.stop(stage),
            Part::Halt => self.halt(stage),
            Part::Uninstall => self.uninstall(stage),
            Part::Unconfigure => self.unconfigure(stage),
            Part::Adopt => self.adopt(stage),
            Part::Limits => self.apply_limits(stage),
            Part::Links => self.repair_links(stage),
            Part::Mend => self.mend(stage),
            Part::Record => self.record_manifest(stage),
            Part::Unknown => Err(Error::refused(format!("step {} is not known here", stage.first()))),
        }
    }

    fn failed(&mut self, stage: &Stage, error: &Error) {
        // A stop that became a halt has failed as one: what the journal says must go on saying so.
        let halt = Stage::halt();
        let stage = if self.facts.halt_intent && stage.part == stage::Part::Stop { &halt } else { stage };
        let step = match error {
            Error::Step { step, .. } => plan_name(step).to_owned(),
            _ => stage.first().to_owned(),
        };
        self.tell(stage, &step, StepPhase::Failed(error.to_string()), 0);
        self.look(true);
        if stage.is_volatile() {
            // What is left of the intent says what was tried; without it the zone is as it is seen to be.
            let phase = Phase::Failed { error: error.to_string() };
            let _ = self.write_journal(stage, &step, phase);
            self.facts.journal = self.files.journal(self.host.boot_id());
            self.facts.halt_intent = self.facts.journal.as_ref().is_some_and(Entry::halt_intent);
        }
        if stage.part == Part::Halt {
            self.explain_halt(error);
        }
        self.outcome.failed = Some(error.to_string());
    }

    /// Looks at the zone again: at the kernel, as the files are this walk's own; thoroughly where nothing is to be taken
    /// for granted.
    fn look(&mut self, thoroughly: bool) {
        if thoroughly {
            let seen = self.host.looker().zone(&self.plan.name, None);
            self.facts = seen.facts;
            if self.recorded.is_none() {
                self.recorded = seen.recorded;
            }
        } else {
            let recorded = self.recorded.as_ref().map(|recorded| &*recorded.manifest);
            let manifest = self.plan.manifest.as_deref().or(recorded);
            self.host.looker().kernel(&mut self.facts, manifest);
        }
        // What is remembered is what this walk has; only it writes while it has the lock.
        self.facts.last_exit = self.memory.policy.restarts.pending;
    }

    /// Fails unless the zone is seen in this state.
    fn must_be(&self, state: Option<ZoneState>) -> Result<()> {
        match derive_state(&self.facts) {
            Fact::Known(found) if Some(found) == state => Ok(()),
            Fact::Absent if state.is_none() => Ok(()),
            Fact::Unknown { why } => Err(Error::refused(format!("what was done cannot be seen: {why}"))),
            found => Err(Error::refused(format!(
                "all steps were done, but the zone is seen {}, not {}",
                lifecycle::state_name(found.known().copied()),
                lifecycle::state_name(state)
            ))),
        }
    }

    /// Says in the journal what is about to be done, has been seen to be done, or failed.
    fn write_journal(&mut self, stage: &Stage, step: &str, phase: Phase) -> Result<()> {
        let evidence = match phase {
            Phase::Done => self.evidence().into(),
            _ => self.facts.journal.as_ref().map(|entry| entry.evidence.clone()).unwrap_or_default(),
        };
        let entry = Entry {
            version: journal::VERSION,
            boot_id: self.host.boot_id().to_owned(),
            zone: self.plan.name.clone(),
            zone_id: self.facts.zone_id,
            transition: stage.transition,
            path: self.plan.path.clone(),
            step: step.to_owned(),
            phase,
            at: crate::store::now(),
            evidence,
        };
        if entry.phase != Phase::Intent || !planted("skipped-intent") {
            self.memory.written = Some(self.files.write_journal(&entry)?);
        }
        self.facts.halt_intent = entry.halt_intent();
        self.facts.journal = Some(entry);
        Ok(())
    }

    fn evidence(&self) -> Evidence {
        let before = self.facts.journal.as_ref().map(|entry| Evidence::clone(&entry.evidence)).unwrap_or_default();
        let (superblocks, namespace_handles, gone) = self.halting.traces_after(&self.facts, before);
        Evidence {
            superblocks,
            namespace_handles,
            gone,
            namespaces: self.facts.namespaces.known().cloned().unwrap_or_default(),
            zsched: self.facts.zsched.known().copied(),
            zoneadmd: self.facts.zoneadmd.known().copied(),
            init: self.facts.init.known().copied(),
            environment: self.facts.environment,
            cgroup: self
                .facts
                .cgroup
                .is_known()
                .then(|| format!("{}/zone.{}", self.host.places().cgroup(), self.plan.name)),
            links: self.facts.links.known().into_iter().flatten().map(|link| link.host_name.clone()).collect(),
        }
    }

    /// Records that the zone was seen in this state after a finished step, and keeps what is to be remembered.
    fn commit(&mut self, state: ZoneState) -> Result<()> {
        if let Some(recorded) = &mut self.recorded {
            let zone_id = self.facts.zone_id.filter(|_| state.is_active());
            if recorded.zone_id != zone_id {
                // It was of another platform. What this one is like is noted when the walk is over.
                recorded.platform = None;
            }
            recorded.state = state;
            recorded.boot_id = self.host.boot_id().to_owned();
            recorded.zone_id = zone_id;
            recorded.at = crate::store::now();
        }
        self.memory.recorded = self.recorded.clone();
        self.files.remember_locked(&self.memory)
    }

    /// Makes the plan's manifest the recorded one.
    fn set_recorded(&mut self, state: ZoneState) {
        let (Some(manifest), Some(digest)) = (&self.plan.manifest, &self.plan.digest) else { return };
        self.recorded = Some(Recorded {
            manifest: manifest.clone(),
            digest: digest.clone(),
            state,
            boot_id: self.host.boot_id().to_owned(),
            zone_id: self.facts.zone_id,
            at: crate::store::now(),
            platform: None,
        });
    }

    fn tell(&self, stage: &Stage, step: &str, phase: StepPhase, took_us: u64) {
        self.tell_step(stage.transition, step, phase, took_us);
    }

    fn tell_step(&self, transition: Option<Transition>, step: &str, phase: StepPhase, took_us: u64) {
        (self.observer)(Notice::Step(StepProgress {
            zone: self.plan.name.clone(),
            transition,
            step: step.to_owned(),
            phase,
            took_us,
            pass: None,
            commit: None,
        }));
    }

    fn tell_state(&self) {
        (self.observer)(Notice::State {
            zone: self.plan.name.clone(),
            state: self.state(),
            zone_id: self.facts.zone_id.filter(|_| self.state().is_some_and(ZoneState::is_active)),
        });
    }

    /// Does a stage that is one step.
    fn single(&mut self, stage: &Stage, body: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let step = stage.first().to_owned();
        if planted::step(&step) == Planted::Dropped {
            return Ok(());
        }
        self.tell(stage, &step, StepPhase::Begun, 0);
        let started = Instant::now();
        if planted::step(&step) != Planted::Claimed {
            body(self)?;
        }
        self.tell(stage, &step, StepPhase::Done, micros(started));
        Ok(())
    }

    /// Takes in what zoneadmd told while it was asked.
    fn hear(&mut self) {
        let events = match self.zoneadmd.as_mut() {
            Some(zoneadmd) => {
                let drained = zoneadmd.drain();
                let events = zoneadmd.take_events();
                if drained.is_err() {
                    *self.zoneadmd = None;
                }
                events
            }
            None => return,
        };
        note_events(&mut self.memory, &events);
        self.facts.last_exit = self.memory.policy.restarts.pending;
    }
}

/// Notes ends of init that nobody asked for. True when there was one.
pub fn note_events(memory: &mut Memory, events: &[Event]) -> bool {
    let mut noted = false;
    for event in events {
        if let Event::InitEnded(environment, end) = event {
            noted |= note_end(memory, *environment, end, crate::store::now());
        }
    }
    noted
}

/// Notes the end of the environment that was started last; an end of another one is old news.
pub fn note_end(memory: &mut Memory, environment: u32, end: &EndOfInit, at: Timestamp) -> bool {
    if memory.environment != Some(environment) {
        return false;
    }
    memory.environment = None;
    let kind = match end {
        EndOfInit::Exited(status) => ExitKind::Exited(*status),
        EndOfInit::Signaled(signal) => ExitKind::Signaled(*signal),
        EndOfInit::RebootInside => ExitKind::RebootInside,
        EndOfInit::PoweroffInside => ExitKind::PoweroffInside,
    };
    let report = ExitReport { kind, at, environment };
    let manifest = memory.recorded.as_ref().map(|recorded| recorded.manifest.as_ref());
    let limits = manifest.map(wanted::crash_loop).unwrap_or_default();
    memory.policy.restarts = memory.policy.restarts.noted(report, limits);
    true
}

/// Takes in what a zoneadmd that was just found says: which environment runs, or how the last one ended. True when that
/// is news.
pub fn note_snapshot(memory: &mut Memory, snapshot: &Snapshot) -> bool {
    if snapshot.init != 0 {
        // Also one whose start nobody lived to write down.
        return memory.environment.replace(snapshot.environment) != Some(snapshot.environment);
    }
    let noted = |(end, at): &(EndOfInit, u64)| note_end(memory, snapshot.environment, end, Timestamp(*at));
    snapshot.last_end.as_ref().is_some_and(noted)
}

/// The plan's name of a step that zoneadmd tells of.
fn plan_name(step: &str) -> &str {
    if step == StepName::Init.as_str() { step_name::START_INIT } else { step }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A step of a plan belongs to this transition; none for a live one.
fn transition_of(step: &Step) -> Option<Transition> {
    match step.action {
        Action::Transition(transition) => Some(transition),
        Action::Live => None,
    }
}
