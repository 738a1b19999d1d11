//! Files as earlier versions wrote them (tests/faults/formats): every one is read, and nothing that it says is lost.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::files::{self, Content};
use super::ids::{IdRange, IdRanges, ZoneIds};
use super::lock::Holder;
use super::tests::{scene, zone_files};
use super::{HostEvent, events};

/// The boot in which the files of version 1 were written.
const BOOT: &str = "c9647af3-3379-4adc-9e32-94cacaa366fe";

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/faults/formats/v1").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// Whether everything that the old file says is in what is made of it. What says that there is nothing may be left out.
fn keeps(old: &Value, new: &Value) -> bool {
    let nothing = |value: &Value| value.is_null() || *value == Value::Bool(false);
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().all(|(key, value)| match new.get(key) {
            Some(new) => keeps(value, new) || (nothing(value) && nothing(new)),
            None => nothing(value),
        }),
        (old, new) => old == new,
    }
}

fn kept(name: &str, read: &impl Serialize) {
    let (old, new) = (json(name), serde_json::to_value(read).unwrap());
    assert!(keeps(&old, &new), "{name}: {old:#}\nbecomes {new:#}");
}

#[test]
fn what_outlives_a_boot_is_read_as_version_1_wrote_it() {
    let scene = scene();
    let zone = zone_files(&scene);
    for name in ["zone.json", "installed.json"] {
        fs::copy(golden(name), scene.places.zone_state("web").join(name)).unwrap();
    }
    fs::copy(golden("idmap.json"), scene.places.state().join("idmap.json")).unwrap();
    fs::copy(golden("events.jsonl"), scene.places.state().join("events.jsonl")).unwrap();
    let Content::Value(configured) = zone.configured().unwrap() else { panic!("zone.json is not read") };
    kept("zone.json", &configured);
    assert_eq!(configured.zone().unwrap().name().as_str(), "web");
    let Content::Value(installed) = zone.installed().unwrap() else { panic!("installed.json is not read") };
    kept("installed.json", &installed);
    let range = IdRange { base: 0x2000_0000, count: 65536 };
    assert_eq!(IdRanges::new(scene.places.state()).give("web").unwrap(), range);
    let told: Vec<HostEvent> = events::newest(scene.places.state(), 100);
    assert_eq!(told.len(), fs::read_to_string(golden("events.jsonl")).unwrap().lines().count());
    kept("lock", &serde_json::from_value::<Holder>(json("lock")).unwrap());
}

#[test]
fn what_ends_with_the_boot_is_read_as_version_1_wrote_it() {
    let scene = scene();
    let zone = zone_files(&scene);
    for name in ["journal.json", "memory.json", "status.json"] {
        fs::copy(golden(name), zone.run().join(name)).unwrap();
    }
    fs::copy(golden("next-zone-id"), scene.places.run().join("next-zone-id")).unwrap();
    kept("journal.json", &zone.journal(BOOT).expect("the journal is read"));
    assert_eq!(zone.journal("another"), None, "in another boot nothing of it is true");
    let memory = zone.memory(BOOT);
    kept("memory.json", &memory);
    assert!(memory.recorded.is_some());
    kept("status.json", &zone.status().expect("the status is read"));
    assert_eq!(ZoneIds::new(scene.places.run()).give("web").unwrap(), 2);
    assert!(files::read(&zone.run().join("journal.json")).unwrap().unwrap().ends_with(b"\n"));
}
