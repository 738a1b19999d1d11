//! The end of init, and what is done about it: restart policy, give-up, reboot and poweroff from inside.

mod harness;

use std::time::Duration;

use harness::{Host, SLEEPER, manifest, shown};
use serde_json::Value;

fn reason(status: &Value) -> &str {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|one| one["type"] == "Converged").and_then(|one| one["reason"].as_str()).unwrap_or_default()
}

#[test]
fn init_that_ends_by_itself_leaves_ready_and_the_policy_decides() {
    let mut host = Host::new("policy");
    let once =
        |policy: &str, script: &str| format!("init:\n  command: [/bin/sh, -c, {script:?}]\n  restart: {policy}\n");
    host.zone("never", "running", &once("never", "exit 3"));
    host.zone("on-failure", "running", &once("on-failure", "exit 0"));
    host.zone("flapping", "running", &once("always", "exit 1"));
    let limits = "  crashLoop: {giveUpAfter: 3, backoff: 10ms}\n";
    host.zone("limited", "running", &(once("always", "exit 1") + limits));
    host.start_controller();
    for zone in ["never", "on-failure"] {
        let status = host.wait(zone, "stayed", |status| reason(status) == "InitExited").0;
        assert_eq!(status["state"], "ready", "{status:#}");
        assert!(!status["zschedPid"].is_null() && status["initPid"].is_null(), "the platform stays: {status:#}");
    }
    // As the manifest says, and not as it is by default: the third end in a row is the last.
    let limited = host.wait("limited", "given up", |status| reason(status) == "GaveUp").0;
    assert_eq!(limited["restarts"], 2, "{limited:#}");
    let status = host.wait("flapping", "given up", |status| reason(status) == "GaveUp").0;
    assert_eq!(status["state"], "ready");
    assert!(status["conditions"].to_string().contains("Stalled"), "a person is needed: {status:#}");

    // It stays until the manifest changes, or somebody says retry.
    host.zone("never", "running", SLEEPER);
    host.wait_state("never", "running");
    host.finish();
}

#[test]
fn a_retry_waits_for_whoever_walks_the_zone() {
    let mut host = Host::new("retry-walked");
    host.zone("z", "running", "init:\n  command: [/bin/sh, -c, exit 0]\n  restart: never\n");
    host.start_controller();
    let stayed = host.wait("z", "stayed", |status| reason(status) == "InitExited").0;
    let run = host.run_folder("z");
    let remembered = || std::fs::read_to_string(run.join("memory.json")).expect("memory.json");
    // As a walk by hand holds it.
    let lock = std::fs::File::open(run.join("lock")).expect("the zone's lock");
    lock.lock().expect("flock");
    let (before, at) = (remembered(), &stayed["lastExit"]["at"]);
    host.ok(&["retry", "z"]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(remembered(), before, "nothing is written over what somebody is about to write");
    drop(lock);
    host.wait("z", "tried again", |status| status["lastExit"]["at"] != *at && reason(status) == "InitExited");
    host.finish();
}

#[test]
fn an_end_that_nobody_listened_to_counts() {
    let mut host = Host::new("unheard");
    let script = "sleep 0.3; exit 3";
    let spec = |policy: &str| format!("init:\n  command: [/bin/sh, -c, {script:?}]\n  restart: {policy}\n");
    for zone in ["asked", "adopted"] {
        host.zone(zone, "running", &spec("never"));
    }
    host.zone("again", "running", &spec("on-failure"));
    let manifests = host.manifests().display().to_string();
    host.ok(&["apply", &manifests]);
    let ended = |host: &Host, zone: &str| host.wait(zone, "ended", |status| status["state"] == "ready").0;
    for zone in ["asked", "adopted", "again"] {
        let status = ended(&host, zone);
        assert_eq!(reason(&status), "NoPass", "wanted running: {status:#}");
    }
    let status = ended(&host, "asked");
    assert_eq!((&status["lastExit"]["environment"], &status["lastExit"]["kind"]["exited"]), (&1.into(), &3.into()));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(
        ended(&host, "asked")["lastExit"],
        status["lastExit"],
        "it ended when it ended, and not when somebody heard of it"
    );
    // This one's zoneadmd does not live to say it; zsched knows it as well.
    let zoneadmd = ended(&host, "adopted")["zoneadmdPid"].as_i64().expect("its zoneadmd") as i32;
    reeve_kernel::sys::kill(zoneadmd, libc::SIGKILL);
    let plan = host.reeve(&["plan", &manifests]);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    let has = |words: &[&str]| plan.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
    assert!(has(&["!", "asked", "ready"]) && has(&["+", "again", "ready", ">", "running"]), "{plan}");

    host.reeve(&["apply", &manifests]);
    for zone in ["asked", "adopted"] {
        let status = ended(&host, zone);
        assert_eq!((reason(&status), &status["lastExit"]["environment"]), ("InitExited", &1.into()), "{status:#}");
    }
    assert_eq!(ended(&host, "again")["lastExit"]["environment"], 2);
    // A plan that is carried out later was made with the end that it heard of.
    // The second end in a row waits for 100 ms.
    std::thread::sleep(Duration::from_millis(300));
    let saved = host.folder().join("plan.json").display().to_string();
    let plan = shown(&host.reeve(&["plan", &manifests, "--out", &saved]));
    let applied = shown(&host.reeve(&["apply", &saved]));
    assert_eq!(ended(&host, "again")["lastExit"]["environment"], 3, "{plan}\n{applied}");
    // Nor does a controller that comes later start it again.
    host.start_controller();
    let status = host.wait("again", "started again", |status| status["lastExit"]["environment"] != 3).0;
    assert_eq!(status["restarts"], 3, "{status:#}");
    assert_eq!((reason(&ended(&host, "asked")), reason(&ended(&host, "adopted"))), ("InitExited", "InitExited"));
    host.finish();
}

#[test]
fn reboot_inside_gives_a_new_id_and_poweroff_inside_halts() {
    let mut host = Host::new("inside");
    let spec = "init:\n  command: [/usr/bin/sleep, infinity]\n  restart: never\n";
    host.zone("z", "running", spec);
    host.start_controller();
    let before = host.wait_state("z", "running");
    // reboot(2) by number: 169, with RB_AUTOBOOT or RB_POWER_OFF.
    let call = |command: &str| format!("exec perl -e 'syscall(169, 0xfee1dead, 672274793, {command}, 0)'");
    host.inside("z", &call("0x1234567"));
    let after =
        host.wait("z", "rebooted", |status| status["state"] == "running" && status["zoneId"] != before["zoneId"]).0;
    assert_ne!(before["zschedPid"], after["zschedPid"], "a reboot makes the platform anew");

    host.inside("z", &call("0x4321fedc"));
    // Ready is passed through on the way down.
    host.wait("z", "halted", |status| reason(status) == "PoweredOffInside" && status["state"] == "installed");
    host.ok(&["retry", "zone", "z"]);
    host.wait_state("z", "running");
    host.finish();
}

#[test]
fn a_restart_keeps_id_and_platform_and_a_rebuild_does_not() {
    let mut host = Host::new("price");
    host.zone("z", "running", "init:\n  command: [/usr/bin/sleep, '1000']\n");
    host.start_controller();
    let first = host.wait_state("z", "running");
    host.zone("z", "running", "init:\n  command: [/usr/bin/sleep, '2000']\n");
    let second =
        host.wait("z", "restarted", |status| status["state"] == "running" && status["initPid"] != first["initPid"]);
    assert_eq!(first["zoneId"], second.0["zoneId"]);
    assert_eq!(first["zschedPid"], second.0["zschedPid"]);
    host.zone("z", "running", "init:\n  command: [/usr/bin/sleep, '2000']\nhostname: other\n");
    host.wait("z", "rebuilt", |status| status["state"] == "running" && status["zoneId"] != first["zoneId"]);
    assert_eq!(host.inside("z", "cat /proc/sys/kernel/hostname").1.trim(), "other");
    host.finish();
}

#[test]
fn a_restart_by_hand_is_a_new_init_on_the_same_platform() {
    let mut host = Host::new("restart");
    host.zone("z", "running", SLEEPER);
    host.zone("w", "ready", SLEEPER);
    host.apply();
    let (first, waiting) = (host.zone_status("z"), host.zone_status("w"));
    for round in 1..=3 {
        host.ok(&["restart", "z"]);
        let now = host.zone_status("z");
        assert_eq!(now["state"], "running", "{round}");
        assert_ne!(now["initPid"], first["initPid"], "{round}");
        for same in ["zoneId", "zschedPid", "zoneadmdPid", "restarts"] {
            assert_eq!(now[same], first[same], "{round}: {same}");
        }
    }
    let refused = host.reeve(&["restart", "w"]);
    assert_eq!(refused.status.code(), Some(1), "{}", shown(&refused));
    assert!(shown(&refused).contains("not possible from state ready"), "{}", shown(&refused));
    assert_eq!(host.zone_status("w")["zschedPid"], waiting["zschedPid"]);
    // Whatever becomes of zoneadmd in between, its successor knows which environment runs.
    reeve_kernel::sys::kill(i32::try_from(first["zoneadmdPid"].as_i64().expect("a PID")).expect("a PID"), 9);
    host.ok(&["restart", "z"]);
    let now = host.zone_status("z");
    assert_eq!((&now["state"], &now["zoneId"]), (&"running".into(), &first["zoneId"]));
    assert_eq!(host.inside("z", "ls /proc | grep -c '^[0-9]*$'").0, 0);
    host.start_controller();
    host.wait("z", "told", |status| status["state"] == "running" && status["restarts"] == first["restarts"]);
    host.finish();
}

#[test]
fn a_controller_that_starts_with_a_bad_set_leaves_zones_as_they_were_configured() {
    let mut host = Host::new("badstart");
    host.zone("z", "running", SLEEPER);
    host.start_controller();
    let before = host.wait_state("z", "running");
    host.end_controller(libc::SIGTERM);
    host.write("z.yaml", &manifest("z", "installed", "hostnam: typo\n"));
    host.start_controller();
    host.wait("z", "looked at again", |_| host.controller_log().contains("hostnam"));
    let after = host.zone_status("z");
    assert_eq!(before["initPid"], after["initPid"], "it is not taken for one whose manifest is gone");
    assert_eq!(after["desired"], "running");
    // What ends is brought up again, as the last good set wants it.
    reeve_kernel::sys::kill(before["initPid"].as_i64().expect("an init") as i32, libc::SIGKILL);
    host.wait("z", "up again", |status| status["state"] == "running" && status["initPid"] != before["initPid"]);
    host.zone("z", "installed", SLEEPER);
    host.wait_state("z", "installed");
    host.finish();
}

#[test]
fn a_set_with_an_error_changes_nothing_and_a_vanished_manifest_halts_but_keeps_the_files() {
    let mut host = Host::new("badset");
    host.zone("z", "running", SLEEPER);
    host.start_controller();
    let before = host.wait_state("z", "running");
    host.write("z.yaml", &manifest("z", "installed", "hostnam: typo\n"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let after = host.zone_status("z");
    assert_eq!(before["initPid"], after["initPid"], "the last good set stays in force");
    assert!(host.controller_log().contains("hostnam"), "the error is said: {}", host.controller_log());
    // The last manifest of a folder does not go unasked.
    std::fs::remove_file(host.manifests().join("z.yaml")).expect("remove");
    let asked = loop {
        if let Some((_, rest)) = host.controller_log().split_once("reeve approve removal ") {
            break rest[..71].to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(host.zone_status("z")["state"], "running", "{}", host.controller_log());
    host.ok(&["approve", "removal", &asked]);
    let status = host.wait_state("z", "installed");
    let waits = host.wait("z", "awaiting", |status| status["conditions"].to_string().contains("AwaitingConfirmation"));
    assert!(host.folder().join("state/zonepaths/z/root").is_dir(), "{status:#} {:?}", waits.1);
    // Taken down are the zones of the manifests, so that one that vanished is not removed by accident.
    host.zone("z", "installed", SLEEPER);
    host.finish();
}
