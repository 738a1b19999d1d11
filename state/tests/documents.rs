//! The JSON Schemas of documents are those that are checked in under schema/json (`UPDATE_SCHEMA=1` writes them anew), and
//! what a plan becomes as a document has what people are to know.

mod common;

use std::fs;
use std::path::Path;

use common::{World, wants};
use reeve_state::ZoneState;
use reeve_state::plan::basis::Basis;
use reeve_state::plan::document::PlanDocument;
use reeve_state::schema::{DOCUMENTS, json_schema};
use serde_json::{Value, json};

#[test]
fn checked_in_schemas_are_in_step() {
    for document in DOCUMENTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../schema/json/{document}.v1.json"));
        let schema = json_schema(document).expect("a schema");
        let now = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &now).expect("write the schema");
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == now, "{}: out of step, run this with UPDATE_SCHEMA=1", path.display());
    }
    assert_eq!(json_schema("nothing"), None);
}

/// A zone whose memory was changed by hand and whose command was changed by a commit; one to be deleted.
fn world() -> World {
    let mut world = World::new();
    world.put(&wants("web", json!({"maxProcesses": 5, "init": {"command": ["/bin/a"]}})), ZoneState::Running);
    world.put(&wants("old", json!({"deletion": "delete"})), ZoneState::Running);
    if let reeve_state::Fact::Known(cgroup) = &mut world.facts.zones.get_mut("web").expect("web").cgroup {
        cgroup.pids_max = Some("9".into());
    }
    world.want(json!({"maxProcesses": 5, "init": {"command": ["/bin/b"]}}), "web");
    world
}

fn basis(world: &World) -> Basis {
    let names = world.facts.zones.keys().cloned().collect();
    Basis::new(Some("c1".into()), &world.wanted, &world.facts, &world.recorded, &world.policies, &names)
}

#[test]
fn drift_stands_apart_from_change_and_what_is_lost_is_said() {
    let world = world();
    let plan = world.plan();
    let mut document = PlanDocument::new("/zones", Some("c1"));
    document.add(None, &plan, &[], basis(&world).digest(&plan));
    let item = |name: &str| document.items.iter().find(|item| item.name == name).expect("an item");
    let fields = |all: &[reeve_state::plan::document::PlanDifference]| -> Vec<String> {
        all.iter().map(|one| one.field.clone()).collect()
    };
    assert_eq!(fields(&item("web").drift), ["maxProcesses"]);
    assert_eq!(fields(&item("web").changes), ["digest", "init.command"]);
    assert_eq!((item("web").from.as_str(), item("web").to.as_str()), ("running", "running"));
    assert!(item("web").cost.downtime_ms > 0 && item("web").irreversible.is_empty());
    assert_eq!(item("old").to, "none");
    assert_eq!(item("old").irreversible.len(), 2, "{:?}", item("old").irreversible);
    let summary = document.summary;
    assert_eq!((summary.to_do, summary.drifted, summary.data_lost, summary.down), (2, 1, 1, 2));
    let value: Value = serde_json::to_value(&document).expect("JSON");
    let again: PlanDocument = serde_json::from_value(value).expect("the same");
    assert_eq!(again, document);
}

#[test]
fn what_moved_is_said() {
    let then = basis(&world());
    assert_eq!(then.moved(&then), [""; 0]);
    let mut now = world();
    now.facts.observed_at = reeve_state::Timestamp(99_000_000);
    now.facts.zones.get_mut("web").expect("web").environment_processes = reeve_state::Fact::Known(90);
    assert_eq!(then.moved(&basis(&now)), [""; 0], "what moves by itself");
    let stopped = wants("old", json!({"deletion": "delete"}));
    now.put(&stopped, ZoneState::Installed);
    now.want(json!({"maxProcesses": 6}), "web");
    now.want(json!({}), "new");
    now.facts.zones.get_mut("web").expect("web").zsched = common::process(4711);
    let moved = Basis { commit: Some("c2".into()), ..basis(&now) };
    assert_eq!(
        then.moved(&moved),
        [
            "the commit was c1 and is c2 now",
            "zone new has a manifest now",
            "the manifest of zone web changed",
            "zone old was running and is installed now",
            "zone web was brought up anew",
        ]
    );
    let plan = world().plan();
    assert_ne!(then.digest(&plan), moved.digest(&plan));
}
