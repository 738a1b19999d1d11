//! Sets for several hosts: each folder of `hosts/` prints exactly the problems of its `expected.txt` when it is checked for
//! all its hosts (`UPDATE_GOLDEN=1` writes those anew), and what each host gets is what selectors and overlays say.

use std::fs;
use std::path::{Path, PathBuf};

use reeve_schema::{Catalog, DesiredState, HostSelf, Limits, ManifestSet, Problem, Problems, SourceFile};

/// The default zonepath parent of the tests.
const ZONEPATHS: &str = "/zones";

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn files(folder: &Path) -> Vec<SourceFile> {
    let is_yaml = |path: &&PathBuf| path.extension().is_some_and(|e| e == "yaml");
    let source = |path: &PathBuf| SourceFile {
        path: path.file_name().unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    entries(folder).iter().filter(is_yaml).map(source).collect()
}

#[test]
fn rejected_as_expected() {
    let mut wrong = Vec::new();
    let folders = entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts"));
    assert!(folders.len() >= 10, "{} cases", folders.len());
    for folder in folders {
        let files = files(&folder);
        let problems = Catalog::read(&files, &Limits::default()).check(ZONEPATHS);
        let printed = format!("{}\n", Problems(problems.expect_err(&folder.display().to_string())));
        let golden = folder.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &printed).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("--- {}\n{printed}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn file(path: &str, documents: &[String]) -> SourceFile {
    SourceFile { path: path.into(), text: documents.join("---\n") }
}

fn document(kind: &str, rest: &str) -> String {
    format!("apiVersion: reeve.dev/v1alpha1\nkind: {kind}\n{rest}\n")
}

fn zone(name: &str, spec: &str) -> String {
    document(
        "Zone",
        &format!("metadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{root: {{hostUsr: {{}}}}{spec}}}"),
    )
}

fn get(files: &[SourceFile], host: &HostSelf) -> Result<ManifestSet, Vec<Problem>> {
    Catalog::read(files, &Limits::default()).for_host(host, ZONEPATHS)
}

fn names(files: &[SourceFile], host: &HostSelf) -> Vec<String> {
    let set = get(files, host).unwrap_or_else(|problems| panic!("{}", Problems(problems)));
    set.zones.keys().map(ToString::to_string).collect()
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> HostSelf {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    HostSelf { name: name.into(), labels }
}

#[test]
fn a_host_gets_the_zones_that_select_it() {
    let of = |selector: &str| format!(", hosts: {selector}");
    let zones = [
        zone("every", ""),
        zone("named", &of("{names: [web1, web2]}")),
        zone("berlin", &of("{matchLabels: {site: berlin}}")),
        zone("both", &of("{names: [web1], matchLabels: {site: berlin}}")),
        zone("elsewhere", &of("{matchExpressions: [{key: site, operator: NotIn, values: [berlin]}]}")),
        zone("placed", &of("{matchExpressions: [{key: site, operator: Exists}]}")),
        zone("nowhere", &of("{matchExpressions: [{key: site, operator: DoesNotExist}]}")),
        zone("two", &of("{matchExpressions: [{key: site, operator: In, values: [rome, paris]}]}")),
        zone("itself", &of("{matchLabels: {reeve.dev/host: web2}}")),
        document("Host", "metadata: {name: web1, labels: {site: berlin}}"),
    ];
    let files = [file("all.yaml", &zones)];
    let web1 = HostSelf::named("web1");
    assert_eq!(names(&files, &web1), ["berlin", "both", "every", "named", "placed"]);
    // What the host's own configuration says stands before the Host manifest.
    let moved = labelled("web1", &[("site", "paris")]);
    assert_eq!(names(&files, &moved), ["elsewhere", "every", "named", "placed", "two"]);
    assert_eq!(names(&files, &HostSelf::named("web2")), ["elsewhere", "every", "itself", "named", "nowhere"]);
    assert_eq!(names(&files, &labelled("x", &[("site", "berlin")])), ["berlin", "every", "placed"]);
    assert_eq!(names(&files, &HostSelf::default()), ["elsewhere", "every", "nowhere"]);
}

#[test]
fn a_selector_makes_no_difference_on_the_zone() {
    let set = |spec: &str| get(&[file("a", &[zone("web", spec)])], &HostSelf::named("web1")).unwrap();
    let (plain, selected) = (set(""), set(", hosts: {names: [web1]}"));
    assert_eq!(plain, selected);
}

#[test]
fn zones_of_one_name_are_fine_where_no_host_gets_both() {
    let zones = [zone("web", ", hosts: {names: [a]}, state: ready"), zone("web", ", hosts: {names: [b]}")];
    let files = [file("all.yaml", &zones)];
    let state = |host| get(&files, &HostSelf::named(host)).unwrap().zones.values().next().unwrap().zone.spec.state;
    assert_eq!((state("a"), state("b")), (DesiredState::Ready, DesiredState::Running));
    assert!(Catalog::read(&files, &Limits::default()).check(ZONEPATHS).is_ok());
}

fn overlay(name: &str, hosts: &str, zones: &str, patch: &str) -> String {
    let spec = format!("hosts: {hosts}, zones: {zones}, patch: {{spec: {patch}}}");
    document("Overlay", &format!("metadata: {{name: {name}}}\nspec: {{{spec}}}"))
}

#[test]
fn overlays_change_what_they_select_and_nothing_else() {
    let zones = [
        zone("web", ", cappedMemory: {physical: 1Gi}, init: {command: [/bin/a, x], env: {A: a, B: b}}"),
        zone("mail", ", cappedMemory: {physical: 1Gi}"),
    ];
    let overlays = [
        overlay("small", "{matchLabels: {size: small}}", "{names: [web]}", "{cappedMemory: {physical: 512Mi}}"),
        overlay(
            "env",
            "{names: [h1]}",
            "{matchLabels: {app: web}}",
            "{state: ready, init: {command: [/bin/b], env: {A: c, B: null}}}",
        ),
        overlay(
            "free",
            "{names: [h1]}",
            "{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}",
            "{cappedMemory: null}",
        ),
    ];
    let hosts = [document("Host", "metadata: {name: h1, labels: {size: small}}")];
    let files = [file("z.yaml", &zones), file("o.yaml", &overlays), file("h.yaml", &hosts)];
    let on = |host: &str| get(&files, &HostSelf::named(host)).unwrap_or_else(|p| panic!("{}", Problems(p)));
    let (h1, h2) = (on("h1"), on("h2"));
    let spec =
        |set: &ManifestSet, zone: &str| serde_json::to_value(&set.zones[&zone.parse().unwrap()].zone.spec).unwrap();
    let web = spec(&h1, "web");
    assert_eq!(web["cappedMemory"]["physical"], "512Mi");
    assert_eq!(web["state"], "ready");
    assert_eq!(web["init"]["command"], serde_json::json!(["/bin/b"]));
    assert_eq!(web["init"]["env"], serde_json::json!({"A": "c"}));
    assert!(spec(&h1, "mail").get("cappedMemory").is_none());
    assert_eq!(spec(&h2, "web")["cappedMemory"]["physical"], "1Gi");
    assert_eq!(h2, get(&[file("z.yaml", &zones)], &HostSelf::named("h2")).unwrap());

    let checked = Catalog::read(&files, &Limits::default()).check(ZONEPATHS).unwrap();
    assert_eq!((checked.zones, checked.hosts, checked.overlays, checked.files), (2, 1, 3, 3));
}

#[test]
fn every_value_is_rendered_with_its_place() {
    let zones =
        [zone("web", ", state: ready, hosts: {names: [h1]}, cappedMemory: {physical: 1Gi}, init: {env: {A: a}}")];
    let overlays =
        [overlay("o", "{names: [h1]}", "{names: [web]}", "{state: running, cappedMemory: null, init: {env: {A: b}}}")];
    let files = [file("z.yaml", &zones), file("o.yaml", &overlays)];
    let catalog = Catalog::read(&files, &Limits::default());
    let rendered = catalog.render(&HostSelf::named("h1"), ZONEPATHS).unwrap();
    assert_eq!(rendered.len(), 1);
    let shown: Vec<String> = rendered[0]
        .fields
        .iter()
        .map(|field| {
            let overlay = field.overlay.as_deref().unwrap_or("-");
            let removed = if field.removed { " removed" } else { "" };
            format!("{} {}:{} {overlay}{removed}", field.field, field.origin.file, field.origin.line)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "apiVersion z.yaml:1 -",
            "kind z.yaml:2 -",
            "metadata.name z.yaml:3 -",
            "metadata.labels.app z.yaml:3 -",
            "spec.root.hostUsr z.yaml:4 -",
            "spec.state o.yaml:4 o",
            "spec.init.env.A o.yaml:4 o",
            "spec.cappedMemory o.yaml:4 o removed",
        ]
    );
    // A host without the overlay gets the same from the file.
    assert!(catalog.render(&HostSelf::named("h2"), ZONEPATHS).unwrap().is_empty());
}

#[test]
fn a_mistake_for_one_host_is_told_on_every_host_only_if_it_is_in_a_document() {
    let zones = [zone("a", ", hosts: {names: [h1]}, cappedMemory: {physical: 1G}"), zone("b", "")];
    assert!(get(&[file("z", &zones)], &HostSelf::named("h2")).is_err(), "nothing of a set with a problem is applied");
    // What is wrong between zones of another host is that host's.
    let net = ", net: [{physical: br0, address: 10.0.0.1/24}], hosts: {names: [h1]}";
    let files = [file("z", &[zone("a", net), zone("b", net), zone("c", "")])];
    assert!(get(&files, &HostSelf::named("h1")).is_err());
    assert_eq!(names(&files, &HostSelf::named("h2")), ["c"]);
}

#[test]
fn hosts_that_were_meant_are_found() {
    let hosts: Vec<String> =
        ["web1", "web2", "db"].iter().map(|name| document("Host", &format!("metadata: {{name: {name}}}"))).collect();
    let files = [file("h", &hosts)];
    let catalog = Catalog::read(&files, &Limits::default());
    assert_eq!(catalog.near_hosts("web"), ["web1", "web2"]);
    assert_eq!(catalog.hosts().collect::<Vec<_>>(), ["db", "web1", "web2"]);
}

#[test]
fn the_fleet_of_the_examples_is_sound() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fleet"));
    let catalog = Catalog::read(&files, &Limits::default());
    let checked = catalog.check(ZONEPATHS).unwrap_or_else(|problems| panic!("{}", Problems(problems)));
    assert_eq!((checked.hosts, checked.zones, checked.overlays), (2, 2, 1));
    assert_eq!(names(&files, &HostSelf::named("web1")), ["shop"]);
    assert_eq!(names(&files, &HostSelf::named("web2")), ["backup", "shop"]);
    let memory = |host: &str| {
        let set = get(&files, &HostSelf::named(host)).unwrap();
        set.zones[&"shop".parse().unwrap()].zone.spec.capped_memory.as_ref().unwrap().physical.to_string()
    };
    assert_eq!((memory("web1"), memory("web2")), ("512Mi".into(), "1Gi".into()));
}
