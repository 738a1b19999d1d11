//! Pages from made-up views: what they show, that hostile text stays text, what a thousand zones cost. Golden pages are in
//! `reconciler/tests/golden/`; UPDATE_GOLDEN=1 writes them anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use reeve_state::difference::{Cause, Difference, Price};
use reeve_state::halt::{Evidence, EvidenceKind, FailedStep, Findings, HaltStatus, Holder};
use reeve_state::metrics::Zone;
use reeve_state::source::{Accepted, CommitInfo, Rejected, RejectedReason, SourceStatus};
use reeve_state::status::ZoneStatus;
use reeve_state::{Transition, ZoneState};
use serde_json::{Value, json};

use super::*;
use crate::monitor::board::{Underway, Walk};

const NOW: Timestamp = Timestamp(1_764_000_000_000);

/// So many seconds before now.
fn ago(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - 1000 * seconds)
}

fn status(name: &str, state: &str, desired: &str, conditions: &[(&str, &str, &str)]) -> ZoneStatus {
    let one = |(kind, status, reason): &(&str, &str, &str)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": format!("why {kind} is {status}"),
            "lastTransitionTime": ago(75), "observedDigest": null,
        })
    };
    let conditions: Vec<Value> = conditions.iter().map(one).collect();
    let walked = json!({
        "at": ago(80), "transition": "boot", "from": "ready", "to": state, "outcome": "done", "tookMs": 20,
    });
    serde_json::from_value(json!({
        "name": name, "state": state, "zoneId": 3, "initPid": 5003, "zschedPid": 5002, "zoneadmdPid": 5001,
        "addresses": ["192.0.2.7/24"], "zonepath": format!("/zones/{name}"), "desired": desired,
        "manifestDigest": "sha256:0", "source": format!("{name}.yaml:1"), "commit": null, "conditions": conditions,
        "restarts": 0, "lastExit": null, "history": [walked],
    }))
    .expect("a status")
}

const FINE: [(&str, &str, &str); 1] = [("Converged", "True", "AsWanted")];

fn told(zones: Vec<ZoneStatus>) -> Told {
    let one = |status: ZoneStatus| {
        let name = status.name.clone();
        (name, Arc::new(Zone::anew(None, &status, &[], &[], 0).expect("a new one")))
    };
    Told { zones: Arc::new(zones.into_iter().map(one).collect()), ..Told::default() }
}

fn about() -> About {
    About { host: "db1".into(), follows: "/etc/reeve".into(), since: ago(9000) }
}

fn view<'a>(about: &'a About, told: &'a Told, events: &'a [HostEvent]) -> View<'a> {
    View { about, told, events, now: NOW }
}

fn halt(path: &str, comm: &str) -> HaltStatus {
    let failed = FailedStep {
        step: "unmount".into(),
        call: "umount2".into(),
        args: path.into(),
        errno: 16,
        reason: "Device or resource busy (os error 16)".into(),
    };
    let holder = Holder { pid: 4711, start_time: 7, comm: comm.into(), zone: "global".into() };
    let held = |kind, holder| Evidence { kind, object: "mount 0:57 /".into(), path: Some(path.into()), holder };
    let evidence = vec![held(EvidenceKind::Cwd, Some(holder)), held(EvidenceKind::NamespaceFile, None)];
    let completed = vec!["killProcesses".into(), "unconfigureDevices".into(), "unplumb".into()];
    let findings = Findings { zone: "held".into(), failed, completed, evidence, ..Findings::default() };
    let halt = HaltStatus::new(findings, None, ago(300));
    HaltStatus { attempts: 7, next_retry: Some(NOW.plus(64_000)), ..halt }
}

fn blocked() -> Zone {
    let conditions = [
        ("Converged", "False", "HaltBlocked"),
        ("Stalled", "True", "HaltBlocked"),
        ("HaltBlocked", "True", "MountBusy"),
    ];
    let status = ZoneStatus { halt: Some(halt("/data", "bash")), ..status("held", "down", "installed", &conditions) };
    let drift = Difference::new(
        "cappedMemory",
        [Some(json!("1Gi")), Some(json!("1Gi")), Some(json!(7))],
        Cause::Drift,
        Price::Live,
    );
    let env = Difference::new("init.env.TOKEN", [None, Some(json!("hush")), None], Cause::Change, Price::Restart);
    Zone::anew(None, &status, &[drift, env], &[Transition::Halt], 7).expect("a new one")
}

/// A host on which some of everything is.
fn some_of_everything() -> Told {
    let busy = [("Converged", "False", "InProgress"), ("Reconciling", "True", "InProgress")];
    let drifted = [("Converged", "False", "InProgress"), ("Drifted", "True", "FieldsDiffer")];
    let failed = [("Converged", "False", "StepFailed"), ("Reconciling", "True", "Retrying")];
    let mut told = told(vec![
        status("calm", "running", "running", &FINE),
        status("drifted", "ready", "ready", &drifted),
        status("failing", "installed", "running", &failed),
        status("busy", "installed", "running", &busy),
    ]);
    Arc::make_mut(&mut told.zones).insert("held".into(), Arc::new(blocked()));
    let walk = Walk {
        pass: 12,
        commit: Some("c".repeat(40)),
        from: Some(ZoneState::Installed),
        path: vec![Transition::Ready, Transition::Boot],
        since: ago(2),
        step: Some(Underway { transition: Some(Transition::Ready), step: "network".into(), since: ago(2) }),
    };
    told.walks = BTreeMap::from([("busy".into(), walk)]);
    told.counters.passed(0.001, ago(12));
    (told.counters.busy, told.counters.working) = (3, 1);
    told
}

fn events() -> Vec<HostEvent> {
    let again = HostEvent {
        count: 16,
        last_at: Some(ago(4)),
        ..HostEvent::new(ago(290), Some("held"), "HaltBlocked", "it is in use")
    };
    vec![again, HostEvent::new(ago(80), Some("calm"), "Walked", "boot: ready > running in 20 ms: done")]
}

fn is_golden(name: &str, page: &str) {
    let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("write the golden page");
    }
    assert!(
        page == std::fs::read_to_string(&path).unwrap_or_default(),
        "{name} is another: UPDATE_GOLDEN=1 shows by git diff"
    );
}

#[test]
fn pages_are_as_they_were() {
    let (about, told, events) = (about(), some_of_everything(), events());
    let view = view(&about, &told, &events);
    is_golden("page-list.html", &list(&view, &Ask::parse(None)));
    is_golden("page-blocked.html", &zone(&view, "held").expect("it is there"));
    is_golden("page-busy.html", &zone(&view, "busy").expect("it is there"));
    is_golden("page-missing.html", &missing(&view, "/nowhere"));
    assert_eq!(zone(&view, "nobody"), None);
}

#[test]
fn those_in_trouble_come_first_and_can_be_asked_for() {
    let (about, told) = (about(), some_of_everything());
    let view = view(&about, &told, &[]);
    let names = |query: &str| -> String {
        let page = list(&view, &Ask::parse(Some(query)));
        let table = page.split("<tbody>").nth(1).unwrap_or_default().split("</tbody>").next().unwrap_or_default();
        let names = table.split("<a href=\"/zones/").skip(1).filter_map(|rest| rest.split('"').next());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "held failing drifted busy calm");
    assert_eq!(names("trouble=1"), "held failing drifted");
    assert_eq!(names("state=installed"), "failing busy");
    assert_eq!(names("name=al&trouble=1"), "");
    assert_eq!(names("page=7"), "held failing drifted busy calm", "the last page that there is");
}

#[test]
fn a_blocked_halt_is_told_whole() {
    let (about, told) = (about(), some_of_everything());
    let page = zone(&view(&about, &told, &[]), "held").expect("it is there");
    for word in [
        "MountBusy",
        "a file system of the zone is in use",
        "<code>unmount</code>",
        "<code>/data</code>",
        "(errno 16)",
        "Device or resource busy",
        "4711",
        "<code>bash</code>",
        "tried 7 times",
        "in 2 min, or as soon as something changes",
        "<code>kill 4711</code>",
        "<code>reeve retry held</code>",
        "NamespaceFile",
        "unknown",
    ] {
        assert!(page.contains(word), "no {word:?} in {page}");
    }
    assert!(page.contains("not shown") && !page.contains("hush"), "what is in the environment of init stays there");
}

/// Text that would be markup, a script, an attribute's end, a line of its own, or turn the rest around.
const HOSTILE: &str =
    "\"'></td><script>alert(1)</script>&lt;\u{202e}\u{1b}]0;x\u{7}\n<img src=x onerror=alert(1)>{{ 7 }}\u{feff}";

/// A view in which every text that comes from somewhere else is this one.
fn saying(text: &str) -> (About, Told, Vec<HostEvent>) {
    let t = || text.to_owned();
    let mut zone = blocked();
    let status = &mut zone.status;
    (status.zonepath, status.source, status.commit, status.manifest_digest) =
        (Some(t()), Some(t()), Some(t()), Some(t()));
    status.addresses = vec![t()];
    status.conditions.iter_mut().for_each(|one| (one.reason, one.message) = (t(), t()));
    status.history.iter_mut().for_each(|entry| (entry.outcome, entry.count) = (t(), 3));
    status.pending = Some(
        serde_json::from_value(json!({"digest": t(), "fields": [t()], "needsApproval": true, "dataLoss": false}))
            .expect("pending"),
    );
    status.suspended = Some(
        serde_json::from_value(json!({"reason": t(), "owner": t(), "since": 0, "until": null})).expect("suspended"),
    );
    status.health =
        Some(serde_json::from_value(json!({"status": "unhealthy", "since": 0, "message": t()})).expect("health"));
    let halt = HaltStatus {
        object: t(),
        error: t(),
        step: t(),
        unread: vec![t()],
        detached: vec![t()],
        commands: vec![t()],
        ..halt(text, text)
    };
    let named = |mut evidence: Evidence| {
        evidence.object = t();
        evidence.holder.iter_mut().for_each(|holder| holder.zone = t());
        evidence
    };
    status.halt = Some(HaltStatus { evidence: halt.evidence.iter().cloned().map(named).collect(), ..halt });
    let values = || [Some(json!(text)), Some(json!({ text: text })), Some(json!([text]))];
    zone.differences = vec![Difference::new(t(), values(), Cause::Both, Price::Live)];
    let info = CommitInfo { commit: t(), author: t(), subject: t(), committed_at: NOW };
    let problem = serde_json::from_value(json!({
        "file": t(), "line": 1, "column": 1, "field": t(), "message": t(), "help": t(), "sourceLine": t(),
    }));
    let mut source = SourceStatus {
        url: t(),
        reference: t(),
        accepted: Some(Accepted { info: info.clone(), accepted_at: NOW, signer: Some(t()) }),
        rejected: Some(Rejected {
            info,
            reason: RejectedReason::Unsigned,
            message: t(),
            problems: vec![problem.expect("a problem")],
            at: NOW,
        }),
        ..SourceStatus::default()
    };
    source.fetch.error = Some(t());
    source.settle(NOW);
    let walk =
        Walk { step: Some(Underway { transition: None, step: t(), since: NOW }), commit: Some(t()), ..Walk::default() };
    let told = Told {
        zones: Arc::new(BTreeMap::from([(t(), Arc::new(zone))])),
        source: Some(Arc::new(source)),
        problem: Some(Arc::from(text)),
        walks: BTreeMap::from([(t(), walk)]),
        ..Told::default()
    };
    let events = vec![HostEvent::new(NOW, Some(text), text, text)];
    (About { host: t(), follows: t(), since: NOW }, told, events)
}

#[test]
fn hostile_text_stays_text() {
    // As many lines as the hostile one, so that only what is in them differs.
    let pages = |text: &str| {
        let (about, told, events) = saying(text);
        let view = view(&about, &told, &events);
        let one = zone(&view, text).expect("it is there");
        [list(&view, &Ask::parse(None)), one, missing(&view, text)]
    };
    for (hostile, harmless) in pages(HOSTILE).iter().zip(pages("harm\nless")) {
        for mark in ['<', '>', '"'] {
            let count = |page: &str| page.matches(mark).count();
            assert_eq!(count(hostile), count(&harmless), "{mark} of somebody else's in {hostile}");
        }
        let acts = |c: char| c != '\n' && crate::safe_text::acts(c);
        assert!(!hostile.contains(acts), "{hostile}");
        assert!(!hostile.contains("<script>") && hostile.contains("&lt;script&gt;"), "{hostile}");
        assert!(hostile.contains("\\u{202e}^[]0;x^G"), "{hostile}");
    }
}

#[test]
fn a_thousand_zones_are_a_page_of_a_bounded_size() {
    let failed = [("Converged", "False", "StepFailed"), ("Reconciling", "True", "Retrying")];
    let zones = |count: usize| {
        (0..count)
            .map(|n| status(&format!("zone-{n:05}"), "running", "running", if n % 3 == 0 { &failed } else { &FINE }))
    };
    let (about, thousand, ten) = (about(), told(zones(1000).collect()), told(zones(10_000).collect()));
    let events: Vec<HostEvent> =
        (0..EVENTS as u64).map(|n| HostEvent::new(ago(n), Some("zone-00001"), "Walked", "boot")).collect();
    let mut bytes = Vec::new();
    for told in [&thousand, &ten] {
        let view = view(&about, told, &events);
        let mut took = Vec::new();
        for _ in 0..5 {
            let started = Instant::now();
            bytes.push(list(&view, &Ask::parse(None)).len());
            took.push(started.elapsed());
        }
        println!(
            "{} zones: {} bytes in {:?}",
            told.zones.len(),
            bytes[bytes.len() - 1],
            took.iter().min().expect("some")
        );
    }
    assert!(bytes.iter().all(|bytes| *bytes < 80_000), "{bytes:?}");
    let last = list(&view(&about, &thousand, &[]), &Ask { page: 10, ..Ask::default() });
    assert!(last.contains("901 to 1000 of 1000 zones"), "{last}");
}
