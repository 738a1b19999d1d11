//! Zones that are left alone for a while, zones that depend on others, health checks, and the events of all that.

mod harness;

use std::process::Command;

use harness::{Host, SLEEPER, manifest, net, shown};
use serde_json::Value;

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

fn reason<'a>(status: &'a Value, kind: &str) -> &'a str {
    condition(status, kind)["reason"].as_str().unwrap_or_default()
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("ip(8)");
    assert!(output.status.success(), "ip {arguments:?}: {}", shown(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The host's end of the only zone's link.
fn host_link() -> String {
    let all = ip(&["-o", "link", "show", "type", "veth"]);
    let name = all.split_whitespace().nth(1).unwrap_or_else(|| panic!("no link: {all}"));
    name.trim_end_matches(':').split('@').next().unwrap_or_default().to_owned()
}

#[test]
fn a_suspended_zone_is_measured_and_left_alone_until_it_is_resumed() {
    let mut host = Host::new("suspend");
    host.zone("z", "running", &format!("{}{SLEEPER}", net(10)));
    host.start_controller();
    let before = host.wait_state("z", "running");
    let said = host.ok(&["suspend", "z", "--reason", "a disk is looked at", "--owner", "ada", "--forever"]);
    assert_eq!(said, "z: suspended by ada until somebody resumes it: a disk is looked at\n");
    let message = |status: &Value| condition(status, "Converged")["message"].as_str().unwrap_or_default().to_owned();
    let status = host.wait("z", "suspended", |status| reason(status, "Converged") == "Suspended").0;
    assert_eq!(status["suspended"]["owner"], "ada");
    assert!(message(&status).contains("suspended by ada until somebody resumes it: a disk is looked at"), "{status:#}");

    // What somebody does on the host, and a changed manifest, are told and change nothing; also of a new controller.
    let link = host_link();
    ip(&["link", "set", &link, "down"]);
    host.zone("z", "running", &format!("hostname: other\n{}{SLEEPER}", net(10)));
    host.end_controller(libc::SIGKILL);
    host.start_controller();
    let status = host
        .wait("z", "measured", |status| {
            !condition(status, "Drifted").is_null() && message(status).contains("hostname (change)")
        })
        .0;
    assert!(message(&status).contains("net (drift)"), "{status:#}");
    assert_eq!((&status["zoneId"], &status["initPid"]), (&before["zoneId"], &before["initPid"]));
    assert!(ip(&["link", "show", &link]).contains("state DOWN"), "nobody mended it");
    let manifests = host.manifests();
    let applied = host.reeve(&["apply", manifests.to_str().expect("UTF-8"), "--timeout", "30s"]);
    assert_eq!(applied.status.code(), Some(4), "{}", shown(&applied));
    let described = host.ok(&["describe", "z"]);
    assert!(described.contains("Suspended:") && described.contains("by ada"), "{described}");

    // What its init does is its own matter.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(before["initPid"].as_i64().expect("a PID") as i32).expect("a PID"),
        rustix::process::Signal::KILL,
    )
    .expect("kill init");
    host.wait("z", "ended and left so", |status| {
        status["state"] == "ready" && reason(status, "Converged") == "Suspended"
    });

    host.ok(&["resume", "z"]);
    let status = host.wait("z", "resumed", |status| condition(status, "Converged")["status"] == "True").0;
    assert_eq!(status["state"], "running");
    assert_ne!(status["zoneId"], before["zoneId"], "another host name takes a new platform");
    assert!(status["suspended"].is_null() && condition(&status, "Drifted").is_null(), "{status:#}");
    host.finish();
}

#[test]
fn a_suspension_ends_by_itself_also_where_the_controller_was_killed_meanwhile() {
    let mut host = Host::new("expiry");
    host.zone("z", "ready", "");
    // Nobody needs to run for it.
    host.apply();
    host.ok(&["suspend", "z", "--reason", "soon over", "--for", "8s"]);
    assert!(host.ok(&["get"]).contains("Suspended"));
    host.start_controller();
    host.zone("z", "installed", "");
    host.wait("z", "suspended", |status| {
        reason(status, "Converged") == "Suspended" && status["desired"] == "installed" && status["state"] == "ready"
    });
    host.end_controller(libc::SIGKILL);
    host.start_controller();
    let status = host.wait_state("z", "installed");
    assert!(status["suspended"].is_null(), "{status:#}");
    let events: Value = serde_json::from_str(&host.ok(&["history", "z", "-o", "json"])).expect("JSON");
    let all: Vec<&Value> = events["items"].as_array().expect("items").iter().collect();
    let at =
        |reason: &str| all.iter().position(|event| event["reason"] == reason).unwrap_or_else(|| panic!("{all:#?}"));
    assert!(at("Suspended") < at("SuspensionExpired"));
    let until = all[at("SuspensionExpired")]["at"].as_u64() >= all[at("Suspended")]["at"].as_u64().map(|at| at + 7000);
    assert!(until, "not before its time: {all:#?}");
    host.finish();
}

#[test]
fn what_is_wrong_about_a_suspension_is_said() {
    let host = Host::new("suspend-wrong");
    for (arguments, says) in [
        (&["suspend", "z", "--for", "1h"][..], "--reason"),
        (&["suspend", "z", "--reason", "r"][..], "--forever"),
        (&["suspend", "z", "--reason", "r", "--for", "1h", "--forever"][..], "cannot be used with"),
        (&["suspend", "z", "--reason", "r", "--for", "1"][..], "no length of time"),
        (&["suspend", "z", "--reason", "r", "--until", "2001-01-01T00:00:00Z"][..], "is over"),
        (&["suspend", "z", "--reason", "r", "--forever"][..], "no zone z here"),
        (&["resume", "z"][..], "no zone z here"),
    ] {
        let output = host.reeve(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(shown(&output).contains(says), "{arguments:?}: {}", shown(&output));
    }
    host.finish();
}

/// When each zone began a transition, in the order of its history.
fn begun(host: &Host, zone: &str, transition: &str) -> u64 {
    let status = host.zone_status(zone);
    let all = status["history"].as_array().cloned().unwrap_or_default();
    let found = all.iter().rev().find(|entry| entry["transition"] == transition);
    found.and_then(|entry| entry["at"].as_u64()).unwrap_or_else(|| panic!("{zone} never had {transition}: {status:#}"))
}

/// When a zone's newest transition of a kind was over.
fn over(host: &Host, zone: &str, transition: &str) -> u64 {
    let status = host.zone_status(zone);
    let all = status["history"].as_array().cloned().unwrap_or_default();
    let found = all.iter().rev().find(|entry| entry["transition"] == transition).expect("it had one").clone();
    found["at"].as_u64().expect("a time") + found["tookMs"].as_u64().expect("a time")
}

/// A zone that takes 300 ms to end.
fn slow(needs: &str) -> String {
    let script = "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done";
    let depends = if needs.is_empty() { String::new() } else { format!("dependsOn: [{{zone: {needs}}}]\n") };
    format!("{depends}init:\n  command: [/bin/sh, -c, \"{script}\"]\n")
}

#[test]
fn zones_come_up_in_order_and_go_down_in_reverse() {
    let mut host = Host::new("order");
    let chain = [("c", ""), ("b", "c"), ("a", "b")];
    chain.iter().for_each(|(zone, needs)| host.zone(zone, "running", &slow(needs)));
    host.start_controller();
    chain.iter().for_each(|(zone, _)| drop(host.wait_state(zone, "running")));
    for pair in chain.windows(2) {
        let (before, after) = (over(&host, pair[0].0, "boot"), begun(&host, pair[1].0, "ready"));
        assert!(before <= after, "{} ran at {before}, {} came up at {after}", pair[0].0, pair[1].0);
    }
    // Down by their manifests, all of them at once.
    let all: String = chain.map(|(zone, needs)| manifest(zone, "installed", &slow(needs))).join("---\n");
    chain.iter().for_each(|(zone, _)| std::fs::remove_file(host.manifests().join(format!("{zone}.yaml"))).expect("rm"));
    host.write("all.yaml", &all);
    chain.iter().for_each(|(zone, _)| drop(host.wait_state(zone, "installed")));
    in_reverse(&host, chain);
    // Up again without a controller, and down by command.
    host.end_controller(libc::SIGTERM);
    host.write("all.yaml", &all.replace("state: installed", "state: running"));
    host.apply();
    for pair in chain.windows(2) {
        assert!(over(&host, pair[0].0, "boot") <= begun(&host, pair[1].0, "ready"));
    }
    let manifests = host.manifests();
    host.ok(&["down", manifests.to_str().expect("UTF-8")]);
    in_reverse(&host, chain);
    host.finish();
}

fn in_reverse(host: &Host, chain: [(&str, &str); 3]) {
    for pair in chain.windows(2) {
        let (first, then) = (over(host, pair[1].0, "halt"), begun(host, pair[0].0, "halt"));
        assert!(first <= then, "{} was down at {first}, {} began at {then}", pair[1].0, pair[0].0);
    }
}

#[test]
fn a_zone_waits_for_one_that_does_not_run_and_others_do_not() {
    let mut host = Host::new("waits");
    // The one that is needed is not wanted running.
    host.zone("db", "ready", SLEEPER);
    host.zone("web", "running", &format!("dependsOn: [{{zone: db}}]\n{SLEEPER}"));
    host.zone("other", "running", SLEEPER);
    let manifests = host.manifests();
    let applied = host.reeve(&["apply", manifests.to_str().expect("UTF-8"), "--timeout", "60s"]);
    assert_eq!(applied.status.code(), Some(4), "{}", shown(&applied));
    assert!(shown(&applied).contains("waits until zone db runs"), "{}", shown(&applied));
    assert_eq!((host.state("web"), host.state("other")), ("installed".into(), "running".into()));
    host.start_controller();
    host.wait("web", "waiting", |status| reason(status, "Converged") == "DependsOn" && status["state"] == "installed");
    host.zone("db", "running", SLEEPER);
    host.wait_state("web", "running");
    // One that is up stays up when the other is made anew, or ends.
    let before = host.zone_status("web");
    host.zone("db", "running", &format!("hostname: other\n{SLEEPER}"));
    host.wait("db", "rebuilt", |status| {
        status["zoneId"] != Value::Null && condition(status, "Converged")["status"] == "True"
    });
    host.zone("db", "installed", SLEEPER);
    host.wait_state("db", "installed");
    let after = host.zone_status("web");
    assert_eq!((&before["initPid"], &before["zoneId"]), (&after["initPid"], &after["zoneId"]));
    host.finish();
}

#[test]
fn a_cycle_is_refused_with_the_cycle() {
    let host = Host::new("cycle");
    for (zone, needs) in [("a", "b"), ("b", "c"), ("c", "a")] {
        host.zone(zone, "running", &format!("dependsOn: [{{zone: {needs}}}]\n"));
    }
    let manifests = host.manifests();
    for command in ["validate", "apply"] {
        let output = host.reeve(&[command, manifests.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(1));
        let text = shown(&output);
        assert!(text.contains("zones depend on each other: a > b > c > a"), "{text}");
        assert!(text.contains("a.yaml:9:") && text.contains("c at "), "with the places: {text}");
    }
    host.finish();
}

#[test]
fn whoever_watches_sees_every_event_of_a_burst_also_over_a_new_file() {
    let host = Host::new("events");
    host.zone("z", "ready", "");
    host.apply();
    // As much as there may be before a new file begins, nearly.
    let filler = format!("{{\"at\":1,\"zone\":null,\"reason\":\"Filler\",\"message\":\"{}\"}}\n", "x".repeat(900));
    let file = host.folder().join("state/events.jsonl");
    let room = (1 << 20) - std::fs::metadata(&file).expect("events.jsonl").len() as usize;
    let mut text = std::fs::read_to_string(&file).expect("events.jsonl");
    text.push_str(&filler.repeat(room / filler.len()));
    std::fs::write(&file, text).expect("events.jsonl");
    let seen = host.folder().join("seen");
    let out = std::fs::File::create(&seen).expect("a file");
    let mut watching =
        host.command(&["events", "z", "--watch", "-o", "json"]).stdout(out).spawn().expect("reeve events");
    let count = || {
        let text = std::fs::read_to_string(&seen).expect("what was seen");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line each")).collect();
        lines.iter().filter(|event| event["reason"] == "Retry").count()
    };
    const BURST: usize = 40;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..BURST / 4).for_each(|_| drop(host.ok(&["retry", "z"]))));
        }
    });
    let until = std::time::Instant::now() + harness::PATIENCE;
    while count() < BURST && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = watching.kill();
    let _ = watching.wait();
    assert_eq!(count(), BURST);
    assert!(host.folder().join("state/events.jsonl.1").exists(), "a new file began");
    let listed: Value = serde_json::from_str(&host.ok(&["events", "z", "-n", "1000", "-o", "json"])).expect("JSON");
    let retried = |event: &&Value| event["reason"] == "Retry";
    assert_eq!(listed["items"].as_array().expect("items").iter().filter(retried).count(), BURST);
    host.finish();
}

#[test]
fn what_fails_again_and_again_is_one_event_with_its_count() {
    let mut host = Host::new("counts");
    host.zone("z", "running", &format!("net: [{{physical: rvbr0, address: 192.0.2.7/24}}]\n{SLEEPER}"));
    // A link of the bridge's name that is none keeps the zone from coming up.
    ip(&["link", "add", "rvbr0", "type", "veth", "peer", "name", "other"]);
    host.start_controller();
    let failed = || {
        let listed: Value = serde_json::from_str(&host.ok(&["events", "z", "-o", "json"])).expect("JSON");
        let all = listed["items"].as_array().expect("items").clone();
        all.into_iter().filter(|event| event["reason"] == "WalkFailed").collect::<Vec<_>>()
    };
    let until = std::time::Instant::now() + harness::PATIENCE;
    while failed().first().is_none_or(|event| event["count"].as_u64() < Some(4)) {
        assert!(std::time::Instant::now() < until, "{:#?}\n{}", failed(), host.controller_log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let all = failed();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(all[0]["lastAt"].as_u64() > all[0]["at"].as_u64(), "{all:#?}");
    assert!(host.ok(&["describe", "z"]).contains("WalkFailed"));
    ip(&["link", "del", "rvbr0"]);
    host.wait_state("z", "running");
    host.finish();
}

/// An init that serves on port 80 of its own network: `answer` is Perl for what is done with each connection `$c`.
fn server(answer: &str) -> String {
    let script = format!(
        "use IO::Socket::INET; $SIG{{PIPE}} = 'IGNORE'; $SIG{{TERM}} = sub {{ exit }}; \
         my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die; \
         while (my $c = $s->accept) {{ {answer} }}"
    );
    format!("init:\n  command: [/usr/bin/perl, -e, {}]\n", serde_json::to_string(&script).expect("a text"))
}

#[test]
fn health_is_checked_in_the_zone_and_its_end_is_told() {
    let mut host = Host::new("health");
    let page =
        "<$c>; print $c -e '/tmp/ill' ? \"HTTP/1.1 503 Ill\\r\\n\\r\\n\" : \"HTTP/1.1 200 OK\\r\\n\\r\\n\"; close $c;";
    let tmp = "fs: [{dir: /tmp, type: tmpfs}]\n";
    let health = |check: &str| format!("health: {{{check}, every: 1s, timeout: 1s, failures: 2}}\n");
    host.zone("http", "running", &format!("{tmp}{}{}", health("http: {port: 80}"), server(page)));
    host.zone("tcp", "running", &format!("{}{}", health("tcp: {port: 80}"), server("close $c;")));
    host.zone("shut", "running", &format!("{}{SLEEPER}", health("tcp: {port: 80}")));
    // Nobody answers, and what is said has no end.
    host.zone("hangs", "running", &format!("{}{}", health("http: {port: 80}"), server("push @all, $c;")));
    host.zone(
        "drips",
        "running",
        &format!(
            "{}{}",
            health("http: {port: 80}"),
            server("while (print $c 'x') { $c->flush; select undef, undef, undef, 0.1; }")
        ),
    );
    let program = "exec: {command: [/bin/sh, -c, 'echo looking; test -e /tmp/good || { echo it is ill; exit 7; }']}";
    host.zone("exec", "running", &format!("{tmp}{}{SLEEPER}", health(program)));
    host.zone("slow", "running", &format!("{}{SLEEPER}", health("exec: {command: [/usr/bin/sleep, '100']}")));
    host.zone("plain", "running", SLEEPER);
    host.start_controller();
    let is = |status: &Value, what: &str| status["health"]["status"] == what;
    for zone in ["http", "tcp"] {
        let status = host.wait(zone, "healthy", |status| is(status, "healthy")).0;
        assert!(condition(&status, "Degraded").is_null(), "{status:#}");
        assert_eq!(condition(&status, "Converged")["status"], "True");
    }
    for (zone, why) in [
        ("shut", "tcp 127.0.0.1:80: Connection refused (os error 111)"),
        ("hangs", "http 127.0.0.1:80/: no answer in time"),
        ("drips", "http 127.0.0.1:80/: no answer in time"),
        ("exec", "exec /bin/sh: exit code 7: it is ill"),
        ("slow", "exec /usr/bin/sleep: it took too long"),
    ] {
        let status = host.wait(zone, "unhealthy", |status| is(status, "unhealthy")).0;
        let degraded = condition(&status, "Degraded");
        assert_eq!((&degraded["status"], &degraded["reason"]), (&"True".into(), &"HealthCheckFailed".into()));
        assert_eq!(degraded["message"], why, "{status:#}");
        assert_eq!((&status["state"], &condition(&status, "Converged")["status"]), (&"running".into(), &"True".into()));
    }
    assert!(host.zone_status("plain")["health"].is_null());
    // Ill and well again; a new init begins anew.
    assert_eq!(host.inside("exec", "touch /tmp/good").0, 0);
    host.wait("exec", "healthy", |status| is(status, "healthy") && condition(status, "Degraded").is_null());
    assert_eq!(host.inside("http", "touch /tmp/ill").0, 0);
    let status = host.wait("http", "unhealthy", |status| is(status, "unhealthy")).0;
    assert_eq!(condition(&status, "Degraded")["message"], "http 127.0.0.1:80/: status 503");
    assert!(host.ok(&["describe", "http"]).contains("unhealthy"));
    assert_eq!(host.inside("http", "rm /tmp/ill").0, 0);
    host.wait("http", "healthy", |status| is(status, "healthy"));
    let reasons = |zone: &str| {
        let listed: Value = serde_json::from_str(&host.ok(&["events", zone, "-o", "json"])).expect("JSON");
        let all = listed["items"].as_array().expect("items").clone();
        all.iter().map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert!(reasons("http").contains(&"Degraded".into()) && reasons("http").contains(&"Healthy".into()));
    // No process of a check that was broken off is left in the zone.
    host.wait("slow", "still there", |status| status["state"] == "running");
    host.zone("slow", "ready", &format!("{}{SLEEPER}", health("exec: {command: [/usr/bin/sleep, '100']}")));
    host.wait("slow", "ready and no more checked", |status| {
        status["state"] == "ready" && status["health"].is_null() && condition(status, "Degraded").is_null()
    });
    host.finish();
}

#[test]
fn a_zone_waits_until_another_is_healthy() {
    let mut host = Host::new("healthy");
    let db = |test: &str| {
        let check = format!("health: {{exec: {{command: [/bin/sh, -c, '{test}']}}, every: 1s, failures: 2}}\n");
        format!("fs: [{{dir: /tmp, type: tmpfs}}]\n{check}{SLEEPER}")
    };
    host.zone("db", "running", &db("test -e /tmp/good"));
    host.zone("web", "running", &format!("dependsOn: [{{zone: db, until: healthy}}]\n{SLEEPER}"));
    let manifests = host.manifests();
    let applied = host.reeve(&["apply", manifests.to_str().expect("UTF-8"), "--timeout", "30s"]);
    assert_eq!(applied.status.code(), Some(4), "{}", shown(&applied));
    assert!(shown(&applied).contains("waits until zone db is healthy"), "{}", shown(&applied));
    assert_eq!((host.state("db"), host.state("web")), ("running".into(), "installed".into()));
    host.start_controller();
    host.wait("web", "waiting", |status| reason(status, "Converged") == "DependsOn");
    assert_eq!(host.inside("db", "touch /tmp/good").0, 0);
    host.wait_state("web", "running");
    // Once it is up it stays so.
    assert_eq!(host.inside("db", "rm /tmp/good").0, 0);
    host.wait("db", "degraded", |status| condition(status, "Degraded")["status"] == "True");
    assert_eq!(host.state("web"), "running");
    host.end_controller(libc::SIGTERM);
    // Without a controller, too, it is waited for.
    host.ok(&["down", manifests.to_str().expect("UTF-8")]);
    host.zone("db", "running", &db("sleep 0.2"));
    host.apply();
    assert_eq!(host.state("web"), "running");
    host.finish();
}

#[test]
fn the_example_comes_up_when_what_it_needs_is_healthy() {
    let host = Host::new("ordered");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/ordered");
    host.ok(&["apply", example]);
    assert_eq!((host.state("back"), host.state("front")), ("running".into(), "running".into()));
    assert_eq!(host.zone_status("back")["health"]["status"], "healthy");
    host.ok(&["down", example, "--purge"]);
    host.finish();
}
