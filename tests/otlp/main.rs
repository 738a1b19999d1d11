//! Traces (`tests/otlp/run`): real zones, a controller of a build with the feature `otlp`, and a collector on loopback. What is done
//! to a zone arrives as spans that belong together; a collector that hangs, or is not there, holds nobody up.
#![forbid(unsafe_code)]

mod collector;
#[path = "../harness/mod.rs"]
mod harness;
mod proto;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use collector::Collector;
use harness::git::{Files, Repo, commit, now};
use harness::{Host, SLEEPER, manifest};
use proto::Span;
use serde_json::Value;

/// The build with the feature, which `tests/otlp/run` made.
fn program() -> PathBuf {
    std::env::var_os("REEVE_OTLP_PROGRAM").expect("REEVE_OTLP_PROGRAM: start it with tests/otlp/run").into()
}

fn attribute<'s>(span: &'s Span, name: &str) -> &'s str {
    span.attributes.get(name).map_or("", String::as_str)
}

fn is_converged(status: &Value) -> bool {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().any(|one| one["type"] == "Converged" && one["status"] == "True")
}

fn until(what: &str, check: impl Fn() -> bool) {
    let deadline = Instant::now() + harness::PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lines of the log that are about traces.
fn said(host: &Host) -> Vec<String> {
    let log = host.controller_log();
    let about = |line: &&str| line.contains("traces") || line.contains("collector") || line.contains("OTLP");
    log.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn a_zones_walk_arrives_as_spans_below_its_pass() {
    let mut host = Host::new("otlp");
    let collector = Collector::start();
    let repo = Repo::new(&host.folder().join("repo.git"));
    let files = Files::default().with("web.yaml", manifest("web", "running", &format!("deletion: delete\n{SLEEPER}")));
    let put = |files: &Files, parents: &[&str]| {
        let object = repo.object("commit", commit(&repo.write(files), parents, "alice", now(), "A change").as_bytes());
        repo.set("refs/heads/main", &object);
        object
    };
    let head = put(&files, &[]);
    host.set_program(&program());
    host.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address());
    host.set_variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=reeve");
    host.set_variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let config = host.folder().join("config.yaml");
    let text = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  host: {{name: db1}}\n  source:\n    url: {}\n    \
         branch: main\n    poll: 1s\n    allowEmpty: true\n",
        repo.path().display()
    );
    std::fs::write(&config, text).expect("the configuration");
    host.start_controller_on(&["--config", config.to_str().expect("UTF-8"), "run", "--log-format", "json"]);
    host.wait("web", "converged", |status| status["state"] == "running" && is_converged(status));
    // What waits is sent when the controller ends.
    host.end_controller(libc::SIGTERM);
    let requests = collector.taken();
    for request in &requests {
        assert!(request.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("content-type: application/x-protobuf\r\n"), "{}", request.head);
        assert!(request.head.contains("x-tenant: reeve\r\n"), "{}", request.head);
        let who = &request.told.resource;
        let known = ["service.name", "host.name", "service.version", "deployment.environment.name"];
        let known = known.map(|name| who.get(name).map_or("", String::as_str));
        assert_eq!(known, ["reeve", "db1", env!("CARGO_PKG_VERSION"), "test"]);
    }
    let spans: Vec<Span> = requests.into_iter().flat_map(|request| request.told.spans).collect();
    belong_together(&spans, &head, &steps_logged(&host));
    assert_eq!(said(&host), [""; 0], "nothing was lost");
    // Nothing is left of the zone, and of the request's body.
    put(&Files::default().with("README", "Nothing.\n"), &[&head]);
    host.start_controller_on(&["--config", config.to_str().expect("UTF-8"), "run"]);
    host.wait_state("web", "none");
    host.end_controller(libc::SIGTERM);
    assert!(!host.folder().join("run/otlp-request").exists());
    host.finish();
}

/// The zone's steps as the log has them, in order.
fn steps_logged(host: &Host) -> Vec<String> {
    let log = host.controller_log();
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = records.filter(|record| record["zone"] == "web" && record["outcome"] == "done");
    steps.map(|record| record["step"].as_str().unwrap_or_default().to_owned()).collect()
}

fn belong_together(spans: &[Span], head: &str, logged: &[String]) {
    let walks: Vec<&Span> = spans.iter().filter(|span| span.name == "walk").collect();
    let [walk] = walks.as_slice() else { panic!("one walk, not {walks:#?}") };
    let pass = spans.iter().find(|span| span.id == walk.parent).expect("the walk's pass");
    assert_eq!((pass.name.as_str(), pass.parent.len()), ("pass", 0), "{pass:#?}");
    assert_eq!((attribute(pass, "reeve.pass.working"), attribute(pass, "reeve.commit")), ("1", head));
    assert_eq!(attribute(walk, "reeve.path"), "configure install ready boot", "{walk:#?}");
    let steps: Vec<&Span> = spans.iter().filter(|span| span.parent == walk.id).collect();
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, logged, "a span for each step of the log");
    assert!(names.len() > 5, "{names:?}");
    for span in [*walk].into_iter().chain(steps) {
        let known = ["reeve.zone", "reeve.commit", "reeve.pass"].map(|name| attribute(span, name));
        assert_eq!(known, ["web", head, attribute(pass, "reeve.pass")], "{span:#?}");
        assert_eq!((&span.trace, span.status), (&walk.trace, 0), "{span:#?}");
        // The walk's beginning is known to the millisecond.
        let inside = span.start + 1_000_000 >= walk.start && span.end <= walk.end && span.start <= span.end;
        assert!(inside, "{span:#?} is not within {walk:#?}");
    }
    assert_eq!(walk.trace, pass.trace);
    assert!(walk.trace.len() == 16 && walk.id.len() == 8);
    let ids: std::collections::BTreeSet<&Vec<u8>> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len(), "a number of its own for each");
}

/// How long a zone takes to run with this word in the environment of its init, in milliseconds: the middle of seven changes.
fn changes(host: &Host, round: &str) -> f64 {
    let mut took = Vec::new();
    for number in 0..7 {
        let before = host.zone_status("web")["initPid"].clone();
        let begun = Instant::now();
        host.zone("web", "running", &format!("{SLEEPER}  env: {{WORD: {round}{number}}}\n"));
        host.wait("web", "changed", |status| {
            is_converged(status) && status["state"] == "running" && status["initPid"] != before
        });
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

#[test]
fn a_collector_that_hangs_holds_nobody_up_and_is_told_of_once() {
    let mut host = Host::new("otlp-hangs");
    let collector = Collector::start();
    host.set_program(&program());
    host.zone("web", "running", SLEEPER);
    host.start_controller();
    host.wait("web", "converged", is_converged);
    let alone = changes(&host, "alone");
    host.end_controller(libc::SIGTERM);

    collector.hang(true);
    host.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address());
    host.set_variable("OTEL_EXPORTER_OTLP_TIMEOUT", "1500");
    host.set_variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    host.start_controller();
    host.wait("web", "converged", is_converged);
    let beside = changes(&host, "hangs");
    println!("a change takes {alone:.0} ms without a collector, {beside:.0} ms beside one that hangs");
    assert!(collector.unanswered() > 0, "it was asked, and did not answer");
    assert!(beside < alone * 2.0 + 100.0, "{alone} ms without a collector, {beside} ms beside one that hangs");
    until("it is said", || !said(&host).is_empty());
    let asked = collector.unanswered();
    changes(&host, "again");
    until("it hung several times", || collector.unanswered() > asked + 1);
    let lines = said(&host);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("is not told: ") && lines[0].contains("dropped"), "{lines:?}");

    collector.hang(false);
    let number = |host: &Host| said(host).len();
    until("spans arrive again", || {
        changes(&host, "back");
        number(&host) == 2
    });
    assert!(said(&host)[1].contains("told again; it missed "), "{:?}", said(&host));
    assert!(!collector.taken().is_empty());
    // Its end waits only so long.
    collector.hang(true);
    changes(&host, "last");
    let begun = Instant::now();
    host.end_controller(libc::SIGTERM);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    host.finish();
}

#[test]
fn a_collector_that_is_not_there_is_told_of_once_with_the_reason() {
    let mut host = Host::new("otlp-dead");
    host.set_program(&program());
    host.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    host.set_variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    host.zone("web", "running", SLEEPER);
    host.start_controller();
    host.wait("web", "converged", is_converged);
    until("it is said", || !said(&host).is_empty());
    changes(&host, "dead");
    let lines = said(&host);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("Failed to connect to 127.0.0.1 port 9"), "{lines:?}");
    host.finish();
}

#[test]
fn a_build_without_and_a_protocol_that_is_not_there_are_said_in_a_line() {
    for (program, variable, value, says) in [
        (None, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9", "this build of reeve has no OTLP (feature otlp)"),
        (Some(program()), "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "grpc is not there, only http/protobuf"),
    ] {
        let mut host = Host::new("otlp-none");
        if let Some(program) = &program {
            host.set_program(program);
        }
        host.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        host.set_variable(variable, value);
        host.zone("web", "ready", "");
        host.start_controller();
        host.wait("web", "converged", is_converged);
        let lines = said(&host);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(variable) && lines[0].contains(says), "{lines:?}");
        host.finish();
    }
}
