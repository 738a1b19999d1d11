//! A change that waits at a gate of `spec.approval`: the zone is kept as it is recorded meanwhile, drift healed and restart
//! policy and all.

use super::zone::Subject;
use super::{Hold, ZonePlan};
use crate::approval::{self, Gated};
use crate::difference::{Price, differences};
use crate::lifecycle::ZoneState;
use crate::wanted::Wanted;

impl Subject<'_> {
    /// What the change of the zone's manifest waits for; none where there is no change, or nothing is in its way.
    pub(super) fn gate(&self) -> Option<Hold> {
        let recorded = self.recorded?;
        let change = approval::change(self.name, recorded, self.wanted)?;
        match approval::gate_of_change(&change, recorded, self.wanted, self.approvals, self.now) {
            Gated::Open => None,
            Gated::Approval => Some(Hold::AwaitingApproval { change }),
            Gated::Window { opens } => Some(Hold::AwaitingWindow { change, opens }),
        }
    }

    /// The plan to keep the zone as it is recorded.
    pub(super) fn keep_back(&self, state: Option<ZoneState>, hold: Hold, conflict: Option<&Hold>) -> ZonePlan {
        let Some(recorded) = self.recorded else { return self.only_finish_halt(state, hold) };
        let old = Wanted {
            name: self.name.to_owned(),
            manifest: recorded.manifest.clone(),
            digest: recorded.digest.clone(),
            source: None,
            unavailable: None,
        };
        let kept = Subject { wanted: Some(&old), ..*self };
        let mut plan = kept.bring_to(state, &old, conflict);
        plan.source = self.wanted.and_then(|wanted| wanted.source.clone());
        // Another hold has a time to wake at, or is about what is there; the gate is asked again after it.
        if !matches!(plan.hold, None | Some(Hold::Stay { .. } | Hold::Drifted { .. })) {
            return plan;
        }
        plan.goal = self.wanted.map_or(Some(ZoneState::Installed), |wanted| Some(wanted.goal()));
        if let Some(wanted) = self.wanted {
            plan.differences = differences(wanted, self.recorded, self.facts, self.boot_id);
            if plan.steps.is_empty() {
                plan.digest = Some(wanted.digest.clone());
            }
        }
        let now = state.map_or("none", ZoneState::as_str);
        plan.reason = format!("{now}; {}", words(self.name, &hold));
        plan.hold = Some(hold);
        plan
    }

    /// Whether somebody said that data may be lost by the change to this manifest.
    pub(super) fn is_confirmed(&self, wanted: &Wanted) -> bool {
        self.policy.confirmed.as_deref() == Some(wanted.digest.as_str())
            || self.approvals.data_may_go(self.name, self.recorded, Some(wanted))
    }

    /// Whether somebody said that the data of a zone without a manifest may be lost.
    pub(super) fn data_may_go(&self) -> bool {
        self.approvals.data_may_go(self.name, self.recorded, None)
    }
}

/// What waits for what, and what to do.
fn words(zone: &str, hold: &Hold) -> String {
    let Some(change) = hold.change() else { return String::new() };
    let fields = change.fields.join(", ");
    let price = match change.price {
        Price::Live => "live",
        Price::Restart => "restart",
        Price::Rebuild => "rebuild",
        Price::Reinstall => "reinstall",
    };
    match hold {
        Hold::AwaitingWindow { opens: None, .. } => {
            format!("the change of {fields} ({price}) waits for a window, and none opens within a year")
        }
        Hold::AwaitingWindow { .. } => format!("the change of {fields} ({price}) waits for a window"),
        _ => format!(
            "the change of {fields} ({price}) waits for approval; to approve it: reeve approve zone {zone} {}",
            change.digest
        ),
    }
}
