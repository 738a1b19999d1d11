//! The status document of a zone and of the host, made from what was wanted, seen, planned and done. It never lives in
//! git.

use serde::{Deserialize, Serialize};

use crate::approval;
use crate::condition::{self, Claim, Condition, ConditionStatus, ConditionType};
use crate::difference::{Difference, Recorded};
use crate::halt::{HaltBlockedReason, HaltStatus};
use crate::health::HealthStatus;
use crate::lifecycle::{Transition, ZoneState};
use crate::observed::ZoneFacts;
use crate::plan::{Hold, ZonePlan, ZonePolicy};
use crate::restart::{ExitReport, StayReason};
use crate::suspension::Suspension;
use crate::time::Timestamp;
use crate::wanted::{self, Wanted};

/// How many entries `history` keeps.
pub const HISTORY: usize = 32;
/// The outcome of a transition that did what it should.
pub const DONE: &str = "done";

/// One transition that was walked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When it began.
    pub at: Timestamp,
    /// The move.
    pub transition: Transition,
    /// Where it began.
    pub from: Option<ZoneState>,
    /// Where it ended, as seen.
    pub to: Option<ZoneState>,
    /// `done`, or the error.
    pub outcome: String,
    /// How long it took, in milliseconds; the last one where it was walked several times.
    pub took_ms: u64,
    /// How often it was walked in a row with this end. Only failures are counted together; not there for one.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u32,
    /// When the last of them began; not there for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_once(count: &u32) -> bool {
    *count == 1
}

impl HistoryEntry {
    /// A transition that was walked once.
    pub fn new(at: Timestamp, transition: Transition, from: Option<ZoneState>) -> Self {
        Self { at, transition, from, to: from, outcome: DONE.into(), took_ms: 0, count: 1, last_at: None }
    }

    /// Whether it failed.
    pub fn failed(&self) -> bool {
        self.outcome != DONE
    }

    /// Whether it is the same failure.
    pub fn is_again(&self, before: &Self) -> bool {
        let what = |entry: &Self| (entry.transition, entry.from, entry.to);
        self.failed() && what(self) == what(before) && self.outcome == before.outcome
    }
}

/// Adds what was walked: a failure like the one before it is counted with that one, so that a walk that is tried again
/// and again does not push out everything else.
fn add(history: &mut Vec<HistoryEntry>, walked: &[HistoryEntry]) {
    for entry in walked {
        match history.last_mut() {
            Some(last) if entry.is_again(last) => {
                last.count = last.count.saturating_add(entry.count);
                last.last_at = Some(entry.last_at.unwrap_or(entry.at));
                last.took_ms = entry.took_ms;
            }
            _ => history.push(entry.clone()),
        }
    }
    history.drain(..history.len().saturating_sub(HISTORY));
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// The name.
    pub name: String,
    /// The state; null where it is not known or there is none.
    pub state: Option<ZoneState>,
    /// The ID, while active.
    pub zone_id: Option<u32>,
    /// PID of init, in the global zone.
    pub init_pid: Option<i32>,
    /// PID of zsched.
    pub zsched_pid: Option<i32>,
    /// PID of zoneadmd.
    pub zoneadmd_pid: Option<i32>,
    /// The zone's addresses.
    pub addresses: Vec<String>,
    /// Its path.
    pub zonepath: Option<String>,
    /// The state that the manifest wants; null without a manifest.
    pub desired: Option<ZoneState>,
    /// Digest of the manifest.
    pub manifest_digest: Option<String>,
    /// Where the manifest came from.
    pub source: Option<String>,
    /// The commit with which the manifest came to be as it is; null where it is not from git.
    #[serde(default)]
    pub commit: Option<String>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// The halt that cannot finish, where there is one.
    #[serde(default)]
    pub halt: Option<HaltStatus>,
    /// A change that waits for a person or a window, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// What its health check says; null without one, and where the zone does not run.
    #[serde(default)]
    pub health: Option<HealthStatus>,
    /// Who suspended the zone, why and until when; null where nobody did.
    #[serde(default)]
    pub suspended: Option<Suspension>,
    /// Restarts of init since the manifest changed.
    pub restarts: u32,
    /// How init last ended.
    pub last_exit: Option<ExitReport>,
    /// The newest transitions, oldest first, at most [`HISTORY`].
    pub history: Vec<HistoryEntry>,
}

/// A change that waits for a person or a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Its digest, which an approval names.
    pub digest: String,
    /// The fields that change; `manifest` where that is gone.
    pub fields: Vec<String>,
    /// Whether a person must say something first; else a window opens by itself.
    pub needs_approval: bool,
    /// Whether data would be lost by it, so that a person must say that it may.
    pub data_loss: bool,
    /// When the window opens that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Timestamp>,
}

/// All zones of the host, without the global one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// `"1"`.
    pub format_version: String,
    /// The zones, by name.
    pub items: Vec<ZoneStatus>,
}

impl HostStatus {
    /// The document for these zones.
    pub fn new(mut items: Vec<ZoneStatus>) -> Self {
        items.sort_by(|a, b| a.name.cmp(&b.name));
        HostStatus { format_version: "1".into(), items }
    }
}

/// What came of walking a zone's plan; the default is that nothing was walked and nothing is known to be wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    /// The transitions that were walked, oldest first.
    pub walked: Vec<HistoryEntry>,
    /// The step that failed and what it said; a later walk tries again.
    pub failed: Option<String>,
    /// Why the halt cannot finish, and what the operator can do.
    pub halt_blocked: Option<(HaltBlockedReason, String)>,
    /// Conditions that others know of: Degraded, DriftReturning, LimitsSkipped, SourceVerified, SourceFresh.
    pub claims: Vec<Claim>,
}

/// Everything that a zone's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The manifest.
    pub wanted: Option<&'a Wanted>,
    /// What is seen now.
    pub facts: &'a ZoneFacts,
    /// What is recorded.
    pub recorded: Option<&'a Recorded>,
    /// What remains to be done, planned from these facts.
    pub plan: &'a ZonePlan,
    /// The restart history.
    pub policy: &'a ZonePolicy,
    /// What came of the last walk.
    pub outcome: &'a Outcome,
    /// The halt that could not finish.
    pub halt: Option<&'a HaltStatus>,
    /// The commit in force, where manifests are from git.
    pub commit: Option<&'a str>,
    /// What is to be said of the source of the manifest ([`crate::source::SourceStatus::claims`]).
    pub source: &'a [Claim],
    /// The status before.
    pub previous: Option<&'a ZoneStatus>,
    /// The time.
    pub now: Timestamp,
}

/// The status of a zone.
pub fn status(input: &Input<'_>) -> ZoneStatus {
    let Input { wanted, facts, plan, policy, previous, .. } = *input;
    let state = plan.from.known().copied();
    let active = state.is_some_and(ZoneState::is_active);
    let mut history = previous.map(|p| p.history.clone()).unwrap_or_default();
    add(&mut history, &input.outcome.walked);
    let manifest = input.recorded.map(|r| &r.manifest).or(wanted.map(|w| &w.manifest));
    ZoneStatus {
        name: plan.name.clone(),
        state,
        zone_id: facts.zone_id.filter(|_| active),
        init_pid: facts.init.known().map(|p| p.pid),
        zsched_pid: facts.zsched.known().map(|p| p.pid),
        zoneadmd_pid: facts.zoneadmd.known().map(|p| p.pid),
        addresses: addresses(input),
        zonepath: facts
            .zonepath
            .clone()
            .or_else(|| manifest.and_then(|manifest| wanted::zonepath(manifest)).map(String::from)),
        desired: wanted.map(Wanted::goal),
        manifest_digest: wanted.map(|w| w.digest.clone()),
        source: wanted.and_then(|w| w.source.clone()).or_else(|| facts.configured.known()?.source.clone()),
        commit: commit(input),
        conditions: conditions(input),
        halt: halting(input).cloned(),
        pending: pending(input),
        health: None,
        suspended: policy.suspended.clone().filter(|suspension| !suspension.is_over(input.now)),
        restarts: policy.restarts.restarts,
        last_exit: facts.last_exit.or(policy.restarts.last_exit),
        history,
    }
}

/// The commit in force when the manifest came to be as it is: later ones that leave it alone are not this zone's matter.
fn commit(input: &Input<'_>) -> Option<String> {
    let (wanted, now) = (input.wanted?, input.commit?);
    let same = input.previous.filter(|before| before.manifest_digest.as_ref() == Some(&wanted.digest));
    same.and_then(|before| before.commit.clone()).or_else(|| Some(now.to_owned()))
}

/// What waits for a person or a window.
fn pending(input: &Input<'_>) -> Option<Pending> {
    let digest = || approval::digest(&input.plan.name, input.recorded, input.wanted);
    let loses =
        |fields: Vec<String>| Pending { digest: digest(), fields, needs_approval: true, data_loss: true, opens: None };
    match input.plan.hold.as_ref()? {
        Hold::AwaitingApproval { change } | Hold::AwaitingWindow { change, .. } => Some(Pending {
            digest: change.digest.clone(),
            fields: change.fields.clone(),
            needs_approval: matches!(input.plan.hold, Some(Hold::AwaitingApproval { .. })),
            data_loss: false,
            opens: input.plan.hold.as_ref().and_then(Hold::until),
        }),
        Hold::AwaitingConfirmation { fields } => Some(loses(fields.clone())),
        Hold::FilesGone => Some(loses(vec!["root".into()])),
        _ => None,
    }
}

/// The halt that cannot finish, as long as the zone is seen to be halting.
fn halting<'a>(input: &Input<'a>) -> Option<&'a HaltStatus> {
    input.halt.filter(|_| !matches!(input.plan.from.known(), Some(state) if !state.is_halting()))
}

/// The addresses that were seen, or where nobody looked, those that the zone was made with.
fn addresses(input: &Input<'_>) -> Vec<String> {
    let links = input.facts.links.known().map(Vec::as_slice).unwrap_or_default();
    if links.iter().any(|link| link.addresses.is_some()) {
        return links.iter().flat_map(|link| link.addresses.clone().unwrap_or_default()).collect();
    }
    let manifest = input.recorded.map(|r| &r.manifest).or(input.wanted.map(|w| &w.manifest));
    let nets = manifest.map(|manifest| wanted::net(manifest)).unwrap_or_default();
    nets.iter().filter_map(|net| net.address).map(|address| address.to_string()).collect()
}

/// All conditions of the zone, with their times from the status before.
fn conditions(input: &Input<'_>) -> Vec<Condition> {
    let claims = claims(input);
    let mut out = input.previous.map(|p| p.conditions.clone()).unwrap_or_default();
    out.retain(|condition| claims.iter().any(|claim| claim.kind == condition.kind));
    let digest = input.wanted.map(|w| w.digest.as_str());
    for claim in claims {
        condition::set(&mut out, claim, digest, input.now);
    }
    out
}

fn claims(input: &Input<'_>) -> Vec<Claim> {
    let Input { plan, outcome, .. } = *input;
    let mut out = outcome.claims.clone();
    if input.wanted.is_some() {
        out.extend(input.source.iter().cloned());
    }
    if let Some(halt) = halting(input) {
        out.push(Claim::is_true(ConditionType::HaltBlocked, format!("{:?}", halt.reason), halt.message()));
    }
    match &plan.hold {
        Some(Hold::Stay { why: StayReason::GaveUp }) => {
            out.push(Claim::is_true(ConditionType::GaveUp, "TooManyEnds", plan.reason.clone()));
        }
        Some(Hold::AwaitingConfirmation { fields }) => {
            let gone = fields.iter().any(|field| field == "manifest");
            let reason = if gone { "ManifestGone" } else { "DataWouldBeLost" };
            out.push(Claim::is_true(ConditionType::AwaitingConfirmation, reason, plan.reason.clone()));
        }
        Some(Hold::FilesGone) => {
            out.push(Claim::is_true(ConditionType::AwaitingConfirmation, "FilesGone", plan.reason.clone()));
        }
        Some(Hold::AwaitingApproval { change }) => {
            let reason = if change.drift { "DriftApprovalRequired" } else { "ApprovalRequired" };
            out.push(Claim::is_true(ConditionType::AwaitingConfirmation, reason, plan.reason.clone()));
        }
        _ => {}
    }
    let names = |of: &dyn Fn(&Difference) -> bool| {
        plan.differences.iter().filter(|d| of(d)).map(|d| d.field.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (drifted, returning) = (names(&Difference::is_told), names(&|d| d.returning));
    if !drifted.is_empty() {
        out.push(Claim::is_true(ConditionType::Drifted, drift_reason(plan), drifted));
    }
    if !returning.is_empty() {
        let message = format!("{returning}: came back too often to be mended again");
        out.push(Claim::is_true(ConditionType::DriftReturning, "TooOften", message));
    }
    let stalling = out.iter().find(|c| c.kind.stalls() && c.status == ConditionStatus::True).cloned();
    let failed = outcome.failed.as_ref().filter(|_| !plan.is_past_failures());
    let waits = matches!(plan.hold, Some(Hold::Backoff { .. } | Hold::AwaitingWindow { .. })) || failed.is_some();
    match &stalling {
        Some(cause) => {
            out.push(Claim::is_true(ConditionType::Stalled, format!("{:?}", cause.kind), cause.message.clone()))
        }
        None if waits || !plan.steps.is_empty() => {
            let reason = if failed.is_some() { "Retrying" } else { "InProgress" };
            out.push(Claim::is_true(ConditionType::Reconciling, reason, plan.reason.clone()));
        }
        None => {}
    }
    out.push(converged(input, stalling.as_ref()));
    out
}

/// Drift that waits for a window and will be put right then is nothing that somebody must be told of now.
fn drift_reason(plan: &ZonePlan) -> &'static str {
    let for_window = matches!(&plan.hold, Some(Hold::AwaitingWindow { change, .. }) if change.drift);
    let left = |d: &&Difference| d.is_told() && !d.is_acted_on();
    let all_wait = plan.differences.iter().filter(left).all(|d| d.waiting);
    if for_window && all_wait { "AwaitingWindow" } else { "FieldsDiffer" }
}

/// That a manifest which changed meanwhile waits for the end of a halt.
fn waiting(input: &Input<'_>) -> String {
    let changed = input.wanted.filter(|wanted| input.recorded.is_some_and(|recorded| recorded.digest != wanted.digest));
    match (halting(input), changed) {
        (Some(_), Some(wanted)) => {
            let source = wanted.source.as_deref().unwrap_or("the manifest");
            format!(". The changed manifest ({source}) waits until the halt is done")
        }
        _ => String::new(),
    }
}

fn converged(input: &Input<'_>, stalling: Option<&Claim>) -> Claim {
    let Input { plan, outcome, .. } = *input;
    let not = |reason: String, message: &str| Claim::is_false(ConditionType::Converged, reason, message);
    if let Some(Hold::Unknown { .. }) = plan.hold {
        let claim = not("Unknown".into(), &plan.reason);
        return Claim { status: ConditionStatus::Unknown, ..claim };
    }
    if let (Some(Hold::OtherSource { .. }), None) = (&plan.hold, stalling) {
        // Nothing is wanted of it here, so nothing can be said of whether it is as wanted.
        let claim = not("NotFollowed".into(), &plan.reason);
        return Claim { status: ConditionStatus::Unknown, ..claim };
    }
    // Whoever is told of drift need not be told of the same zone twice.
    let drift_waits = matches!(&plan.hold, Some(Hold::AwaitingApproval { change }) if change.drift);
    let by_drift = drift_waits && stalling.is_some_and(|cause| cause.kind == ConditionType::AwaitingConfirmation);
    if let Some(cause) = stalling.filter(|_| !by_drift) {
        let message = format!("{}{}", cause.message, waiting(input));
        return not(format!("{:?}", cause.kind), &message);
    }
    if let (Some(error), false) = (&outcome.failed, plan.is_past_failures()) {
        return not("StepFailed".into(), error);
    }
    match &plan.hold {
        Some(Hold::Stay { why }) => not(why.as_str().into(), &plan.reason),
        Some(Hold::Backoff { .. }) => not("Backoff".into(), &plan.reason),
        Some(Hold::Conflict { .. }) => not("Conflict".into(), &plan.reason),
        Some(Hold::DependsOn { .. }) => not("DependsOn".into(), &plan.reason),
        Some(Hold::SecretUnavailable { .. }) => not("SecretUnavailable".into(), &plan.reason),
        Some(Hold::Suspended { .. }) => not("Suspended".into(), &plan.reason),
        Some(Hold::Drifted { .. }) => not("Drifted".into(), &plan.reason),
        Some(Hold::AwaitingApproval { change }) if change.drift => not("Drifted".into(), &plan.reason),
        Some(Hold::AwaitingApproval { .. }) => not("AwaitingApproval".into(), &plan.reason),
        Some(Hold::AwaitingWindow { .. }) => not("AwaitingWindow".into(), &plan.reason),
        Some(Hold::AwaitingConfirmation { .. } | Hold::FilesGone | Hold::Unknown { .. } | Hold::OtherSource { .. }) => {
            not("Held".into(), &plan.reason)
        }
        None if !plan.steps.is_empty() => not("InProgress".into(), &plan.reason),
        None => Claim::is_true(ConditionType::Converged, "AsWanted", &plan.reason),
    }
}
