//! What the engine puts up for whoever watches from outside: after each pass what it planned, and how its work goes. A zone
//! that a pass found as it was costs nothing here.

use std::sync::Arc;

use reeve_state::condition::{self, ConditionType};
use reeve_state::metrics::Zone;

use super::engine::Engine;
use crate::monitor::board::{Board, micros};
use crate::monitor::traces::Traces;
use crate::pass::Passed;

impl Engine {
    /// Where it puts up what it tells.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Where it tells spans.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Puts up what came of a pass.
    pub(super) fn put_up(&mut self, passed: &Passed, took_us: u64) {
        let before = self.board.zones();
        let (mut news, mut gone) = (Vec::new(), Vec::new());
        for name in passed.zones.iter().skip(passed.quiet) {
            let Some(status) = self.world.statuses.get(name) else {
                gone.push(name);
                continue;
            };
            let plan = self.world.plans.get(name);
            let (differences, path) =
                plan.map(|plan| (plan.differences.as_slice(), plan.path.as_slice())).unwrap_or_default();
            let failures = self.zones.get(name).map_or(0, |entry| entry.failures);
            let zone = Zone::anew(before.get(name).map(|zone| &**zone), status, differences, path, failures);
            news.extend(zone.map(|zone| (name, Arc::new(zone))));
        }
        // Else the list would be copied.
        drop(before);
        let now = crate::store::now();
        let arrived = self.arrived(now);
        let rejected = self.problem.is_some();
        let is_new = !news.is_empty() || !gone.is_empty();
        self.board.change(|told| {
            if !news.is_empty() || !gone.is_empty() {
                let zones = Arc::make_mut(&mut told.zones);
                gone.into_iter().for_each(|name| drop(zones.remove(name)));
                zones.extend(news.into_iter().map(|(name, zone)| (name.clone(), zone)));
            }
            arrived.into_iter().for_each(|seconds| told.counters.converged.observe(seconds));
            told.counters.manifests_rejected = rejected;
            told.counters.passed(micros(took_us), now);
        });
        if is_new {
            self.board.announce();
        }
    }

    /// How long each zone took that is now as its changed manifest says.
    fn arrived(&mut self, now: reeve_state::Timestamp) -> Vec<f64> {
        let mut out = Vec::new();
        let world = &self.world;
        self.pending.retain(|name, since| {
            let Some(status) = world.statuses.get(name) else { return world.wanted.contains_key(name) };
            // A status from before the change is not about it.
            let digest = world.wanted.get(name).map(|wanted| &wanted.digest);
            let is_there = condition::holds(&status.conditions, ConditionType::Converged)
                && status.manifest_digest.as_ref() == digest
                && !world.busy.contains(name);
            if is_there {
                out.push(micros(now.since(*since).saturating_mul(1000)));
            }
            !is_there
        });
        out
    }

    /// Puts up how the work goes, and how it is with the source.
    pub(super) fn put_up_work(&mut self) {
        let busy = u64::try_from(self.world.busy.len()).unwrap_or(u64::MAX);
        let rejected = self.problem.is_some();
        let mut is_new = false;
        self.board.change(|told| {
            if told.counters.busy != busy {
                told.counters.is_busy(busy, crate::store::now());
            }
            told.counters.manifests_rejected = rejected;
            if told.problem.as_deref() != self.problem.as_deref() {
                told.problem = self.problem.as_deref().map(Arc::from);
            }
            if told.source.as_deref() != self.source.as_ref() {
                told.source = self.source.clone().map(Arc::new);
                is_new = true;
            }
        });
        if is_new {
            self.board.announce();
        }
    }
}
