//! A plan in words.

use super::gate::hold_in_words;
use super::{Hold, ZonePlan};
use crate::difference::{Cause, Difference};
use crate::lifecycle::{ZoneState, state_name};
use crate::observed::Fact;

/// The plan in words.
pub(super) fn reason(plan: &ZonePlan, differences: &[Difference]) -> String {
    let now = match &plan.from {
        Fact::Known(state) => state.as_str(),
        _ => "none",
    };
    if plan.steps.is_empty() && plan.hold.is_none() {
        return format!("{now}, as wanted");
    }
    let mut parts = vec![if Some(now) == plan.goal.map(ZoneState::as_str) {
        now.to_owned()
    } else {
        format!("{now}, wanted {}", state_name(plan.goal))
    }];
    let fields = fields_in_words(differences);
    if !fields.is_empty() {
        parts.push(format!("differs: {fields}"));
    }
    match &plan.hold {
        Some(Hold::Stay { why }) => parts.push(format!("stays: {}", why.as_str())),
        Some(Hold::Backoff { .. }) => parts.push("waits before the next start".into()),
        Some(Hold::AwaitingConfirmation { fields }) => {
            parts.push(format!("data would be lost, so a person must confirm: {}", fields.join(", ")));
        }
        Some(Hold::Conflict { with, what }) => parts.push(format!("zone {with} has {what}")),
        Some(Hold::Drifted { fields }) => parts.push(format!("left as it is: {}", fields.join(", "))),
        Some(Hold::DependsOn { zone, healthy }) => {
            let what = if *healthy { "is healthy" } else { "runs" };
            parts.push(format!("waits until zone {zone} {what}, on which it depends"));
        }
        Some(Hold::FilesGone) => {
            parts.push("its files are gone without an uninstall; mount what is missing, or confirm an install".into());
        }
        Some(hold @ (Hold::AwaitingApproval { .. } | Hold::AwaitingWindow { .. })) => {
            parts.push(hold_in_words(&plan.name, hold));
        }
        Some(
            Hold::Unknown { .. } | Hold::SecretUnavailable { .. } | Hold::Suspended { .. } | Hold::OtherSource { .. },
        )
        | None => {}
    }
    parts.join("; ")
}

/// What differs beside the state, with the causes.
pub(super) fn fields_in_words(differences: &[Difference]) -> String {
    let told = |d: &Difference| format!("{} ({})", d.field, cause_name(d.cause));
    let fields: Vec<String> =
        differences.iter().filter(|d| d.field != "state" && d.field != "digest").map(told).collect();
    fields.join(", ")
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Change => "change",
        Cause::Drift => "drift",
        Cause::Both => "change and drift",
        Cause::HostBoot => "host boot",
        Cause::Adopted => "adopted",
        Cause::Unfinished => "unfinished",
    }
}
