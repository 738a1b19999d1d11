//! The way down: stop, halt, uninstall, unconfigure.

use std::time::Duration;

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::wire::Request;
use reeve_state::journal::Phase;
use reeve_state::{Fact, ZoneFacts, ZoneState, wanted};

use super::Walk;
use super::stage::Stage;
use super::up::Steps;
use crate::error::{Error, Result};
use crate::install;
use crate::resolve;
use crate::store::ids::{IdRanges, ZoneIds};

/// How long a zsched that was killed may take to be gone.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// How often a zone that zoneadmd says is gone is looked at again where something of it still seems to be there.
const LOOKS_AGAIN: usize = 5;
/// And after how long each time: bringing a platform up takes a few milliseconds.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Walk<'_> {
    /// How init is asked to end: as the configuration says that the zone runs with.
    pub(super) fn ending(&self) -> (i32, u32, Duration) {
        let recorded = self.recorded.as_ref().map(|recorded| &recorded.manifest);
        let manifest = recorded.or(self.plan.manifest.as_ref());
        // Without a configuration that can be read: as a manifest that says nothing of it.
        let init = manifest.and_then(|manifest| wanted::init(manifest).ok()).unwrap_or_default();
        let (signal, timeout) = resolve::ending(&init);
        (signal, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX), timeout)
    }

    /// A stop that cannot finish becomes a halt.
    pub(super) fn stop(&mut self, stage: &Stage) -> Result<()> {
        let (signal, millis, timeout) = self.ending();
        self.write_journal(stage, stage.first(), Phase::Intent)?;
        let mut steps = Steps::begin(self, stage);
        self.reach()?;
        // From here on its end is asked for, and none that the restart policy has to answer.
        self.memory.environment = None;
        let stopped = self.ask(&Request::Stop(signal, millis), timeout, &mut steps);
        if let Err(error) = &stopped {
            self.halt_instead(error)?;
        }
        let stopped = stopped?;
        self.hear();
        if !self.host.looker().environment(&mut self.facts, stopped.environment, None) {
            self.look(false);
        }
        self.must_be(Some(ZoneState::Ready))?;
        self.write_journal(stage, stage.last(), Phase::Done)?;
        self.commit(ZoneState::Ready)
    }

    /// Halts a zone whose environment could not be stopped: what is left of it must not stay on the platform.
    pub(super) fn halt_instead(&mut self, error: &Error) -> Result<()> {
        tracing::warn!("zone {}: the stop cannot finish ({error}), so it becomes a halt", self.plan.name);
        self.halt(&Stage::halt())
    }

    pub(super) fn halt(&mut self, stage: &Stage) -> Result<()> {
        let (signal, millis, timeout) = self.ending();
        self.write_journal(stage, stage.first(), Phase::Intent)?;
        let mut steps = Steps::begin(self, stage);
        self.reach_for_halt()?;
        self.memory.environment = None;
        let zone_id = self.facts.zone_id;
        let order = self.halt_order(signal, millis);
        let asked = self.ask(&Request::Halt(order), timeout, &mut steps);
        self.note_halt(steps);
        asked?;
        if let Some(zoneadmd) = self.zoneadmd.take() {
            zoneadmd.wait_end();
        }
        let manifest = self.recorded.as_ref().map(|recorded| &*recorded.manifest);
        if !self.host.looker().is_gone(&mut self.facts, manifest) {
            self.look(true);
            self.look_until_gone();
        }
        self.must_be(Some(self.bottom()))?;
        self.write_journal(stage, stage.last(), Phase::Done)?;
        self.memory.halt = None;
        self.host.halted().note(&self.plan.name);
        if let Some(id) = zone_id {
            ZoneIds::new(self.host.places().run()).release(&self.plan.name, id)?;
        }
        self.commit(ZoneState::Installed)
    }

    /// The numbers of what is gone are given again at once: to a file system of another zone that is just being made and
    /// is in no mount table yet, so that it looks like this zone's. A moment later it is seen to be the other one's.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells that a file system of somebody else came into a mount table"
    )]
    fn look_until_gone(&mut self) {
        for _ in 0..LOOKS_AGAIN {
            if self.state() != Some(ZoneState::Down) {
                return;
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
            self.look(true);
        }
    }

    /// A zsched that answers nobody is ended: the kernel then ends every process of the zone, and what is left can be
    /// halted without it.
    fn reach_for_halt(&mut self) -> Result<()> {
        let Err(error) = self.reach() else { return Ok(()) };
        if self.facts.zsched.is_absent() {
            return Err(error);
        }
        tracing::warn!("zone {}: cannot be taken over ({error}); its zsched is ended", self.plan.name);
        let leaf = self.host.places().zone_cgroup(&self.plan.name)?.join("zsched");
        let leaf = Cgroup::open(&leaf)?;
        leaf.kill()?;
        leaf.wait_empty(ENDED_WITHIN)?;
        self.look(true);
        self.reach()
    }

    /// What a halt leaves: Installed, or less where somebody took the files away under the zone.
    fn bottom(&self) -> ZoneState {
        if self.facts.installed.is_absent() { ZoneState::Configured } else { ZoneState::Installed }
    }

    pub(super) fn uninstall(&mut self, stage: &Stage) -> Result<()> {
        self.single(stage, |walk| {
            if walk.state().is_some_and(ZoneState::is_active) {
                return Err(Error::refused("the zone is active; its files stay"));
            }
            install::uninstall(walk.host.places(), &walk.plan.name)?;
            walk.facts.installed = walk.host.looker().installation(&walk.plan.name);
            Ok(())
        })?;
        self.must_be(Some(ZoneState::Configured))?;
        self.commit(ZoneState::Configured)
    }

    pub(super) fn unconfigure(&mut self, stage: &Stage) -> Result<()> {
        self.single(stage, |walk| {
            // An uninstall that was broken off when `root` was gone left the rest, and the zone is seen as configured.
            install::uninstall(walk.host.places(), &walk.plan.name)?;
            // The range goes first: once the configuration is gone nobody comes back for what else there was of the zone.
            IdRanges::new(walk.host.places().state()).release(&walk.plan.name)?;
            walk.files.unconfigure()
        })?;
        self.facts = ZoneFacts { configured: Fact::Absent, ..ZoneFacts::absent(&self.plan.name) };
        self.memory = crate::store::zone::Memory::default();
        self.recorded = None;
        Ok(())
    }
}
