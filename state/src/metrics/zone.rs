//! Numbers of each zone, from its status and from what its plan found to differ.

use std::collections::BTreeMap;

use super::{Input, Out, sample, seconds, whole};
use crate::condition::{Condition, ConditionType};
use crate::difference::{Cause, Difference};
use crate::lifecycle::{Transition, state_name};
use crate::limits;
use crate::status::ZoneStatus;

/// What is told of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its status.
    pub status: ZoneStatus,
    /// What differs.
    pub differences: Vec<Difference>,
    /// The transitions that are planned, in order.
    pub path: Vec<Transition>,
    /// Walks that failed in a row.
    pub failures: u32,
}

impl Zone {
    /// What is told of a zone with this status, of which this differs and this is planned; none where that is what was told
    /// before.
    pub fn anew(
        before: Option<&Self>,
        status: &ZoneStatus,
        differences: &[Difference],
        path: &[Transition],
        failures: u32,
    ) -> Option<Self> {
        let same = |zone: &Self| {
            zone.status == *status && zone.differences == differences && zone.path == path && zone.failures == failures
        };
        let is_new = !before.is_some_and(same);
        is_new.then(|| Self {
            status: status.clone(),
            differences: differences.to_vec(),
            path: path.to_vec(),
            failures,
        })
    }

    /// How many fields differ, by cause, class of field, and what is done about them.
    pub fn counted(&self) -> BTreeMap<(Cause, &'static str, &'static str), u32> {
        let mut counted = BTreeMap::new();
        for difference in &self.differences {
            *counted.entry((difference.cause, class(&difference.field), difference.handled())).or_default() += 1;
        }
        counted
    }
}

/// The class of a field: a word of a short list, so that a number by class stays one of few.
pub fn class(field: &str) -> &'static str {
    let first = field.split('.').next().unwrap_or_default();
    match first {
        "state" => "state",
        "platform" | "zoneadmd" => "platform",
        "digest" | "source" | "record" | "labels" | "annotations" | "attr" => "manifest",
        "fs" | "root" | "zonepath" | "environment" => "fileSystems",
        "net" | "hostname" | "routes" | "bridge" => "network",
        "device" | "devices" => "devices",
        "processes" => "processes",
        "files" => "files",
        "cgroup" => "limits",
        "security" => "security",
        "init" => "init",
        name if limits::FIELDS.iter().any(|(limit, _)| *limit == name) => "limits",
        _ => "other",
    }
}

pub(super) fn add<'a>(out: &mut Out<'a>, input: &Input<'a>) {
    let zones = || input.zones.iter().map(|(name, zone)| (name.as_str(), &**zone));
    let state = |zone: &Zone| zone.status.state.map_or_else(|| unknown(&zone.status), |state| state.as_str());
    out.family("reeve_zone_state", zones().map(|(name, zone)| sample([name, state(zone)], 1)));
    out.family(
        "reeve_zone_desired_state",
        zones().map(|(name, zone)| sample([name, state_name(zone.status.desired)], 1)),
    );
    let conditions = || zones().flat_map(|(name, zone)| own(zone).map(move |condition| (name, condition)));
    out.family(
        "reeve_zone_condition",
        conditions().map(|(name, c)| sample([name, c.kind.as_str(), c.status.as_str(), &c.reason], 1)),
    );
    out.family(
        "reeve_zone_condition_transition_timestamp_seconds",
        conditions().map(|(name, c)| sample([name, c.kind.as_str()], seconds(c.last_transition_time))),
    );
    out.family(
        "reeve_zone_differences",
        zones().flat_map(|(name, zone)| {
            let differences = zone.counted().into_iter();
            differences
                .map(move |((cause, class, handling), count)| sample([name, cause.as_str(), class, handling], count))
        }),
    );
    let mended = input.counters.mended.iter();
    let mended = mended.map(|((zone, class), count)| sample([zone.as_str(), *class], whole(*count)));
    out.family("reeve_zone_drift_mended_total", mended);
    let ends = |zone: &Zone| zone.status.suspended.as_ref().and_then(|suspension| suspension.until);
    let ends = zones().filter_map(|(name, zone)| Some(sample([name], seconds(ends(zone)?))));
    out.family("reeve_zone_suspension_end_timestamp_seconds", ends);
    out.family("reeve_zone_restarts_total", zones().map(|(name, zone)| sample([name], zone.status.restarts)));
    out.family("reeve_zone_walk_failures", zones().map(|(name, zone)| sample([name], zone.failures)));
}

/// The word for a state that is not there: none where there is no such zone, unknown where it could not be read.
fn unknown(status: &ZoneStatus) -> &'static str {
    let converged = crate::condition::find(&status.conditions, ConditionType::Converged);
    let is_unknown = converged.is_some_and(|condition| condition.reason == "Unknown");
    if is_unknown { "unknown" } else { "none" }
}

/// The zone's own conditions; those of its source are told once for the host.
fn own(zone: &Zone) -> impl Iterator<Item = &Condition> {
    let of_source = |kind| matches!(kind, ConditionType::SourceVerified | ConditionType::SourceFresh);
    zone.status.conditions.iter().filter(move |condition| !of_source(condition.kind))
}
