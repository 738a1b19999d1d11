//! What is to be done: a legal path for each zone, its steps and what they cost, and where a zone must wait, why.
//! Planning decides everything and touches nothing; walking touches and decides nothing.

pub mod basis;
mod depend;
pub mod digest;
pub mod document;
mod gate;
mod order;
mod request;
pub mod step_name;
mod steps;
mod way;
mod words;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use depend::take_down_in_order;
pub use request::{Refusal, request, restart, take_down};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::{Approvals, Change};
use crate::difference::{Difference, Recorded};
use crate::drift::DriftMemory;
use crate::lifecycle::{Transition, ZoneState};
use crate::observed::{Fact, HostFacts, ZoneFacts};
use crate::restart::{RestartHistory, StayReason};
use crate::suspension::Suspension;
use crate::time::Timestamp;
use crate::wanted::Wanted;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// A part of a transition.
    Transition(Transition),
    /// Something on the zone as it is, without a transition.
    Live,
}

/// What a step costs. Times are estimates for an idle host; where init is asked to end, they count the whole
/// `init.haltTimeout`, so that what a person is told is the worst of the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Milliseconds in which the application environment does not run because of it.
    pub downtime_ms: u64,
    /// Milliseconds that it takes.
    pub total_ms: u64,
    /// Whether data is lost.
    pub destroys_data: bool,
    /// Whether the zone gets a new ID.
    pub new_zone_id: bool,
}

/// One step. The steps of one transition follow each other; the first leaves `from` of its edge, the last reaches `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it belongs to.
    pub action: Action,
    /// The state before it; `None` is no zone.
    pub from: Option<ZoneState>,
    /// The state after it.
    pub to: Option<ZoneState>,
    /// Its name, one of [`step_name`].
    pub name: String,
    /// What it costs.
    pub cost: Cost,
}

/// Why a zone does not go where its manifest wants it, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason")]
pub enum Hold {
    /// Facts that are needed could not be read.
    Unknown {
        /// Which and why.
        why: String,
    },
    /// The restart policy says stay.
    Stay {
        /// Why.
        why: StayReason,
    },
    /// The restart policy says wait.
    Backoff {
        /// Until when.
        until: Timestamp,
    },
    /// Data would be lost, or the manifest is gone; a person must speak first.
    AwaitingConfirmation {
        /// The fields, or `manifest` where the manifest is gone.
        fields: Vec<String>,
    },
    /// The installed files have gone without an uninstall: perhaps a disk is not mounted. Installing anew over that is
    /// nothing to be done unasked; a confirmation lets it go on.
    FilesGone,
    /// A person must approve the change of the manifest first: until then the zone is kept as it is recorded.
    AwaitingApproval {
        /// What waits.
        change: Change,
    },
    /// The change of the manifest waits for a window: until then the zone is kept as it is recorded.
    AwaitingWindow {
        /// What waits.
        change: Change,
        /// When a window opens; none where none does within a year.
        opens: Option<Timestamp>,
    },
    /// Another zone has what this one needs and is not about to give it up.
    Conflict {
        /// That zone.
        with: String,
        /// What: an address or a path.
        what: String,
    },
    /// A zone that it depends on does not run, and is not about to. It is installed, and what is up stays as it is.
    DependsOn {
        /// That zone.
        zone: String,
        /// Whether it is to be healthy, and not only to run.
        healthy: bool,
    },
    /// A secret that the manifest names could not be had on this host. What is wanted is not known then: the zone stays as
    /// it is, but for going down where the manifest says so.
    SecretUnavailable {
        /// Which, why, and what to do.
        why: String,
    },
    /// Something on the host is otherwise than recorded, and is left so: the manifest says that it is only to be told of, or it
    /// came back too often.
    Drifted {
        /// The fields.
        fields: Vec<String>,
    },
    /// Somebody suspended the zone.
    Suspended {
        /// When that ends by itself.
        until: Option<Timestamp>,
    },
    /// None of these manifests names it, and none of them did: it came from elsewhere, so that it is no matter of theirs.
    OtherSource {
        /// The file that it came from, where that is recorded.
        file: Option<String>,
    },
}

impl Hold {
    /// When the zone stops waiting by itself, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Backoff { until } => Some(*until),
            Self::AwaitingWindow { opens, .. } => *opens,
            Self::Suspended { until } => *until,
            _ => None,
        }
    }

    /// Whether a person's approval would let the zone go on.
    pub fn yields_to_approval(&self) -> bool {
        matches!(
            self,
            Self::AwaitingApproval { .. }
                | Self::AwaitingWindow { .. }
                | Self::AwaitingConfirmation { .. }
                | Self::FilesGone
        )
    }

    /// Whether a change of the manifest waits, so that the zone is kept as it is recorded.
    pub fn keeps_back(&self) -> bool {
        self.change().is_some_and(|change| !change.drift)
    }

    /// What waits at a gate: a change of the manifest, or drift.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::AwaitingApproval { change } | Self::AwaitingWindow { change, .. } => Some(change),
            _ => None,
        }
    }
}

/// What is to be done with one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZonePlan {
    /// The zone.
    pub name: String,
    /// The state it is in; Absent is no zone.
    pub from: Fact<ZoneState>,
    /// The state it is in when the steps are done; `None` is no zone, or not known.
    pub to: Option<ZoneState>,
    /// The state that is wanted; without a hold, `to` equals it. `None` is no zone.
    pub goal: Option<ZoneState>,
    /// The transitions, in order.
    pub path: Vec<Transition>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Why it does not go (all the way), where it does not. Steps that are there are walked nevertheless.
    pub hold: Option<Hold>,
    /// The manifest that the steps use, and that `writeConfiguration` and `record` write: the desired one, but fields
    /// that wait for a confirmation are as recorded. `None` where nothing is brought up or written.
    pub manifest: Option<Arc<Value>>,
    /// Digest of the desired manifest.
    pub digest: Option<String>,
    /// Where the desired manifest is, `FILE:LINE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Zones whose teardown must be done before this zone's bring-up begins: they still hold what it needs.
    pub after: Vec<String>,
    /// Zones that must run before this zone's bring-up begins: it depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub up_after: Vec<String>,
    /// Zones whose teardown must be done before this zone's begins: they depend on it and go down as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down_after: Vec<String>,
    /// In words.
    pub reason: String,
}

impl ZonePlan {
    /// Every zone that it waits for, before it goes down or before it comes up.
    pub fn waits_for(&self) -> impl Iterator<Item = &String> {
        self.after.iter().chain(&self.up_after).chain(&self.down_after)
    }

    /// When it stops waiting by itself, where it waits for a time.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.hold.as_ref()?.until()
    }

    /// Whether what failed before is no longer what the zone waits for: it is as wanted, whoever has done it, or it has nothing to do
    /// before something else comes.
    pub fn is_past_failures(&self) -> bool {
        let idle = self.steps.is_empty() && matches!(self.hold, None | Some(Hold::Suspended { .. }));
        idle || self.held_for_secret().is_some()
    }

    /// Which secret a zone lacks that has nothing to do before it is there. What failed before is no longer what it waits for.
    pub fn held_for_secret(&self) -> Option<&str> {
        match &self.hold {
            Some(Hold::SecretUnavailable { why }) if self.steps.is_empty() => Some(why),
            _ => None,
        }
    }
}

/// What is to be done with every zone; zones with a teardown come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// One entry for each zone that is wanted or seen, also where nothing is to be done.
    pub zones: Vec<ZonePlan>,
}

impl Plan {
    /// Whether no zone has a step.
    pub fn is_empty(&self) -> bool {
        self.zones.iter().all(|z| z.steps.is_empty())
    }

    /// The entry of a zone.
    pub fn zone(&self, name: &str) -> Option<&ZonePlan> {
        self.zones.iter().find(|z| z.name == name)
    }

    /// The earliest time at which a zone stops waiting by itself.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.zones.iter().filter_map(ZonePlan::wakes_at).min()
    }
}

/// What people and earlier passes have said about a zone, beside its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZonePolicy {
    /// Starts and ends of its init.
    pub restarts: RestartHistory,
    /// Leave it alone (an unfinished halt still goes on).
    #[serde(deserialize_with = "crate::suspension::lenient")]
    pub suspended: Option<Suspension>,
    /// Whether its health check succeeded since init was started, and does not fail now. Seen anew by each controller.
    #[serde(skip)]
    pub healthy: bool,
    /// What drifted, and how often.
    pub drift: DriftMemory,
    /// Digest of a manifest for which somebody confirmed that the data of the zone may be lost.
    pub confirmed: Option<String>,
}

impl ZonePolicy {
    /// What a retry does: ends of init and what drifted up to now count no longer.
    pub fn forgive(&mut self) {
        self.restarts = self.restarts.retried();
        self.drift = self.drift.retried();
    }
}

/// Everything that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The zones that are wanted, by name.
    pub wanted: &'a BTreeMap<String, Wanted>,
    /// The file or folder that they are all the zones of, absolute. A zone that they do not name has lost its manifest only
    /// if that was there; others are left alone. None: they are all there is, wherever a zone came from.
    pub source: Option<&'a str>,
    /// What was seen.
    pub facts: &'a HostFacts,
    /// What was recorded, by name of zone.
    pub recorded: &'a BTreeMap<String, Recorded>,
    /// What was said, by name of zone; a zone without an entry has the default.
    pub policies: &'a BTreeMap<String, ZonePolicy>,
    /// The changes that people approved.
    pub approvals: &'a Approvals,
    /// The time.
    pub now: Timestamp,
}

/// The plan for every zone that is wanted or seen.
pub fn plan(input: &Input<'_>) -> Plan {
    let names: BTreeSet<&String> = input.wanted.keys().chain(input.facts.zones.keys()).collect();
    plan_zones(input, names.into_iter())
}

/// The plan for some zones only. The facts and records of the others count all the same: what one of them has and is not
/// about to give up is not free. Costs nothing for them unless a zone is to be brought up.
pub fn plan_some(input: &Input<'_>, names: &BTreeSet<String>) -> Plan {
    plan_zones(input, names.iter())
}

fn plan_zones<'a>(input: &Input<'_>, names: impl Iterator<Item = &'a String>) -> Plan {
    let mut zones: Vec<ZonePlan> = names.map(|name| with_subject(input, name, |s| zone::plan(s, None))).collect();
    let needs = |zone: &ZonePlan| zone.path.iter().any(|t| matches!(t, Transition::Ready | Transition::Install));
    let holdings = match zones.iter().any(needs) {
        true => order::Holdings::of(input.facts, input.recorded),
        false => order::Holdings::default(),
    };
    // A zone that is held back may be the one that another was waiting for: until nobody new is held back.
    loop {
        let mut held = order::conflicts(&zones, &holdings);
        if held.is_empty() {
            held = depend::held(&zones, input);
        }
        if held.is_empty() {
            break;
        }
        for (index, hold) in held {
            zones[index] = with_subject(input, &zones[index].name, |s| zone::plan(s, Some(&hold)));
        }
    }
    order::arrange(&mut zones, &holdings);
    depend::arrange(&mut zones, input);
    Plan { zones }
}

/// Calls `f` with all that is known of one zone.
fn with_subject<T>(input: &Input<'_>, name: &str, f: impl FnOnce(&zone::Subject<'_>) -> T) -> T {
    let nothing = ZoneFacts::absent(name);
    let policy = ZonePolicy::default();
    f(&zone::Subject {
        name,
        wanted: input.wanted.get(name),
        source: input.source,
        facts: input.facts.zones.get(name).unwrap_or(&nothing),
        recorded: input.recorded.get(name),
        policy: input.policies.get(name).unwrap_or(&policy),
        approvals: input.approvals,
        boot_id: &input.facts.boot_id,
        now: input.now,
    })
}
