//! What commands say about zones: their rows in tables, what they may do next, what a controller will do with them.

use std::collections::VecDeque;

use reeve::Host;
use reeve::controller::{Controller, ControllerInfo};
use reeve::store::ZoneFiles;
use reeve::words;
use reeve_schema::DesiredState;
use reeve_state::condition::{self, ConditionStatus, ConditionType};
use reeve_state::lifecycle::{EDGES, state_name};
use reeve_state::status::ZoneStatus;
use reeve_state::{Timestamp, ZoneState};

use super::failure::Failure;
use super::output::Table;
use super::{Context, input, time};

/// The columns of a table of zones.
pub const COLUMNS: [&str; 8] = ["NAME", "ID", "STATE", "DESIRED", "ADDRESS", "CONVERGED", "REASON", "AGE"];

/// A table of these zones.
pub fn table(zones: &[ZoneStatus], now: Timestamp) -> Table {
    let mut table = Table::new(&COLUMNS);
    for zone in zones {
        table.row(row(zone, now));
    }
    table
}

/// A zone's row in it.
pub fn row(zone: &ZoneStatus, now: Timestamp) -> [String; 8] {
    let (converged, reason) = match condition::find(&zone.conditions, ConditionType::Converged) {
        Some(found) => (status_name(found.status).to_owned(), found.reason.clone()),
        None => (String::new(), String::new()),
    };
    let reason = if zone.suspended.is_some() { "Suspended".to_owned() } else { reason };
    [
        zone.name.clone(),
        zone.zone_id.map(|id| id.to_string()).unwrap_or_default(),
        state_name(zone.state).to_owned(),
        zone.desired.map(|state| state.to_string()).unwrap_or_default(),
        zone.addresses.join(","),
        converged,
        reason,
        words::since(zone).map(|since| time::age(since, now)).unwrap_or_default(),
    ]
}

/// Whether the last pass left the zone alone because it came from elsewhere.
pub fn is_not_followed(zone: &ZoneStatus) -> bool {
    let converged = condition::find(&zone.conditions, ConditionType::Converged);
    zone.desired.is_none() && converged.is_some_and(|found| found.reason == "NotFollowed")
}

/// The word for whether a condition holds.
pub fn status_name(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

/// The status of a zone.
///
/// # Errors
/// There is no such zone; which there are.
pub fn find(host: &Host, name: &str) -> Result<ZoneStatus, Failure> {
    let zones = host.status().items;
    let names: Vec<String> = zones.iter().map(|zone| zone.name.clone()).collect();
    zones.into_iter().find(|zone| zone.name == name).ok_or_else(|| no_such_zone(name, &names))
}

/// That there is no such zone, and what there is.
pub fn no_such_zone(name: &str, names: &[String]) -> Failure {
    let help = match names {
        [] => "no zone is configured here; `reeve apply PATH` configures those of its manifests".to_owned(),
        names => format!("there is {}", names.join(", ")),
    };
    Failure::new(format!("no zone {} here", super::safe_text::line(name))).help(help)
}

/// A controller that runs for this state folder, if any. One that does not answer is none that can be asked.
pub fn controller(context: &Context) -> Option<ControllerInfo> {
    Controller::connect(&context.places).ok().flatten().and_then(|mut controller| controller.info().ok())
}

/// What a controller will do with a zone that is in this state, in words. The zone is not looked at again: the controller
/// may have been at it by now.
pub fn controller_next(
    context: &Context,
    host: &Host,
    info: &ControllerInfo,
    zone: &str,
    state: Option<ZoneState>,
) -> String {
    let who = format!("the controller (process {}) follows {}", info.pid, info.source.display());
    let suspension = ZoneFiles::new(host.places(), zone).suspension();
    if let Some(suspension) = suspension.filter(|suspension| !suspension.is_over(host.now())) {
        return format!("{who} and leaves the zone alone: {}", suspension.words());
    }
    let Ok(set) = input::load(context, std::slice::from_ref(&info.source)) else {
        return format!("{who}, whose manifests have problems: it keeps to those before");
    };
    let Some((_, loaded)) = set.zones.iter().find(|(name, _)| name.as_str() == zone) else {
        return match host.zones_from(&info.source).iter().any(|name| name == zone) {
            true => format!("{who}, whose manifest of the zone is gone: what becomes of it is said by its `deletion`"),
            false => format!("{who}, where the zone is not from: it leaves the zone alone"),
        };
    };
    let desired = match loaded.zone.spec.state {
        DesiredState::Installed => ZoneState::Installed,
        DesiredState::Ready => ZoneState::Ready,
        DesiredState::Running => ZoneState::Running,
    };
    let said = format!("{who}, where {} says {desired}", loaded.origin.file);
    match moves_between(state, desired) {
        moves if moves.is_empty() => format!("{said}: as it is"),
        moves => format!("{said}: it takes the zone there ({})", moves.join(", ")),
    }
}

/// The shortest legal way from one state to another; empty where there is none or none is needed.
fn moves_between(from: Option<ZoneState>, to: ZoneState) -> Vec<&'static str> {
    let mut ways: VecDeque<(Option<ZoneState>, Vec<&'static str>)> = [(from, Vec::new())].into();
    let mut seen = vec![from];
    while let Some((state, way)) = ways.pop_front() {
        if state == Some(to) {
            return way;
        }
        let edges = EDGES.iter().filter(|edge| edge.from == state && edge.transition.can_be_asked_for());
        for edge in edges.filter(|edge| !edge.transition.destroys_data()) {
            if !seen.contains(&edge.to) {
                seen.push(edge.to);
                ways.push_back((edge.to, way.iter().copied().chain([edge.transition.as_str()]).collect()));
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_to_what_the_manifest_says() {
        let between = |from, to| moves_between(from, to).join(", ");
        assert_eq!(between(Some(ZoneState::Ready), ZoneState::Running), "boot");
        assert_eq!(between(Some(ZoneState::Installed), ZoneState::Running), "ready, boot");
        assert_eq!(between(Some(ZoneState::Running), ZoneState::Ready), "stop");
        assert_eq!(between(Some(ZoneState::ShuttingDown), ZoneState::Running), "halt, ready, boot");
        assert_eq!(between(Some(ZoneState::Ready), ZoneState::Ready), "");
    }
}
