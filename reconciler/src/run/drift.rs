//! Drift as the passes find it: told of once when it is found, told of again when it is mended or came right by itself, and
//! counted, so that what comes back again and again stops being mended.

use std::collections::BTreeSet;

use reeve_state::difference::Difference;
use reeve_state::drift::DriftEvent;

use super::engine::Engine;
use crate::store::events::{self, HostEvent};
use crate::store::zone::ZoneFiles;

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
        // A zone that was taken over as it was: what it is like now is how it is to be.
        let first = facts.platform.as_ref().filter(|_| {
            recorded.is_some_and(|recorded| recorded.platform.is_none() && recorded.boot_id == self.world.facts.boot_id)
        });
        if quiet && first.is_none() && !plan.differences.iter().any(Difference::is_drift) {
            return;
        }
        let mut memory = self.world.seen(zone).memory;
        if let (Some(first), Some(recorded)) = (first, recorded) {
            let mut recorded = recorded.clone();
            recorded.platform = Some(reeve_state::observed::Platform { strangers: Vec::new(), ..first.clone() });
            memory.recorded = Some(recorded);
        }
        let mending = self.zones.get_mut(zone).map(|entry| std::mem::take(&mut entry.mending)).unwrap_or_default();
        let before = self.world.memories.get(zone).cloned();
        let news = memory.policy.drift.take(&plan.differences, facts, &mending, &wanted.digest, crate::store::now());
        let left: BTreeSet<String> =
            mending.into_iter().filter(|field| memory.policy.drift.found.contains_key(field)).collect();
        if let Some(entry) = self.zones.get_mut(zone) {
            entry.mending = left;
        }
        if before.as_ref() == Some(&memory) {
            return;
        }
        let files = ZoneFiles::new(self.host.places(), zone);
        if files.run().is_dir()
            && let Err(error) = files.remember(&memory)
        {
            tracing::warn!("zone {zone}: {error}");
        }
        self.world.remember(zone, memory);
        for event in news {
            self.tell_drift(zone, event);
        }
    }

    fn tell_drift(&mut self, zone: &str, event: DriftEvent) {
        let message = event.message();
        self.say(Some(zone), format!("{}: {message}", event.reason));
        let told = HostEvent::new(crate::store::now(), Some(zone), &event.reason, message);
        events::add(self.host.places().state(), &HostEvent { drift: Some(Box::new(event)), ..told });
    }
}
