//! What a controller counts while it works; all of it begins anew with each controller.

use std::collections::BTreeMap;

use super::histogram::{self, Histogram};
use crate::lifecycle::Transition;
use crate::time::Timestamp;

/// What wakes a watch that lost events, in the label `watch`.
pub const WATCHES: [&str; 2] = ["links", "manifests"];
/// Why the first pass is made.
pub const STARTED: &str = "start";

/// A step, as the histogram of steps names it: its transition, or none for a change on the zone as it is.
pub type StepKey = (Option<Transition>, String);

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// How long passes took.
    pub passes: Histogram,
    /// When the last one ended.
    pub last_pass: Option<Timestamp>,
    /// How long steps took that were done.
    pub steps: BTreeMap<StepKey, Histogram>,
    /// Steps that failed.
    pub failures: BTreeMap<StepKey, u64>,
    /// From a changed manifest being accepted to its zone being as it says.
    pub converged: Histogram,
    /// Walks that were begun again after one that failed.
    pub retries: u64,
    /// Fields that drifted and were mended, by zone and class of field (see [`super::class`]).
    pub mended: BTreeMap<(String, &'static str), u64>,
    /// Times that a watch lost events, so that everything was looked at again; by watch.
    pub overflows: BTreeMap<&'static str, u64>,
    /// Requests to receivers of notifications that succeeded, and that failed.
    pub notifications: [u64; 2],
    /// Zones that are being worked on, or wait for their turn.
    pub busy: u64,
    /// Those of them that are being worked on.
    pub working: u64,
    /// When a step last ended, or work came where there was none.
    pub last_progress: Option<Timestamp>,
    /// The manifests of a folder have a problem, so that what was accepted before stays in force.
    pub manifests_rejected: bool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            passes: Histogram::new(histogram::PASS),
            last_pass: None,
            steps: BTreeMap::new(),
            failures: BTreeMap::new(),
            converged: Histogram::new(histogram::CONVERGED),
            retries: 0,
            mended: BTreeMap::new(),
            overflows: WATCHES.into_iter().map(|watch| (watch, 0)).collect(),
            notifications: [0; 2],
            busy: 0,
            working: 0,
            last_progress: None,
            manifests_rejected: false,
        }
    }
}

impl Counters {
    /// A pass ended.
    pub fn passed(&mut self, took_seconds: f64, now: Timestamp) {
        self.passes.observe(took_seconds);
        self.last_pass = Some(now);
    }

    /// A step was done.
    pub fn stepped(&mut self, step: StepKey, took_seconds: f64, now: Timestamp) {
        self.steps.entry(step).or_insert_with(|| Histogram::new(histogram::STEP)).observe(took_seconds);
        self.last_progress = Some(now);
    }

    /// A step failed.
    pub fn step_failed(&mut self, step: StepKey, now: Timestamp) {
        *self.failures.entry(step).or_default() += 1;
        self.last_progress = Some(now);
    }

    /// So many zones are being worked on or wait for it.
    pub fn is_busy(&mut self, zones: u64, now: Timestamp) {
        if self.busy == 0 && zones > 0 {
            self.last_progress = Some(now);
        }
        self.busy = zones;
    }

    /// A field of a zone that had drifted was put right.
    pub fn mended(&mut self, zone: &str, field: &str) {
        *self.mended.entry((zone.to_owned(), super::class(field))).or_default() += 1;
    }

    /// There is no such zone any more.
    pub fn forget(&mut self, zone: &str) {
        self.mended.retain(|(of, _), _| of != zone);
    }

    /// A receiver of notifications was told, or could not be.
    pub fn notified(&mut self, done: bool) {
        self.notifications[usize::from(!done)] += 1;
    }

    /// A watch lost events.
    pub fn overflowed(&mut self, watch: &'static str) {
        *self.overflows.entry(watch).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_is_counted_by_class_and_forgotten_with_its_zone() {
        let mut counters = Counters::default();
        for (zone, field) in [("a", "fs./data"), ("a", "fs./other"), ("a", "net"), ("b", "processes.7")] {
            counters.mended(zone, field);
        }
        let of = |zone: &str, class| counters.mended.get(&(zone.to_owned(), class)).copied();
        assert_eq!((of("a", "fileSystems"), of("a", "network"), of("b", "processes")), (Some(2), Some(1), Some(1)));
        counters.forget("a");
        assert_eq!(counters.mended.len(), 1);
    }
}
