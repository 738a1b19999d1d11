//! Plans as files: each folder of `tests/golden/` has what is (`current.json`), what is wanted (`desired.json`, a list of
//! manifests) and the plan that follows (`plan.json`). `UPDATE_GOLDEN=1` writes the plans anew, and what is missing of the
//! cases below.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{World, from_document, wants};
use reeve_state::audit::audit;
use reeve_state::plan::{Plan, ZonePolicy};
use reeve_state::suspension::Suspension;
use reeve_state::wanted::Wanted;
use reeve_state::{Fact, Timestamp, ZoneState};
use serde::Serialize;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn write(path: &Path, value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("a document") + "\n";
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}; UPDATE_GOLDEN=1 writes it", path.display()))
}

#[test]
fn each_folder_has_the_plan_that_follows() {
    if updating() {
        write_missing();
    }
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder()).expect("the folder").map(|e| e.expect("entry").path()).collect();
    cases.sort();
    assert!(cases.len() >= 9 + 8, "{}", cases.len());
    for case in cases {
        let mut world: World = serde_json::from_str(&read(&case.join("current.json"))).expect("current.json");
        let desired: Vec<Value> = serde_json::from_str(&read(&case.join("desired.json"))).expect("desired.json");
        world.wanted = desired.iter().map(from_document).map(|w| (w.name.clone(), w)).collect();
        let plan = world.plan();
        assert_eq!(audit(&plan, &world.facts, &world.permissions()), [], "{}", case.display());
        if updating() {
            write(&case.join("plan.json"), &plan);
        }
        let golden: Plan = serde_json::from_str(&read(&case.join("plan.json"))).expect("plan.json");
        assert_eq!(plan, golden, "{}: UPDATE_GOLDEN=1 writes it anew; look at the difference", case.display());
    }
}

/// A case that is not there yet.
fn new_case(name: &str, mut world: World, desired: &[Wanted]) {
    let folder = folder().join(name);
    if folder.exists() {
        return;
    }
    fs::create_dir_all(&folder).expect("a folder");
    world.wanted.clear();
    write(&folder.join("current.json"), &world);
    let documents: Vec<&Value> = desired.iter().map(|w| &*w.manifest).collect();
    write(&folder.join("desired.json"), &documents);
}

fn web(extra: Value) -> Wanted {
    let mut spec = json!({
        "zonepath": "/zones/web", "hostname": "web", "net": [{"physical": "reeve0", "address": "10.77.0.10/24"}],
        "init": {"command": ["/usr/bin/httpd"]},
    });
    for (key, value) in extra.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    wants("web", spec)
}

/// A world with one zone in a state, made from the manifest.
fn one(wanted: &Wanted, state: ZoneState) -> World {
    let mut world = World::new();
    world.put(wanted, state);
    world
}

fn write_missing() {
    let three = [("installed", ZoneState::Installed), ("ready", ZoneState::Ready), ("running", ZoneState::Running)];
    for (from, state) in three {
        for (to, _) in three {
            let (old, new) = (web(json!({"state": from})), web(json!({"state": to})));
            new_case(&format!("{from}-to-{to}"), one(&old, state), &[new]);
        }
    }
    let running = web(json!({}));
    new_case("new", World::new(), std::slice::from_ref(&running));
    let limit = web(json!({"cappedMemory": {"physical": "64Mi"}}));
    new_case("limit-changed", one(&running, ZoneState::Running), &[limit]);
    let command = web(json!({"init": {"command": ["/usr/bin/other"]}}));
    new_case("command-changed", one(&running, ZoneState::Running), &[command]);
    let root = web(json!({"root": {"directory": {"path": "/srv/tree"}}, "maxProcesses": 5}));
    new_case("root-changed", one(&running, ZoneState::Running), &[root]);
    new_case("manifest-gone", one(&running, ZoneState::Running), &[]);
    let delete = web(json!({"deletion": "delete"}));
    new_case("manifest-gone-delete", one(&delete, ZoneState::Running), &[]);
    let mut booted = one(&running, ZoneState::Installed);
    booted.recorded.get_mut("web").expect("web").state = ZoneState::Running;
    booted.recorded.get_mut("web").expect("web").boot_id = "an earlier boot".into();
    new_case("host-booted", booted, std::slice::from_ref(&running));
    new_case("halt-unfinished", one(&running, ZoneState::Down), std::slice::from_ref(&running));
    let mut zsched = one(&running, ZoneState::Running);
    let facts = zsched.facts.zones.get_mut("web").expect("web");
    (facts.zsched, facts.init, facts.environment_processes) = (Fact::Absent, Fact::Absent, Fact::Known(0));
    new_case("zsched-killed", zsched, std::slice::from_ref(&running));
    let mut blind = one(&running, ZoneState::Running);
    blind.facts.zones.get_mut("web").expect("web").init = Fact::unknown("open /proc/102/stat: EMFILE");
    new_case("init-unknown", blind, std::slice::from_ref(&running));
    // Nobody touches a suspended zone; what differs is told.
    let mut suspended = one(&running, ZoneState::Running);
    let suspension = Suspension {
        reason: "a disk is looked at".into(),
        owner: "ada".into(),
        since: Timestamp(900_000),
        until: Some(Timestamp(2_000_000)),
    };
    let policy = ZonePolicy { suspended: Some(suspension), ..ZonePolicy::default() };
    suspended.policies.insert("web".into(), policy);
    new_case("suspended", suspended, &[web(json!({"hostname": "other"}))]);
    // Up in order, from nothing; and down in the reverse one.
    let needs = |state: &str| wants("app", json!({"state": state, "dependsOn": [{"zone": "web"}]}));
    new_case("depends-on-up", World::new(), &[web(json!({})), needs("running")]);
    let mut both = one(&running, ZoneState::Running);
    both.put(&needs("running"), ZoneState::Running);
    new_case("depends-on-down", both, &[web(json!({"state": "installed"})), needs("installed")]);
    new_case("depends-on-waits", World::new(), &[web(json!({"state": "ready"})), needs("running")]);
    // The address goes from one zone to another: the one that has it comes down first.
    let other = |address: &str| wants("app", json!({"net": [{"physical": "reeve0", "address": address}]}));
    let mut swap = one(&running, ZoneState::Running);
    swap.put(&other("10.77.0.11/24"), ZoneState::Running);
    let moved = web(json!({"net": [{"physical": "reeve0", "address": "10.77.0.11/24"}]}));
    new_case("addresses-swapped", swap, &[moved, other("10.77.0.10/24")]);
}
