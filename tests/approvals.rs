//! Changes that wait, on the real kernel: for a person, for a word in the repository of manifests, for a window; and the
//! zone as it was meanwhile.

mod harness;

use harness::{Host, manifest, shown};
use serde_json::Value;

const GATE: &str = "approval: {changes: {from: restart, wait: approval}}\n";

fn spec(seconds: u32, gate: &str) -> String {
    format!("init: {{command: [/usr/bin/sleep, '{seconds}']}}\n{gate}")
}

fn pending(status: &Value) -> Option<String> {
    status["pending"]["digest"].as_str().map(str::to_owned)
}

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let all = status["conditions"].as_array().expect("conditions");
    all.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

#[test]
fn a_person_approves_one_change_and_no_other() {
    let mut host = Host::new("approve");
    host.zone("z", "running", &spec(100_000, GATE));
    host.start_controller();
    let before = host.wait_state("z", "running");
    host.zone("z", "running", &spec(200_000, GATE));
    let (status, _) = host.wait("z", "waiting", |status| pending(status).is_some());
    let first = pending(&status).expect("a digest");
    assert_eq!(condition(&status, "Converged")["reason"], "AwaitingConfirmation", "{status:#}");
    assert!(host.controller_log().contains("waits for approval"), "{}", host.controller_log());
    assert!(host.ok(&["history", "z"]).contains("ApprovalRequired"));
    assert_eq!(condition(&status, "AwaitingConfirmation")["reason"], "ApprovalRequired", "{status:#}");
    assert_eq!(condition(&status, "Stalled")["status"], "True", "a person is needed: {status:#}");
    let told = host.ok(&["describe", "z"]);
    assert!(told.contains(&first) && told.contains("reeve approve zone"), "{told}");
    // The change goes on to another one: an approval of the first is none of it.
    host.zone("z", "running", &spec(300_000, GATE));
    host.wait("z", "another", |status| pending(status).is_some_and(|digest| digest != first));
    host.ok(&["approve", "zone", "z", &first]);
    // The zone is kept meanwhile: its init is killed, and comes back as it was.
    reeve_kernel::sys::kill(before["initPid"].as_i64().expect("a pid") as i32, 9);
    let (status, _) =
        host.wait("z", "back", |status| status["initPid"].is_i64() && status["initPid"] != before["initPid"]);
    assert!(pending(&status).is_some_and(|digest| digest != first), "{status:#}");
    assert_eq!(arguments(&status), "100000");
    // And now this one.
    host.ok(&["approve", "zone", "z"]);
    let converged = |status: &Value| condition(status, "Converged")["status"] == "True";
    let (status, _) = host.wait("z", "changed", |status| converged(status) && arguments(status) == "300000");
    assert_eq!((&status["pending"], &status["zoneId"]), (&Value::Null, &before["zoneId"]), "a restart: {status:#}");
    let nothing = host.reeve(&["approve", "zone", "z"]);
    assert!(nothing.status.code() == Some(1) && shown(&nothing).contains("no change of zone z"), "{}", shown(&nothing));
    host.finish();
}

#[test]
fn an_approval_in_the_manifests_is_one_too_and_apply_waits() {
    let host = Host::new("approvedoc");
    host.zone("z", "running", &spec(100_000, GATE));
    host.apply();
    host.zone("z", "running", &spec(200_000, GATE));
    let folder = host.manifests().display().to_string();
    let plan = host.ok(&["plan", &folder]);
    assert!(plan.contains("waits for approval"), "{plan}");
    let waits = host.reeve(&["apply", &folder]);
    assert_eq!(waits.status.code(), Some(4), "{}", shown(&waits));
    let digest = pending(&host.zone_status("z")).expect("a digest");
    let approval = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Approval\nmetadata: {{name: longer}}\nspec: {{changes: ['{digest}']}}\n"
    );
    host.write("approval.yaml", &approval);
    host.ok(&["apply", &folder]);
    assert_eq!(arguments(&host.zone_status("z")), "200000");
    host.finish();
}

#[test]
fn a_window_that_is_open_lets_a_change_through_and_one_that_is_not_tells_when() {
    let host = Host::new("window");
    let window = |kind: &str| {
        format!(
            "approval: {{changes: {{wait: window}}, windows: [{{kind: {kind}, schedule: '* * * * *', duration: 1h}}]}}\n"
        )
    };
    host.zone("open", "running", &spec(100_000, &window("allow")));
    host.zone("shut", "running", &spec(100_000, &window("deny")));
    host.apply();
    host.zone("open", "running", &spec(200_000, &window("allow")));
    host.zone("shut", "running", &spec(200_000, &window("deny")));
    let waits = host.reeve(&["apply", host.manifests().to_str().expect("UTF-8"), "--timeout", "2s"]);
    assert_eq!(waits.status.code(), Some(4), "{}", shown(&waits));
    assert_eq!(arguments(&host.zone_status("open")), "200000");
    let shut = host.zone_status("shut");
    assert_eq!(
        (arguments(&shut).as_str(), &condition(&shut, "Converged")["reason"]),
        ("100000", &"AwaitingWindow".into())
    );
    // What cannot wait for the window is approved.
    host.ok(&["approve", "zone", "shut"]);
    host.apply();
    assert_eq!(arguments(&host.zone_status("shut")), "200000");
    host.finish();
}

#[test]
fn data_is_lost_only_where_somebody_says_so() {
    let mut host = Host::new("dataloss");
    host.zone("keep", "installed", "");
    host.zone("z", "running", &spec(100_000, ""));
    host.start_controller();
    host.wait_state("z", "running");
    let root = host.folder().join("state/zonepaths/z/root");
    std::fs::remove_file(host.manifests().join("z.yaml")).expect("remove");
    host.wait("z", "asked", |status| status["state"] == "installed" && status["pending"]["dataLoss"] == true);
    let refused = host.reeve(&["approve", "zone", "z"]);
    assert!(refused.status.code() == Some(1) && shown(&refused).contains("--data-loss"), "{}", shown(&refused));
    assert!(root.is_dir());
    host.ok(&["approve", "zone", "z", "--data-loss"]);
    let until = std::time::Instant::now() + harness::PATIENCE;
    while host.state("z") != "none" {
        assert!(std::time::Instant::now() < until, "still {}", host.state("z"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!root.exists());
    host.write("z.yaml", &manifest("z", "installed", ""));
    host.wait_state("z", "installed");
    host.finish();
}

/// The argument of a zone's command.
fn arguments(status: &Value) -> String {
    let pid = status["initPid"].as_i64().expect("a pid");
    let children = format!("/proc/{pid}/task/{pid}/children");
    let until = std::time::Instant::now() + harness::PATIENCE;
    loop {
        let child = std::fs::read_to_string(&children).unwrap_or_default();
        let line = std::fs::read(format!("/proc/{}/cmdline", child.trim())).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if let [b"/usr/bin/sleep", seconds, ..] = words.as_slice() {
            return String::from_utf8_lossy(seconds).into_owned();
        }
        assert!(std::time::Instant::now() < until, "init {pid} has no sleep: {child:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
