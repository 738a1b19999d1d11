//! Zones from real git servers over ssh and https, in network namespaces of their own: how long it takes from a push to
//! Running, with a hook and with polling, and five hosts that follow one repository while one of them is cut off.
//! Needs what tests/run installs: openssh-server, lighttpd with lighttpd-mod-openssl, curl, openssl, gnupg.

mod harness;

use harness::git::{Files, Repo, Signer, commit, now};
use harness::servers::Servers;
use harness::{Host, PATIENCE, SLEEPER, kernel, manifest, shown};
use reeve_kernel::sys;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How many pushes a median is of.
fn rounds() -> usize {
    std::env::var("REEVE_TEST_PUSHES").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Where somebody commits, before it is pushed.
struct Desk {
    repo: Repo,
    alice: Signer,
    files: Files,
}

impl Desk {
    fn new(servers: &Servers) -> Self {
        let repo = Repo::new(&servers.file("desk.git"));
        let alice = Signer::ssh(&servers.file(""), "alice", "ed25519");
        let trust = alice.allowed("alice@fleet.example", "namespaces=\"git\"");
        std::fs::write(servers.file("allowed_signers"), trust).expect("allowed signers");
        Self { repo, alice, files: Files::default().with("README", "a fleet\n") }
    }

    /// Puts a zone into the files; it goes with its data when it is not in them any more.
    fn zone(&mut self, name: &str, state: &str) {
        let text = manifest(name, state, &format!("deletion: delete\n{SLEEPER}"));
        self.files = self.files.clone().with(&format!("zones/{name}.yaml"), text);
    }

    /// Commits the files, signed.
    fn commit(&self) -> String {
        let tree = self.repo.write(&self.files);
        let parent = self.repo.succeeds(&["rev-parse", "-q", "--verify", "main"]).then(|| self.repo.head());
        let parents: Vec<&str> = parent.iter().map(String::as_str).collect();
        let text = self.alice.signed(&commit(&tree, &parents, "alice", now(), "A change"));
        let object = self.repo.object("commit", text.as_bytes());
        self.repo.set("refs/heads/main", &object);
        object
    }
}

/// Writes a host's configuration and starts its controller.
fn follow(host: &mut Host, servers: &Servers, (url, lines): (String, Vec<String>), more: &[&str]) {
    let mut text = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  source:\n    url: {url}\n    branch: main\n    path: zones\n    allowEmpty: true\n"
    );
    for line in lines.iter().map(String::as_str).chain(more.iter().copied()) {
        text.push_str(&format!("    {line}\n"));
    }
    text.push_str(&format!("  trust:\n    allowedSigners: {}\n", servers.file("allowed_signers").display()));
    let file = host.folder().join("config.yaml");
    std::fs::write(&file, text).expect("the configuration");
    host.start_controller_on(&["--config", file.to_str().expect("UTF-8"), "run"]);
}

fn source(host: &Host) -> Value {
    serde_json::from_slice(&host.reeve(&["get", "source", "-o", "json"]).stdout).unwrap_or(Value::Null)
}

/// Waits until this holds for what is told of the source.
fn wait_source(host: &Host, what: &str, check: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let source = source(host);
        if check(&source) {
            return source;
        }
        let late = started.elapsed() > PATIENCE;
        assert!(!late, "the source is not {what}: {source:#}\n{}", host.controller_log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn accepted(commit: &str) -> impl Fn(&Value) -> bool {
    move |source| source["accepted"]["commit"] == commit
}

/// A condition of the source.
fn condition<'v>(source: &'v Value, kind: &str) -> &'v Value {
    let all = source["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Lets all zones go by a last commit, ends the controller, and nothing may be left.
fn finish(mut host: Host, servers: &Servers, last: u8) {
    let started = Instant::now();
    while !host.status().is_empty() {
        assert!(started.elapsed() < PATIENCE, "zones are left: {:#?}\n{}", host.status(), host.controller_log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let namespaces: BTreeSet<String> = kernel::namespaces_of(&host.cgroup());
    // Before the controller ends: with it goes its network namespace, and with that both ends of the link.
    servers.unplug(last);
    host.end_controller(libc::SIGTERM);
    let mut left = kernel::left_over(&host.cgroup(), host.folder(), &namespaces);
    // The controller keeps its cgroup for the zones to come; the link is the test's own, of the host made last.
    left.problems.retain(|problem| !problem.starts_with("cgroup ") && problem != "link eth0");
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

/// Pushes zone after zone; prints the times from the push to Running.
fn measure(name: &str, over: fn(&Servers) -> (String, Vec<String>), more: &[&str], hook: fn(&Host, &Servers)) {
    let servers = Servers::start(&format!("push-{name}"));
    let mut desk = Desk::new(&servers);
    let url = over(&servers).0;
    desk.zone("first", "running");
    let first = desk.commit();
    servers.push(&desk.repo, &url);
    let mut host = Host::new(&format!("push-{name}"));
    servers.plug(10);
    std::fs::write(servers.file("secret"), "the hook's secret").expect("the secret");
    follow(&mut host, &servers, over(&servers), more);
    wait_source(&host, "at the first commit", accepted(&first));
    host.wait_state("first", "running");
    hook(&host, &servers);
    let mut times: Vec<Duration> = Vec::new();
    for round in 0..rounds() {
        let zone = format!("zone-{round}");
        desk.zone(&zone, "running");
        desk.commit();
        let started = Instant::now();
        servers.push(&desk.repo, &url);
        host.wait(&zone, "running", |status| status["state"] == "running");
        times.push(started.elapsed());
    }
    times.sort();
    let (least, most) = (times[0], times[times.len() - 1]);
    let median = times[times.len() / 2];
    println!("{name}: from push to Running, median of {}: {median:.0?} ({least:.0?} to {most:.0?})", times.len());
    assert!(median < Duration::from_secs(10), "{name}: {times:?}");
    desk.files = Files::default().with("zones/README", "nothing\n");
    desk.commit();
    servers.push(&desk.repo, &url);
    finish(host, &servers, 10);
}

/// The HTTP endpoint of the host, signed as forges sign.
const HOOK: &str = "hook: {listen: '10.99.0.10:9000', secretFile: FILE}";

/// A script that asks the host's endpoint.
fn ask_endpoint(servers: &Servers, secret: &str) -> String {
    let file = servers.file("hook.log").display().to_string();
    format!(
        "body='{{\"ref\": \"refs/heads/main\"}}'\n\
         sum=$(printf %s \"$body\" | openssl dgst -sha256 -hmac '{secret}' | sed 's/.*= //')\n\
         curl -s -m 5 --noproxy '*' -o /dev/null -w '%{{http_code}}\\n' -H \"X-Hub-Signature-256: sha256=$sum\" \
         -H 'Content-Type: application/json' -d \"$body\" http://10.99.0.10:9000/hooks/source >> {file} 2>&1"
    )
}

fn hook_line(name: &str) -> String {
    let secret = format!("/var/tmp/reeve-test-push-{name}-servers-{}/secret", std::process::id());
    HOOK.replace("FILE", &secret)
}

/// After the median: a wrong signature is refused, and a question of another kind too.
fn with_endpoint(name: &str, over: fn(&Servers) -> (String, Vec<String>)) {
    let line = hook_line(name);
    measure(name, over, &["poll: 24h", &line], |_, servers| {
        let ask = |secret: &str| {
            let script = ask_endpoint(servers, secret);
            let _ = std::fs::remove_file(servers.file("hook.log"));
            servers.run(&script);
            std::fs::read_to_string(servers.file("hook.log")).unwrap_or_default().trim().to_owned()
        };
        assert!(ask("another secret").starts_with('4'), "a wrong signature is refused");
        assert!(ask("the hook's secret".replace('\'', "'\\''").as_str()).starts_with('2'), "a right one is taken");
        servers.after_push(&ask_endpoint(servers, &"the hook's secret".replace('\'', "'\\''")));
    });
}

#[test]
fn from_push_to_running_over_ssh_with_a_hook() {
    with_endpoint("ssh-hook", Servers::ssh);
}

#[test]
fn from_push_to_running_over_https_with_a_hook() {
    with_endpoint("https-hook", Servers::https);
}

#[test]
fn from_push_to_running_over_https_with_notify() {
    measure("https-notify", Servers::https, &["poll: 24h"], |host, servers| {
        let run = host.folder().join("run");
        let reeve = env!("CARGO_BIN_EXE_reeve");
        let log = servers.file("hook.log");
        servers.after_push(&format!("REEVE_RUN_DIR={} {reeve} notify > {} 2>&1", run.display(), log.display()));
    });
}

#[test]
fn from_push_to_running_over_ssh_with_polling() {
    measure("ssh-poll", Servers::ssh, &["poll: 1s"], |_, _| {});
}

#[test]
fn from_push_to_running_over_https_with_polling() {
    measure("https-poll", Servers::https, &["poll: 1s"], |_, _| {});
}

#[test]
fn an_unknown_host_key_and_a_wrong_token_open_nothing() {
    let servers = Servers::start("refused");
    let mut desk = Desk::new(&servers);
    desk.zone("first", "installed");
    desk.commit();
    servers.push(&desk.repo, &servers.https().0);
    std::fs::write(servers.file("nobody"), "").expect("write");
    std::fs::write(servers.file("wrong"), "not the token\n").expect("write");
    let changed = |(url, lines): (String, Vec<String>), from: &str, to: &str| {
        (url, lines.iter().map(|line| line.replace(from, to)).collect::<Vec<_>>())
    };
    for over in [changed(servers.ssh(), "known_hosts", "nobody"), changed(servers.https(), "/token", "/wrong")] {
        let mut host = Host::new("refused");
        servers.plug(20);
        follow(&mut host, &servers, over, &["poll: 24h"]);
        let source = wait_source(&host, "told of", |source| source["fetch"]["failures"].as_u64() > Some(0));
        assert_eq!(source["fetch"]["reason"], "Unreachable", "{source:#}");
        assert!(source["accepted"].is_null() && host.status().is_empty(), "{source:#}");
        let log = format!("{}{source}", host.controller_log());
        assert!(!log.contains("not the token"), "a token is told: {log}");
        finish(host, &servers, 20);
    }
}

#[test]
fn five_hosts_go_on_while_one_is_cut_off() {
    let servers = Servers::start("fleet");
    let mut desk = Desk::new(&servers);
    desk.zone("web", "ready");
    let first = desk.commit();
    servers.push(&desk.repo, &servers.https().0);
    let addresses = [11u8, 12, 13, 14, 15];
    let mut hosts: Vec<Host> = Vec::new();
    for last in addresses {
        let mut host = Host::new(&format!("fleet-{last}"));
        servers.plug(last);
        // Over both: some of a fleet have the one, some the other.
        let over = if last % 2 == 0 { servers.ssh() } else { servers.https() };
        follow(&mut host, &servers, over, &["poll: 1s", "timeout: 3s"]);
        hosts.push(host);
    }
    for host in &hosts {
        wait_source(host, "at the first commit", accepted(&first));
        host.wait_state("web", "ready");
    }
    let (cut, others) = (2, [0, 1, 3, 4]);
    servers.link(addresses[cut], false);
    desk.zone("web", "running");
    let second = desk.commit();
    servers.push(&desk.repo, &servers.https().0);
    for at in others {
        wait_source(&hosts[at], "at the second commit", accepted(&second));
        hosts[at].wait_state("web", "running");
    }
    // The one without a link says so and since when, and keeps its zone as the last good commit wants it.
    let stale = |source: &Value| condition(source, "SourceFresh")["status"] == "False";
    let source = wait_source(&hosts[cut], "stale", stale);
    assert_eq!(source["accepted"]["commit"], first.as_str(), "{source:#}");
    let fresh = condition(&source, "SourceFresh");
    assert!(!fresh["lastTransitionTime"].is_null() && !source["fetch"]["lastSuccess"].is_null(), "{source:#}");
    let of_zone = |host: &Host| {
        let status = host.zone_status("web");
        condition(&status, "SourceFresh")["status"] == "False" && status["state"] == "ready"
    };
    let started = Instant::now();
    while !of_zone(&hosts[cut]) {
        let late = started.elapsed() > PATIENCE;
        assert!(!late, "the zone does not say it: {:#}", hosts[cut].zone_status("web"));
        std::thread::sleep(Duration::from_millis(50));
    }
    // What breaks meanwhile is put right all the same.
    let zsched = hosts[cut].zone_status("web")["zschedPid"].as_i64().expect("a zsched") as i32;
    sys::kill(zsched, libc::SIGKILL);
    hosts[cut].wait("web", "ready again", |status| {
        status["state"] == "ready" && status["zschedPid"].as_i64().is_some_and(|pid| pid as i32 != zsched)
    });
    let told = hosts[cut].reeve(&["get", "source"]);
    assert!(shown(&told).contains("since") || shown(&told).contains("SourceFresh"), "{}", shown(&told));
    servers.link(addresses[cut], true);
    let healed = Instant::now();
    wait_source(&hosts[cut], "at the second commit", accepted(&second));
    hosts[cut].wait_state("web", "running");
    println!("cut off and healed: converged {:.1?} after the link came up", healed.elapsed());
    wait_source(&hosts[cut], "fresh", |source| condition(source, "SourceFresh")["status"] == "True");
    desk.files = Files::default().with("zones/README", "nothing\n");
    desk.commit();
    servers.push(&desk.repo, &servers.https().0);
    for (host, last) in hosts.into_iter().zip(addresses) {
        finish(host, &servers, last);
    }
}
