//! What is shipped for monitoring held to the metrics that there are: the table in docs/monitoring.md, the alert rules with their
//! runbooks, the dashboard, which is made here from its source. Needs no root and no zone.
//!
//! What is made is rewritten with `REEVE_UPDATE=1 cargo test --test monitoring`.

use reeve_state::metrics::{About, FAMILIES, Kind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = "packaging/prometheus/reeve.rules.yml";
const PANELS: &str = "packaging/grafana/reeve.panels.yaml";
const DASHBOARD: &str = "packaging/grafana/reeve.json";
const PAGE: &str = "docs/monitoring.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the reconciler is a folder of the repository").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A text that is made must be what the file has; or the file gets it.
fn in_step(path: &str, text: &str) {
    if std::fs::read_to_string(root().join(path)).is_ok_and(|found| found == text) {
        return;
    }
    assert!(
        std::env::var_os("REEVE_UPDATE").is_some(),
        "{path} is not in step; do: REEVE_UPDATE=1 cargo test --test monitoring"
    );
    std::fs::write(root().join(path), text).expect("write");
}

/// The names of metrics in a text; a histogram's by the name of its family.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_word(c)).filter(|w| w.starts_with("reeve_") || w.starts_with("process_"));
    let family = |word: &str| {
        let histogram = |suffix| {
            let name = word.strip_suffix(suffix)?;
            FAMILIES.iter().find(|about| about.name == name && about.kind == Kind::Histogram)
        };
        ["_bucket", "_sum", "_count"].into_iter().find_map(histogram).map_or(word, |about| about.name).to_owned()
    };
    words.map(family).collect()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where each metric is used: names of alerts, `dashboard`.
fn users() -> BTreeMap<String, Vec<String>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for rule in rules() {
        for metric in metrics_in(text(&rule["expr"])) {
            users.entry(metric).or_default().push(text(&rule["alert"]).to_owned());
        }
    }
    for metric in metrics_in(&read(PANELS)) {
        users.entry(metric).or_default().push("dashboard".into());
    }
    users
}

fn rules() -> Vec<Value> {
    let document = yaml(RULES);
    let groups = document["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn every_metric_is_used_and_what_is_used_is_there() {
    let users = users();
    let there: BTreeSet<&str> = FAMILIES.iter().map(|about| about.name).collect();
    assert_eq!(there.len(), FAMILIES.len(), "a name is there twice");
    let unknown: Vec<&String> = users.keys().filter(|name| !there.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "used, but not there: {unknown:?}");
    let idle: Vec<&&str> = there.iter().filter(|name| !users.contains_key(**name)).collect();
    assert!(idle.is_empty(), "in no alert and not in the dashboard: {idle:?}");
}

#[test]
fn names_and_labels_are_as_prometheus_wants_them() {
    for About { name, kind, labels, help } in FAMILIES {
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: _total is for counters, and for these");
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}: times are in seconds");
        assert!(!name.contains("_age"), "{name}: times are told as _timestamp_seconds");
        assert!(!labels.iter().any(|label| label.contains("commit")), "{name}: a commit is no label");
        assert!(
            help.starts_with(|c: char| c.is_ascii_uppercase() || c == '1') && !help.ends_with('.'),
            "{name}: {help}"
        );
    }
}

#[test]
fn the_page_has_every_metric_and_alert() {
    let users = users();
    let mut table = String::from("| Metric | Type | Labels | Meaning | Used by |\n|---|---|---|---|---|\n");
    for About { name, kind, labels, help } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let used = users.get(*name).cloned().unwrap_or_default().join(", ");
        table += &format!("| `{name}` | {} | {} | {help} | {used} |\n", kind.as_str(), labels.join(", "));
    }
    let page = read(PAGE);
    let mark = "<!-- made from metrics::FAMILIES -->";
    let start = page.find(mark).expect("the mark") + mark.len();
    let end = start + page[start..].find("<!-- end -->").expect("an end");
    in_step(PAGE, &format!("{}\n{table}{}", &page[..start], &page[end..]));
    for rule in rules() {
        let row = format!("\n| `{}` | ", text(&rule["alert"]));
        let severity = format!(" | {} |", text(&rule["labels"]["severity"]));
        let found = page.split(&row).nth(1).and_then(|rest| rest.lines().next());
        assert!(found.is_some_and(|line| line.ends_with(severity.trim_start_matches(' '))), "{PAGE}: {row}{severity}");
    }
}

#[test]
fn every_runbook_names_commands_that_there_are() {
    for rule in rules() {
        let (alert, annotations) = (text(&rule["alert"]), &rule["annotations"]);
        for part in ["summary", "description", "runbook"] {
            assert!(!text(&annotations[part]).is_empty(), "{alert} has no {part}");
        }
        let commands: Vec<&str> = text(&annotations["runbook"]).split('`').skip(1).step_by(2).collect();
        assert!(!commands.is_empty(), "{alert}: the runbook names no command");
        for command in commands.into_iter().filter_map(|command| command.strip_prefix("reeve ")) {
            let word = command.split(' ').next().expect("a word");
            let help = Command::new(env!("CARGO_BIN_EXE_reeve")).args([word, "--help"]).output().expect("reeve");
            assert!(help.status.success(), "{alert}: there is no `reeve {word}`");
        }
    }
}

#[test]
fn the_dashboard_is_made_from_its_source() {
    let dashboard = serde_json::to_string_pretty(&dashboard(&yaml(PANELS))).expect("JSON");
    in_step(DASHBOARD, &format!("{dashboard}\n"));
}

/// The dashboard of these rows of panels.
fn dashboard(rows: &Value) -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for row in rows.as_array().expect("rows") {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row["row"], "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for of in row["panels"].as_array().expect("panels") {
            let width = of["width"].as_u64().unwrap_or(8);
            let high = if of["kind"] == "stat" { 4 } else { 8 };
            if x + width > 24 {
                (x, y, height) = (0, y + height, 0);
            }
            let id = panels.len() + 1;
            panels.push(panel(of, id, &json!({"h": high, "w": width, "x": x, "y": y})));
            (x, height) = (x + width, height.max(high));
        }
        y += height;
    }
    let variable = |name: &str, query: &str| {
        json!({
            "name": name, "label": name, "type": "query", "datasource": source(), "query": query, "definition": query,
            "multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
            "current": {"text": "All", "value": "$__all"},
        })
    };
    json!({
        "uid": "reeve", "title": "Reeve", "tags": ["reeve"], "schemaVersion": 37, "version": 1, "editable": true,
        "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "templating": {"list": [
            {"name": "datasource", "label": "datasource", "type": "datasource", "query": "prometheus"},
            variable("instance", "label_values(reeve_build_info, instance)"),
            variable("zone", "label_values(reeve_zone_state{instance=~\"$instance\"}, zone)"),
        ]},
        "panels": panels,
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn panel(of: &Value, id: usize, place: &Value) -> Value {
    let kind = text(&of["kind"]);
    let known: BTreeSet<&str> = ["title", "kind", "unit", "width", "queries", "stack", "alarm"].into();
    let fields = of.as_object().expect("a panel");
    assert!(fields.keys().all(|key| known.contains(key.as_str())), "{of}");
    assert!(["stat", "timeseries", "table"].contains(&kind), "{of}");
    let is_table = kind == "table";
    let queries = of["queries"].as_object().expect("queries").iter().enumerate();
    let targets: Vec<Value> = queries
        .map(|(number, (legend, query))| {
            let name = char::from(b'A' + u8::try_from(number).expect("few queries"));
            json!({
                "refId": name.to_string(), "expr": query, "legendFormat": legend, "datasource": source(),
                "instant": kind != "timeseries", "range": kind == "timeseries",
                "format": if is_table { "table" } else { "time_series" },
            })
        })
        .collect();
    let mut defaults = json!({"unit": of["unit"].as_str().unwrap_or("short")});
    if let Some(alarm) = of["alarm"].as_u64() {
        defaults["thresholds"] = json!({"mode": "absolute", "steps": [
            {"color": "green", "value": null}, {"color": "red", "value": alarm},
        ]});
    }
    if of["stack"] == true {
        defaults["custom"] = json!({"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40});
    }
    let mut panel = json!({
        "id": id, "type": kind, "title": of["title"], "gridPos": place, "datasource": source(), "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    });
    if is_table {
        let hidden = json!({"Time": true, "__name__": true, "job": true});
        panel["transformations"] = json!([{"id": "organize", "options": {"excludeByName": hidden}}]);
    }
    panel
}
