//! One case's host: its copy of the repository, its configuration and its controller, and what is seen of it.

use crate::harness::git::{Files, Repo, Signer, commit, now};
use crate::harness::{Host, shown};
use crate::lab::{self, Lab};
use crate::listing;
use serde_json::Value;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a verdict may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(45);

/// What the host is told in its configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the repository is.
    pub url: String,
    /// What is followed, such as `branch: main`; what the repository's HEAD names where it is empty.
    pub reference: String,
    /// The folder of manifests.
    pub path: String,
    /// Further lines of `source`.
    pub source: Vec<String>,
    /// The lines of `trust`.
    pub trust: Vec<String>,
}

impl Settings {
    /// The configuration file.
    fn text(&self) -> String {
        let url = Value::from(self.url.as_str());
        let mut text = format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  host:\n    name: host\n  source:\n    url: {url}\n"
        );
        // Nothing is looked at but when a case asks for it.
        let fixed = ["poll: 24h".to_owned()];
        let reference = (!self.reference.is_empty()).then(|| self.reference.clone());
        let path = (!self.path.is_empty()).then(|| format!("path: {}", self.path));
        for line in fixed.iter().chain(&reference).chain(&path).chain(&self.source) {
            text.push_str(&format!("    {line}\n"));
        }
        if !self.trust.is_empty() {
            text.push_str("  trust:\n");
        }
        for line in &self.trust {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }
}

/// What became of what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force.
    Accepted,
    /// It was fetched and is refused: reason, message.
    Rejected(String, String),
    /// It could not be fetched: reason, error.
    NotFetched(String, String),
    /// The controller did not begin to follow; what it said.
    NotFollowed(String),
}

/// A host, and what it follows.
pub struct Scene<'l> {
    pub lab: &'l Lab,
    pub host: Host,
    pub repo: Repo,
    pub settings: Settings,
    /// In the names of files that may be nowhere.
    pub mark: String,
    /// Servers of the case.
    pub helpers: Vec<Child>,
    /// Sockets that nobody answers at.
    pub listeners: Vec<TcpListener>,
}

impl<'l> Scene<'l> {
    /// A host that follows a copy of the good repository, without its controller.
    pub fn new(lab: &'l Lab, name: &str) -> Self {
        let host = Host::new(&format!("hostile-{name}"));
        let repo = lab.repo.copy(&host.folder().join("repo.git"));
        std::fs::create_dir(host.folder().join("canary")).expect("a folder");
        let settings = Settings {
            url: repo.path().display().to_string(),
            reference: "branch: main".into(),
            path: "zones".into(),
            source: vec!["timeout: 30s".into()],
            trust: vec![
                format!("allowedSigners: {}", lab.allowed_signers().display()),
                format!("revokedKeys: {}", lab.revoked_keys().display()),
                format!("gpgKeyring: {}", lab.keyring().display()),
            ],
        };
        let mark = format!("reeve-canary-{}-{name}", std::process::id());
        Self { lab, host, repo, settings, mark, helpers: Vec::new(), listeners: Vec::new() }
    }

    /// Commits these files on the good commit, signed by somebody, and lets `main` name it.
    pub fn commits(&self, files: &Files, signer: &Signer) -> String {
        let tree = self.repo.write(files);
        self.commits_tree(&tree, signer)
    }

    /// Commits a tree on the good commit, signed by somebody, and lets `main` name it.
    pub fn commits_tree(&self, tree: &str, signer: &Signer) -> String {
        self.shows(&signer.signed(&commit(tree, &[&self.lab.good], "alice", now() - 60, "A change")))
    }

    /// Stores a commit and lets `main` name it.
    pub fn shows(&self, commit: &str) -> String {
        let object = self.repo.object("commit", commit.as_bytes());
        self.repo.set("refs/heads/main", &object);
        object
    }

    /// The good files and one more zone, which may never come to be unless the commit is harmless.
    pub fn evil(&self) -> Files {
        lab::files().with("zones/evil.yaml", lab::zone("evil"))
    }

    /// A command that leaves a file in the folder of canaries.
    pub fn canary(&self) -> String {
        format!("touch {}", self.canary_file().display())
    }

    /// A program that does that, for where no arguments can be given.
    pub fn canary_program(&self) -> String {
        use std::os::unix::fs::PermissionsExt;
        let file = self.host.folder().join("program");
        std::fs::write(&file, format!("#!/bin/sh\n{}\n", self.canary())).expect("a program");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        file.display().to_string()
    }

    fn canary_file(&self) -> PathBuf {
        self.host.folder().join("canary").join(&self.mark)
    }

    /// Writes the configuration.
    pub fn configure(&self) -> PathBuf {
        let file = self.host.folder().join("config.yaml");
        std::fs::write(&file, self.settings.text()).expect("the configuration");
        file
    }

    /// Writes the configuration and starts the controller with it.
    pub fn start(&mut self) {
        let file = self.configure();
        self.host.start_controller_on(&["--config", file.to_str().expect("UTF-8"), "run"]);
    }

    /// `reeve` with the host's configuration.
    pub fn reeve(&self, arguments: &[&str]) -> std::process::Output {
        let file = self.host.folder().join("config.yaml");
        self.host.reeve(&[&["--config", file.to_str().expect("UTF-8")], arguments].concat())
    }

    /// What is told of the source; null before anything is.
    pub fn source(&self) -> Value {
        let output = self.reeve(&["get", "source", "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Asks for a look at the source, and waits until this commit (`main` where it is empty) was judged.
    pub fn verdict(&mut self, commit: &str) -> Verdict {
        let before = self.source()["fetch"]["failures"].as_u64().unwrap_or(0);
        let output = self.reeve(&["notify"]);
        assert!(output.status.success(), "reeve notify: {}\n{}", shown(&output), self.host.controller_log());
        self.judged(commit, before)
    }

    /// Waits until this commit was judged, or the fetch failed more often than before.
    pub fn judged(&mut self, commit: &str, failures: u64) -> Verdict {
        let started = Instant::now();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        loop {
            let source = self.source();
            let (rejected, fetch) = (&source["rejected"], &source["fetch"]);
            if !commit.is_empty() && source["accepted"]["commit"] == commit {
                return Verdict::Accepted;
            }
            if !commit.is_empty() && rejected["commit"] == commit {
                return Verdict::Rejected(text(&rejected["reason"]), text(&rejected["message"]));
            }
            if fetch["failures"].as_u64().unwrap_or(0) > failures {
                return Verdict::NotFetched(text(&fetch["reason"]), text(&fetch["error"]));
            }
            if let Some(said) = self.host.ended_controller() {
                return Verdict::NotFollowed(format!("{said}: {}", self.host.controller_log()));
            }
            let late = started.elapsed() > PATIENCE;
            assert!(!late, "no verdict on {commit:?}: {source:#}\n{}", self.host.controller_log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a controller that was started answers.
    pub fn wait_told(&self) {
        let started = Instant::now();
        while !self.reeve(&["notify"]).status.success() {
            assert!(started.elapsed() < PATIENCE, "the controller does not answer: {}", self.host.controller_log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Has `main`'s commit accepted.
    pub fn accept(&mut self, commit: &str) {
        let verdict = self.verdict(commit);
        assert_eq!(verdict, Verdict::Accepted, "a commit that a case begins with");
    }

    /// The zones that there are or that are wanted, with their states.
    pub fn zones(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        self.host.status().iter().map(|zone| (text(&zone["name"]), text(&zone["state"]))).collect()
    }

    /// Waits until the zones are these, all installed.
    pub fn wait_zones(&self, names: &[&str]) -> bool {
        let started = Instant::now();
        let wanted: Vec<(String, String)> =
            names.iter().map(|name| ((*name).to_owned(), "installed".to_owned())).collect();
        while self.zones() != wanted {
            if started.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        true
    }

    /// What lies where no file of a case may be.
    pub fn canaries(&self) -> Vec<String> {
        let mut found = listing::marked(&self.mark);
        let canary = self.host.folder().join("canary");
        let inside = std::fs::read_dir(&canary).into_iter().flatten().flatten();
        found.extend(inside.map(|entry| entry.path().display().to_string()));
        found
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // In the order in which it would be by hand: nothing is taken away under a controller that works.
        self.host.end_controller(libc::SIGTERM);
        for helper in &mut self.helpers {
            let _ = helper.kill();
            let _ = helper.wait();
        }
        for file in listing::marked(&self.mark) {
            let _ = std::fs::remove_file(file);
        }
    }
}
