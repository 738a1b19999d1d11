//! The way up: configure, install, ready, boot; and what is changed on a zone as it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::wire::{InitSpec, Request, Snapshot, StepName};
use reeve_schema::Zone;
use reeve_state::journal::Phase;
use reeve_state::observed::derive_state;
use reeve_state::plan::{Action, step_name};
use reeve_state::{Fact, ZoneState, limits, wanted};
use serde_json::Value;

use super::stage::Stage;
use super::{Walk, micros, plan_name};
use crate::error::{Error, Result};
use crate::install;
use crate::progress::StepPhase;
use crate::resolve;
use crate::store::files;
use crate::store::ids::ZoneIds;
use crate::store::zone::{Configured, typed};
use crate::supervisor::{Zoneadmd, end_unreachable};

/// How long zsched may take to tell how an init ended that is seen to be gone.
const END_WITHIN: Duration = Duration::from_secs(2);

impl Walk<'_> {
    /// The manifest that this walk brings up: the plan's, or else the recorded one.
    pub(super) fn manifest(&self) -> Result<&Value> {
        let recorded = self.recorded.as_ref().map(|recorded| &*recorded.manifest);
        self.plan
            .manifest
            .as_deref()
            .or(recorded)
            .ok_or_else(|| Error::refused("there is no configuration to do it from"))
    }

    pub(super) fn zone(&self) -> Result<Zone> {
        typed(&self.plan.name, self.manifest()?)
    }

    /// What it boots, with the values of secrets.
    pub(super) fn init(&self) -> Result<InitSpec> {
        let init = wanted::init(self.manifest()?).map_err(|error| {
            Error::refused(format!("zone {}: the recorded `init` is not usable: {error}", self.plan.name))
        })?;
        let secrets = self.host.secrets().environment(&init)?;
        Ok(resolve::init(&init, &secrets))
    }

    pub(super) fn configure(&mut self, stage: &Stage) -> Result<()> {
        self.single(stage, |walk| walk.write_configuration(ZoneState::Configured))?;
        self.must_be(Some(ZoneState::Configured))?;
        self.commit(ZoneState::Configured)
    }

    pub(super) fn write_configuration(&mut self, state: ZoneState) -> Result<()> {
        let manifest = self.manifest()?.clone();
        let digest = self.plan.digest.clone().or_else(|| self.recorded.as_ref().map(|r| r.digest.clone()));
        let digest = digest.ok_or_else(|| Error::refused("the plan has no digest to record"))?;
        typed(&self.plan.name, &manifest)?;
        let configured = Configured::new(&self.plan.name, &digest, self.source, self.host.boot_id(), manifest);
        self.files.configure(&configured)?;
        self.facts.configured =
            Fact::Known(reeve_state::observed::RecordedConfig { digest, source: configured.source.clone() });
        self.facts.zonepath = wanted::zonepath(&configured.manifest).map(str::to_owned);
        self.set_recorded(state);
        Ok(())
    }

    pub(super) fn record_manifest(&mut self, stage: &Stage) -> Result<()> {
        let Fact::Known(state) = derive_state(&self.facts) else {
            return Err(Error::refused("what is there is not known, so nothing is recorded"));
        };
        self.single(stage, |walk| walk.write_configuration(state))?;
        self.commit(state)
    }

    pub(super) fn install(&mut self, stage: &Stage) -> Result<()> {
        let zone = self.zone()?;
        self.single(stage, |walk| {
            install::install(walk.host.places(), &zone)?;
            walk.facts.installed = walk.host.looker().installation(&walk.plan.name);
            Ok(())
        })?;
        self.must_be(Some(ZoneState::Installed))?;
        self.commit(ZoneState::Installed)
    }

    pub(super) fn ready(&mut self, stage: &Stage) -> Result<()> {
        let zone = self.zone()?;
        let refusals = install::verify_platform(self.host.places(), &zone);
        if !refusals.is_empty() {
            return Err(Error::refused(refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        }
        let places = self.host.places();
        let installed =
            install::installed(places, &self.plan.name)?.ok_or_else(|| Error::refused("the zone is not installed"))?;
        files::private_folder(self.files.run())?;
        self.facts.zone_id = None;
        self.write_journal(stage, stage.first(), Phase::Intent)?;
        let mut steps = Steps::begin(self, stage);

        let started = Instant::now();
        let cgroup = self.host.zoneadmd_cgroup()?;
        // One that was to take a zone over which had gone by then would take this one for it.
        if let Fact::Known(old) = self.facts.zoneadmd {
            *self.zoneadmd = None;
            end_unreachable(&self.plan.name, old.pid, cgroup)?;
        }
        let zoneadmd = self.host.next_zoneadmd().start(places, &self.plan.name, cgroup)?;
        // Where the look afterwards finds it, without reading all the others.
        self.facts.zoneadmd = zoneadmd.process().map_or(Fact::Absent, Fact::Known);
        *self.zoneadmd = Some(zoneadmd);
        steps.done(self, StepName::Zoneadmd.as_str(), micros(started));

        let started = Instant::now();
        let zone_id = ZoneIds::new(places.run()).give(&self.plan.name)?;
        self.facts.zone_id = Some(zone_id);
        self.write_journal(stage, StepName::Zsched.as_str(), Phase::Intent)?;
        steps.done(self, StepName::ZoneId.as_str(), micros(started));

        let made = (|| {
            let spec = resolve::platform(places, &zone, self.manifest()?, zone_id, installed.ids)?;
            self.ask(&Request::Ready(spec), Duration::ZERO, &mut steps)
        })();
        if let Err(error) = made {
            // zoneadmd has taken back what it made, and ends.
            *self.zoneadmd = None;
            return Err(error);
        }
        self.memory.environment = None;
        self.look(false);
        self.must_be(Some(ZoneState::Ready))?;
        self.note_traces();
        self.write_journal(stage, stage.last(), Phase::Done)?;
        self.commit(ZoneState::Ready)
    }

    /// Whether the plan starts an init where the one before has ended and nobody knew how: what follows that end is for the restart
    /// policy to say, and the plan to be made anew. A controller's watch on the process can be quicker than what zoneadmd tells it; and
    /// who has not listened to zoneadmd before has yet to ask it.
    pub(super) fn is_overtaken(&mut self) -> Result<bool> {
        let first = self.plan.steps.iter().find(|step| step.action != Action::Live);
        let boots = first.is_some_and(|step| step.name == step_name::START_INIT);
        if !boots || self.memory.environment.is_none() {
            return Ok(false);
        }
        self.hear();
        if let (Some(zoneadmd), true) = (&mut self.zoneadmd, self.memory.environment.is_some()) {
            match zoneadmd.request(&Request::Status, Duration::ZERO, &mut |_, _| {}) {
                Ok(snapshot) if snapshot.init == 0 => drop(super::note_snapshot(&mut self.memory, &snapshot)),
                Ok(_) => drop(zoneadmd.wait_event(END_WITHIN)),
                Err(_) => *self.zoneadmd = None,
            }
            self.hear();
        }
        // Where nobody can be reached, the boot will say so.
        if self.memory.environment.is_some() && self.zoneadmd.is_none() && self.reach().is_err() {
            return Ok(false);
        }
        self.end_is_known()
    }

    /// Whether no environment is known to run; then that is written down.
    fn end_is_known(&mut self) -> Result<bool> {
        let ended = self.memory.environment.is_none();
        if ended {
            self.files.remember_locked(&self.memory)?;
        }
        Ok(ended)
    }

    pub(super) fn boot(&mut self, stage: &Stage) -> Result<()> {
        let init = self.init()?;
        self.write_journal(stage, stage.first(), Phase::Intent)?;
        let mut steps = Steps::begin(self, stage);
        self.reach()?;
        let snapshot = self.ask(&Request::Boot(init), Duration::ZERO, &mut steps)?;
        self.booted(stage, &snapshot)
    }

    /// Looks at the application environment that zoneadmd says it started, and records what is seen.
    pub(super) fn booted(&mut self, stage: &Stage, snapshot: &Snapshot) -> Result<()> {
        let digest = self.plan.digest.clone().or_else(|| self.recorded.as_ref().map(|r| r.digest.clone()));
        self.memory.environment = Some(snapshot.environment);
        let restarts = &self.memory.policy.restarts;
        self.memory.policy.restarts = restarts.started(crate::store::now(), digest.as_deref().unwrap_or_default());
        self.facts.last_exit = None;
        if !self.host.looker().environment(&mut self.facts, snapshot.environment, Some(snapshot.init)) {
            self.look(false);
        }
        // An init that ended at once has run all the same: how it ended is for the restart policy.
        let ended = self.facts.init.is_absent() && self.state() == Some(ZoneState::Ready);
        if !ended {
            self.must_be(Some(ZoneState::Running))?;
            self.tell_state();
        }
        self.hear();
        self.write_journal(stage, stage.last(), Phase::Done)?;
        self.commit(ZoneState::Running)
    }

    /// Makes sure that there is a connection to the zone's zoneadmd; one that is missing is started and adopts the zone.
    pub(super) fn reach(&mut self) -> Result<()> {
        if self.zoneadmd.is_some() {
            return Ok(());
        }
        let known = self.facts.zoneadmd.known().map(|process| process.pid);
        let cgroup = self.host.zoneadmd_cgroup()?;
        let (places, halting) = (self.host.places(), self.facts.halt_intent);
        let (zoneadmd, snapshot) = Zoneadmd::find_or_adopt(places, &self.plan.name, cgroup, known, halting)?;
        *self.zoneadmd = Some(zoneadmd);
        super::note_snapshot(&mut self.memory, &snapshot);
        self.facts.last_exit = self.memory.policy.restarts.pending;
        Ok(())
    }

    pub(super) fn adopt(&mut self, stage: &Stage) -> Result<()> {
        files::private_folder(self.files.run())?;
        self.single(stage, |walk| walk.reach())?;
        self.look(false);
        self.files.remember_locked(&self.memory)
    }

    pub(super) fn apply_limits(&mut self, stage: &Stage) -> Result<()> {
        let mut controls = resolve::controls(self.host.places(), self.manifest()?, true);
        controls.retain(|control| !self.is_left(&control.file));
        let mut steps = Steps::begin(self, stage);
        self.reach()?;
        let started = Instant::now();
        self.ask(&Request::SetControls(controls), Duration::ZERO, &mut Steps::none())?;
        steps.done(self, stage.first(), micros(started));
        self.look(false);
        Ok(())
    }

    /// Whether the limit in this file drifted and is only told of, ignored, or waits.
    fn is_left(&self, file: &str) -> bool {
        let field = limits::FIELDS.iter().find(|(_, own)| *own == file).map(|(field, _)| *field);
        self.plan.differences.iter().any(|one| Some(one.field.as_str()) == field && !one.is_acted_on())
    }

    /// Puts host ends back into their bridges, up; a bridge that is gone is made again.
    pub(super) fn repair_links(&mut self, stage: &Stage) -> Result<()> {
        let (places, zone) = (self.host.places(), self.zone()?);
        self.single(stage, |walk| {
            let mut rtnl = Rtnl::open()?;
            let zone_id = walk.facts.zone_id.unwrap_or_default();
            for (index, net) in zone.spec.net.iter().enumerate() {
                let wanted = resolve::link(places, &walk.plan.name, zone_id, index, net);
                let Some(link) = rtnl.link_by_name(&wanted.host_name)? else { continue };
                let bridge = match rtnl.link_by_name(&wanted.bridge)? {
                    Some(bridge) => bridge.ifindex,
                    None => make_bridge(&mut rtnl, &wanted)?,
                };
                rtnl.set_master(link.ifindex, bridge)?;
                rtnl.set_up(link.ifindex)?;
            }
            Ok(())
        })?;
        self.look(false);
        Ok(())
    }

    /// Asks zoneadmd and tells of its steps. A zoneadmd that went away is forgotten.
    pub(super) fn ask(&mut self, request: &Request, allowed: Duration, steps: &mut Steps) -> Result<Snapshot> {
        self.ask_noting(request, allowed, steps, &mut |_, _| {})
    }

    /// The same; `note` hears of each step that is done, with its microseconds.
    pub(super) fn ask_noting(
        &mut self,
        request: &Request,
        allowed: Duration,
        steps: &mut Steps,
        note: &mut dyn FnMut(&StepName, u32),
    ) -> Result<Snapshot> {
        let Some(mut zoneadmd) = self.zoneadmd.take() else {
            return Err(Error::Zoneadmd { zone: self.plan.name.clone(), what: "is not there".into() });
        };
        let asked = zoneadmd.request(request, allowed, &mut |step, took| {
            note(&step, took);
            steps.done(self, plan_name(step.as_str()), u64::from(took));
        });
        if !matches!(asked, Err(Error::Zoneadmd { .. })) {
            *self.zoneadmd = Some(zoneadmd);
        }
        asked
    }
}

fn make_bridge(rtnl: &mut Rtnl, link: &reeve_kernel::wire::Link) -> Result<u32> {
    let bridge = rtnl.create_bridge(&link.bridge, &link.bridge_alias)?;
    if let Some((address, prefix)) = &link.bridge_address
        && let Ok(address) = address.parse()
    {
        rtnl.add_address(bridge, address, *prefix)?;
    }
    Ok(bridge)
}

/// Tells the steps of one or several stages as they come: each that is done, and the next that begins.
pub(super) struct Steps {
    left: VecDeque<(Option<reeve_state::Transition>, String)>,
    /// All that were done, also beyond one that failed.
    pub completed: Vec<String>,
}

impl Steps {
    /// Tells that the first step begins.
    pub fn begin(walk: &Walk<'_>, stage: &Stage) -> Self {
        Self::begin_all(walk, &[stage])
    }

    /// The same for stages that one request does.
    pub fn begin_all(walk: &Walk<'_>, stages: &[&Stage]) -> Self {
        let steps = stages.iter().flat_map(|stage| stage.steps.iter().map(|step| (stage.transition, step.clone())));
        let left: VecDeque<_> = steps.collect();
        if let Some((transition, first)) = left.front() {
            walk.tell_step(*transition, first, StepPhase::Begun, 0);
        }
        Self { left, completed: Vec::new() }
    }

    /// Tells nothing.
    pub fn none() -> Self {
        Self { left: VecDeque::new(), completed: Vec::new() }
    }

    /// Tells that a step is done, and that the next one begins.
    pub fn done(&mut self, walk: &Walk<'_>, step: &str, took_us: u64) {
        self.completed.push(step.to_owned());
        if self.left.front().is_none_or(|(_, next)| next != step) {
            return;
        }
        let transition = self.left.pop_front().and_then(|(transition, _)| transition);
        walk.tell_step(transition, step, StepPhase::Done, took_us);
        if let Some((transition, next)) = self.left.front() {
            walk.tell_step(*transition, next, StepPhase::Begun, 0);
        }
    }
}
