//! Manifests in several places: a command or a controller works on the zones that came from where it was pointed at, and
//! leaves others alone, on the real kernel.

mod harness;

use harness::{Host, SLEEPER, manifest, shown};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Writes the manifest of one zone into a folder of the host's, which is made.
fn put(host: &Host, folder: &str, name: &str, state: &str) -> PathBuf {
    let folder = host.folder().join(folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, manifest(name, state, SLEEPER)).expect("a manifest");
    file
}

/// The zones of a command's `-o json`.
fn names(host: &Host, arguments: &[&str]) -> Vec<String> {
    let output = host.reeve(&[arguments, &["-o", "json"]].concat());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
    let items = list["items"].as_array().expect("items");
    items.iter().map(|zone| zone["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_file_or_a_folder_is_about_its_own_zones_only() {
    let host = Host::new("scope");
    let a = put(&host, "manifests", "a", "running");
    let b = put(&host, "manifests/sub", "b", "running");
    host.apply();
    let before = [host.zone_status("a")["initPid"].clone(), host.zone_status("b")["initPid"].clone()];
    // One file: the other zone is neither touched nor shown.
    put(&host, "manifests", "a", "ready");
    assert_eq!(names(&host, &["plan", text(&a)]), ["a"]);
    assert_eq!(names(&host, &["diff", text(&a)]), ["a"]);
    assert_eq!(names(&host, &["apply", text(&a)]), ["a"]);
    assert_eq!(host.state("a"), "ready");
    assert_eq!(host.zone_status("b")["initPid"], before[1]);
    assert_eq!(host.reeve(&["diff", text(&a)]).status.code(), Some(0));
    // A file that has lost its document lets its zone go, and no other. So does a folder.
    std::fs::write(&a, "# nothing\n").expect("write");
    let refused = host.reeve(&["apply", text(&a)]);
    assert!(refused.status.code() == Some(1) && shown(&refused).contains("--allow-removals"), "{}", shown(&refused));
    assert_eq!(host.state("a"), "ready", "nothing was done");
    assert_eq!(names(&host, &["apply", text(&a), "--allow-removals"]), ["a"]);
    assert_eq!([host.state("a"), host.state("b")], ["installed", "running"]);
    put(&host, "manifests", "a", "running");
    host.ok(&["apply", text(&a)]);
    std::fs::remove_file(&b).expect("remove");
    assert_eq!(names(&host, &["apply", text(b.parent().expect("a folder")), "--allow-removals"]), ["b"]);
    assert_eq!([host.state("a"), host.state("b")], ["running", "installed"]);
    assert_ne!(host.zone_status("a")["initPid"], before[0]);
    // Down takes those of the path, and those that were there; a path that is gone as well.
    host.ok(&["down", text(b.parent().expect("a folder")), "--purge"]);
    assert_eq!([host.state("a"), host.state("b")], ["running", "none"]);
    std::fs::remove_file(&a).expect("remove");
    host.ok(&["down", text(&a), "--purge"]);
    assert_eq!(host.state("a"), "none");
    let nothing = host.reeve(&["down", text(&a)]);
    assert_eq!(nothing.status.code(), Some(1), "{}", shown(&nothing));
    host.finish();
}

#[test]
fn a_path_is_the_same_however_it_is_written() {
    let host = Host::new("paths");
    let a = put(&host, "manifests", "a", "running");
    let link = host.folder().join("link");
    std::os::unix::fs::symlink("manifests", &link).expect("symlink");
    let relative = host.command(&["apply", "./link/../link"]).current_dir(host.folder()).output().expect("reeve");
    assert!(relative.status.success(), "{}", shown(&relative));
    let source = host.zone_status("a")["source"].as_str().expect("a source").to_owned();
    assert_eq!(source, format!("{}:1", text(&a)), "what is recorded has no link in it");
    std::fs::remove_file(&a).expect("remove");
    let plan = host.command(&["plan", "../link"]).current_dir(host.manifests()).output().expect("reeve");
    assert!(shown(&plan).contains("its manifest is gone"), "{}", shown(&plan));
    // Halted and kept, until somebody says what becomes of it.
    assert_eq!(host.reeve(&["apply", text(&link), "--allow-removals"]).status.code(), Some(4));
    assert_eq!(host.state("a"), "installed");
    host.finish();
}

#[test]
fn a_controller_leaves_zones_from_elsewhere_alone_until_it_has_their_manifest() {
    let mut host = Host::new("elsewhere");
    put(&host, "manifests", "a", "running");
    let other = put(&host, "other", "z", "running");
    host.ok(&["apply", text(&other)]);
    let init = host.zone_status("z")["initPid"].clone();
    host.start_controller();
    host.wait_state("a", "running");
    let not_followed = |status: &Value| status["conditions"][0]["reason"] == "NotFollowed";
    let (status, _) = host.wait("z", "told of", not_followed);
    assert_eq!((&status["state"], &status["initPid"]), (&Value::from("running"), &init));
    let told = host.ok(&["describe", "z"]);
    for part in [text(&other), text(&host.manifests()), "reeve halt z", "leaves the zone alone"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    // A pass that is asked for is about the followed zones; the other zone's exit is nobody's matter.
    assert_eq!(names(&host, &["apply", text(&host.manifests())]), ["a"]);
    // With a manifest here it is a zone from here, as it runs; and without it again it is let go.
    put(&host, "manifests", "z", "running");
    let here = format!("{}:1", text(&host.manifests().join("z.yaml")));
    let (status, _) = host.wait("z", "taken over", |status| status["conditions"][0]["status"] == "True");
    assert_eq!((&status["source"], &status["initPid"]), (&Value::from(here), &init));
    std::fs::remove_file(host.manifests().join("z.yaml")).expect("remove");
    host.wait_state("z", "installed");
    // The file that it came from first is none of it any more.
    host.end_controller(libc::SIGTERM);
    std::fs::write(&other, "# nothing\n").expect("write");
    assert_eq!(names(&host, &["plan", text(&other)]), [""; 0]);
    host.finish();
}

#[test]
fn a_host_has_the_zones_that_select_it_and_lets_the_others_go() {
    let host = Host::new("selected");
    let config = host.folder().join("config.yaml");
    let spec = "{host: {name: web1, labels: {site: berlin}}}";
    let document = format!("apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec: {spec}\n");
    std::fs::write(&config, document).expect("write the configuration");
    let manifests = host.manifests();
    let apply = || host.reeve(&["--config", text(&config), "apply", text(&manifests)]);
    let zone = |name: &str, hosts: &str| host.zone(name, "running", &format!("hosts: {hosts}\n{SLEEPER}"));
    zone("here", "{names: [web1]}");
    zone("elsewhere", "{names: [web2]}");
    let patch =
        "{hosts: {matchLabels: {site: berlin}}, zones: {names: [here]}, patch: {spec: {init: {restart: never}}}}";
    let overlay = "apiVersion: reeve.dev/v1alpha1\nkind: Overlay\nmetadata: {name: berlin}\nspec: ";
    host.write("overlay.yaml", &format!("{overlay}{patch}\n"));
    let output = apply();
    assert!(output.status.success(), "{}", shown(&output));
    let states = || [host.state("here"), host.state("elsewhere")];
    assert_eq!(states(), ["running", "none"]);
    let init = host.zone_status("here")["initPid"].clone();
    let recorded = std::fs::read_to_string(host.folder().join("state/zones/here/zone.json")).expect("zone.json");
    assert!(recorded.contains("never") && !recorded.contains("hosts"), "{recorded}");

    // Another selector that still matches is nothing to do.
    zone("here", "{matchLabels: {site: berlin}}");
    let plan = ["--config", text(&config), "plan", text(&manifests), "--detailed-exitcode"];
    assert_eq!(host.reeve(&plan).status.code(), Some(0), "{}", shown(&host.reeve(&plan)));
    assert_eq!(host.zone_status("here")["initPid"], init);

    // One that does not any more is as if the manifest were gone: halted, its data kept. The other zone comes.
    zone("here", "{names: [web2]}");
    zone("elsewhere", "{names: [web1]}");
    let output = apply();
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert_eq!(states(), ["installed", "running"]);
    host.finish();
}
