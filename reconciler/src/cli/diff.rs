//! `diff`: what differs between manifests and host, field by field, with cause and price. Exit code as diff(1)'s.

use std::collections::BTreeSet;

use reeve_state::difference::{Cause, Difference, Price};
use reeve_state::plan::ZonePlan;
use serde::Serialize;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::failure::exit;
use super::input::Manifests;
use super::output::{self, BOLD, FAINT, Format, FormatArguments, GREEN, List, PLAIN, RED, Table, YELLOW};
use super::plan::text as text_of;
use super::{Context, Done, safe_text, secret};

/// A value of so many characters is shown on one line.
const SHORT: usize = 48;

/// What `diff` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    manifests: Manifests,
    #[command(flatten)]
    format: FormatArguments,
}

/// A zone that differs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Differing<'a> {
    name: &'a str,
    differences: Vec<&'a Difference>,
    reason: &'a str,
}

/// Shows what differs; changes nothing and takes no lock.
pub fn diff(context: &Context, arguments: &Arguments) -> Done {
    let set = arguments.manifests.load(context)?;
    let host = context.host()?;
    let planned = host.plan(&set, &arguments.manifests.source());
    let differing: Vec<&ZonePlan> = planned.plan.zones.iter().filter(|zone| differs(zone)).collect();
    let format = arguments.format.format;
    match format {
        Format::Json | Format::Yaml => {
            let item = |zone: &&'_ ZonePlan| -> Value {
                let item = Differing {
                    name: &zone.name,
                    differences: text_of::compared(zone).collect(),
                    reason: &zone.reason,
                };
                serde_json::to_value(item).unwrap_or_default()
            };
            output::print_document(format, &List::new(differing.iter().map(item).collect()))?;
        }
        Format::Md => output::print(&table(&differing).render(format))?,
        Format::Table if differing.is_empty() && !context.quiet => output::complain("nothing differs"),
        Format::Table => output::print(&text(&differing))?,
    }
    Ok(if differing.is_empty() { exit::DONE } else { exit::DIFFERS })
}

/// A zone without a manifest has no fields that differ, but something is to be done with it, or waits to be; whether one
/// whose secret cannot be had differs, nobody can say. That a manifest is in another file than before is no difference of
/// the zone: so a changed copy of a folder can be compared.
fn differs(zone: &ZonePlan) -> bool {
    if text_of::is_only_moved(zone) {
        return false;
    }
    let not_known = (zone.digest.is_none() && zone.hold.is_some()) || zone.held_for_secret().is_some();
    text_of::compared(zone).next().is_some() || !zone.steps.is_empty() || not_known
}

fn text(zones: &[&ZonePlan]) -> String {
    let mut out = String::new();
    for zone in zones {
        out += &format!("{BOLD}{}{PLAIN}  {}\n", zone.name, text_of::path(zone));
        let all = zone.from.is_absent();
        let fields =
            text_of::compared(zone).filter(|one| all || text_of::shown(zone).any(|shown| shown.field == one.field));
        out.extend(fields.map(|one| difference(one, "  ")));
        if text_of::compared(zone).next().is_none() {
            out += &format!("  {}\n", safe_text::line(&zone.reason));
        }
    }
    out
}

fn table(zones: &[&ZonePlan]) -> Table {
    let mut table = Table::new(&["ZONE", "FIELD", "RECORDED", "OBSERVED", "DESIRED", "CAUSE", "PRICE"]);
    let shown = |value: &Option<Value>| value.as_ref().map(short).unwrap_or_default();
    for zone in zones {
        for one in text_of::compared(zone) {
            table.row([
                zone.name.clone(),
                one.field.clone(),
                shown(&one.recorded),
                shown(&one.observed),
                shown(&one.desired),
                cause_name(one.cause).into(),
                price_name(one.price).into(),
            ]);
        }
        if text_of::compared(zone).next().is_none() {
            let cells = [zone.name.as_str(), "-", "-", "-", "-", zone.reason.as_str(), "-"];
            table.row(cells.map(str::to_owned));
        }
    }
    table
}

/// One difference, in a line or, where the values are long, as a comparison line by line.
pub fn difference(one: &Difference, indent: &str) -> String {
    let label = format!("{FAINT}({}, {}){PLAIN}", cause_name(one.cause), price_name(one.price));
    if let Some(words) = own_words(&one.field) {
        return format!("{indent}{YELLOW}~{PLAIN} {words} {label}\n");
    }
    // What is there now, as far as that is seen; else what was recorded.
    let there = if one.observed.is_some() { &one.observed } else { &one.recorded };
    let (there, desired) = (there.as_ref().unwrap_or(&Value::Null), one.desired.as_ref().unwrap_or(&Value::Null));
    if let Some(words) = secret::change(there, desired) {
        return format!("{indent}{YELLOW}~{PLAIN} {}: {words} {label}\n", safe_text::line(&one.field));
    }
    let mut out = String::new();
    for (field, there, desired) in leaves(&one.field, there, desired) {
        let (from, to) = (short(there), short(desired));
        out += &if from.chars().count().max(to.chars().count()) <= SHORT {
            format!("{indent}{YELLOW}~{PLAIN} {field}: {RED}{from}{PLAIN} > {GREEN}{to}{PLAIN} {label}\n")
        } else {
            format!("{indent}{YELLOW}~{PLAIN} {field} {label}\n{}", long(there, desired, indent))
        };
    }
    if matches!(one.cause, Cause::Both)
        && let Some(recorded) = &one.recorded
    {
        out += &format!("{indent}    recorded: {}\n", short(recorded));
    }
    out
}

/// The fields in which two maps differ; other values are fields themselves.
pub fn leaves<'v>(field: &str, from: &'v Value, to: &'v Value) -> Vec<(String, &'v Value, &'v Value)> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else { return vec![(field.to_owned(), from, to)] };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |map: &'v Map<String, Value>, name: &String| map.get(name).unwrap_or(&Value::Null);
    let pairs = names.into_iter().map(|name| (name, value(old, name), value(new, name)));
    pairs
        .filter(|(_, old, new)| old != new)
        .flat_map(|(name, old, new)| leaves(&format!("{field}.{name}"), old, new))
        .collect()
}

/// Reeve's own fields, in words.
fn own_words(field: &str) -> Option<&'static str> {
    Some(match field {
        "digest" => "the manifest was changed",
        "record" => "nothing is recorded of the zone: it is taken over as it is",
        "zoneadmd" => "zoneadmd is gone: a new one takes the zone over",
        "platform" => "the virtual platform is not whole",
        _ => return None,
    })
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => safe_text::line(text),
        other if secret::is_one(other) => secret::short(other),
        other => safe_text::line(&other.to_string()),
    }
}

fn long(from: &Value, to: &Value, indent: &str) -> String {
    let (from, to) = (lines(from), lines(to));
    let diff = TextDiff::from_lines(&from, &to);
    let mut out = String::new();
    for change in diff.grouped_ops(1).iter().flatten().flat_map(|op| diff.iter_changes(op)) {
        let (colour, sign) = match change.tag() {
            ChangeTag::Delete => (RED, '-'),
            ChangeTag::Insert => (GREEN, '+'),
            ChangeTag::Equal => (FAINT, ' '),
        };
        let line = safe_text::line(change.value().trim_end_matches('\n'));
        out += &format!("{indent}    {colour}{sign} {line}{PLAIN}\n");
    }
    out
}

/// A value over several lines: text as it is, the rest as YAML.
fn lines(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => serde_saphyr::to_string(other).unwrap_or_else(|_| other.to_string()),
    };
    format!("{}\n", text.trim_end())
}

/// A cause in words.
pub fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Change => "change",
        Cause::Drift => "drift",
        Cause::Both => "change and drift",
        Cause::HostBoot => "host boot",
        Cause::Adopted => "adopted",
        Cause::Unfinished => "unfinished",
    }
}

/// A price in a word.
pub fn price_name(price: Price) -> &'static str {
    match price {
        Price::Live => "live",
        Price::Restart => "restart",
        Price::Rebuild => "rebuild",
        Price::Reinstall => "reinstall",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(recorded: Value, desired: Value) -> String {
        let values = [Some(recorded), Some(desired), None];
        let one = Difference::new("init.command", values, Cause::Change, Price::Restart);
        anstream::adapter::strip_str(&difference(&one, "")).to_string()
    }

    #[test]
    fn short_values_take_a_line() {
        assert_eq!(shown(json!(["/bin/a"]), json!(null)), "~ init.command: [\"/bin/a\"] > none (change, restart)\n");
    }

    #[test]
    fn maps_are_compared_field_by_field() {
        let shown = shown(json!({"a": 1, "b": {"c": 2}}), json!({"a": 1, "b": {"c": 3}, "d": true}));
        let expected = "~ init.command.b.c: 2 > 3 (change, restart)\n~ init.command.d: none > true (change, restart)\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_values_are_compared_by_line() {
        let words = |last: &str| json!(["/usr/bin/perl", "-e", format!("use strict;\nlisten;\n{last}\n"), "--"]);
        let shown = shown(words("print 1;"), words("print 2;"));
        assert!(shown.starts_with("~ init.command (change, restart)\n"), "{shown}");
        assert!(shown.contains("-     print 1;") || shown.contains("-   print 1;"), "{shown}");
        assert!(shown.contains("print 2;") && !shown.contains("perl"), "{shown}");
    }
}
