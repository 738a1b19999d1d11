//! What is told while work goes on: steps of zones, passes, what is wrong with the manifests.

use std::sync::Arc;

use reeve_schema::Problem;
use reeve_state::{Transition, ZoneState};
use serde::{Deserialize, Serialize};

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepPhase {
    /// It begins.
    Begun,
    /// It is done, and was seen to be.
    Done,
    /// It failed; the error.
    Failed(String),
}

/// One thing that happened to one step of one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepProgress {
    /// The zone.
    pub zone: String,
    /// The transition that the step belongs to; none for a change on the zone as it is.
    pub transition: Option<Transition>,
    /// The step, as the plan names it.
    pub step: String,
    /// How far.
    pub phase: StepPhase,
    /// Microseconds that it took, once it is over.
    pub took_us: u64,
    /// Number of the controller's pass that planned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<u64>,
    /// The commit that wants it, where a commit is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What a pass of the controller came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassReport {
    /// Number of the pass, from 1.
    pub number: u64,
    /// Why it was made: `start`, `manifests`, `event`, `resync`, `asked`, `retry`.
    pub why: String,
    /// How many zones it looked at.
    pub zones: usize,
    /// Zones that it found work for.
    pub working: Vec<String>,
    /// Microseconds that the pass took, without the walks.
    pub took_us: u64,
}

/// What a controller or a command tells whoever watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Notice {
    /// A step of a zone began or ended.
    Step(StepProgress),
    /// A zone was seen in this state, after a walk or an event.
    State {
        /// The zone.
        zone: String,
        /// Its state; none when there is no such zone (any more).
        state: Option<ZoneState>,
        /// Its ID, while it is active.
        zone_id: Option<u32>,
    },
    /// A pass was made.
    Pass(PassReport),
    /// Something is wrong with the manifests; what was accepted before stays in force. Empty: they are right again.
    #[serde(skip_deserializing)]
    Problems(Vec<Problem>),
    /// A line for people about a zone (or the host): what went wrong or will be done next.
    Message {
        /// The zone, where it is about one.
        zone: Option<String>,
        /// The line.
        text: String,
    },
}

/// Whoever is told. Called from several threads; it must not block for long.
pub type Observer = Arc<dyn Fn(Notice) + Send + Sync>;

/// An observer that nobody listens to.
pub fn silent() -> Observer {
    Arc::new(|_| {})
}
