//! Differences: causes, prices, and the fields that the table must know.

mod common;

use common::{BOOT, World, facts_in, links_of, wants};
use reeve_state::difference::{Cause, Difference, PRICES, Price, Recorded, differences, fields, price_of};
use reeve_state::journal::{Entry, Phase, VERSION};
use reeve_state::plan::step_name;
use reeve_state::wanted::Wanted;
use reeve_state::{Fact, Timestamp, Transition, ZoneState};
use serde_json::{Value, json};

fn recorded(wanted: &Wanted, state: ZoneState) -> Recorded {
    let mut world = World::new();
    world.put(wanted, state);
    world.recorded.remove(&wanted.name).expect("just put")
}

/// Field, cause and price of everything that differs on a running zone made from `r` and wanted as `d`.
fn told(r: Value, d: Value) -> Vec<(String, Cause, Price)> {
    let (r, d) = (wants("z", r), wants("z", d));
    let all = differences(&d, Some(&recorded(&r, ZoneState::Running)), &facts_in(&r, ZoneState::Running), BOOT);
    brief(&all)
}

fn brief(all: &[Difference]) -> Vec<(String, Cause, Price)> {
    all.iter().filter(|d| d.field != "digest").map(|d| (d.field.clone(), d.cause, d.price)).collect()
}

#[test]
fn a_changed_field_has_its_price() {
    let table = [
        (json!({"cappedMemory": {"physical": "64Mi"}}), "cappedMemory", Price::Live),
        (json!({"cappedCpu": {"ncpus": 0.5}}), "cappedCpu", Price::Live),
        (json!({"cpuShares": 20}), "cpuShares", Price::Live),
        (json!({"maxProcesses": 10}), "maxProcesses", Price::Live),
        (json!({"init": {"restart": "never"}}), "init.restart", Price::Live),
        (json!({"init": {"haltTimeout": "1s"}}), "init.haltTimeout", Price::Live),
        (json!({"init": {"haltSignal": "SIGINT"}}), "init.haltSignal", Price::Live),
        (json!({"init": {"command": ["/bin/true"]}}), "init.command", Price::Restart),
        (json!({"init": {"env": {"A": "b"}}}), "init.env.A", Price::Restart),
        (json!({"hostname": "other"}), "hostname", Price::Rebuild),
        (json!({"net": [{"physical": "br0"}]}), "net", Price::Rebuild),
        (json!({"fs": [{"dir": "/tmp", "type": "tmpfs"}]}), "fs", Price::Rebuild),
        (json!({"root": {"directory": {"path": "/srv"}}}), "root", Price::Reinstall),
        (json!({"zonepath": "/z"}), "zonepath", Price::Reinstall),
        (json!({"deletion": "keep"}), "deletion", Price::Live),
    ];
    for (spec, field, price) in table {
        assert_eq!(told(json!({}), spec), [(field.to_owned(), Cause::Change, price)]);
    }
}

#[test]
fn every_field_of_a_manifest_is_in_the_price_table() {
    let whole = wants(
        "z",
        json!({
            "zonepath": "/z", "fs": [{"dir": "/tmp", "type": "tmpfs"}], "net": [{"physical": "br0"}],
            "cappedMemory": {"physical": "1Gi"}, "cappedCpu": {"ncpus": 1}, "cpuShares": 1, "maxProcesses": 9,
            "hostname": "h", "init": {"command": ["/x"], "env": {"A": "b"}, "haltSignal": "SIGINT"},
        }),
    );
    for field in fields(&whole.manifest).keys() {
        let parent = field.split('.').next().expect("a name");
        assert!(PRICES.iter().any(|(name, _)| *name == parent), "{field} has no price");
    }
    assert_eq!(price_of("initially"), Price::Rebuild, "not below init");
    assert_eq!(price_of("init.haltTimeout"), Price::Live);
    assert_eq!(price_of("init.program"), Price::Restart);
}

#[test]
fn a_secret_is_compared_by_its_digest() {
    let age = |ciphertext: &str, value: &str| json!({"fromAge": "a.age", "ciphertext": ciphertext, "value": value});
    let unopened = |ciphertext: &str| json!({"fromAge": "a.age", "ciphertext": ciphertext});
    let table = [
        (age("c1", "v1"), age("c1", "v1"), None),
        (age("c1", "v1"), age("c2", "v2"), Some(Price::Restart)),
        // Encrypted anew, or moved: the value is what init has already.
        (age("c1", "v1"), age("c2", "v1"), Some(Price::Live)),
        (age("c1", "v1"), json!({"fromFile": "/a", "value": "v1"}), Some(Price::Live)),
        (json!("text"), age("c1", "v1"), Some(Price::Restart)),
        // Between manifests alone nothing was opened: another file may be another value.
        (unopened("c1"), unopened("c2"), Some(Price::Restart)),
    ];
    for (r, d, price) in table {
        let told = told(json!({"init": {"env": {"A": r}}}), json!({"init": {"env": {"A": d}}}));
        let expected: Vec<_> = price.map(|price| ("init.env.A".to_owned(), Cause::Change, price)).into_iter().collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn writing_a_default_down_is_no_change() {
    assert_eq!(told(json!({}), json!({"hostname": "z", "zonepath": "/var/lib/reeve/zonepaths/z"})), []);
    assert_eq!(told(json!({}), json!({"init": {"haltTimeout": "10s", "restart": "always"}})), []);
}

#[test]
fn drift_change_and_both_are_told_apart() {
    let with = |bytes: &str| wants("z", json!({"cappedMemory": {"physical": bytes}}));
    let (old, new) = (with("64Mi"), with("128Mi"));
    let record = recorded(&old, ZoneState::Running);
    let mut facts = facts_in(&old, ZoneState::Running);
    let cause = |wanted: &Wanted, facts: &_| brief(&differences(wanted, Some(&record), facts, BOOT));
    let one = |cause| vec![("cappedMemory".to_owned(), cause, Price::Live)];
    assert_eq!(cause(&old, &facts), []);
    assert_eq!(cause(&new, &facts), one(Cause::Change));
    let Fact::Known(cgroup) = &mut facts.cgroup else { panic!("a cgroup") };
    cgroup.memory_max = Some("max".into());
    assert_eq!(cause(&old, &facts), one(Cause::Drift));
    assert_eq!(cause(&new, &facts), one(Cause::Both));
    let all = differences(&new, Some(&record), &facts, BOOT);
    let memory = all.iter().find(|d| d.field == "cappedMemory").expect("it differs");
    assert_eq!(memory.observed, Some(json!("max")));
    assert_eq!(memory.recorded, Some(json!({"physical": "64Mi"})));
    assert_eq!(memory.desired, Some(json!({"physical": "128Mi"})));
    let Fact::Known(cgroup) = &mut facts.cgroup else { panic!("a cgroup") };
    cgroup.memory_max = None;
    assert_eq!(cause(&old, &facts), [], "what the host does not have is not compared");
}

#[test]
fn memory_rounded_down_to_pages_is_as_written() {
    let odd = wants("z", json!({"cappedMemory": {"physical": "100001"}}));
    let mut facts = facts_in(&odd, ZoneState::Ready);
    let Fact::Known(cgroup) = &mut facts.cgroup else { panic!("a cgroup") };
    cgroup.memory_max = Some("98304".into());
    let record = recorded(&odd, ZoneState::Ready);
    let all = differences(&odd, Some(&record), &facts, BOOT);
    assert!(!all.iter().any(|d| d.field == "cappedMemory"), "{all:?}");
}

#[test]
fn links_drift_live_where_the_host_end_is_wrong_and_rebuild_where_one_is_missing() {
    let net = wants("z", json!({"net": [{"physical": "br0", "address": "10.0.0.9/24"}]}));
    let record = recorded(&net, ZoneState::Running);
    let told = |change: &dyn Fn(&mut Vec<reeve_state::observed::LinkFacts>)| {
        let mut facts = facts_in(&net, ZoneState::Running);
        let mut links = links_of(&net.manifest);
        change(&mut links);
        facts.links = Fact::Known(links);
        brief(&differences(&net, Some(&record), &facts, BOOT)).into_iter().map(|d| (d.1, d.2)).collect::<Vec<_>>()
    };
    assert_eq!(told(&|_| {}), []);
    assert_eq!(told(&|l| l[0].up = false), [(Cause::Drift, Price::Live)]);
    assert_eq!(told(&|l| l[0].master = Some("br1".into())), [(Cause::Drift, Price::Live)]);
    assert_eq!(told(&|l| l[0].addresses = Some(vec![])), [(Cause::Drift, Price::Rebuild)]);
    assert_eq!(told(&|l| l[0].addresses = None), [], "nobody looked");
    assert_eq!(told(&|l| l.clear()), [(Cause::Drift, Price::Rebuild)]);
    assert_eq!(told(&|l| l[0].zone_name = None), [], "found by its host name");
}

#[test]
fn a_host_boot_is_neither_drift_nor_change() {
    let zone = wants("z", json!({}));
    let mut record = recorded(&zone, ZoneState::Running);
    record.boot_id = "before".into();
    let all = differences(&zone, Some(&record), &facts_in(&zone, ZoneState::Installed), BOOT);
    assert_eq!(brief(&all), [("state".to_owned(), Cause::HostBoot, Price::Live)]);
    assert_eq!(all[0].observed, Some(json!("installed")));
}

#[test]
fn a_zone_without_a_record_is_adopted_as_it_runs() {
    let zone = wants("z", json!({"cappedMemory": {"physical": "64Mi"}}));
    let all = differences(&zone, None, &facts_in(&zone, ZoneState::Running), BOOT);
    assert_eq!(brief(&all), [("record".to_owned(), Cause::Adopted, Price::Live)]);
}

#[test]
fn a_walk_that_did_not_finish_owns_its_fields() {
    let zone = wants("z", json!({"net": [{"physical": "br0"}]}));
    let mut facts = facts_in(&zone, ZoneState::Ready);
    facts.links = Fact::Known(vec![]);
    facts.journal = Some(Entry {
        version: VERSION,
        boot_id: BOOT.into(),
        zone: "z".into(),
        zone_id: Some(1),
        transition: Some(Transition::Ready),
        path: vec![Transition::Ready, Transition::Boot],
        step: step_name::READY[4].into(),
        phase: Phase::Intent,
        at: Timestamp(1),
        evidence: <_>::default(),
    });
    let all = brief(&differences(&zone, Some(&recorded(&zone, ZoneState::Installed)), &facts, BOOT));
    let owned = |field: &str, price| (field.to_owned(), Cause::Unfinished, price);
    assert_eq!(all, [owned("state", Price::Live), owned("platform", Price::Rebuild), owned("net", Price::Rebuild)]);
}

#[test]
fn the_end_of_init_is_no_drift() {
    let zone = wants("z", json!({}));
    let mut facts = facts_in(&zone, ZoneState::Ready);
    let kind = reeve_state::restart::ExitKind::Exited(0);
    facts.last_exit = Some(reeve_state::restart::ExitReport { kind, at: Timestamp(5), environment: 1 });
    let all = brief(&differences(&zone, Some(&recorded(&zone, ZoneState::Running)), &facts, BOOT));
    assert_eq!(all, [("state".to_owned(), Cause::Change, Price::Live)]);
}
