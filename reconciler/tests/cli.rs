//! The command line where it needs neither root nor a host: what is said of manifests, exit codes, other names, what
//! happens when nobody reads. Golden outputs are in `golden/`; UPDATE_GOLDEN=1 writes them anew.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `reeve` in the folder of golden files, with nothing of the caller's in its environment that changes what it says.
fn reeve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
    command.current_dir(golden_folder()).stdin(Stdio::null());
    for name in ["REEVE_STATE_DIR", "REEVE_RUN_DIR", "REEVE_CONFIG", "REEVE_CGROUP", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    reeve().args(arguments).output().expect("reeve starts")
}

fn code(arguments: &[&str]) -> i32 {
    run(arguments).status.code().expect("it exits")
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Without the digests of plans: what a plan stands on has the folder in it where the manifests are.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "sha256:..." + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

/// Compares both streams with a golden file.
fn expect(name: &str, output: &Output) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let text = without_digests(&text);
    let path = golden_folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("write the golden file");
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn problems_are_told_all_at_once_with_their_places() {
    let output = run(&["validate", "wrong"]);
    assert_eq!(output.status.code(), Some(1));
    expect("validate.txt", &output);
    let output = run(&["validate", "wrong", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    expect("validate.json", &output);
    expect("validate.md", &run(&["validate", "wrong", "-o", "md"]));
    assert_eq!(run(&["plan", "--from", "wrong", "new"]).status.code(), Some(1));
}

#[test]
fn right_manifests_are_counted() {
    let output = run(&["validate", "old", "--no-color"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4 zones in 1 file, no problem\n");
    assert_eq!(run(&["validate", "-q", "old"]).stdout, b"");
    let nothing = tempfile::tempdir().expect("a folder");
    let output = run(&["validate", nothing.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no manifest"));
    let list = run(&["validate", "old", "-o", "yaml"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), "formatVersion: \"1\"\nitems: []\n");
}

/// The set of two hosts, as the golden files name it.
const FLEET: &str = "../../../examples/fleet";

#[test]
fn a_host_is_shown_what_it_gets_and_from_where() {
    expect("render.yaml", &run(&["render", FLEET, "--host", "web2"]));
    expect("render.json", &run(&["render", FLEET, "--host", "web2", "-o", "json"]));
    let output = run(&["validate", FLEET]);
    let said = "2 zones and 1 overlay in 4 files, checked for 2 hosts, no problem\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    // The label of the command line stands before that of the manifest.
    let moved = run(&["render", FLEET, "--host", "web1", "--label", "site=paris"]);
    assert!(String::from_utf8_lossy(&moved.stdout).contains("SITE: paris # "), "{moved:?}");
    let unknown = run(&["render", FLEET, "--host", "web"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean web1, web2?"), "{unknown:?}");
    let said = run(&["render", FLEET, "--host", "web", "--label", "role=front"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("name: shop"), "{said:?}");
    assert_eq!(code(&["render", FLEET, "--host", "web_", "--label", "role=front"]), 1);
    assert_eq!(code(&["render", FLEET, "--host", "web1", "--label", "role"]), 1);
    assert_eq!(code(&["render", FLEET]), 1);
}

#[test]
fn the_host_that_the_configuration_names_is_planned_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.yaml");
    let config = path.to_str().expect("UTF-8");
    let write = |spec: &str| {
        let text = format!("apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec: {spec}\n");
        std::fs::write(&path, text).expect("write the configuration");
    };
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).expect("a folder");
    let plan = |arguments: &[&str]| {
        let nothing = nothing.to_str().expect("UTF-8");
        let output = run(&[arguments, &["plan", "--from", nothing, FLEET, "-o", "json"]].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    write("{host: {name: web2}}");
    let zones = |text: &str| ["backup", "shop"].map(|zone| text.contains(&format!("\"name\": \"{zone}\"")));
    assert_eq!(zones(&plan(&["--config", config])), [true, true]);
    assert_eq!(zones(&plan(&[])), [false, false], "no host of this name");
    write("{host: {name: other, labels: {role: front}}}");
    assert_eq!(zones(&plan(&["--config", config])), [false, true]);
    let by_variable =
        reeve().env("REEVE_CONFIG", config).args(["plan", "--from", "old", FLEET]).output().expect("reeve starts");
    assert!(String::from_utf8_lossy(&by_variable.stdout).contains("shop"), "{by_variable:?}");
    write("{host: {nmae: web2}}");
    let output = run(&["--config", config, "plan", "--from", "old", FLEET]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `name`?"), "{output:?}");
    assert_eq!(code(&["--config", "no/such/file", "plan", "--from", "old", FLEET]), 1);
}

#[test]
fn a_plan_between_manifests_needs_no_host() {
    let between = ["plan", "--from", "old", "--to", "new"];
    expect("plan.txt", &run(&between));
    expect("plan.md", &run(&[&between[..], &["-o", "md"]].concat()));
    expect("plan-steps.txt", &run(&[&between[..], &["-v"]].concat()));
    assert_eq!(code(&between), 0);
    assert_eq!(code(&[&between[..], &["--detailed-exitcode"]].concat()), 2);
    assert_eq!(code(&["plan", "--from", "old", "old", "--detailed-exitcode"]), 0);
    let document = run(&[&between[..], &["-o", "json"]].concat());
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).expect("JSON");
    assert_eq!(document["formatVersion"], "1");
    let names: Vec<&str> =
        document["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    let coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = reeve().args(arguments).envs(variables.iter().copied()).output().expect("reeve starts");
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    let plan = ["plan", "--from", "old", "new"];
    assert!(!coloured(&plan, &[]), "no terminal");
    assert!(coloured(&plan, &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["--no-color", "plan", "--from", "old", "new"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&plan, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn the_schemas_are_those_that_are_checked_in() {
    let json = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/json");
    for (arguments, file) in [
        (&["schema"][..], "zone.v1alpha1.json"),
        (&["schema", "zone"], "zone.v1alpha1.json"),
        (&["schema", "host"], "host.v1alpha1.json"),
        (&["schema", "overlay"], "overlay.v1alpha1.json"),
        (&["schema", "configuration"], "configuration.v1alpha1.json"),
    ] {
        let checked_in = std::fs::read_to_string(json.join(file)).expect("the schema");
        assert_eq!(String::from_utf8_lossy(&run(arguments).stdout), checked_in, "{arguments:?}");
    }
    assert_eq!(code(&["schema", "zones"]), 1);
}

#[test]
fn wrong_use_is_an_error_of_each_command() {
    assert_eq!(code(&["plan"]), 1);
    assert_eq!(code(&["plan", "--no-such-flag", "old"]), 1);
    assert_eq!(code(&["diff"]), 2);
    assert_eq!(code(&["--state-dir", "plan", "diff", "--no-such-flag"]), 2);
    assert_eq!(code(&["no-such-command"]), 1);
    assert_eq!(code(&[]), 1);
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["--version"]), 0);
    assert_eq!(code(&["diff", "--help"]), 0);
    assert_eq!(code(&["validate", "no/such/folder"]), 1);
    assert_eq!(code(&["plan", "--from", "git:no-such-commit", "new"]), 1);
    assert_eq!(code(&["zoneadm", "no-such-command"]), 2);
    assert_eq!(code(&["zoneadm", "list", "-pv"]), 2);
}

#[test]
fn help_has_the_table_of_transitions() {
    let output = run(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("halt         running > shutting_down > down > installed"), "{text}");
    expect("help.txt", &run(&["-h"]));
}

#[test]
fn it_answers_to_other_names() {
    use std::os::unix::process::CommandExt;
    let by_name = |name: &str, arguments: &[&str]| reeve().arg0(name).args(arguments).output().expect("reeve starts");
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text(&by_name("/usr/sbin/zoneadm", &["--help"])).contains("Usage: zoneadm"));
    assert!(text(&by_name("zlogin", &["--help"])).contains("Usage: zlogin"));
    assert!(text(&run(&["zoneadm", "--help"])).contains("Usage: zoneadm"));
    let refused = by_name("zonecfg", &["-z", "web"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("reeve apply"));
}

#[test]
fn shells_are_told_what_there_is() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completion", shell]);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("describe"), "{shell}");
    }
}

#[test]
fn nobody_need_read_what_is_said() {
    for arguments in [&["schema"][..], &["--help"], &["completion", "bash"], &["plan", "--from", "old", "new"]] {
        let mut child =
            reeve().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // A full disk is an error.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = reeve().arg("schema").stdout(full).output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
}

/// Root or not: `get` needs a host, and says what is missing.
#[test]
fn who_is_not_root_is_told_so() {
    if !rustix::process::geteuid().is_root() {
        let output = run(&["get"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("root"));
        assert_eq!(code(&["diff", "old"]), 2);
    }
}
