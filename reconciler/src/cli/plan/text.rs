//! A plan as people read it: for each zone the legal path, what cannot be taken back, why it waits, what differs (what was
//! committed apart from what drifted), its steps and what they cost. No line is wider than the terminal where words allow.

use reeve_state::audit::{Finding, Severity};
use reeve_state::difference::Difference;
use reeve_state::lifecycle::{edge_for, state_name};
use reeve_state::plan::digest::short;
use reeve_state::plan::document::{ObservedHost, Summary, cost, irreversible, is_drift};
use reeve_state::plan::{Action, Cost, Hold, ZonePlan};
use reeve_state::{Fact, Timestamp, ZoneState};

use super::{HostPlan, Shown};
use crate::cli::output::{BOLD, CYAN, FAINT, GREEN, PLAIN, RED, YELLOW, count};
use crate::cli::{diff, safe_text, time, wrap};

/// Where the text of a zone begins.
const INDENT: usize = 4;
/// Where the names of steps begin.
const STEPS: usize = 16;

/// What several steps cost together, in words.
pub fn plain_costs(cost: Cost) -> String {
    plain(&costs(cost))
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string().replace('\u{a0}', " ")
}

fn span(millis: u64) -> String {
    wrap::whole(&time::span(millis))
}

fn costs(cost: Cost) -> String {
    let mut words = vec![span(cost.total_ms)];
    if cost.downtime_ms > 0 {
        words.push(format!("{YELLOW}down for up to {}{PLAIN}", span(cost.downtime_ms)));
    }
    if cost.new_zone_id {
        words.push("new ID".into());
    }
    if cost.destroys_data {
        words.push(format!("{RED}data is lost{PLAIN}"));
    }
    words.join(", ")
}

/// All that is planned, no wider than `width`. With `each_step` every step has a line of its own.
pub fn render(shown: &Shown, each_step: bool, width: usize) -> String {
    let mut out = String::new();
    for HostPlan { host, planned } in &shown.hosts {
        if let Some(host) = host {
            out += &observed(host, width);
        }
        out += &zones(&planned.plan.zones, each_step, shown.now, width);
        out.extend(planned.findings.iter().map(|one| finding(one, width)));
    }
    let document = shown.document();
    let plan = format!("{BOLD}Plan:{PLAIN} {}", summary(&document.summary));
    out += &wrap::wrap(&plan, 6, width);
    let commit = document.commit.as_deref().map(|commit| format!(", commit {}", reeve_state::source::short(commit)));
    let stands = format!(
        "      {FAINT}{} of {}{}{PLAIN}",
        short(&document.digest),
        safe_text::line(&document.source),
        commit.unwrap_or_default()
    );
    out + &wrap::wrap(&stands, 6, width)
}

/// A host that was planned from what it published.
fn observed(host: &ObservedHost, width: usize) -> String {
    let age = time::age(Timestamp(0), Timestamp(host.age_seconds.saturating_mul(1000)));
    let age = if host.too_old { format!("{YELLOW}observed {age} ago{PLAIN}") } else { format!("observed {age} ago") };
    let commit = host.commit.as_deref().map(|commit| format!(", commit {}", reeve_state::source::short(commit)));
    let verified = match host.verified {
        true => "verified".to_owned(),
        false => format!("{YELLOW}not verified{PLAIN}"),
    };
    let line = format!("{BOLD}== {} =={PLAIN} {age}, {verified}{}", host.name, commit.unwrap_or_default());
    wrap::wrap(&line, INDENT, width) + "\n"
}

fn zones(zones: &[ZonePlan], each_step: bool, now: Timestamp, width: usize) -> String {
    let longest = zones.iter().map(|zone| zone.name.len()).max().unwrap_or(0);
    let (quiet, busy): (Vec<&ZonePlan>, Vec<&ZonePlan>) = zones.iter().partition(|zone| is_quiet(zone));
    let mut out = String::new();
    for zone in busy {
        out += &block(zone, longest, each_step, now, width);
        out.push('\n');
    }
    for zone in &quiet {
        let moved = if is_only_moved(zone) { " (its manifest was in another file: that is recorded)" } else { "" };
        let line = format!("  {:<longest$}  {FAINT}{}, as wanted{moved}{PLAIN}", zone.name, path(zone));
        out += &wrap::wrap(&line, INDENT + longest, width);
    }
    if !quiet.is_empty() {
        out.push('\n');
    }
    out
}

fn finding(finding: &Finding, width: usize) -> String {
    let (colour, word) = match finding.severity {
        Severity::Fatal => (RED, "refused"),
        Severity::Warning => (YELLOW, "warning"),
    };
    let zone = finding.zone.as_ref().map(|zone| format!("zone {zone}: ")).unwrap_or_default();
    let line = format!("{colour}{word}:{PLAIN} {zone}{} ({})", safe_text::line(&finding.message), finding.rule);
    wrap::wrap(&line, INDENT, width)
}

/// The differences of the zone, without that of the place of its manifest.
pub fn compared(zone: &ZonePlan) -> impl Iterator<Item = &Difference> {
    zone.differences.iter().filter(|one| one.field != "source")
}

/// Whether all that is to be done is to record that the manifest is in another file.
pub fn is_only_moved(zone: &ZonePlan) -> bool {
    zone.path.is_empty() && zone.hold.is_none() && !zone.differences.is_empty() && compared(zone).next().is_none()
}

/// Whether there is nothing to tell of a zone but its state.
pub fn is_quiet(zone: &ZonePlan) -> bool {
    (zone.steps.is_empty() && zone.hold.is_none() && zone.differences.is_empty()) || is_only_moved(zone)
}

fn block(zone: &ZonePlan, longest: usize, each_step: bool, now: Timestamp, width: usize) -> String {
    let head = format!("{} {BOLD}{:<longest$}{PLAIN}  {}", mark(zone), zone.name, path(zone));
    let mut out = wrap::wrap(&head, longest + INDENT, width);
    let mut line = |text: String, hang: usize| out += &wrap::wrap(&text, hang, width);
    for lost in irreversible(zone) {
        line(format!("    {RED}irreversible: {lost}{PLAIN}"), INDENT + 2);
    }
    if let Some(hold) = &zone.hold {
        line(
            format!("    {YELLOW}waits:{PLAIN} {}", safe_text::line(&hold_words(hold, &zone.reason, now))),
            INDENT + 2,
        );
    }
    for waiting in order(zone) {
        line(format!("    {waiting}"), INDENT + 2);
    }
    let (drift, changes): (Vec<&Difference>, Vec<&Difference>) = shown(zone).partition(|one| is_drift(one.cause));
    for one in changes {
        out += &wrap::lines(&diff::difference(one, "    "), width);
    }
    if !drift.is_empty() {
        out += &wrap::wrap(&format!("    {YELLOW}drift{PLAIN}, which nobody committed:"), INDENT + 2, width);
    }
    for one in drift {
        out += &wrap::lines(&diff::difference(one, "      "), width);
    }
    if zone.hold.is_none() && zone.differences.is_empty() && !zone.reason.is_empty() {
        out += &wrap::wrap(&format!("    {FAINT}{}{PLAIN}", safe_text::line(&zone.reason)), INDENT, width);
    }
    out += &steps(zone, each_step, width);
    out
}

/// The steps of a zone by transitions, then what they cost together.
fn steps(zone: &ZonePlan, each_step: bool, width: usize) -> String {
    let mut out = String::new();
    let stages = || zone.steps.chunk_by(|a, b| a.action == b.action);
    for steps in stages() {
        let name = action_name(steps[0].action);
        let words = costs(cost(steps));
        if each_step {
            out += &wrap::wrap(&format!("    {CYAN}{name}{PLAIN} ({words})"), INDENT + 2, width);
            for step in steps {
                let line = format!("      {:<20}{}", step.name, costs(step.cost));
                out += &wrap::wrap(&line, 26, width);
            }
        } else {
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            let line =
                format!("    {CYAN}{name:<11}{PLAIN} {} {FAINT}({PLAIN}{words}{FAINT}){PLAIN}", names.join(", "));
            out += &wrap::wrap(&line, STEPS, width);
        }
    }
    if stages().count() > 1 {
        out += &wrap::wrap(&format!("    {FAINT}={PLAIN}           {}", costs(cost(&zone.steps))), STEPS, width);
    }
    out
}

/// For which zones it waits, and with what.
pub fn order(zone: &ZonePlan) -> Vec<String> {
    let all = [
        ("after the teardown of", &zone.after),
        ("goes down after", &zone.down_after),
        ("comes up after", &zone.up_after),
    ];
    all.into_iter()
        .filter(|(_, zones)| !zones.is_empty())
        .map(|(what, zones)| format!("{what} {}", zones.join(", ")))
        .collect()
}

/// What steps belong to, in a word.
pub fn action_name(action: Action) -> &'static str {
    match action {
        Action::Transition(transition) => transition.as_str(),
        Action::Live => "live",
    }
}

/// Whether a difference is worth a line.
pub fn is_shown(zone: &ZonePlan, one: &Difference) -> bool {
    shown(zone).any(|shown| shown.field == one.field)
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

/// Why a zone waits, in words.
pub fn hold_words(hold: &Hold, reason: &str, now: Timestamp) -> String {
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

/// A plan in a line, without colours.
pub fn plain_summary(of: &Summary) -> String {
    plain(&summary(of))
}

fn summary(of: &Summary) -> String {
    let mut words = match of.to_do {
        0 => vec!["nothing to do".to_owned()],
        _ => vec![format!("{} to work on", count(of.to_do, "zone"))],
    };
    if of.waiting > 0 {
        words.push(format!("{} waiting", of.waiting));
    }
    if of.as_wanted > 0 {
        words.push(format!("{} as wanted", of.as_wanted));
    }
    if of.drifted > 0 {
        words.push(format!("{} drifted", of.drifted));
    }
    if of.down > 0 {
        words.push(format!("{} down for up to {}", count(of.down, "zone"), span(of.downtime_ms)));
    }
    if of.data_lost > 0 {
        words.push(format!("{RED}data is lost in {}{PLAIN}", count(of.data_lost, "zone")));
    }
    words.join("; ")
}
