//! Compares what was planned with what was done: by what `apply -v` tells of each step, by the history, and by what is seen
//! of the zones before and afterwards.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The steps that were told, by zone, as `TRANSITION STEP`; `live STEP` for one without a transition.
#[derive(Debug, Default)]
pub struct Told {
    steps: BTreeMap<String, Vec<String>>,
    failed: Vec<String>,
}

impl Told {
    /// Reads the lines of `apply -v`: `ZONE: TRANSITION: STEP, TIME` or `ZONE: STEP, TIME` for each step that is done.
    pub fn parse(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            let Some((zone, rest)) = line.split_once(": ").filter(|(zone, _)| !zone.contains(' ')) else { continue };
            if rest.contains(" failed: ") {
                told.failed.push(line.to_owned());
            }
            let Some((what, _)) = rest.rsplit_once(", ").filter(|(_, took)| is_time(took)) else { continue };
            let step = match what.split_once(": ") {
                Some((transition, step)) => format!("{transition} {step}"),
                None => format!("live {what}"),
            };
            told.steps.entry(zone.to_owned()).or_default().push(step);
        }
        told
    }
}

fn is_time(text: &str) -> bool {
    let number = text.split(' ').next().unwrap_or_default();
    number.parse::<f64>().is_ok() && text.contains(' ') && text.ends_with('s')
}

/// A zone as it is seen.
#[derive(Debug)]
pub struct Seen {
    /// Its name.
    pub zone: String,
    /// Its status; null without a zone.
    pub status: Value,
    /// Whether what the zone wrote is there.
    pub marker: bool,
    /// How many processes are in its cgroup.
    pub processes: usize,
}

/// How many steps were planned, and every difference. `again` is a plan that was made afterwards.
pub fn compare(plan: &Value, told: &Told, before: &[Seen], after: &[Seen], again: &Value) -> (usize, Vec<String>) {
    let (mut steps, mut differs) = (0, Vec::new());
    for (before, after) in before.iter().zip(after) {
        let name = before.zone.as_str();
        let item = item(plan, name);
        let planned = planned_steps(item);
        steps += planned.len();
        let done = told.steps.get(name).cloned().unwrap_or_default();
        if planned != done {
            differs.push(format!("{name}: planned {planned:?}, done {done:?}"));
        }
        let mut differ = |what: &str, planned: String, found: String| {
            if planned != found {
                differs.push(format!("{name}: {what}: planned {planned}, found {found}"));
            }
        };
        let Some(item) = item else {
            differ("state", before.status["state"].to_string(), after.status["state"].to_string());
            continue;
        };
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        differ("state", text(&item["to"]), text(&after.status["state"]));
        if !after.status.is_null() {
            differ("history", path(item), walked(before, after));
        }
        let cost = |what: &str| costs(item).any(|cost| cost[what] == true);
        if before.marker {
            differ("data lost", cost("destroysData").to_string(), (!after.marker).to_string());
        }
        let (id, new_id) = (&before.status["zoneId"], &after.status["zoneId"]);
        if !id.is_null() && !new_id.is_null() {
            differ("new ID", cost("newZoneId").to_string(), (id != new_id).to_string());
        }
        let (init, new_init) = (&before.status["initPid"], &after.status["initPid"]);
        if !init.is_null() && !new_init.is_null() {
            let down = costs(item).any(|cost| cost["downtimeMs"].as_u64() > Some(0));
            differ("init ends", down.to_string(), (init != new_init).to_string());
        }
        let expected = match item["to"].as_str() {
            Some("running") => 2,
            Some("ready") => 1,
            Some("shutting_down") => after.processes,
            _ => 0,
        };
        differ("processes", expected.to_string(), after.processes.to_string());
        let left = planned_steps(self::item(again, name));
        differ("left to do", "[]".into(), format!("{left:?}"));
        differ("waits for", hold(Some(item)), hold(self::item(again, name)));
    }
    differs.extend(told.failed.iter().map(|line| format!("failed: {line}")));
    (steps, differs)
}

/// What is wrong with the exit status of `apply`, where something is.
pub fn exit(plan: &Value, code: Option<i32>) -> Option<String> {
    let items = plan["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let waits = items.iter().any(|item| !item["hold"].is_null());
    let right = if waits { matches!(code, Some(0 | 3 | 4)) } else { code == Some(0) };
    (!right).then(|| format!("apply: exit status {code:?}"))
}

fn item<'v>(plan: &'v Value, name: &str) -> Option<&'v Value> {
    plan["items"].as_array()?.iter().find(|item| item["name"] == name)
}

fn costs(item: &Value) -> impl Iterator<Item = &Value> {
    item["steps"].as_array().into_iter().flatten().map(|step| &step["cost"])
}

fn planned_steps(item: Option<&Value>) -> Vec<String> {
    let steps = item.and_then(|item| item["steps"].as_array()).into_iter().flatten();
    let shown = |step: &Value| {
        let action = step["transition"].as_str().unwrap_or("live");
        format!("{action} {}", step["name"].as_str().unwrap_or_default())
    };
    steps.map(shown).collect()
}

/// The transitions of the plan.
fn path(item: &Value) -> String {
    words(item["path"].as_array().into_iter().flatten())
}

/// The transitions that came to the history. (That of a zone that is gone is gone with it.)
fn walked(before: &Seen, after: &Seen) -> String {
    let count = |seen: &Seen| seen.status["history"].as_array().map_or(0, Vec::len);
    let entries = after.status["history"].as_array().into_iter().flatten().skip(count(before));
    words(entries.map(|entry| &entry["transition"]))
}

fn words<'v>(values: impl Iterator<Item = &'v Value>) -> String {
    values.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn hold(item: Option<&Value>) -> String {
    item.map(|item| item["hold"]["reason"].to_string()).unwrap_or_else(|| "null".into())
}

/// The plan in a line for each zone.
pub fn shown(plan: &Value) -> String {
    let mut text = String::new();
    for item in plan["items"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "plan: {} from {} to {}: {} ({}) after {}",
            item["name"],
            item["from"],
            item["to"],
            planned_steps(Some(item)).join(", "),
            item["reason"],
            item["after"]
        );
    }
    text
}
