//! `describe`: everything about one zone.

use std::fmt::Write;

use reeve::drift::{self, Drifted};
use reeve::store::HostEvent;
use reeve::{Host, words};
use reeve_state::condition::Condition;
use reeve_state::lifecycle::state_name;
use reeve_state::status::{HistoryEntry, ZoneStatus};
use reeve_state::{Timestamp, ZoneState};
use serde::Serialize;

use super::failure::{Failure, exit};
use super::output::{self, Format, FormatArguments, Table, bold, paint_state};
use super::{Context, Done, events, halted, safe_text, time, zones};

/// How many events are shown.
const EVENTS: usize = 10;
/// How many are looked through.
const ALL_EVENTS: usize = 100_000;

/// What `describe` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The zone: NAME, or `zone NAME`
    #[arg(required = true, num_args = 1..=2, value_name = "ZONE")]
    words: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// A zone's status with what comes next.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    #[serde(flatten)]
    status: ZoneStatus,
    /// The transitions that may be asked for.
    legal: Vec<String>,
    /// What drifted, as `reeve drift` has it.
    drift: Vec<Drifted>,
    /// The newest events of the zone, oldest first.
    events: Vec<HostEvent>,
    /// What the controller will do; null where none runs.
    next: Option<String>,
}

/// Tells everything about a zone.
pub fn describe(context: &Context, arguments: &Arguments) -> Done {
    let name = match arguments.words.as_slice() {
        [name] => name,
        [kind, name] if kind == "zone" => name,
        _ => return Err(Failure::new("one zone at a time").help("reeve describe NAME")),
    };
    let host = context.host()?;
    let status = zones::find(&host, name)?;
    let next = zones::controller(context).map(|info| zones::controller_next(context, &host, &info, name, status.state));
    let format = arguments.format.format;
    let drift = drift::drifted(&host, std::slice::from_ref(name));
    match format {
        Format::Json | Format::Yaml => {
            let legal = words::legal_moves(status.state).split(", ").map(str::to_owned).collect();
            let events = newest_events(&host, name);
            output::print_document(format, &Description { status, legal, drift, events, next })?;
        }
        _ => output::print(&text(&host, &status, &drift, next.as_deref(), format))?,
    }
    Ok(exit::DONE)
}

fn text(host: &Host, zone: &ZoneStatus, drift: &[Drifted], next: Option<&str>, format: Format) -> String {
    let now = host.now();
    let mut out = String::new();
    let facts = facts(zone, now);
    if format == Format::Md {
        let mut table = Table::new(&["ZONE", ""]);
        facts.into_iter().for_each(|(name, value)| table.row([name.to_owned(), value]));
        out += &table.render(format);
    } else {
        for (name, value) in facts {
            let value = if name == "State" { state_line(zone.state, &value) } else { safe_text::line(&value) };
            let _ = writeln!(out, "{} {value}", bold(&format!("{:<14}", format!("{name}:"))));
        }
    }
    if let Some(halt) = &zone.halt {
        out += &section("Halt", halted::text(halt, now, format), format);
    }
    out += &section("Conditions", conditions(&zone.conditions, now).render(format), format);
    if !drift.is_empty() {
        out += &section("Drift", super::drift::table(drift, now).render(format), format);
    }
    if !zone.history.is_empty() {
        out += &section("History", history(&zone.history, now).render(format), format);
    }
    let happened = newest_events(host, &zone.name);
    if !happened.is_empty() {
        out += &section("Events", events::table(&happened, now).render(format), format);
    }
    let next = next.map_or_else(|| "no controller runs: the zone stays as it is".to_owned(), safe_text::line);
    let moves = words::legal_moves(zone.state);
    let lines = format!("{next}\nTo be asked for from {}: {moves}\n", state_name(zone.state));
    out + &section("Next", lines, format)
}

fn newest_events(host: &Host, zone: &str) -> Vec<HostEvent> {
    let mut happened = host.events(ALL_EVENTS);
    happened.retain(|event| event.zone.as_deref() == Some(zone));
    happened.drain(..happened.len().saturating_sub(EVENTS));
    happened
}

fn state_line(state: Option<ZoneState>, value: &str) -> String {
    let name = state_name(state);
    value.replacen(name, &paint_state(name), 1)
}

fn section(title: &str, body: String, format: Format) -> String {
    match format {
        Format::Md => format!("\n## {title}\n\n{body}"),
        _ => {
            let indented: String = body.lines().map(|line| format!("  {line}\n")).collect();
            format!("\n{}\n{indented}", bold(&format!("{title}:")))
        }
    }
}

fn facts(zone: &ZoneStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let none = || "-".to_owned();
    let number = |value: Option<i32>| value.map_or_else(none, |value| value.to_string());
    let state = match words::since(zone) {
        Some(since) => format!("{}, for {}", state_name(zone.state), time::age(since, now)),
        None => state_name(zone.state).to_owned(),
    };
    let mut facts = vec![
        ("Name", zone.name.clone()),
        ("State", state),
        ("Desired", zone.desired.map_or_else(none, |state| state.to_string())),
        ("Zone ID", zone.zone_id.map_or_else(none, |id| id.to_string())),
        ("zoneadmd", number(zone.zoneadmd_pid)),
        ("zsched", number(zone.zsched_pid)),
        ("init", number(zone.init_pid)),
        ("Addresses", if zone.addresses.is_empty() { none() } else { zone.addresses.join(", ") }),
        ("Zonepath", zone.zonepath.clone().unwrap_or_else(none)),
        ("Manifest", zone.source.clone().unwrap_or_else(none)),
        ("Commit", zone.commit.clone().unwrap_or_else(none)),
        ("Digest", zone.manifest_digest.clone().unwrap_or_else(none)),
        ("Restarts", zone.restarts.to_string()),
    ];
    if let Some(pending) = &zone.pending {
        facts.push(("Waiting", words::pending(pending)));
        facts.push(("Change", pending.digest.clone()));
    }
    if let Some(health) = &zone.health {
        facts.push(("Health", words::health(health, now)));
    }
    if let Some(suspended) = &zone.suspended {
        facts.push(("Suspended", words::suspended(suspended)));
    }
    if let Some(exit) = &zone.last_exit {
        facts.push(("Last exit", words::exit(exit, now)));
    }
    facts
}

fn conditions(conditions: &[Condition], now: Timestamp) -> Table {
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        table.row([
            format!("{:?}", condition.kind),
            zones::status_name(condition.status).to_owned(),
            condition.reason.clone(),
            time::age(condition.last_transition_time, now),
            condition.message.clone(),
        ]);
    }
    table
}

/// The newest transitions. A failure that came again and again takes one row, with the time of the last.
fn history(history: &[HistoryEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&["AGO", "TRANSITION", "FROM", "TO", "TOOK", "OUTCOME"]);
    for entry in history {
        let times = match entry.count {
            0 | 1 => String::new(),
            count => format!(" ({count} times since {} ago)", time::age(entry.at, now)),
        };
        table.row([
            time::age(entry.last_at.unwrap_or(entry.at), now),
            format!("{}{times}", entry.transition),
            state_name(entry.from).to_owned(),
            state_name(entry.to).to_owned(),
            time::span(entry.took_ms),
            entry.outcome.clone(),
        ]);
    }
    table
}
