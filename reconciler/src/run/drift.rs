//! Drift as the passes find it: told of once when it is found, told of again when it is mended or came right by itself, and
//! counted, so that what comes back again and again stops being mended.

use reeve_kernel::observe::platform as kernel;
use reeve_state::approval;
use reeve_state::difference::{Difference, Recorded};
use reeve_state::drift::DriftEvent;
use reeve_state::observed::Who;
use reeve_state::plan::ZonePlan;
use reeve_state::{ZoneFacts, ZoneState};
use rustix::process::{Pid, PidfdFlags};

use super::ear::Ear;
use super::engine::Engine;
use super::happening::Happening;
use super::sentinel::Noticed;
use crate::observe::closer::Resident;
use crate::pass::Scope;
use crate::store::approvals;
use crate::store::events::{self, HostEvent};
use crate::store::zone::{Memory, ZoneFiles};

impl Engine {
    /// Takes in what the last pass found of these zones.
    pub(super) fn note_drift(&mut self, zones: &[String]) {
        for zone in zones {
            if !self.zones.get(zone).is_some_and(|entry| entry.busy) {
                self.note_drift_of(zone);
            }
        }
    }

    fn note_drift_of(&mut self, zone: &str) {
        let Some((facts, plan)) = self.world.facts.zones.get(zone).zip(self.world.plans.get(zone)) else { return };
        let Some(wanted) = self.world.wanted.get(zone) else { return };
        let remembered = self.world.memories.get(zone);
        let quiet = remembered.is_none_or(|memory| memory.policy.drift.found.is_empty());
        let recorded = self.world.recorded.get(zone);
        // A zone that was taken over as it was, or came up by a walk whose end nobody could record: what it is like now is how it is
        // to be.
        let of_now = recorded.filter(|recorded| recorded.boot_id == self.world.facts.boot_id);
        let came_up = self.world.state(zone).filter(|state| {
            let up = |state| matches!(state, ZoneState::Ready | ZoneState::Running);
            up(*state) && of_now.is_some_and(|recorded| !up(recorded.state))
        });
        let unrecorded = of_now.is_some_and(|recorded| recorded.platform.is_none());
        let first = facts.platform.as_ref().filter(|_| unrecorded || came_up.is_some());
        if quiet && first.is_none() && !plan.differences.iter().any(Difference::is_drift) {
            return;
        }
        let reference = first.zip(recorded).map(|(first, recorded)| {
            let platform = Some(first.recordable());
            Recorded { platform, state: came_up.unwrap_or(recorded.state), ..recorded.clone() }
        });
        let mut memory = self.world.seen(zone).memory;
        let before = memory.clone();
        memory.recorded = reference.or(memory.recorded);
        let mending = self.zones.get(zone).map(|entry| entry.mending.clone()).unwrap_or_default();
        let news = memory.policy.drift.take(&plan.differences, facts, &mending, &wanted.digest, crate::store::now());
        if before != memory && !self.keep(zone, &before, &memory) {
            return;
        }
        if let Some(entry) = self.zones.get_mut(zone) {
            entry.mending.retain(|field| memory.policy.drift.found.contains_key(field));
        }
        if before == memory {
            return;
        }
        self.world.remember(zone, memory);
        self.spend_approval(zone, &news);
        for event in news {
            self.tell_drift(zone, event);
        }
    }

    /// Keeps what is remembered of a zone from now on. False where that was not looked at: somebody walks the zone by hand, or has,
    /// and wrote down more than was known here. Then the zone is looked at again.
    fn keep(&mut self, zone: &str, before: &Memory, after: &Memory) -> bool {
        let files = ZoneFiles::new(self.host.places(), zone);
        if !files.run().is_dir() {
            return true;
        }
        let mut is_old = false;
        let kept = files.amend(self.host.boot_id(), |memory| {
            is_old = !memory.is_of_the_same_walks(before);
            if !is_old {
                memory.clone_from(after);
            }
            !is_old
        });
        match kept {
            Ok(Some(_)) if is_old => self.scope.look(zone),
            Ok(Some(_)) => return true,
            Ok(None) => self.when_free(zone, Happening::Changed { zone: zone.to_owned() }),
            Err(error) => {
                tracing::warn!("zone {zone}: {error}");
                return true;
            }
        }
        false
    }

    /// What was approved of drift is of this time alone: the same again is asked for anew.
    fn spend_approval(&mut self, zone: &str, news: &[DriftEvent]) {
        if !news.iter().any(|event| event.reason == "DriftMended") {
            return;
        }
        let Some(digest) = self.zones.get_mut(zone).and_then(|entry| entry.spends.take()) else { return };
        if let Err(error) = approvals::spend(self.host.places(), &digest) {
            tracing::warn!("zone {zone}: {error}");
        }
    }

    /// The digest of the drift at its gate that this plan puts right.
    pub(super) fn approval_of_drift(&self, plan: &ZonePlan) -> Option<String> {
        let wanted = self.world.wanted.get(&plan.name)?;
        let gate = reeve_state::wanted::approval(&wanted.manifest)?.drift?;
        let recorded = self.world.recorded.get(&plan.name);
        approval::drift_at_gate(&plan.name, recorded, gate, &plan.differences).map(|change| change.digest)
    }

    /// Watches those of these zones that are up and at rest and not watched yet. What changed before they were is seen by one more
    /// look.
    pub(super) fn watch_drift(&mut self, zones: &[String]) {
        let Some(sentinel) = &mut self.sentinel else { return };
        for zone in zones {
            let up = matches!(self.world.state(zone), Some(ZoneState::Ready | ZoneState::Running));
            let busy = self.zones.get(zone).is_some_and(|entry| entry.busy);
            if !up {
                sentinel.withdraw(zone);
                self.world.unwatched.remove(zone);
                continue;
            }
            let Some(facts) = self.world.facts.zones.get(zone).filter(|_| !busy && !sentinel.watches(zone)) else {
                continue;
            };
            if sentinel.post(facts) {
                self.world.unwatched.remove(zone);
                self.scope.look(zone);
            } else {
                self.world.unwatched.insert(zone.clone());
            }
        }
    }

    pub(super) fn withdraw(&mut self, zone: &str) {
        if let Some(sentinel) = &mut self.sentinel {
            sentinel.withdraw(zone);
        }
    }

    /// Has what changed looked at.
    pub(super) fn noticed(&mut self, noticed: Noticed) {
        match noticed {
            Noticed::All => self.scope = Scope::All,
            Noticed::Zones(zones) => zones.iter().for_each(|zone| self.scope.look(zone)),
            Noticed::Hostname => {
                let other = |facts: &&ZoneFacts| {
                    let (Some(zsched), Some(platform)) = (facts.zsched.known(), &facts.platform) else { return false };
                    let now = kernel::hostname(zsched.pid).ok();
                    now.is_some() && now.as_ref() != platform.fields.get("hostname")
                };
                let zones: Vec<String> =
                    self.world.facts.zones.values().filter(other).map(|f| f.name.clone()).collect();
                zones.iter().for_each(|zone| self.scope.look(zone));
            }
            Noticed::Entered(entered) => {
                for (zone, who) in entered {
                    self.tell_of_end(&zone, &who);
                    self.host.looker().entered(&zone, who);
                    self.scope.look(&zone);
                }
            }
        }
    }

    /// Has the zone looked at again when a process that entered it has ended.
    fn tell_of_end(&self, zone: &str, who: &Who) {
        let pidfd = Pid::from_raw(who.pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        let Some(ear) = pidfd.and_then(|pidfd| Ear::new(&pidfd)) else { return };
        let (zone, tell) = (zone.to_owned(), self.around.tell.clone());
        tokio::spawn(async move {
            Ear::heard(Some(&ear)).await;
            let _ = tell.send(Happening::Changed { zone });
        });
    }

    /// Looks through the processes of the host, beside everything else.
    pub(super) fn look_for_strangers(&self) {
        let residents = Resident::all(self.world.facts.zones.values());
        let (host, tell) = (self.host.clone(), self.around.tell.clone());
        tokio::task::spawn_blocking(move || {
            for zone in host.looker().strangers(&residents) {
                let _ = tell.send(Happening::Changed { zone });
            }
        });
    }

    fn tell_drift(&mut self, zone: &str, event: DriftEvent) {
        if event.reason == "DriftMended" {
            self.board.change(|told| told.counters.mended(zone, &event.field));
        }
        let message = event.message();
        self.say(Some(zone), format!("{}: {message}", event.reason));
        let told = HostEvent::new(crate::store::now(), Some(zone), &event.reason, message);
        events::add(self.host.places().state(), &HostEvent { drift: Some(Box::new(event)), ..told });
    }
}
