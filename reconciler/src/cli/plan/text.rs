//! A plan as people read it: for each zone the legal path, its steps and what they cost, and what differs.

use reeve::host::Planned;
use reeve_state::audit::Severity;
use reeve_state::difference::Difference;
use reeve_state::lifecycle::{edge_for, state_name};
use reeve_state::plan::{Action, Hold, Step, ZonePlan};
use reeve_state::{Fact, Timestamp, ZoneState};

use crate::cli::diff;
use crate::cli::output::{BOLD, CYAN, FAINT, GREEN, PLAIN, RED, YELLOW, count};
use crate::cli::{safe_text, time};

/// What several steps cost together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Milliseconds.
    pub total_ms: u64,
    /// Milliseconds in which the application environment does not run.
    pub downtime_ms: u64,
    /// Whether data is lost.
    pub destroys_data: bool,
    /// Whether there is a new ID.
    pub new_zone_id: bool,
}

impl Costs {
    /// Of these steps.
    pub fn of(steps: &[Step]) -> Self {
        steps.iter().fold(Self::default(), |sum, Step { cost, .. }| Self {
            total_ms: sum.total_ms + cost.total_ms,
            downtime_ms: sum.downtime_ms + cost.downtime_ms,
            destroys_data: sum.destroys_data || cost.destroys_data,
            new_zone_id: sum.new_zone_id || cost.new_zone_id,
        })
    }

    fn words(self) -> String {
        let mut words = vec![time::span(self.total_ms)];
        if self.downtime_ms > 0 {
            words.push(format!("{YELLOW}down for up to {}{PLAIN}", time::span(self.downtime_ms)));
        }
        if self.new_zone_id {
            words.push("new ID".into());
        }
        if self.destroys_data {
            words.push(format!("{RED}data is lost{PLAIN}"));
        }
        words.join(", ")
    }
}

/// The whole plan. With `each_step` every step has a line of its own.
pub fn render(planned: &Planned, each_step: bool, now: Timestamp) -> String {
    let width = planned.plan.zones.iter().map(|zone| zone.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    let (quiet, busy): (Vec<&ZonePlan>, Vec<&ZonePlan>) = planned.plan.zones.iter().partition(|zone| is_quiet(zone));
    for zone in busy {
        out += &block(zone, width, each_step, now);
        out.push('\n');
    }
    for zone in &quiet {
        let moved = if is_only_moved(zone) { " (its manifest was in another file: that is recorded)" } else { "" };
        out += &format!("  {:<width$}  {FAINT}{}, as wanted{moved}{PLAIN}\n", zone.name, path(zone));
    }
    if !quiet.is_empty() {
        out.push('\n');
    }
    for finding in &planned.findings {
        let (colour, word) = match finding.severity {
            Severity::Fatal => (RED, "refused"),
            Severity::Warning => (YELLOW, "warning"),
        };
        let zone = finding.zone.as_ref().map(|zone| format!("zone {zone}: ")).unwrap_or_default();
        out += &format!("{colour}{word}:{PLAIN} {zone}{} ({})\n", safe_text::line(&finding.message), finding.rule);
    }
    out + &summary(&planned.plan.zones) + "\n"
}

/// The differences of the zone, without that of the place of its manifest.
pub fn compared(zone: &ZonePlan) -> impl Iterator<Item = &Difference> {
    zone.differences.iter().filter(|one| one.field != "source")
}

/// Whether all that is to be done is to record that the manifest is in another file.
pub fn is_only_moved(zone: &ZonePlan) -> bool {
    zone.path.is_empty() && zone.hold.is_none() && !zone.differences.is_empty() && compared(zone).next().is_none()
}

fn is_quiet(zone: &ZonePlan) -> bool {
    (zone.steps.is_empty() && zone.hold.is_none() && zone.differences.is_empty()) || is_only_moved(zone)
}

fn block(zone: &ZonePlan, width: usize, each_step: bool, now: Timestamp) -> String {
    let mut out = format!("{} {BOLD}{:<width$}{PLAIN}  {}\n", mark(zone), zone.name, path(zone));
    for steps in zone.steps.chunk_by(|a, b| a.action == b.action) {
        let name = match steps[0].action {
            Action::Transition(transition) => transition.as_str(),
            Action::Live => "live",
        };
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let cost = Costs::of(steps).words();
        if each_step {
            out += &format!("    {CYAN}{name}{PLAIN} ({cost})\n");
            for step in steps {
                out += &format!("      {:<20}{}\n", step.name, Costs::of(std::slice::from_ref(step)).words());
            }
        } else {
            out += &format!("    {CYAN}{name:<12}{PLAIN}{} {FAINT}({PLAIN}{cost}{FAINT}){PLAIN}\n", names.join(", "));
        }
    }
    for difference in shown(zone) {
        out += &diff::difference(difference, "    ");
    }
    if !zone.after.is_empty() {
        out += &format!("    after the teardown of {}\n", zone.after.join(", "));
    }
    if let Some(hold) = &zone.hold {
        out += &format!("    {YELLOW}waits:{PLAIN} {}\n", safe_text::line(&hold_words(hold, &zone.reason, now)));
    } else if zone.differences.is_empty() && !zone.reason.is_empty() {
        out += &format!("    {FAINT}{}{PLAIN}\n", safe_text::line(&zone.reason));
    }
    out
}

/// The differences worth a line: that the manifest as a whole differs is clear where a field of it does, and that a new
/// zone has no state from its path; in which file the manifest is is nothing of the zone's.
pub fn shown(zone: &ZonePlan) -> impl Iterator<Item = &Difference> {
    let (alone, new) = (compared(zone).count() == 1, zone.from.is_absent());
    compared(zone).filter(move |one| match one.field.as_str() {
        "digest" | "record" => alone,
        "state" => !new,
        _ => true,
    })
}

fn mark(zone: &ZonePlan) -> String {
    let destroys = zone.steps.iter().any(|step| step.cost.destroys_data);
    let from = zone.from.known().copied();
    match () {
        () if destroys => format!("{RED}-{PLAIN}"),
        () if zone.steps.is_empty() => format!("{YELLOW}!{PLAIN}"),
        () if zone.to > from => format!("{GREEN}+{PLAIN}"),
        () if zone.to < from => format!("{YELLOW}-{PLAIN}"),
        () => format!("{YELLOW}~{PLAIN}"),
    }
}

fn hold_words(hold: &Hold, reason: &str, now: Timestamp) -> String {
    match hold {
        Hold::Backoff { until } => format!("{reason} (for {} more)", time::span(until.since(now))),
        Hold::AwaitingWindow { opens: Some(opens), .. } => format!("{reason}, which opens {}", time::date(*opens)),
        Hold::DependsOn { zone, healthy: true } => format!("waits until zone {zone} is healthy, on which it depends"),
        Hold::DependsOn { zone, .. } => format!("waits until zone {zone} runs, on which it depends"),
        Hold::Conflict { with, what } => format!("zone {with} has {what}"),
        Hold::Unknown { why } => format!("{reason}: {why}"),
        _ => reason.to_owned(),
    }
}

/// The states that a zone goes through, from where it is.
pub fn path(zone: &ZonePlan) -> String {
    let mut state: Option<ZoneState> = match &zone.from {
        Fact::Unknown { .. } => return "unknown".into(),
        from => from.known().copied(),
    };
    let mut states = vec![state_name(state)];
    for transition in &zone.path {
        let Some(edge) = edge_for(state, *transition) else { break };
        states.extend(edge.via.iter().map(|via| via.as_str()));
        states.push(state_name(edge.to));
        state = edge.to;
    }
    states.join(" > ")
}

fn summary(zones: &[ZonePlan]) -> String {
    let working = zones.iter().filter(|zone| !zone.steps.is_empty()).count();
    let waiting = zones.iter().filter(|zone| zone.steps.is_empty() && zone.hold.is_some()).count();
    let mut words = match working {
        0 => vec!["nothing to do".to_owned()],
        _ => vec![format!("{} to work on", count(working, "zone"))],
    };
    if waiting > 0 {
        words.push(format!("{waiting} waiting"));
    }
    let quiet = zones.len() - working - waiting;
    if quiet > 0 {
        words.push(format!("{quiet} as wanted"));
    }
    let costs: Vec<Costs> = zones.iter().map(|zone| Costs::of(&zone.steps)).collect();
    let longest = costs.iter().map(|cost| cost.downtime_ms).max().unwrap_or(0);
    if longest > 0 {
        let down = costs.iter().filter(|cost| cost.downtime_ms > 0).count();
        words.push(format!("{} down for up to {}", count(down, "zone"), time::span(longest)));
    }
    let lost: Vec<&str> =
        zones.iter().filter(|zone| Costs::of(&zone.steps).destroys_data).map(|zone| zone.name.as_str()).collect();
    if !lost.is_empty() {
        words.push(format!("{RED}data is lost: {}{PLAIN}", lost.join(", ")));
    }
    format!("{BOLD}Plan:{PLAIN} {}", words.join("; "))
}
