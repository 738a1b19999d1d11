//! Numbers that are derived from statuses: one set of them, with every family that there is, as a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use reeve_state::difference::{Cause, Difference, Price};
use reeve_state::metrics::{Counters, FAMILIES, Input, Process, Usage, Value, Zone, class, families};
use reeve_state::source::{Accepted, CommitInfo, FetchStatus, Rejected, RejectedReason, SourceStatus};
use reeve_state::status::ZoneStatus;
use reeve_state::{Timestamp, Transition};
use serde_json::json;

fn status(name: &str, state: &str, desired: &serde_json::Value, conditions: &[(&str, &str, &str)]) -> ZoneStatus {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": 61_500,
                "observedDigest": null,
            })
        })
        .collect();
    serde_json::from_value(json!({
        "name": name, "state": state, "zoneId": 3, "initPid": 5, "zschedPid": 4, "zoneadmdPid": 3, "addresses": [],
        "zonepath": null, "desired": desired, "manifestDigest": null, "source": null, "conditions": conditions,
        "restarts": 2, "lastExit": null, "history": [],
    }))
    .expect("a status")
}

fn difference(field: &str, cause: Cause) -> Difference {
    Difference::new(field, [None, None, None], cause, Price::Live)
}

fn source() -> SourceStatus {
    let info = CommitInfo { commit: "a".repeat(40), committed_at: Timestamp(50_000), ..CommitInfo::default() };
    let mut source = SourceStatus {
        url: "https://git.example.org/zones.git".into(),
        reference: "branch main".into(),
        accepted: Some(Accepted { info: info.clone(), accepted_at: Timestamp(60_000), signer: None }),
        rejected: Some(Rejected {
            info: CommitInfo { commit: "b".repeat(40), ..info },
            reason: RejectedReason::Unsigned,
            message: String::new(),
            problems: Vec::new(),
            at: Timestamp(61_000),
        }),
        fetch: FetchStatus {
            last_attempt: Some(Timestamp(63_000)),
            last_success: Some(Timestamp(62_000)),
            failures: 1,
            ..FetchStatus::default()
        },
        ..SourceStatus::default()
    };
    source.settle(Timestamp(61_000));
    source
}

fn counters() -> Counters {
    let mut counters = Counters::default();
    counters.passed(0.0007, Timestamp(64_000));
    counters.is_busy(3, Timestamp(64_000));
    counters.working = 1;
    counters.stepped((Some(Transition::Ready), "network".into()), 0.02, Timestamp(64_100));
    counters.step_failed((None, "repairLinks".into()), Timestamp(64_200));
    counters.converged.observe(0.3);
    counters.retries = 4;
    counters.overflowed("links");
    counters.mended("web", "net.net0.mtu");
    counters
}

/// A line for each number.
fn shown(input: &Input<'_>) -> String {
    let mut out = String::new();
    for family in families(input) {
        for sample in &family.samples {
            assert_eq!(sample.labels.len(), family.about.labels.len(), "{}", family.about.name);
            let labels =
                family.about.labels.iter().zip(&sample.labels).map(|(label, value)| format!("{label}={value}"));
            let value = match &sample.value {
                Value::Number(value) => value.to_string(),
                Value::Histogram(histogram) => format!("{} of {} s", histogram.count(), histogram.sum()),
            };
            out += &format!("{} {{{}}} {value}\n", family.about.name, labels.collect::<Vec<_>>().join(" "));
        }
    }
    out
}

#[test]
fn every_family_is_derived_as_the_file_says() {
    let drifted = [
        difference("fs", Cause::Drift),
        difference("cappedMemory", Cause::Drift),
        difference("cappedCpu", Cause::Drift),
        difference("init.env.LANG", Cause::Change),
    ];
    let web = status(
        "web",
        "running",
        &json!("running"),
        &[
            ("Converged", "False", "InProgress"),
            ("Reconciling", "True", "InProgress"),
            ("Drifted", "True", "FieldsDiffer"),
            ("SourceFresh", "False", "CommitRejected"),
        ],
    );
    let alien = status("alien", "ready", &json!(null), &[("Converged", "Unknown", "NotFollowed")]);
    let mut lost = status("lost", "ready", &json!("running"), &[("Converged", "Unknown", "Unknown")]);
    lost.state = None;
    let suspended = json!({"reason": "a disk is changed", "owner": "alice", "since": 1, "until": 90_000});
    lost.suspended = Some(serde_json::from_value(suspended).expect("a suspension"));
    let zone = |status: ZoneStatus, differences: &[Difference]| {
        let name = status.name.clone();
        (name, Arc::new(Zone::anew(None, &status, differences, &[], 1).expect("a new one")))
    };
    let zones = BTreeMap::from([zone(web, &drifted), zone(alien, &[]), zone(lost, &[])]);
    let usage = Usage {
        cpu_seconds: Some((1.5, 0.25)),
        throttled_seconds: Some(0.5),
        memory_bytes: Some(4096),
        memory_limit_bytes: Some(8192),
        oom_kills: Some(1),
        tasks: Some(7),
        waited_seconds: vec![("cpu", 0.125), ("io", 2.0)],
    };
    let process = Process {
        cpu_seconds: 2.0,
        resident_bytes: 20 << 20,
        open_descriptors: 30,
        start_seconds: 10.0,
        skipped_zones: 1,
    };
    let (source, counters) = (source(), counters());
    let usage = BTreeMap::from([("web".to_owned(), usage)]);
    let input = Input {
        version: "1.2.3",
        zones: &zones,
        source: Some(&source),
        counters: &counters,
        usage: &usage,
        process: Some(&process),
    };
    let made: BTreeSet<&str> = families(&input).iter().map(|family| family.about.name).collect();
    let missing: Vec<&str> = FAMILIES.iter().map(|about| about.name).filter(|name| !made.contains(name)).collect();
    assert!(missing.is_empty(), "not exercised: {missing:?}");
    let text = shown(&input);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-metrics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("write");
    }
    let golden = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 writes it");
    assert_eq!(text, golden, "UPDATE_GOLDEN=1 writes it anew; look at the difference");
}

#[test]
fn a_folder_that_is_wrong_is_rejected_as_a_commit_is() {
    let (zones, usage) = Default::default();
    let mut counters = Counters { manifests_rejected: true, ..Counters::default() };
    let lines = |counters: &Counters| {
        let input = Input { version: "1", zones: &zones, source: None, counters, usage: &usage, process: None };
        shown(&input).lines().filter(|line| line.starts_with("reeve_source")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&counters), ["reeve_source_rejected {reason=ManifestInvalid} 1"]);
    counters.manifests_rejected = false;
    assert_eq!(lines(&counters), [""; 0]);
}

#[test]
fn what_is_told_of_a_zone_is_made_anew_only_where_it_differs() {
    let one = status("web", "running", &json!("running"), &[("Converged", "True", "AsWanted")]);
    let drift = [difference("net", Cause::Drift)];
    let first = Zone::anew(None, &one, &drift, &[], 0).expect("a new one");
    assert_eq!(Zone::anew(Some(&first), &one, &drift, &[], 0), None);
    assert!(Zone::anew(Some(&first), &one, &drift, &[], 1).is_some());
    assert!(Zone::anew(Some(&first), &one, &drift, &[Transition::Halt], 0).is_some());
    assert!(Zone::anew(Some(&first), &one, &[], &[], 0).is_some());
    let other = status("web", "ready", &json!("running"), &[("Converged", "True", "AsWanted")]);
    assert!(Zone::anew(Some(&first), &other, &drift, &[], 0).is_some());
}

#[test]
fn fields_are_of_few_classes() {
    for (field, expected) in [
        ("state", "state"),
        ("zoneadmd", "platform"),
        ("digest", "manifest"),
        ("fs", "fileSystems"),
        ("net", "network"),
        ("cpuShares", "limits"),
        ("init.env.PATH", "init"),
        ("what is not known", "other"),
    ] {
        assert_eq!(class(field), expected, "{field}");
    }
}

#[test]
fn work_that_comes_anew_is_not_without_progress() {
    let mut counters = Counters::default();
    counters.is_busy(1, Timestamp(5_000));
    assert_eq!(counters.last_progress, Some(Timestamp(5_000)));
    counters.is_busy(2, Timestamp(6_000));
    assert_eq!(counters.last_progress, Some(Timestamp(5_000)), "more work is no progress");
    counters.is_busy(0, Timestamp(7_000));
    counters.is_busy(1, Timestamp(8_000));
    assert_eq!(counters.last_progress, Some(Timestamp(8_000)));
}
