//! Files that are torn, foreign, lost or held by others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use reeve_state::journal::{self, Entry, Phase};
use reeve_state::{Timestamp, Transition};
use serde_json::json;

use super::files::{self, Content, Durability};
use super::ids::{IdRange, IdRanges, RANGE, ZoneIds};
use super::zone::{Configured, Installed, Memory, ZoneFiles};
use super::{Lock, zone_names};
use crate::error::Error;
use crate::places::Places;

pub(super) struct Scene {
    _dir: tempfile::TempDir,
    pub(super) places: Places,
}

pub(super) fn scene() -> Scene {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (state, run) = (dir.path().join("state"), dir.path().join("run"));
    for folder in [state.join("zones"), run.join("zones"), run.join("ids")] {
        fs::create_dir_all(folder).unwrap();
    }
    Scene { places: Places::new(Some(&state), Some(&run), Some("none")), _dir: dir }
}

pub(super) fn zone_files(scene: &Scene) -> ZoneFiles {
    let files = ZoneFiles::new(&scene.places, "web");
    fs::create_dir_all(files.run()).unwrap();
    fs::create_dir_all(scene.places.zone_state("web")).unwrap();
    files
}

fn entry(boot_id: &str) -> Entry {
    Entry {
        version: journal::VERSION,
        boot_id: boot_id.into(),
        zone: "web".into(),
        zone_id: Some(3),
        transition: Some(Transition::Halt),
        path: vec![Transition::Halt],
        step: "unmount".into(),
        phase: Phase::Intent,
        at: Timestamp(1),
        evidence: <_>::default(),
    }
}

#[test]
fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
    let scene = scene();
    let path = scene.places.state().join("file");
    for durability in [Durability::Volatile, Durability::Synced, Durability::Volatile] {
        files::replace(&path, b"one", durability).unwrap();
        files::replace(&path, b"two", durability).unwrap();
        assert_eq!(files::read(&path).unwrap().unwrap(), b"two");
    }
    assert_eq!(fs::read_dir(scene.places.state()).unwrap().count(), 2, "the file, and the folder of the zones");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn half_written_files_of_the_dead_are_removed_and_no_others() {
    let scene = scene();
    zone_files(&scene);
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let (state, zone) = (scene.places.state(), scene.places.zone_state("web"));
    let gone = [state.join(format!("idmap.json.new-{dead}-0")), zone.join(format!("zone.json.new-{dead}-12"))];
    let alive = format!("idmap.json.new-{}-0", std::process::id());
    let stay = [alive.as_str(), "notes.new-1x-0", "idmap.json.bad-1", "zones.new"].map(|name| state.join(name));
    gone.iter().chain(&stay).for_each(|path| fs::write(path, "half").unwrap());
    super::sweep(&scene.places).unwrap();
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(stay.iter().all(|path| path.exists()));
}

#[test]
fn a_configuration_that_is_not_usable_is_set_aside_and_kept() {
    let scene = scene();
    let files = zone_files(&scene);
    let path = scene.places.zone_state("web").join("zone.json");
    let mut good = Configured::new("web", "d", None, "boot", json!({"spec": {}}));
    files.configure(&good).unwrap();
    assert!(matches!(files.configured().unwrap(), Content::Value(found) if found == good));
    assert!(files.set_bad_aside().unwrap().is_empty());
    let text = fs::read(&path).unwrap();
    good.version = 99;
    let newer = serde_json::to_vec(&good).unwrap();
    let foreign = String::from_utf8(text.clone()).unwrap().replace("\"web\"", "\"other\"");
    for bad in [&text[..text.len() / 2], b"", newer.as_slice(), foreign.as_bytes()] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(files.configured().unwrap(), Content::Bad(_)));
        let said = files.set_bad_aside().unwrap();
        assert!(said[0].contains("zone.json.bad-"), "{said:?}");
        assert!(matches!(files.configured().unwrap(), Content::Absent));
    }
}

#[test]
fn a_journal_is_trusted_only_whole_and_in_the_boot_that_wrote_it() {
    let scene = scene();
    let files = zone_files(&scene);
    files.write_journal(&entry("boot")).unwrap();
    assert!(files.journal("boot").is_some_and(|entry| entry.halt_intent()));
    assert_eq!(files.journal("next boot"), None);
    let path = files.run().join("journal.json");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    assert_eq!(files.journal("boot"), None);
}

#[test]
fn a_memory_of_another_boot_keeps_only_what_is_on_the_disk_as_well() {
    let scene = scene();
    let files = zone_files(&scene);
    let memory = Memory { boot_id: "boot".into(), environment: Some(2), ..Memory::default() };
    files.remember(&memory).unwrap();
    assert_eq!(files.memory("boot"), memory);
    assert_eq!(files.memory("next").environment, None);
    fs::write(files.run().join("memory.json"), "{").unwrap();
    assert_eq!(files.memory("boot"), Memory { boot_id: "boot".into(), ..Memory::default() });
}

#[test]
fn ranges_of_ids_are_kept_given_once_and_found_again_when_their_file_is_lost() {
    let scene = scene();
    let ranges = IdRanges::new(scene.places.state());
    let first = ranges.give("web").unwrap();
    assert_eq!(ranges.give("web").unwrap(), first);
    let second = ranges.give("db").unwrap();
    assert_eq!(second.base, first.base + RANGE);
    ranges.release("web").unwrap();
    assert_ne!(ranges.give("new").unwrap().base, first.base, "not given again at once");

    zone_files(&scene)
        .set_installed(&Installed::new("/z", json!({}), IdRange { base: first.base, count: RANGE }))
        .unwrap();
    fs::write(scene.places.state().join("idmap.json"), "torn").unwrap();
    assert_eq!(ranges.give("web").unwrap(), first, "its files say which range it has");
    assert_ne!(ranges.give("another").unwrap(), first);
}

#[test]
fn a_range_that_files_have_already_is_given_to_nobody_else() {
    let scene = scene();
    let ranges = IdRanges::new(scene.places.state());
    let first = ranges.give("web").unwrap();
    let found = IdRange { base: first.base + RANGE, count: RANGE };
    ranges.keep("found", found).unwrap();
    ranges.keep("found", found).unwrap();
    let next = ranges.give("db").unwrap();
    assert!(next.base >= found.base + RANGE, "{next:?}");
    let why = ranges.keep("copy", IdRange { base: first.base + 1, count: 9 }).unwrap_err().to_string();
    assert!(why.contains("zone web"), "{why}");
}

#[test]
fn zone_ids_are_each_one_zones_and_come_again_late() {
    let scene = scene();
    let ids = ZoneIds::new(scene.places.run());
    assert_eq!((ids.give("a").unwrap(), ids.give("b").unwrap()), (1, 2));
    ids.release("b", 1).unwrap();
    ids.release("a", 1).unwrap();
    assert_eq!(ids.give("c").unwrap(), 3);
    fs::write(scene.places.run().join("next-zone-id"), "9999\n").unwrap();
    assert_eq!((ids.give("d").unwrap(), ids.give("e").unwrap()), (9999, 1));
    assert_eq!(ids.give("f").unwrap(), 4, "2 and 3 are in use");
}

#[test]
fn the_second_is_told_who_holds_the_state_folder() {
    let scene = scene();
    let lock = Lock::take(scene.places.state(), "reeve run", Some("/etc/zones")).unwrap();
    match Lock::take(scene.places.state(), "reeve apply", None) {
        Err(Error::Held(holder)) => assert_eq!(&holder, lock.holder()),
        other => panic!("{other:?}"),
    }
    let said = Lock::current(scene.places.state()).unwrap().unwrap().to_string();
    assert!(said.contains("`reeve run`") && said.contains("/etc/zones"), "{said}");
    drop(lock);
    assert_eq!(Lock::current(scene.places.state()).unwrap(), None);
    Lock::take(scene.places.state(), "reeve apply", None).unwrap();
}

#[test]
fn a_zones_lock_goes_with_its_folder() {
    let scene = scene();
    let files = zone_files(&scene);
    let lock = files.lock().unwrap();
    let again = files.clone();
    let waiter = std::thread::spawn(move || again.lock().map(drop));
    fs::remove_dir_all(files.run()).unwrap();
    drop(lock);
    waiter.join().unwrap().expect("it makes the folder anew");
    assert!(zone_names(scene.places.run()).unwrap().contains(&"web".to_owned()));
}

#[test]
fn a_file_where_a_folder_is_to_be_is_named() {
    let scene = scene();
    let file = scene.places.state().join("file");
    fs::write(&file, "old").unwrap();
    for path in [file.clone(), file.join("below"), file.join("below/it")] {
        let said = files::private_folder(&path).unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("{} is no folder", file.display())) && said.contains("move it away"),
            "{said}"
        );
    }
    assert_eq!(fs::read(&file).unwrap(), b"old");
}

#[test]
fn ids_that_are_given_at_the_same_time_are_not_given_again_at_once() {
    let scene = scene();
    for _ in 0..50 {
        let given: Vec<(String, u32)> = std::thread::scope(|scope| {
            let give = |n: usize| {
                let places = &scene.places;
                scope.spawn(move || {
                    let zone = format!("z{n}");
                    let id = ZoneIds::new(places.run()).give(&zone).unwrap();
                    (zone, id)
                })
            };
            let threads: Vec<_> = (0..4).map(give).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let ids = ZoneIds::new(scene.places.run());
        for (zone, id) in &given {
            ids.release(zone, *id).unwrap();
        }
        let next = ids.give("next").unwrap();
        assert!(given.iter().all(|(_, id)| *id != next), "{given:?}, then {next}");
        ids.release("next", next).unwrap();
    }
}
