//! Everybody at once: two administrators who push commits, the controller that follows them, and a person on the host who halts
//! and reboots zones by hand, kills their processes and takes their links down. For a minute (`REEVE_TOGETHER_SECONDS`), on 30
//! zones; `REEVE_SEED` for the same wishes again. In the end every zone is where the last commit says, and stays there; nobody
//! fights anybody; and every event was written down.

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::git::{Files, Repo, commit, now};
use harness::{Host, manifest};
use serde_json::Value;

const ZONES: usize = 30;
/// How long everything must stay as it is at the end.
const STILL: Duration = Duration::from_secs(4);

/// A linear congruential generator, so that a seed gives the same wishes.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn state(&mut self) -> &'static str {
        ["installed", "ready", "running", "running"][self.below(4)]
    }
}

fn name(zone: usize) -> String {
    format!("z{zone:02}")
}

fn spec(zone: usize, seconds: usize) -> String {
    let net = if zone.is_multiple_of(3) { harness::net(10 + zone as u8) } else { String::new() };
    format!("init: {{command: [/usr/bin/sleep, '{}'], haltTimeout: 1s}}\n{net}", 100_000 + seconds)
}

fn setting<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What an administrator has: a clone of the repository, and commits of his own.
struct Administrator<'a> {
    host: &'a Host,
    clone: PathBuf,
    who: &'static str,
    chance: Chance,
}

impl Administrator<'_> {
    fn git(&self, arguments: &[&str]) -> bool {
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.clone).args(arguments);
        let config = ["user.name", "user.email"].map(|key| format!("{key}={}@fleet.example", self.who));
        let git = git.env("GIT_CONFIG_COUNT", "2").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for (number, pair) in config.iter().enumerate() {
            let (key, value) = pair.split_once('=').expect("a pair");
            git.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        git.output().expect("git").status.success()
    }

    /// Changes some zones, commits, and pushes; where the other one was quicker, once more on top of that.
    fn push(&mut self) {
        assert!(self.git(&["fetch", "-q"]) && self.git(&["reset", "-q", "--hard", "origin/main"]));
        for _ in 0..=self.chance.below(4) {
            let zone = self.chance.below(ZONES);
            let (state, seconds) = (self.chance.state(), self.chance.below(1000));
            std::fs::write(self.file(zone), manifest(&name(zone), state, &spec(zone, seconds))).expect("write");
        }
        let _same = self.git(&["commit", "-q", "-a", "-m", "Change some zones"]);
        if self.git(&["push", "-q", "origin", "HEAD:main"]) {
            self.host.reeve(&["notify"]);
        }
    }

    fn file(&self, zone: usize) -> PathBuf {
        self.clone.join("zones").join(format!("{}.yaml", name(zone)))
    }
}

/// What the person on the host does to a zone.
fn meddle(host: &Host, chance: &mut Chance, by_hand: &AtomicUsize) {
    let zone = name(chance.below(ZONES));
    let status = host.zone_status(&zone);
    let kill = |field: &str| {
        if let Some(pid) = status[field].as_i64() {
            reeve_kernel::sys::kill(pid as i32, 9);
        }
    };
    match chance.below(8) {
        0 => kill("initPid"),
        1 => kill("zschedPid"),
        2 => kill("zoneadmdPid"),
        3 => {
            let init = status["initPid"].as_i64().unwrap_or_default().to_string();
            let inside = ["--target", &init, "--net", "--", "ip", "link", "set", "net0", "down"];
            drop(Command::new("nsenter").args(inside).output());
        }
        number => {
            let verb = ["halt", "stop", "reboot", "restart"][number - 4];
            // What is not legal from where it is, is refused; what came too late as well.
            if host.reeve(&[verb, &zone]).status.code() != Some(1) {
                by_hand.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The events, read as they are written, over all files that there were.
struct Events {
    file: PathBuf,
    seen: BTreeMap<String, usize>,
    inode: u64,
    offset: usize,
}

impl Events {
    fn new(state: &Path) -> Self {
        Self { file: state.join("events.jsonl"), seen: BTreeMap::new(), inode: 0, offset: 0 }
    }

    fn read(&mut self) {
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata(&self.file).map_or(0, |found| found.ino());
        if self.inode != 0 && inode != self.inode {
            // What was written to the old one at last.
            self.take(&self.file.with_extension("jsonl.1"));
            self.offset = 0;
        }
        self.inode = inode;
        self.take(&self.file.clone());
    }

    fn take(&mut self, file: &Path) {
        let bytes = std::fs::read(file).unwrap_or_default();
        let new = &bytes[self.offset.min(bytes.len())..];
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in new[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
            let count = event["count"].as_u64().unwrap_or(1) as usize;
            *self.seen.entry(event["reason"].as_str().expect("a reason").to_owned()).or_default() += count;
        }
        self.offset += whole;
    }
}

fn converged(status: &Value) -> bool {
    status["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["type"] == "Converged" && one["status"] == "True"))
}

#[test]
fn two_administrators_a_controller_and_a_person_end_where_the_last_commit_says() {
    let mut host = Host::new("together");
    let seed = setting("REEVE_SEED", u64::from(std::process::id()));
    println!("seed {seed}");
    let repo = Repo::new(&host.folder().join("repo.git"));
    let wish = |chance: &mut Chance| -> BTreeMap<usize, &'static str> {
        (0..ZONES).map(|zone| (zone, chance.state())).collect()
    };
    let files = |wishes: &BTreeMap<usize, &'static str>| {
        let with = |files: Files, (zone, state): (&usize, &&str)| {
            files.with(&format!("zones/{}.yaml", name(*zone)), manifest(&name(*zone), state, &spec(*zone, 0)))
        };
        wishes.iter().fold(Files::default(), with)
    };
    let mut chance = Chance(seed);
    let first = commit(&repo.write(&files(&wish(&mut chance))), &[], "alice", now(), "Begin");
    repo.set("refs/heads/main", &repo.object("commit", first.as_bytes()));
    let url = repo.path().display().to_string();
    host.start_controller_on(&["run", "--source", &url, "--branch", "main", "--source-path", "zones"]);
    for zone in 0..ZONES {
        host.wait(&name(zone), "at the beginning", converged);
    }

    let over = AtomicBool::new(false);
    let (by_hand, pushes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut events = Events::new(&host.folder().join("state"));
    events.read();
    let until = Instant::now() + Duration::from_secs(setting("REEVE_TOGETHER_SECONDS", 60));
    std::thread::scope(|scope| {
        for (who, number) in [("alice", 1), ("bob", 2)] {
            let clone = host.folder().join(who);
            let cloned = Command::new("git").args(["clone", "-q", &url]).arg(&clone).output().expect("git");
            assert!(cloned.status.success(), "{}", harness::shown(&cloned));
            let mut administrator = Administrator { host: &host, clone, who, chance: Chance(seed + number) };
            let (over, pushes) = (&over, &pushes);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    administrator.push();
                    pushes.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(100 + administrator.chance.below(400) as u64));
                }
            });
        }
        let (over_too, by_hand, person) = (&over, &by_hand, &host);
        scope.spawn(move || {
            let mut chance = Chance(seed + 3);
            while !over_too.load(Ordering::Relaxed) {
                meddle(person, &mut chance, by_hand);
            }
        });
        while Instant::now() < until {
            events.read();
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
    });

    // The last word.
    let wishes = wish(&mut chance);
    let last = commit(&repo.write(&files(&wishes)), &[&repo.head()], "alice", now(), "End");
    repo.set("refs/heads/main", &repo.object("commit", last.as_bytes()));
    let head = repo.head();
    host.ok(&["notify", "--wait"]);
    let source: Value = serde_json::from_str(&host.ok(&["get", "source", "-o", "json"])).expect("JSON");
    assert_eq!(source["accepted"]["commit"], head.as_str(), "{source:#}");
    let there: Vec<Value> = wishes
        .iter()
        .map(|(zone, state)| {
            let is_there = |status: &Value| converged(status) && status["state"] == *state;
            host.wait(&name(*zone), state, is_there).0
        })
        .collect();

    // And there it stays: nobody is taken anywhere, nothing is begun again.
    events.read();
    let walked = events.seen.get("Walked").copied();
    std::thread::sleep(STILL);
    events.read();
    assert_eq!(events.seen.get("Walked").copied(), walked, "{:?}\n{}", events.seen, host.controller_log());
    let still = host.status();
    for (before, zone) in there.iter().zip(0..) {
        let after = still.iter().find(|status| status["name"] == name(zone).as_str()).expect("the zone");
        for field in ["state", "zoneId", "initPid", "zschedPid", "zoneadmdPid"] {
            assert_eq!(before[field], after[field], "{field} of {}", name(zone));
        }
    }
    let (asked, told) = (by_hand.into_inner(), events.seen.get("ByHand").copied().unwrap_or(0));
    println!("{} pushes, {asked} times by hand; events: {:?}", pushes.into_inner(), events.seen);
    assert_eq!(asked, told, "what was done by hand and what was written down: {:?}", events.seen);
    assert!(asked > 0, "nothing was done by hand");
    // What is taken down is named by manifests.
    wishes.keys().for_each(|zone| host.zone(&name(*zone), "installed", &spec(*zone, 0)));
    host.finish();
}
