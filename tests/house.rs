//! The repository held to what it says of itself: tables, diagrams and maps in README.md and docs/ are in step with the
//! code, pure crates are pure, `unsafe` is in one file, every file says what it is for. Needs no root and no zone.
//!
//! What is generated from code is rewritten with `REEVE_UPDATE=1 cargo test --test house`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most lines a source file may have; the one with all of `unsafe` cannot be taken apart and may have more.
const LINES_MAX: usize = 640;
const SYS_LINES_MAX: usize = 1300;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the reconciler is a folder of the repository").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a folder.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All of Reeve's Rust files.
fn all_sources() -> Vec<PathBuf> {
    ["schema", "state", "reconciler", "tests"].into_iter().flat_map(sources).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The names in the sections of a Cargo.toml that `section` picks.
fn dependencies(manifest: &str, section: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let (mut names, mut inside) = (BTreeSet::new(), false);
    for line in read(manifest).lines() {
        if let Some(header) = line.strip_prefix('[') {
            inside = section(header.trim_end_matches(']'));
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let name = line.split(['.', '=', ' ']).next().expect("split gives one part");
            names.insert(name.to_owned());
        }
    }
    names
}

const MANIFESTS: [&str; 5] = [
    "schema/Cargo.toml",
    "state/Cargo.toml",
    "reconciler/Cargo.toml",
    "reconciler/kernel/Cargo.toml",
    "reconciler/zoneadmd/Cargo.toml",
];

/// What the members depend on directly, without each other.
fn used() -> BTreeSet<String> {
    let section = |name: &str| matches!(name, "dependencies" | "dev-dependencies" | "build-dependencies");
    let all = MANIFESTS.iter().flat_map(|manifest| dependencies(manifest, section));
    all.filter(|name| !name.starts_with("reeve-")).collect()
}

/// The part of a document under a heading, up to the next one of its rank.
fn chapter<'t>(text: &'t str, heading: &str) -> &'t str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rank = heading.split(' ').next().expect("a heading has a rank");
    let body = &text[start + heading.len() + 2..];
    &body[..body.find(&format!("\n{rank} ")).unwrap_or(body.len())]
}

/// The first cells of a chapter's table rows, without their backquotes.
fn first_cells(chapter: &str) -> BTreeSet<String> {
    let rows = chapter.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn the_readme_tells_of_every_direct_dependency_and_no_other() {
    let readme = read("README.md");
    let told = first_cells(chapter(&readme, "## Dependencies"));
    assert_eq!(told, used(), "left: the table in README.md; right: the members' Cargo.toml");
    let workspace = dependencies("Cargo.toml", |section| section == "workspace.dependencies");
    let workspace: BTreeSet<String> = workspace.into_iter().filter(|name| !name.starts_with("reeve-")).collect();
    assert_eq!(workspace, used(), "left: workspace.dependencies; right: what a member uses of them");
}

/// Parts of documents that are made from code: file, mark, fence, text.
fn generated() -> Vec<(&'static str, &'static str, &'static str, String)> {
    vec![
        ("README.md", "<!-- made from lifecycle::diagram() -->", "mermaid", reeve_state::lifecycle::diagram()),
        ("docs/states.md", "<!-- made from lifecycle::help() -->", "text", trimmed(&reeve_state::lifecycle::help())),
    ]
}

fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn what_is_made_from_code_is_in_step_with_it() {
    for (file, mark, fence, text) in generated() {
        let document = read(file);
        let start = document.find(mark).unwrap_or_else(|| panic!("{file}: no {mark}")) + mark.len();
        let end = start + document[start..].find("<!-- end -->").unwrap_or_else(|| panic!("{file}: {mark} has no end"));
        let right = format!("\n```{fence}\n{text}```\n");
        if document[start..end] == right {
            continue;
        }
        if std::env::var_os("REEVE_UPDATE").is_some() {
            let text = format!("{}{right}{}", &document[..start], &document[end..]);
            std::fs::write(root().join(file), text).expect("write the document");
        } else {
            panic!("{file}: {mark} is not in step; do: REEVE_UPDATE=1 cargo test --test house");
        }
    }
}

/// The names of all fields that a JSON Schema has.
fn fields(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                names.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| fields(value, names));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

#[test]
fn the_pages_name_every_field_of_the_schemas() {
    for (page, schema, least) in [
        ("docs/manifests.md", "zone", 30),
        ("docs/manifests.md", "host", 5),
        ("docs/manifests.md", "overlay", 10),
        ("docs/approval.md", "approval", 5),
        ("docs/configuration.md", "configuration", 30),
    ] {
        let schema: serde_json::Value =
            serde_json::from_str(&read(format!("schema/json/{schema}.v1alpha1.json"))).expect("JSON");
        let mut names = BTreeSet::new();
        fields(&schema, &mut names);
        assert!(names.len() >= least, "{names:?}");
        let text = read(page);
        let told: BTreeSet<&str> =
            text.split('`').skip(1).step_by(2).flat_map(|code| code.split(['.', '[', ']', ':'])).collect();
        let missing: Vec<&String> = names.iter().filter(|name| !told.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{page} does not tell of {missing:?}");
    }
}

#[test]
fn the_kernel_features_page_names_every_system_call_that_is_made_by_hand() {
    let page = read("docs/kernel-features.md");
    let code = read("reconciler/kernel/src/sys.rs");
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let calls: BTreeSet<String> = code.split("libc::SYS_").skip(1).map(word).collect();
    assert!(calls.len() > 10, "{calls:?}");
    let missing: Vec<&String> = calls.iter().filter(|call| !page.contains(&format!("`{call}"))).collect();
    assert!(missing.is_empty(), "docs/kernel-features.md does not tell of {missing:?}");
}

#[test]
fn what_the_file_map_names_is_there() {
    let readme = read("README.md");
    let map = chapter(&readme, "## Where to find what");
    let named: Vec<&str> = map.split('`').skip(1).step_by(2).filter(|code| code.contains('/')).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<&&str> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "the file map names what is not there: {missing:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    for document in documents {
        let folder = root().join(&document).parent().expect("a folder").to_owned();
        for target in read(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = file.is_empty() || file.contains("://");
            assert!(outside || folder.join(file).exists(), "{document}: {target} is not there");
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for_and_keeps_to_one_subject() {
    for path in all_sources() {
        let text = read(&path);
        assert!(text.starts_with("//! "), "{}: begins without a word on what it is for", shown(&path));
        let (lines, most) =
            (text.lines().count(), if path.ends_with("kernel/src/sys.rs") { SYS_LINES_MAX } else { LINES_MAX });
        assert!(lines <= most, "{}: {lines} lines, {most} is the most", shown(&path));
    }
}

#[test]
fn unsafe_is_in_one_file() {
    for path in all_sources().iter().filter(|path| !path.ends_with("kernel/src/sys.rs")) {
        for (number, line) in read(path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let found =
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word));
            assert!(!found || path.ends_with("tests/house.rs"), "{}:{}: {line}", shown(path), number + 1);
        }
    }
}

/// What the pure crates must not use: no I/O, no clock, no async, no kernel.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::os",
    "Socket::",
    "std::process",
    "std::thread",
    "std::env",
    "std::io",
    "SystemTime",
    "Instant::now",
    "tokio",
    "rustix",
    "libc",
    "println!",
];

#[test]
fn pure_crates_have_no_effect() {
    for path in ["schema/src", "state/src"].into_iter().flat_map(sources) {
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let found = IMPURE.iter().find(|word| code.contains(*word));
            assert!(found.is_none(), "{}:{}: {found:?} in a pure crate: {line}", shown(&path), number + 1);
        }
    }
    let own = |manifest| dependencies(manifest, |section| section == "dependencies");
    let effects = ["tokio", "rustix", "libc", "notify", "reeve-kernel", "tracing"];
    for manifest in ["schema/Cargo.toml", "state/Cargo.toml"] {
        let found: Vec<String> = own(manifest).into_iter().filter(|name| effects.contains(&name.as_str())).collect();
        assert!(found.is_empty(), "{manifest}: {found:?}");
    }
}

#[test]
fn every_test_file_is_one_that_runs() {
    let declared = read("reconciler/Cargo.toml");
    for entry in std::fs::read_dir(root().join("tests")).expect("tests") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let wanted = format!("path = \"../tests/{name}\"");
        assert!(
            !name.ends_with(".rs") || declared.contains(&wanted),
            "tests/{name} is in no [[test]] of reconciler/Cargo.toml"
        );
    }
}

#[test]
fn units_and_scripts_name_commands_that_there_are() {
    let readme = read("README.md");
    let commands = ["cargo build --release && target/release/reeve run examples/quickstart", "tests/run"];
    let lines: BTreeMap<&str, usize> = readme.lines().enumerate().map(|(number, line)| (line, number)).collect();
    for command in commands {
        let line = lines.get(command).unwrap_or_else(|| panic!("README.md does not have the line {command:?}"));
        assert!(*line < 40, "README.md: {command:?} belongs to the beginning, it is line {line}");
    }
    for script in [
        "tests/run",
        "tests/nightly",
        "tests/faults/run",
        "tests/hostile-git/run",
        "tests/alerts/run",
        "tests/systemd/run",
        ".ci/run",
    ] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(root().join(script)).expect(script).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be executed");
    }
    for unit in ["reeve.service", "reeve-zones.service"] {
        let text = read(format!("packaging/systemd/{unit}"));
        assert!(text.contains("\nEnvironment=REEVE_CGROUP=reeve.slice/reeve-zones.service/zones\n"), "{unit}");
    }
}
