//! Saved plans: `apply FILE` does what was read and agreed to, or nothing, and says what moved; and no value of a secret is in
//! any of what is kept.

mod harness;

use harness::git::{Files, Repo, commit, now};
use harness::{Host, SLEEPER, manifest, shown};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What a refused `apply` says; nothing may have been done.
fn refused(host: &Host, file: &Path) -> String {
    let output = host.reeve(&["apply", text(file)]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    shown(&output)
}

#[test]
fn a_saved_plan_is_carried_out_while_nothing_moves_and_refused_when_something_does() {
    let mut host = Host::new("saved");
    let (manifests, file) = (host.manifests(), host.folder().join("plan.json"));
    let save = |host: &Host| {
        drop(host.ok(&["plan", text(&host.manifests()), "--out", text(&host.folder().join("plan.json"))]))
    };
    host.zone("a", "running", SLEEPER);
    host.zone("b", "ready", "");
    host.apply();

    // A manifest moves.
    host.zone("a", "ready", SLEEPER);
    save(&host);
    assert_eq!(std::fs::metadata(&file).expect("the plan").permissions().mode() & 0o777, 0o600);
    host.zone("b", "running", SLEEPER);
    let said = refused(&host, &file);
    assert!(said.contains("the manifest of zone b changed") && said.contains("reeve plan"), "{said}");
    assert!(!said.contains("zone a"), "only what moved is said: {said}");
    assert_eq!((host.state("a"), host.state("b")), ("running".into(), "ready".into()));

    // A zone moves.
    save(&host);
    host.ok(&["halt", "b"]);
    let said = refused(&host, &file);
    assert!(said.contains("zone b was ready and is installed now"), "{said}");
    assert_eq!(host.state("a"), "running");
    save(&host);
    host.ok(&["reboot", "a"]);
    let said = refused(&host, &file);
    assert!(said.contains("zone a was brought up anew"), "{said}");

    // Nothing moves: it is done, step by step, and told in the history.
    save(&host);
    std::fs::create_dir(host.folder().join("elsewhere")).expect("a folder");
    let output = host.command(&["apply", "-v", text(&file)]).current_dir(host.folder().join("elsewhere")).output();
    let said = shown(&output.expect("reeve"));
    assert!(said.contains("a: stop: stopInit,"), "{said}");
    assert_eq!((host.state("a"), host.state("b")), ("ready".into(), "running".into()), "{said}");
    let last = host.zone_status("a")["history"].as_array().expect("history").last().cloned().unwrap_or_default();
    assert_eq!(last["transition"], "stop", "{last}");
    // Done once, it is stale.
    let said = refused(&host, &file);
    assert!(said.contains("zone a was running and is ready now"), "{said}");

    // A controller that keeps the zones is named.
    save(&host);
    host.start_controller();
    let started = std::time::Instant::now();
    while !host.folder().join("run/controller.sock").exists() {
        assert!(started.elapsed() < harness::PATIENCE, "{}", host.controller_log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let said = refused(&host, &file);
    assert!(said.contains("reeve run") && said.contains(&host.controller_pid().to_string()), "{said}");
    host.end_controller(libc::SIGTERM);
    assert_eq!(manifests, host.manifests());
    host.finish();
}

#[test]
fn files_that_are_no_whole_plan_of_this_version_are_refused() {
    let host = Host::new("notaplan");
    let file = host.folder().join("plan.json");
    host.zone("a", "installed", "");
    host.ok(&["plan", text(&host.manifests()), "--out", text(&file)]);
    let whole = std::fs::read_to_string(&file).expect("the plan");
    let said = |content: &str| {
        std::fs::write(&file, content).expect("write");
        refused(&host, &file)
    };
    assert!(said(&whole[..whole.len() / 2]).contains("is torn"));
    assert!(said(&whole.replacen("\"formatVersion\": \"2\"", "\"formatVersion\": \"9\"", 1)).contains("version 9"));
    let document = host.ok(&["plan", text(&host.manifests()), "-o", "json"]);
    assert!(said(&document).contains("not a saved one"));
    assert!(said("{\"kind\": \"Other\", \"formatVersion\": \"2\"}").contains("is no plan"));
    // A plan that somebody changed is not the one that was saved.
    let changed = said(&whole.replace("\"installRoot\"", "\"removeRoot\""));
    assert!(changed.contains("was changed after it was saved"), "{changed}");
    assert_eq!(host.state("a"), "none");
    std::fs::write(&file, whole).expect("write");
    host.ok(&["apply", text(&file)]);
    assert_eq!(host.state("a"), "installed");
    host.finish();
}

/// A repository with a working tree, and `reeve` in it.
struct Tree<'h> {
    host: &'h Host,
    repo: Repo,
}

impl Tree<'_> {
    fn commit(&self, zone: &str) -> String {
        let tree = self.repo.write(&Files::default().with("zones/a.yaml", zone));
        let parent = self.repo.succeeds(&["rev-parse", "-q", "--verify", "main"]).then(|| self.repo.head());
        let parents: Vec<&str> = parent.iter().map(String::as_str).collect();
        let object = self.repo.object("commit", commit(&tree, &parents, "ann", now(), "A change").as_bytes());
        self.repo.set("refs/heads/main", &object);
        object
    }

    fn reeve(&self, arguments: &[&str]) -> Output {
        self.host.command(arguments).current_dir(self.repo.path()).output().expect("reeve")
    }
}

#[test]
fn a_plan_of_a_commit_is_stale_when_the_branch_moved() {
    let host = Host::new("commits");
    let tree = Tree { host: &host, repo: Repo::new(&host.folder().join("fleet.git")) };
    let first = tree.commit(&manifest("a", "installed", ""));
    let file = host.folder().join("plan.json");
    let plan = ["plan", "--to", "git:main:zones", "--out", text(&file)];
    let output = tree.reeve(&plan);
    assert!(output.status.success() && shown(&output).contains(&first[..12]), "{}", shown(&output));
    let second = tree.commit(&manifest("a", "ready", ""));
    let said = refused(&host, &file);
    assert!(said.contains(&format!("the commit was {first} and is {second} now")), "{said}");
    assert!(said.contains("the manifest of zone a changed"), "{said}");
    assert_eq!(host.state("a"), "none");
    assert!(tree.reeve(&plan).status.success());
    host.ok(&["apply", text(&file)]);
    assert_eq!(host.state("a"), "ready");
    assert_eq!(host.zone_status("a")["commit"], second);
    // What git has is no folder that is taken down by name.
    host.write("a.yaml", &manifest("a", "ready", ""));
    host.apply();
    host.finish();
}

#[test]
fn no_value_of_a_secret_is_in_a_plan_and_drift_stands_apart() {
    let host = Host::new("plansecret");
    let (secret, value) = (host.folder().join("secret"), "do-not-tell-anybody");
    std::fs::write(&secret, value).expect("a secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let spec = |word: &str| {
        format!(
            "{}init:\n  command: [/usr/bin/sleep, infinity]\n  haltTimeout: 1s\n  env:\n    KEY: {{fromFile: {}}}\n    WORD: {word}\n",
            harness::net(30),
            secret.display()
        )
    };
    host.zone("a", "running", &spec("one"));
    host.apply();
    host.zone("a", "running", &spec("two"));
    let down = std::process::Command::new("/bin/sh")
        .args(["-c", "for link in $(ip -o link | sed -n 's/^[0-9]*: \\(rv[^@: ]*-[0-9.]*\\).*/\\1/p'); do ip link set $link down; done"])
        .status();
    assert!(down.expect("ip").success());
    let (manifests, file) = (host.manifests(), host.folder().join("plan.json"));
    let people = host.ok(&["plan", text(&manifests), "--out", text(&file)]);
    assert!(
        people.contains("init.env.WORD: one > two") && people.contains("drift, which nobody committed"),
        "{people}"
    );
    assert!(people.lines().all(|line| line.chars().count() <= 80), "{people}");
    let json: Value = serde_json::from_str(&host.ok(&["plan", text(&manifests), "-o", "json"])).expect("JSON");
    let item = &json["items"][0];
    assert_eq!(item["drift"][0]["field"], "net", "{json:#}");
    assert!(item["changes"].as_array().expect("changes").iter().any(|one| one["field"] == "init.env.WORD"), "{json:#}");
    assert_eq!(json["summary"]["drifted"], 1);
    let kept = std::fs::read_to_string(&file).expect("the plan");
    for shown in [people, json.to_string(), kept, host.ok(&["plan", text(&manifests), "-o", "md"])] {
        assert!(!shown.contains(value), "{shown}");
    }
    host.ok(&["apply", text(&file)]);
    let json: Value = serde_json::from_str(&host.ok(&["plan", text(&manifests), "-o", "json"])).expect("JSON");
    assert_eq!((&json["summary"]["drifted"], &json["summary"]["toDo"]), (&0.into(), &0.into()), "{json:#}");
    host.finish();
}
