//! Plans without access: a host publishes what it observes, signed; a git server with the hook of `packaging/ci` refuses a
//! push with a mistake and answers a good one with the plan for that host, made from the published file alone.
//! Needs what tests/run installs: openssh-server, lighttpd with lighttpd-mod-openssl, curl, openssl.

mod harness;

use harness::git::{Files, Repo, Signer, commit, now};
use harness::servers::Servers;
use harness::{Host, PATIENCE, SLEEPER, manifest, shown};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What a published file says.
fn observed(file: &Path) -> Option<Value> {
    let envelope: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    serde_json::from_str(envelope["observed"].as_str()?).ok()
}

/// Starts a controller that publishes, and waits until what it published says that zone `web` is in this state.
fn publish(host: &mut Host, key: &Path, file: &Path, state: &str) {
    let config = host.folder().join("config.yaml");
    let spec = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  host: {{name: h1, labels: {{site: berlin}}}}\n  \
         publish: {{path: {}, keyFile: {}, every: 1s}}\n",
        file.display(),
        key.display()
    );
    std::fs::write(&config, spec).expect("the configuration");
    let manifests = host.manifests();
    host.start_controller_on(&["--config", text(&config), "run", text(&manifests)]);
    let started = Instant::now();
    loop {
        let seen = observed(file).unwrap_or_default();
        if seen["recorded"]["web"]["state"] == state && host.state("web") == state {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{seen:#}\n{}", host.controller_log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn zone(state: &str, word: &str) -> String {
    let spec = format!(
        "hosts: {{matchLabels: {{site: berlin}}}}\ndeletion: delete\n{SLEEPER}  haltTimeout: 1s\n  env: {{WORD: {word}}}\n"
    );
    manifest("web", state, &spec)
}

#[test]
fn a_fleet_is_planned_from_what_its_hosts_published() {
    let mut host = Host::new("published");
    let (file, secret) = (host.folder().join("h1.json"), host.folder().join("secret"));
    let key = Signer::ssh(host.folder(), "publish", "ed25519");
    std::fs::write(&secret, "do-not-tell-anybody").expect("a secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let with_secret =
        |word: &str| zone("running", word).replace("WORD:", &format!("KEY: {{fromFile: {}}}, WORD:", secret.display()));
    host.write("web.yaml", &with_secret("one"));
    host.write("old.yaml", &manifest("old", "installed", "deletion: delete\n"));
    let key_file = host.folder().join("publish");
    publish(&mut host, &key_file, &file, "running");
    let init = host.zone_status("web")["initPid"].to_string();
    let stored = std::fs::read_to_string(&file).expect("published");
    assert!(!stored.contains("do-not-tell") && !stored.contains("\\\"value\\\""), "{stored}");
    assert!(!stored.contains(&format!("\\\"pid\\\":{init},")), "no process is named: {stored}");
    assert_eq!(std::fs::metadata(&file).expect("published").permissions().mode() & 0o777, 0o640);

    // In CI: another folder, no host, nobody privileged.
    let set = host.folder().join("change");
    std::fs::create_dir(&set).expect("a folder");
    std::fs::write(set.join("web.yaml"), with_secret("one")).expect("write");
    std::fs::write(set.join("old.yaml"), manifest("old", "installed", "deletion: delete\n")).expect("write");
    let signers = host.folder().join("allowed-hosts");
    std::fs::write(&signers, key.allowed("h1", "namespaces=\"reeve-observed\"")).expect("signers");
    let plan = |more: &[&str]| {
        let arguments =
            [&["plan", text(&set), "--observed", text(&file), "--allowed-signers", text(&signers)], more].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
        command.args(&arguments).env("REEVE_STATE_DIR", "/nonexistent").env("REEVE_RUN_DIR", "/nonexistent");
        command.env("REEVE_CGROUP", "no/such").env_remove("REEVE_CONFIG");
        command.output().expect("reeve")
    };
    let good = |output: Output| {
        assert!(output.status.success(), "{}", shown(&output));
        shown(&output)
    };
    let same = good(plan(&["--detailed-exitcode"]));
    assert!(same.contains("2 as wanted") && same.contains("h1") && same.contains(", verified"), "{same}");

    // A change, a removal and another zone.
    std::fs::write(set.join("web.yaml"), with_secret("two")).expect("write");
    std::fs::remove_file(set.join("old.yaml")).expect("remove");
    std::fs::write(set.join("new.yaml"), manifest("new", "ready", "")).expect("write");
    let people = good(plan(&[]));
    for part in ["init.env.WORD: one > two", "irreversible: the data of the zone is lost", "none > configured"] {
        assert!(people.contains(part), "{part}: {people}");
    }
    assert!(!people.contains("KEY"), "the secret did not change: {people}");
    let json: Value = serde_json::from_slice(&plan(&["-o", "json"]).stdout).expect("JSON");
    assert_eq!((json["hosts"][0]["name"].as_str(), json["hosts"][0]["verified"].as_bool()), (Some("h1"), Some(true)));
    assert!(
        json["items"].as_array().is_some_and(|items| items.len() == 3 && items.iter().all(|item| item["host"] == "h1"))
    );
    assert_eq!(plan(&["--detailed-exitcode"]).status.code(), Some(2));

    // What is planned from afar is what the host itself plans.
    host.end_controller(libc::SIGTERM);
    for name in ["web.yaml", "new.yaml"] {
        std::fs::copy(set.join(name), host.manifests().join(name)).expect("copy");
    }
    std::fs::remove_file(host.manifests().join("old.yaml")).expect("remove");
    let config = host.folder().join("config.yaml");
    let manifests = host.manifests();
    let here = host.ok(&["--config", text(&config), "plan", text(&manifests), "-o", "json"]);
    let here: Value = serde_json::from_str(&here).expect("JSON");
    let steps = |plan: &Value| {
        let items = plan["items"].as_array().cloned().unwrap_or_default();
        let mut all: Vec<(String, Value)> =
            items.iter().map(|item| (item["name"].to_string(), item["steps"].clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    assert_eq!(steps(&here), steps(&json));

    // Bad files.
    let refused = |content: &str| {
        std::fs::write(&file, content).expect("write");
        let output = plan(&[]);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        shown(&output)
    };
    assert!(refused(&stored[..stored.len() / 2]).contains("is torn"));
    assert!(refused(&stored.replace("berlin", "munich")).contains("changed after the host signed it"));
    assert!(
        refused(&stored.replacen("\"formatVersion\": \"1\"", "\"formatVersion\": \"7\"", 1)).contains("version \"7\"")
    );
    assert!(refused("{}").contains("nothing that a host published"));
    let other = Signer::ssh(host.folder(), "other", "ed25519");
    std::fs::write(&signers, other.allowed("h1", "namespaces=\"reeve-observed\"")).expect("signers");
    assert!(refused(&stored).contains("does not have for the host h1"));
    // Its key may speak for another host, and not for this one.
    std::fs::write(&signers, key.allowed("h2", "namespaces=\"reeve-observed\"")).expect("signers");
    assert!(refused(&stored).contains("does not have for the host h1"));
    std::thread::sleep(Duration::from_secs(2));
    let output = host.reeve(&["plan", text(&set), "--observed", text(&file), "--max-age", "1s"]);
    let said = shown(&output);
    assert!(said.contains("no signature was verified") && said.contains("not verified"), "{said}");
    assert!(said.contains("longer than 1 s"), "{said}");
    let output = host.reeve(&["--config", text(&config), "down", text(&manifests), "--purge"]);
    assert!(output.status.success(), "{}", shown(&output));
}

/// The hook of `packaging/ci` in the server's repository.
fn install_hook(servers: &Servers, observed: &Path, signers: &Path) {
    let hooks = servers.repo.path().join("hooks");
    std::fs::create_dir_all(&hooks).expect("hooks");
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/ci");
    for name in ["pre-receive", "reeve-plan"] {
        std::fs::copy(packaging.join(name), hooks.join(name)).expect("a hook");
    }
    for (name, value) in [
        ("reeve.path", "zones"),
        ("reeve.observed", text(observed)),
        ("reeve.allowedSigners", text(signers)),
        ("reeve.command", env!("CARGO_BIN_EXE_reeve")),
    ] {
        servers.repo.git(&["config", name, value]);
    }
}

struct Desk {
    repo: Repo,
}

impl Desk {
    fn commit(&self, zone: &str) -> String {
        let tree = self.repo.write(&Files::default().with("zones/web.yaml", zone));
        let parent = self.repo.succeeds(&["rev-parse", "-q", "--verify", "main"]).then(|| self.repo.head());
        let parents: Vec<&str> = parent.iter().map(String::as_str).collect();
        let object = self.repo.object("commit", commit(&tree, &parents, "ann", now(), "A change").as_bytes());
        self.repo.set("refs/heads/main", &object);
        object
    }
}

#[test]
fn a_push_is_answered_with_the_plan_and_a_mistake_is_refused() {
    let servers = Servers::start("ci");
    let mut host = Host::new("ci");
    let published: PathBuf = servers.file("observed");
    std::fs::create_dir(&published).expect("a folder");
    let key = Signer::ssh(&servers.file(""), "publish", "ed25519");
    let signers = servers.file("allowed-hosts");
    std::fs::write(&signers, key.allowed("h1", "namespaces=\"reeve-observed\"")).expect("signers");
    host.write("web.yaml", &zone("running", "one"));
    publish(&mut host, &servers.file("publish"), &published.join("h1.json"), "running");
    install_hook(&servers, &published, &signers);
    let desk = Desk { repo: Repo::new(&servers.file("desk.git")) };
    let (ssh, _) = servers.ssh();
    let (https, _) = servers.https();

    let first = desk.commit(&zone("running", "two"));
    let pushed = servers.try_push(&desk.repo, &ssh, "main:main");
    let said = shown(&pushed);
    assert!(pushed.status.success(), "{said}");
    for part in ["### Plan: 1 zone to work on", "#### `h1`", "signature verified", "`init.env.WORD`", "stopInit"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains(&first[..12]), "{said}");

    // A mistake, over https: refused with its place, and not there afterwards.
    desk.commit(&zone("running", "two").replace("deletion: delete", "deletoin: delete"));
    let pushed = servers.try_push(&desk.repo, &https, "main:main");
    let said = shown(&pushed);
    assert!(
        !pushed.status.success() && said.contains("did you mean `deletion`?") && said.contains("zones/web.yaml"),
        "{said}"
    );
    assert_eq!(servers.repo.head(), first, "nothing was let in");

    // A file that nobody signed for that host.
    desk.repo.set("refs/heads/main", &first);
    desk.commit(&zone("ready", "two"));
    std::fs::write(&signers, "").expect("signers");
    let said = shown(&servers.try_push(&desk.repo, &ssh, "main:other"));
    assert!(said.contains("does not have for the host h1") && said.contains("refs/heads/other is refused"), "{said}");
    servers.repo.git(&["config", "--unset", "reeve.allowedSigners"]);
    let pushed = servers.try_push(&desk.repo, &https, "main:other");
    let said = shown(&pushed);
    assert!(
        pushed.status.success() && said.contains("signature not verified") && said.contains("running > ready"),
        "{said}"
    );
    // A branch that is deleted is nobody's plan.
    assert!(servers.try_push(&desk.repo, &ssh, ":other").status.success());
    let config = host.folder().join("config.yaml");
    host.end_controller(libc::SIGTERM);
    let manifests = host.manifests();
    let output = host.reeve(&["--config", text(&config), "down", text(&manifests), "--purge"]);
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn the_workflow_calls_what_is_there() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/ci");
    let workflow = std::fs::read_to_string(packaging.join("workflow.yaml")).expect("the workflow");
    let step = workflow.lines().find(|line| line.contains("base/ci/reeve-plan")).expect("the step that plans").trim();
    // The step as the runner has it, in a folder with what its other steps put there.
    let folder = std::env::temp_dir().join(format!("reeve-workflow-{}", std::process::id()));
    for part in ["change/zones", "base/ci", "observed"] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    std::fs::write(folder.join("change/zones/web.yaml"), manifest("web", "ready", "")).expect("a manifest");
    std::fs::copy(packaging.join("reeve-plan"), folder.join("base/ci/reeve-plan")).expect("the script");
    let run = || {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-e", "-c", step]).current_dir(&folder).env("REEVE", env!("CARGO_BIN_EXE_reeve"));
        shell.output().expect("sh")
    };
    let output = run();
    let plan = std::fs::read_to_string(folder.join("plan.md")).unwrap_or_default();
    assert!(output.status.success() && plan.contains("No host has published"), "{}\n{plan}", shown(&output));
    std::fs::write(folder.join("change/zones/web.yaml"), "kind: Zone\n").expect("a manifest");
    let output = run();
    assert!(!output.status.success() && shown(&output).contains("apiVersion"), "{}", shown(&output));
    std::fs::remove_dir_all(&folder).expect("remove");
}
