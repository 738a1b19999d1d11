//! Manifests from files: all of `corpus/accept` loads, and each folder of `corpus/reject` prints exactly the problems
//! of its `expected.txt` (`UPDATE_GOLDEN=1` writes those anew; read the difference before you keep it).

use std::fs;
use std::path::{Path, PathBuf};

use reeve_schema::{HostSelf, Limits, ManifestSet, Problem, Problems, SourceFile, load};

/// The default zonepath parent of the tests.
const ZONEPATHS: &str = "/var/lib/reeve/zonepaths";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    SourceFile { path: name, text: fs::read_to_string(path).unwrap() }
}

fn yaml_files(folder: &Path) -> Vec<SourceFile> {
    let is_yaml = |path: &&PathBuf| path.extension().is_some_and(|e| e == "yaml");
    entries(folder).iter().filter(is_yaml).map(|path| source(path)).collect()
}

fn loaded(files: &[SourceFile]) -> Result<ManifestSet, Vec<Problem>> {
    load(files, &HostSelf::default(), ZONEPATHS, &Limits::default())
}

#[test]
fn accepted() {
    for path in entries(&here("tests/corpus/accept")) {
        if let Err(problems) = loaded(&[source(&path)]) {
            panic!("{}:\n{}", path.display(), Problems(problems));
        }
    }
}

#[test]
fn rejected_as_expected() {
    let mut wrong = Vec::new();
    let folders = entries(&here("tests/corpus/reject"));
    assert!(folders.len() >= 30, "{} cases", folders.len());
    for folder in folders {
        let problems = match loaded(&yaml_files(&folder)) {
            Ok(_) => panic!("{} has no problem", folder.display()),
            Err(problems) => problems,
        };
        let printed = format!("{}\n", Problems(problems));
        let golden = folder.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &printed).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("--- {}\n{printed}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn quickstart_loads() {
    let set = loaded(&yaml_files(&here("../examples/quickstart"))).unwrap_or_else(|p| panic!("{}", Problems(p)));
    let states: Vec<_> = set.zones.iter().map(|(name, zone)| (name.as_str(), zone.zone.spec.state.as_str())).collect();
    assert_eq!(states, [("archive", "installed"), ("standby", "ready"), ("web", "running")]);
    let web = &set.zones[&"web".parse().unwrap()];
    assert_eq!(web.zone.hostname(), "web");
    assert_eq!(web.zone.zonepath(ZONEPATHS), "/var/lib/reeve/zonepaths/web");
    assert_eq!(web.zone.spec.init.command[0], "/usr/bin/perl");
    assert_eq!(web.origin.file, "web.yaml");
}

#[test]
fn ordered_loads() {
    let set = loaded(&yaml_files(&here("../examples/ordered"))).unwrap_or_else(|p| panic!("{}", Problems(p)));
    let front = &set.zones[&"front".parse().unwrap()].zone.spec;
    assert_eq!(front.depends_on[0].zone.as_str(), "back");
    assert!(set.zones[&"back".parse().unwrap()].zone.spec.health.as_ref().unwrap().http.is_some());
}

#[test]
fn an_empty_folder_is_an_empty_set() {
    assert_eq!(loaded(&[]), Ok(ManifestSet::default()));
}

#[test]
fn one_meaning_one_digest() {
    let text = |body: &str| {
        let text = format!("apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {{name: a}}\nspec: {{{body}}}\n");
        let set = loaded(&[SourceFile { path: "a".into(), text }]).unwrap_or_else(|p| panic!("{}", Problems(p)));
        set.zones.into_values().next().unwrap().digest
    };
    let plain = text("root: {hostUsr: {}}, cappedMemory: {physical: 1Gi}");
    assert_eq!(plain.len(), 64);
    assert_eq!(
        plain,
        text("cappedMemory: {physical: '1024m'}, state: running, root: {hostUsr: {}}, init: {haltTimeout: 10000ms}")
    );
    assert_ne!(plain, text("root: {hostUsr: {}}, cappedMemory: {physical: 2Gi}"));
    assert_ne!(plain, text("root: {hostUsr: {}}"));
}
