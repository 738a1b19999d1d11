//! kill -9 of the controller while it fetches, verifies and loads, at random moments after a push: what it keeps is whole,
//! the last good commit is in force, and the next controller takes what comes.

mod harness;

use harness::git::{Files, Repo, Signer, commit, now};
use harness::{Host, PATIENCE, SLEEPER, manifest};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often the controller is killed. The nightly run raises it.
fn rounds() -> u64 {
    std::env::var("REEVE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// A host that follows a repository beside it.
struct Follower {
    host: Host,
    repo: Repo,
    alice: Signer,
}

impl Follower {
    fn new() -> Self {
        let host = Host::new("gitkills");
        let repo = Repo::new(&host.folder().join("repo.git"));
        let alice = Signer::ssh(host.folder(), "alice", "ed25519");
        let signers = host.folder().join("allowed_signers");
        std::fs::write(&signers, alice.allowed("alice@fleet.example", "namespaces=\"git\"")).expect("allowed signers");
        let text = format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  source:\n    url: {}\n    branch: main\n    path: zones\n    poll: 24h\n    allowEmpty: true\n  trust:\n    allowedSigners: {}\n",
            repo.path().display(),
            signers.display()
        );
        std::fs::write(host.folder().join("config.yaml"), text).expect("the configuration");
        Self { host, repo, alice }
    }

    fn start(&mut self) {
        let file = self.host.folder().join("config.yaml");
        self.host.start_controller_on(&["--config", file.to_str().expect("UTF-8"), "run"]);
    }

    /// Commits the zone in this state on a commit, with much beside it, so that a fetch takes its time.
    fn commit(&self, parent: Option<&str>, state: &str, round: u64, signed: bool) -> String {
        let zone = manifest("z", state, &format!("deletion: delete\n{SLEEPER}"));
        let mut files = Files::default().with("zones/z.yaml", format!("# {round}\n{zone}"));
        for number in 0..5 {
            files = files.with(&format!("beside/{number}"), format!("{round} {number}\n").repeat(20_000));
        }
        let parents: Vec<&str> = parent.into_iter().collect();
        let text = commit(&self.repo.write(&files), &parents, "alice", now(), &format!("Round {round}"));
        let text = if signed { self.alice.signed(&text) } else { text };
        let object = self.repo.object("commit", text.as_bytes());
        self.repo.set("refs/heads/main", &object);
        object
    }

    fn wait_source(&self, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let output = self.host.reeve(&["get", "source", "-o", "json"]);
            let source = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if check(&source) {
                return source;
            }
            let late = started.elapsed() > PATIENCE;
            assert!(!late, "{what}: {source:#}\n{}", self.host.controller_log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What a dead controller left on the disk.
    fn check_left(&self, what: &str, known: &[&str]) {
        let folder = self.host.folder().join("state/source");
        let text = std::fs::read_to_string(folder.join("accepted.json")).expect("accepted.json");
        let record: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        let commit = record.to_string();
        assert!(known.iter().any(|known| commit.contains(known)), "{what}: {record:#}, not of {known:?}");
        let store = Repo::at(&folder.join("store.git"));
        let fsck = |arguments: &[&str]| store.succeeds(arguments);
        assert!(fsck(&["fsck", "--full", "--no-dangling", "--no-progress"]), "{what}: the store is not whole");
    }
}

#[test]
fn a_controller_killed_while_it_takes_a_commit_leaves_a_store_that_the_next_one_goes_on_with() {
    let mut follower = Follower::new();
    let mut good = follower.commit(None, "installed", 0, true);
    follower.start();
    follower.wait_source("the first commit is not accepted", |source| source["accepted"]["commit"] == good.as_str());
    follower.host.wait_state("z", "installed");
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    let (mut taken, mut before) = (0, 0);
    for round in 1..=rounds() {
        // A linear congruential generator: which state, whether somebody signed it, and when the controller dies.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let state = ["installed", "ready", "running"][(seed >> 33) as usize % 3];
        let (signed, delay) = ((seed >> 20) % 4 != 0, (seed >> 40) % 150_000);
        let next = follower.commit(Some(&good), state, round, signed);
        let asked = follower.host.reeve(&["notify"]);
        assert!(asked.status.success(), "round {round}: {}", harness::shown(&asked));
        std::thread::sleep(Duration::from_micros(delay));
        follower.host.end_controller(libc::SIGKILL);
        let what = format!("round {round}, killed after {delay} us");
        if signed {
            follower.check_left(&what, &[&good, &next]);
        } else {
            follower.check_left(&what, &[&good]);
        }
        let text = std::fs::read_to_string(follower.host.folder().join("state/source/accepted.json")).expect("read");
        if text.contains(&next) {
            taken += 1
        } else {
            before += 1
        }
        follower.start();
        if signed {
            follower.wait_source(&what, |source| source["accepted"]["commit"] == next.as_str());
            follower.host.wait_state("z", state);
            good = next;
        } else {
            let source = follower.wait_source(&what, |source| source["rejected"]["commit"] == next.as_str());
            assert_eq!(source["accepted"]["commit"], good.as_str(), "{what}: {source:#}");
            assert_eq!(source["rejected"]["reason"], "Unsigned", "{what}: {source:#}");
            follower.repo.set("refs/heads/main", &good);
        }
    }
    println!("{taken} killed after the commit was accepted, {before} before");
    // The zone goes with its manifest, and the store takes that, too.
    let text =
        commit(&follower.repo.write(&Files::default().with("zones/README", "-")), &[&good], "alice", now(), "End");
    let end = follower.repo.object("commit", follower.alice.signed(&text).as_bytes());
    follower.repo.set("refs/heads/main", &end);
    follower.host.ok(&["notify"]);
    follower.wait_source("the end", |source| source["accepted"]["commit"] == end.as_str());
    follower.host.wait_state("z", "none");
    let Follower { host, .. } = follower;
    drop(host);
}
