//! What waits at a gate of `spec.approval`. A change of the manifest: the zone is kept as it is recorded meanwhile, drift healed
//! and restart policy and all. Drift: it is left as it is meanwhile, and all else goes on.

use super::zone::Subject;
use super::{Hold, ZonePlan};
use crate::approval::{self, Gated};
use crate::difference::{Difference, Price, differences};
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

    /// What the drift that would be healed waits for, where it does: that is marked then, and left as it is.
    pub(super) fn gate_drift(&self, wanted: &Wanted, differences: &mut [Difference]) -> Option<Hold> {
        let (change, gated) =
            approval::gate_of_drift(self.name, self.recorded, wanted, self.approvals, self.now, differences)?;
        match gated {
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
        // Another hold has a time to wake at, or is about what is there; the gate is asked again after it. Drift that waits is asked
        // for after the change.
        let drift = |hold: &Hold| hold.change().is_some() && !hold.keeps_back();
        if !plan.hold.as_ref().is_some_and(drift)
            && !matches!(plan.hold, None | Some(Hold::Stay { .. } | Hold::Drifted { .. }))
        {
            return plan;
        }
        plan.goal = self.wanted.map_or(Some(ZoneState::Installed), |wanted| Some(wanted.goal()));
        if let Some(wanted) = self.wanted {
            plan.differences = differences(wanted, self.recorded, self.facts, self.boot_id);
            self.gate_drift(&old, &mut plan.differences);
            if plan.steps.is_empty() {
                plan.digest = Some(wanted.digest.clone());
            }
        }
        let now = state.map_or("none", ZoneState::as_str);
        plan.reason = format!("{now}; {}", hold_in_words(self.name, &hold));
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

/// What waits for what, and what to do. Nothing for a hold that is no gate's.
pub(super) fn hold_in_words(zone: &str, hold: &Hold) -> String {
    let Some(change) = hold.change() else { return String::new() };
    let price = match change.price {
        Price::Live => "live",
        Price::Restart => "restart",
        Price::Rebuild => "rebuild",
        Price::Reinstall => "reinstall",
    };
    let what = if change.drift { "putting right the drift of" } else { "the change of" };
    let what = format!("{what} {} ({price})", change.fields.join(", "));
    match hold {
        Hold::AwaitingWindow { opens: None, .. } => {
            format!("{what} waits for a window, and none opens within a year")
        }
        Hold::AwaitingWindow { .. } => format!("{what} waits for a window"),
        _ => format!("{what} waits for approval; to approve it: reeve approve zone {zone} {}", change.digest),
    }
}
