//! What the controller tells of itself and of the zones, as a snapshot that costs nobody anything: a reader takes the
//! pointers and leaves; the controller puts in what is new, and copies the list of zones (not the zones) only while a reader still
//! has the one before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reeve_state::metrics::{Counters, Zone};
use reeve_state::source::SourceStatus;
use reeve_state::{Timestamp, Transition, ZoneState};
use tokio::sync::{Semaphore, watch};

use crate::progress::{Notice, StepPhase, StepProgress};

/// What is told at one time.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The zones, by name.
    pub zones: Arc<BTreeMap<String, Arc<Zone>>>,
    /// How it is with the repository that is followed.
    pub source: Option<Arc<SourceStatus>>,
    /// What was counted.
    pub counters: Counters,
    /// Why the folder of manifests as it is, or what was accepted of it, is not taken in; for people, in lines.
    pub problem: Option<Arc<str>>,
    /// The zones that are being walked.
    pub walks: BTreeMap<String, Walk>,
}

/// Leave to work on a zone: all that there was in the beginning, and what is left of it.
struct Leave(usize, Arc<Semaphore>);

/// Why a zone is being walked, and how far that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Number of the pass that planned it.
    pub pass: u64,
    /// The commit that wants it, where a commit is the cause.
    pub commit: Option<String>,
    /// The state that it begins in; none is no zone.
    pub from: Option<ZoneState>,
    /// Since when it is to be walked; there may be others before it.
    pub since: Timestamp,
    /// The transitions that are walked, in order; none where the zone is changed as it is.
    pub path: Vec<Transition>,
    /// The step that was begun last.
    pub step: Option<Underway>,
}

/// A step that is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// The transition that it belongs to; none for a change on the zone as it is.
    pub transition: Option<Transition>,
    /// The step, as the plan names it.
    pub step: String,
    /// When it was begun.
    pub since: Timestamp,
}

/// See the module.
#[derive(Default)]
pub struct Board {
    told: Mutex<Told>,
    news: watch::Sender<()>,
    walks: Mutex<BTreeMap<String, Walk>>,
    leave: Vec<Leave>,
}

impl Board {
    /// An empty board beside workers that take leave from these semaphores.
    pub fn new(leave: &[&Arc<Semaphore>]) -> Self {
        let leave = leave.iter().map(|leave| Leave(leave.available_permits(), Arc::clone(leave)));
        Self { leave: leave.collect(), ..Self::default() }
    }

    /// What is told now.
    pub fn now(&self) -> Told {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = self.leave.iter().map(|Leave(all, left)| all.saturating_sub(left.available_permits()));
        told.counters.working = u64::try_from(taken.sum::<usize>()).unwrap_or(u64::MAX);
        told.walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told
    }

    /// The zones as they are told of now.
    pub fn zones(&self) -> Arc<BTreeMap<String, Arc<Zone>>> {
        Arc::clone(&self.told.lock().unwrap_or_else(PoisonError::into_inner).zones)
    }

    /// Changes what is told. `change` must not take long.
    pub fn change(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells those who wait for it that something about a zone or the source is new.
    pub fn announce(&self) {
        self.news.send_replace(());
    }

    /// What tells when that is so.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Notes why a zone is walked from now on.
    pub fn begin(&self, zone: &str, walk: Walk) {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).insert(zone.to_owned(), walk);
    }

    /// Notes that it is not walked any more; the walk that it was.
    pub fn end(&self, zone: &str) -> Option<Walk> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).remove(zone)
    }

    /// When the step of a zone was begun that is being done.
    pub fn begun(&self, zone: &str) -> Option<Timestamp> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).get(zone)?.step.as_ref().map(|step| step.since)
    }

    /// Says of a step by which pass and commit it is done.
    pub fn complete(&self, notice: &mut Notice) {
        let Notice::Step(step) = notice else { return };
        let walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(walk) = walks.get(&step.zone) {
            (step.pass, step.commit) = (Some(walk.pass), walk.commit.clone());
        }
    }

    /// Counts what a notice tells of, and notes where a walk is.
    pub fn count(&self, notice: &Notice) {
        let Notice::Step(StepProgress { zone, transition, step, phase, took_us, .. }) = notice else { return };
        let (key, now) = (|| (*transition, step.clone()), crate::store::now());
        match phase {
            StepPhase::Begun => {
                if let Some(walk) = self.walks.lock().unwrap_or_else(PoisonError::into_inner).get_mut(zone) {
                    walk.step = Some(Underway { transition: *transition, step: step.clone(), since: now });
                }
            }
            StepPhase::Done => self.change(|told| told.counters.stepped(key(), micros(*took_us), now)),
            StepPhase::Failed(_) => self.change(|told| told.counters.step_failed(key(), now)),
        }
    }
}

/// Microseconds as seconds.
pub fn micros(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
