//! Install, verify and uninstall in a temporary folder. They need root, as Reeve does; without it they say so and pass.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use reeve_schema::Zone;
use reeve_state::wanted;
use serde_json::json;

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    places: Places,
}

fn scene() -> Option<Scene> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (state, run) = (dir.path().join("state"), dir.path().join("run"));
    files::private_folder(&state).unwrap();
    files::private_folder(&run).unwrap();
    Some(Scene { places: Places::new(Some(&state), Some(&run), Some("reeve-test")), dir })
}

fn zone(name: &str, spec: serde_json::Value) -> Zone {
    let mut manifest =
        json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "Zone", "metadata": {"name": name}, "spec": spec});
    manifest["spec"]["state"] = "installed".into();
    wanted::typed(&manifest).expect("a manifest")
}

fn install_configured(scene: &Scene, zone: &Zone) -> Result<()> {
    let files = ZoneFiles::new(&scene.places, zone.name().as_str());
    let manifest = serde_json::to_value(zone).unwrap();
    files.configure(&crate::store::zone::Configured::new(zone.name().as_str(), "d", None, "b", manifest)).unwrap();
    install(&scene.places, zone)
}

#[test]
fn a_root_on_the_hosts_usr_comes_and_goes() {
    let Some(scene) = scene() else { return };
    let zone = zone("web", json!({"root": {"hostUsr": {}}}));
    install_configured(&scene, &zone).unwrap();
    let found = installed(&scene.places, "web").unwrap().expect("it is installed");
    let zonepath = PathBuf::from(&found.zonepath);
    assert_eq!(fs::metadata(&zonepath).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(zonepath.join("root")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(zonepath.join("upper")).unwrap().uid(), found.ids.base);
    assert_eq!(fs::metadata(zonepath.join("root/etc/shadow")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(zonepath.join("root/tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(fs::read_to_string(zonepath.join("root/etc/hostname")).unwrap(), "web\n");
    assert!(!zonepath.join(".installing").exists());

    // The state folder is lost: the files are taken over with their IDs.
    fs::write(zonepath.join("upper/kept"), "data").unwrap();
    fs::remove_file(scene.places.zone_state("web").join("installed.json")).unwrap();
    install(&scene.places, &zone).unwrap();
    assert_eq!(installed(&scene.places, "web").unwrap().unwrap().ids, found.ids);
    assert!(zonepath.join("upper/kept").exists());

    uninstall(&scene.places, "web").unwrap();
    assert!(!zonepath.exists());
    assert_eq!(installed(&scene.places, "web").unwrap(), None);
}

#[test]
fn what_is_not_safe_is_refused_with_what_to_do() {
    let Some(scene) = scene() else { return };
    let zonepath = scene.dir.path().join("z");
    let zone = zone("fun", json!({"root": {"hostUsr": {}}, "zonepath": zonepath}));
    fs::create_dir(&zonepath).unwrap();
    fs::set_permissions(&zonepath, fs::Permissions::from_mode(0o755)).unwrap();
    let said = install_configured(&scene, &zone).unwrap_err().to_string();
    assert!(said.contains("has mode 755, not 700; chmod 700"), "{said}");
    fs::set_permissions(&zonepath, fs::Permissions::from_mode(0o700)).unwrap();

    fs::write(zonepath.join("precious"), "").unwrap();
    let said = install(&scene.places, &zone).unwrap_err().to_string();
    assert!(said.contains("did not put there (precious)"), "{said}");
    fs::remove_file(zonepath.join("precious")).unwrap();

    fs::remove_dir(&zonepath).unwrap();
    let elsewhere = scene.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &zonepath).unwrap();
    let said = install(&scene.places, &zone).unwrap_err().to_string();
    assert!(said.contains("is a symbolic link"), "{said}");
    assert_eq!(verify_zonepath(Path::new("/nowhere/at/all"), true).len(), 1);
}

#[test]
fn only_what_is_empty_is_cleared_away_in_work() {
    let Some(scene) = scene() else { return };
    let zone = zone("web", json!({"root": {"hostUsr": {}}}));
    clear_work(&scene.places, "web").unwrap();
    install_configured(&scene, &zone).unwrap();
    let left = PathBuf::from(installed(&scene.places, "web").unwrap().unwrap().zonepath).join("work/work");
    clear_work(&scene.places, "web").unwrap();
    fs::create_dir_all(left.join("#1")).unwrap();
    clear_work(&scene.places, "web").unwrap();
    assert!(left.join("#1").is_dir(), "what the kernel did not finish is the kernel's");
    fs::remove_dir(left.join("#1")).unwrap();
    clear_work(&scene.places, "web").unwrap();
    assert!(!left.exists() && left.parent().unwrap().is_dir());
}

#[test]
fn a_tree_is_copied_as_it_is_and_removed_however_deep() {
    let Some(scene) = scene() else { return };
    let (from, to) = (scene.dir.path().join("from"), scene.dir.path().join("to"));
    fs::create_dir_all(from.join("bin")).unwrap();
    fs::write(from.join("bin/a"), "text").unwrap();
    fs::set_permissions(from.join("bin/a"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(from.join("bin/a"), from.join("b")).unwrap();
    symlink("/etc/shadow", from.join("link")).unwrap();
    chown(from.join("bin"), Some(7), Some(8)).unwrap();
    fs::create_dir(&to).unwrap();
    tree::copy(&from, &to).unwrap();
    assert_eq!(fs::metadata(to.join("bin/a")).unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(fs::metadata(to.join("bin/a")).unwrap().ino(), fs::metadata(to.join("b")).unwrap().ino());
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/shadow"));
    assert_eq!(fs::metadata(to.join("bin")).unwrap().uid(), 7);

    let mut deep = rustix::fs::open(&to, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&deep, "d", 0o700.into()).unwrap();
        deep = rustix::fs::openat(&deep, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    tree::remove(&to).unwrap();
    assert!(!to.exists());
    tree::remove(&to).unwrap();
}

#[test]
fn the_mark_of_a_zonepath_is_read_as_version_1_wrote_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/faults/formats/v1/reeve.json");
    std::fs::copy(golden, dir.path().join(MARK)).unwrap();
    let ids = IdRange { base: 0x2000_0000, count: 65536 };
    assert_eq!(mark_of(dir.path()).unwrap(), Some(Mark { version: 1, zone: "web".into(), ids }));
}
