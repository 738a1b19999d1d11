//! From the kernel to whoever is on call (`tests/alerts/run`): a real zone, the real controller, Prometheus and Alertmanager
//! as Debian has them, and the shipped rules. What goes wrong must reach the receiver of a webhook, and when it is
//! mended, that must, too.
#![forbid(unsafe_code)]

mod chain;
#[path = "../harness/mod.rs"]
mod harness;
mod inbox;

use chain::{ALERTMANAGER, Chain, REEVE, until};
use harness::git::{Files, Repo, commit, now};
use harness::held::Held;
use harness::{Host, manifest, net};
use inbox::Inbox;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// An init that has a second to end.
const INIT: &str = "deletion: delete\ninit:\n  command: [/usr/bin/sleep, infinity]\n  haltTimeout: 1s\n";

/// A host that follows a repository, and whose controller is watched.
struct Scene {
    host: Host,
    repo: Repo,
    chain: Chain,
    inbox: Inbox,
}

impl Scene {
    fn new() -> Self {
        let mut host = Host::new("alerts");
        let repo = Repo::new(&host.folder().join("repo.git"));
        push(&repo, &good("running"));
        let config = host.folder().join("config.yaml");
        let text = format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  source:\n    url: {}\n    branch: main\n    poll: 1s\n    allowEmpty: true\n",
            repo.path().display()
        );
        let secret = host.folder().join("receiver-secret");
        std::fs::write(&secret, format!("{}\n", inbox::SECRET)).expect("the secret");
        let receivers = format!(
            "  monitoring:\n    receivers:\n      - {{url: \"http://127.0.0.1:{}/\", after: 1s, secretFile: {}}}\n      - {{url: \"http://127.0.0.1:{ALERTMANAGER}/api/v2/alerts\", form: alertmanager, conditions: [SourceFresh], after: 1s}}\n",
            inbox::PORT,
            secret.display()
        );
        std::fs::write(&config, text + &receivers).expect("the configuration");
        let inbox = Inbox::start();
        let port = REEVE.to_string();
        host.start_controller_on(&[
            "--config",
            config.to_str().expect("UTF-8"),
            "run",
            "--listen",
            &port,
            "--log-format",
            "json",
        ]);
        let converged = |status: &Value| condition(status, "Converged")["status"] == "True";
        for zone in ["held", "warned"] {
            host.wait(zone, "converged", |status| status["state"] == "running" && converged(status));
        }
        let folder = host.folder().join("chain");
        std::fs::create_dir(&folder).expect("a folder");
        let chain = Chain::start(&folder);
        Self { host, repo, chain, inbox }
    }
}

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

/// The set in order, with the zone whose halt will be held up wanted in this state, one with a link, and one whose drift is only
/// told of.
fn good(state: &str) -> Files {
    let files = Files::default().with("held.yaml", manifest("held", state, INIT));
    let files = files.with("calm.yaml", manifest("calm", "running", &format!("{INIT}{}", net(9))));
    let warned = format!("{INIT}fs:\n  - {{dir: /data, type: tmpfs}}\ndrift: {{default: warn}}\n");
    files.with("warned.yaml", manifest("warned", "running", &warned))
}

/// Commits files to what is followed.
fn push(repo: &Repo, files: &Files) {
    let before = repo.succeeds(&["rev-parse", "--verify", "refs/heads/main"]).then(|| repo.head());
    let parents: Vec<&str> = before.iter().map(String::as_str).collect();
    let text = commit(&repo.write(files), &parents, "alice", now(), "A change");
    let object = repo.object("commit", text.as_bytes());
    repo.set("refs/heads/main", &object);
}

fn seconds(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 100.0).round() / 100.0
}

/// A halt that cannot finish, and then can: how long until each was known.
fn stuck_halt(scene: &Scene) -> (f64, f64) {
    let status = scene.host.zone_status("held");
    let zsched = status["zschedPid"].as_i64().expect("a zsched");
    let holder = Held::shell(&format!("cd /proc/{zsched}/root/etc"));
    let begun = Instant::now();
    push(&scene.repo, &good("installed"));
    let fired = scene.chain.heard("ZoneHaltBlocked", "held", "firing", begun);
    let description = fired.body["annotations"]["description"].as_str().unwrap_or_default();
    assert!(description.contains("MountBusy"), "the reason is told: {:#}", fired.body);
    let runbook = fired.body["annotations"]["runbook"].as_str().unwrap_or_default();
    assert!(runbook.contains("reeve describe zone held"), "{:#}", fired.body);
    let told = scene.host.ok(&["describe", "zone", "held"]);
    assert!(told.contains(&format!("kill {}", holder.pid())), "what the runbook names says what to do: {told}");
    let mended = Instant::now();
    drop(holder);
    let resolved = scene.chain.heard("ZoneHaltBlocked", "held", "resolved", mended);
    assert_eq!(scene.host.state("held"), "installed");
    // The same without Prometheus.
    scene.inbox.wait("HaltBlocked", "held");
    (seconds(begun, fired.at), seconds(mended, resolved.at))
}

/// The links of zones, as `ip` shows them.
fn links() -> Vec<String> {
    let output = Command::new("ip").args(["-o", "link", "show", "type", "veth"]).output().expect("ip");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Drift that is healed: it is put right, and nobody is told.
fn healed_drift(scene: &Scene) {
    let is_up = || links().iter().any(|link| link.contains(",UP"));
    until("the zone's link is up", is_up);
    let line = links().pop().expect("a link");
    let name = line.split([' ', '@']).nth(1).expect("a name").trim_end_matches(':').to_owned();
    let set = Command::new("ip").args(["link", "set", &name, "down"]).status().expect("ip");
    assert!(set.success(), "ip link set {name} down");
    until("it is up again", is_up);
    let mended = || {
        chain::get(REEVE, "/metrics").is_some_and(|(_, text)| {
            text.contains("reeve_step_duration_seconds_count{transition=\"live\",step=\"repairLinks\"} 1\n")
        })
    };
    until("it was Reeve who put it right", mended);
    let counted = || {
        let counted = "reeve_zone_drift_mended_total{zone=\"calm\",class=\"network\"} 1\n";
        chain::get(REEVE, "/metrics").is_some_and(|(_, text)| text.contains(counted))
    };
    until("it is counted", counted);
    // As long as it takes an alert to come, twice over.
    std::thread::sleep(Duration::from_secs(8));
    let paged: Vec<String> = scene.chain.all().into_iter().map(|message| message.alert).collect();
    assert!(!paged.iter().any(|alert| alert.starts_with("ZoneDrift")), "what is healed pages nobody: {paged:?}");
    assert_eq!(scene.inbox.told("Drifted"), []);
}

/// Drift that is only told of: a mount is undone by hand, and the zone made anew as the runbook says.
fn warned_drift(scene: &Scene) -> (f64, f64) {
    let zsched = scene.host.zone_status("warned")["zschedPid"].to_string();
    let begun = Instant::now();
    // The setuid bit of the zone's umount is the zone's root, who may not.
    let umount = ["-t", &zsched, "-m", "setpriv", "--no-new-privs", "umount", "/data"];
    let undone = Command::new("nsenter").args(umount).status().expect("nsenter");
    assert!(undone.success(), "umount /data");
    let fired = scene.chain.heard("ZoneDrifted", "warned", "firing", begun);
    let runbook = fired.body["annotations"]["runbook"].as_str().unwrap_or_default();
    assert!(runbook.contains("reeve drift warned") && runbook.contains("reeve reboot warned"), "{:#}", fired.body);
    let told = scene.host.reeve(&["drift", "warned"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("fs./data"), "{}", harness::shown(&told));
    let (_, metrics) = chain::get(REEVE, "/metrics").expect("an answer");
    let counted = "reeve_zone_differences{zone=\"warned\",cause=\"drift\",class=\"fileSystems\",handling=\"warn\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    let mended = Instant::now();
    scene.host.ok(&["reboot", "warned"]);
    let resolved = scene.chain.heard("ZoneDrifted", "warned", "resolved", mended);
    scene.inbox.wait("Drifted", "warned");
    (seconds(begun, fired.at), seconds(mended, resolved.at))
}

/// One line of the log for each step, with the zone, the commit and the pass.
fn logged(scene: &Scene) {
    let log = scene.host.controller_log();
    let records: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let whole = |record: &&Value| {
        record["zone"] == "held"
            && record["step"] == "unmount"
            && record["pass"].is_u64()
            && record["commit"].is_string()
    };
    let outcomes: Vec<&Value> = records.iter().filter(whole).map(|record| &record["outcome"]).collect();
    assert!(outcomes.contains(&&Value::from("failed")) && outcomes.contains(&&Value::from("done")), "{log}");
}

/// A commit that is no good, and one that mends it.
fn rejected_commit(scene: &Scene) -> f64 {
    let begun = Instant::now();
    push(&scene.repo, &good("installed").with("bad.yaml", "kind: Zone\n"));
    let fired = scene.chain.heard("CommitRejected", "", "firing", begun);
    let description = fired.body["annotations"]["description"].as_str().unwrap_or_default();
    assert!(description.contains("ManifestInvalid"), "the reason is told: {:#}", fired.body);
    let mended = Instant::now();
    push(&scene.repo, &good("installed"));
    scene.chain.heard("CommitRejected", "", "resolved", mended);
    scene.inbox.wait("SourceFresh", "-");
    scene.chain.heard("NotSourceFresh", "", "resolved", mended);
    seconds(begun, fired.at)
}

/// The metrics of what this host's kernel does not tell (it has no controllers of cgroup v2), or that come of what did not
/// happen here.
const NOT_HERE: [&str; 9] = [
    "reeve_zone_differences",
    "reeve_zone_cpu_throttled_seconds_total",
    "reeve_zone_memory_bytes",
    "reeve_zone_memory_limit_bytes",
    "reeve_zone_oom_kills_total",
    "reeve_zone_tasks",
    "reeve_zone_pressure_waiting_seconds_total",
    "reeve_source_rejected",
    "reeve_source_rejected_timestamp_seconds",
];

/// A suspended zone tells when that ends; since when it is suspended.
fn suspended(scene: &Scene) -> Instant {
    let told = "reeve_zone_suspension_end_timestamp_seconds{zone=\"calm\"} 4102444800\n";
    let is_told = || chain::get(REEVE, "/metrics").is_some_and(|(_, text)| text.contains(told));
    let begun = Instant::now();
    scene.host.ok(&["suspend", "calm", "--reason", "a look", "--until", "2100-01-01T00:00:00Z"]);
    until("the end of the suspension is told", is_told);
    begun
}

/// That it is suspended for too long was told, with its end; it is not any more.
fn resumed(scene: &Scene, begun: Instant) {
    let fired = scene.chain.heard("SuspendedTooLong", "calm", "firing", begun);
    let description = fired.body["annotations"]["description"].as_str().unwrap_or_default();
    assert!(description.ends_with("ends by itself at 2100-01-01 00:00:00 +0000 UTC."), "{description}");
    scene.host.ok(&["resume", "calm"]);
}

/// What the controller tells now has every metric, but those that cannot be here, and is as Prometheus wants it.
fn exercised() {
    let (head, text) = chain::get(REEVE, "/metrics").expect("an answer");
    assert!(head.ends_with(" 200 OK"), "{head}");
    let told = |name: &str| {
        text.lines().any(|line| line.strip_prefix("# TYPE ").is_some_and(|rest| rest.starts_with(&format!("{name} "))))
    };
    let families = reeve_state::metrics::FAMILIES.iter().map(|about| about.name);
    let missing: Vec<&str> = families.filter(|name| !told(name) && !NOT_HERE.contains(name)).collect();
    assert!(missing.is_empty(), "not told: {missing:?}\n{text}");
    harness::git::fed(Command::new("promtool").args(["check", "metrics"]), text.as_bytes());
    let (head, _) = chain::get(REEVE, "/elsewhere").expect("an answer");
    assert!(head.contains(" 404 "), "{head}");
}

fn main() {
    let scene = Scene::new();
    let begun = Instant::now();
    healed_drift(&scene);
    let (drift_alert, drift_resolved) = warned_drift(&scene);
    println!("a drift that is told of: {drift_alert} s until the alert, {drift_resolved} s from mended until resolved");
    let (halt_alert, halt_resolved) = stuck_halt(&scene);
    println!("a halt that is stuck: {halt_alert} s until the alert, {halt_resolved} s from mended until resolved");
    let asleep = suspended(&scene);
    let commit_alert = rejected_commit(&scene);
    println!("a commit that is rejected: {commit_alert} s until the alert");
    exercised();
    resumed(&scene, asleep);
    logged(&scene);
    // Whoever is on call heard of these, and of nothing else.
    std::thread::sleep(Duration::from_secs(2));
    let mut heard: Vec<String> = scene.chain.all().into_iter().map(|message| message.alert).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(
        heard,
        ["CommitRejected", "NotSourceFresh", "SuspendedTooLong", "ZoneDrifted", "ZoneHaltBlocked"],
        "{:#?}",
        scene.chain.all()
    );
    until("all is quiet", || chain::query("ALERTS{alertstate=\"firing\"}").is_none());
    println!("all of it: {} s", begun.elapsed().as_secs());
    let Scene { mut host, repo, chain, inbox: _inbox } = scene;
    drop(chain);
    // The zones go with their manifests.
    push(&repo, &Files::default().with("README", "Nothing.\n"));
    host.wait_state("held", "none");
    host.wait_state("calm", "none");
    host.wait_state("warned", "none");
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
    let figures = serde_json::json!({
        "drift_alert_s": drift_alert, "drift_resolved_s": drift_resolved,
        "halt_alert_s": halt_alert, "halt_resolved_s": halt_resolved, "commit_alert_s": commit_alert,
    });
    println!("{figures}");
}
