//! A plan as a comment on a pull request: what it comes to, a table of the zones with something to do, and of each zone all
//! that is known, folded away. Every value is from manifests or hosts and is written so that it stays text.

use reeve_state::Timestamp;
use reeve_state::audit::Severity;
use reeve_state::difference::Difference;
use reeve_state::plan::ZonePlan;
use reeve_state::plan::digest::short;
use reeve_state::plan::document::{self, ObservedHost, cost, irreversible};
use serde_json::Value;

use super::text::{self, compared};
use super::{HostPlan, Shown};
use crate::cli::{diff, safe_text, secret, time};

/// The most characters of a value: the rest is in the manifests.
const VALUE_MAX: usize = 160;
/// The most zones of which all is told: the largest forges take 65536 characters for a comment.
const DETAILS_MAX: usize = 60;

/// The comment.
pub fn render(shown: &Shown) -> String {
    let document = shown.document();
    let mut out = format!("### Plan: {}\n\n", text::plain_summary(&document.summary));
    let all = || shown.hosts.iter().flat_map(|host| host.planned.plan.zones.iter().map(move |zone| (host, zone)));
    let lost: Vec<String> =
        all().filter(|(_, zone)| !irreversible(zone).is_empty()).map(|(host, zone)| code(&name(host, zone))).collect();
    if !lost.is_empty() {
        out += &format!("> **Irreversible:** data is lost in {}\n\n", lost.join(", "));
    }
    for HostPlan { host, planned } in &shown.hosts {
        if let Some(host) = host {
            out += &format!("#### {}\n\n{}\n\n", code(&host.name), observed(host));
        }
        for finding in &planned.findings {
            let word = if finding.severity == Severity::Fatal { "Refused" } else { "Warning" };
            let zone = finding.zone.as_ref().map(|zone| format!("zone {}: ", code(zone))).unwrap_or_default();
            out += &format!("> **{word}:** {zone}{}\n\n", escaped(&finding.message));
        }
        let busy: Vec<&ZonePlan> = planned.plan.zones.iter().filter(|zone| !text::is_quiet(zone)).collect();
        if busy.is_empty() {
            out += "Nothing to do.\n\n";
            continue;
        }
        out += "| Zone | Path | Takes | Down | Irreversible | Why |\n|---|---|---|---|---|---|\n";
        out.extend(busy.iter().map(|zone| row(zone)));
        out.push('\n');
        for zone in busy.iter().take(DETAILS_MAX) {
            out += &details(zone, shown.now);
        }
        if let Some(more) = busy.len().checked_sub(DETAILS_MAX).filter(|more| *more > 0) {
            out += &format!("…and {more} more zones, as the table says.\n\n");
        }
    }
    out += &format!("Plan {} of {}", code(short(&document.digest)), code(&document.source));
    if let Some(commit) = &document.commit {
        out += &format!(", commit {}", code(reeve_state::source::short(commit)));
    }
    out + ".\n"
}

fn name(host: &HostPlan, zone: &ZonePlan) -> String {
    host.host.as_ref().map_or_else(|| zone.name.clone(), |host| format!("{}/{}", host.name, zone.name))
}

fn observed(host: &ObservedHost) -> String {
    let age = time::age(Timestamp(0), Timestamp(host.age_seconds.saturating_mul(1000)));
    let old = if host.too_old { " **This is old: much may have changed since.**" } else { "" };
    let commit =
        host.commit.as_deref().map(|commit| format!(", commit {} in force", code(reeve_state::source::short(commit))));
    let verified = if host.verified { "signature verified" } else { "**signature not verified**" };
    format!(
        "Observed {age} before this was made ({}), {verified}{}.{old}",
        host.observed_at,
        commit.unwrap_or_default()
    )
}

fn row(zone: &ZonePlan) -> String {
    let cost = cost(&zone.steps);
    let cells = [
        code(&zone.name),
        escaped(&text::path(zone)),
        if zone.steps.is_empty() { "".into() } else { time::span(cost.total_ms) },
        if cost.downtime_ms == 0 { "none".into() } else { format!("up to {}", time::span(cost.downtime_ms)) },
        if cost.destroys_data { "**data is lost**".into() } else { "".into() },
        format!("{}{}", if zone.hold.is_some() { "**waits:** " } else { "" }, escaped(&zone.reason)),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn details(zone: &ZonePlan, now: Timestamp) -> String {
    let mut out = format!("<details><summary>{}: {}</summary>\n\n", html(&zone.name), html(&text::path(zone)));
    let of = |drift: bool| -> Vec<&Difference> {
        compared(zone).filter(|one| document::is_drift(one.cause) == drift && text::is_shown(zone, one)).collect()
    };
    for (title, all) in [("Changes", of(false)), ("Drift (nobody committed this)", of(true))] {
        if all.is_empty() {
            continue;
        }
        out += &format!("**{title}**\n\n| Field | There | Wanted | Cause | Price |\n|---|---|---|---|---|\n");
        for one in all {
            let null = Value::Null;
            let there = one.observed.as_ref().or(one.recorded.as_ref()).unwrap_or(&null);
            let desired = one.desired.as_ref().unwrap_or(&null);
            let is_secret = secret::is_one(there) || secret::is_one(desired);
            let leaves = match is_secret {
                true => vec![(one.field.clone(), there, desired)],
                false => diff::leaves(&one.field, there, desired),
            };
            for (field, there, desired) in leaves {
                let cells = [
                    code(&field),
                    value(there),
                    value(desired),
                    diff::cause_name(one.cause).to_owned(),
                    diff::price_name(one.price).to_owned(),
                ];
                out += &format!("| {} |\n", cells.join(" | "));
            }
        }
        out.push('\n');
    }
    for (index, steps) in zone.steps.chunk_by(|a, b| a.action == b.action).enumerate() {
        if index == 0 {
            out += "**Steps**\n\n";
        }
        let names: Vec<String> = steps.iter().map(|step| code(&step.name)).collect();
        out += &format!(
            "{}. {}: {} ({})\n",
            index + 1,
            text::action_name(steps[0].action),
            names.join(", "),
            text::plain_costs(cost(steps))
        );
    }
    if !zone.steps.is_empty() {
        out.push('\n');
    }
    out.extend(text::order(zone).iter().map(|waiting| format!("Order: {}.\n\n", escaped(waiting))));
    if let Some(hold) = &zone.hold {
        out += &format!("**Waits:** {}\n\n", escaped(&text::hold_words(hold, &zone.reason, now)));
    }
    out += "</details>\n\n";
    out
}

/// A value of a field; of a secret its digest.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        one if secret::is_one(one) => escaped(&secret::short(one)),
        Value::String(text) => code(text),
        other => code(&other.to_string()),
    }
}

/// Text as code, whatever is in it: between more backticks than it has in a row itself.
fn code(text: &str) -> String {
    let text = safe_text::lines(text, " ").replace('\n', " ");
    let mut cut: String = text.chars().take(VALUE_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    if cut.is_empty() {
        return "(empty)".into();
    }
    let longest = cut.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", cut.replace('|', "\\|"))
}

/// Text that is no markup, names nobody and links nowhere.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in safe_text::lines(text, " ").replace('\n', " ").chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// The same within HTML.
fn html(text: &str) -> String {
    safe_text::line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "&#64;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_text() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``|c"), "``` a`b``\\|c ```");
        assert_eq!(code("a\nb"), "`a  b`");
        assert_eq!(code(""), "(empty)");
        assert_eq!(escaped("@all <img> [a](b) *x*"), "&#64;all &lt;img> \\[a\\](b) \\*x\\*");
        assert!(code(&"x".repeat(500)).chars().count() < 200);
    }
}
