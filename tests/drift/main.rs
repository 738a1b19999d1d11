//! Drift made by hand on the kernel, kind by kind: each is found by an event of the kernel (the resync is an hour away), told apart from a
//! change, and mended, only told of, or left alone as the manifest says. Prints how long each took to be found and to be mended.

mod bed;
#[path = "../harness/mod.rs"]
mod harness;
mod kinds;

use std::process::Command;
use std::time::Duration;

use bed::{Bed, bed, condition, now};
use kinds::Make::{Mounts, Sh};
use kinds::{kinds, remount};
use reeve_kernel::sys;
use rustix::mount::MountFlags;
use serde_json::Value;

#[test]
fn every_kind_is_found_by_an_event_and_mended() {
    let mut bed = bed("drift-heal");
    bed.zone("h", 10, "drift: {default: heal, maxPerHour: 3600}");
    // Who enters is killed only where the manifest names it.
    bed.zone("p", 14, "drift: {fields: {processes: heal}, maxPerHour: 3600}");
    bed.host.start_controller();
    bed.wait_steady("h");
    bed.wait_steady("p");
    std::thread::sleep(Duration::from_millis(500));
    println!("{:<36} {:<28} {:>9} {:>9}", "KIND", "FIELD", "FOUND ms", "MENDED ms");
    let only = std::env::var("REEVE_DRIFT_KIND").ok();
    let mut count = 0;
    for (name, make, field) in kinds() {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let zone = if field == "processes." { "p" } else { "h" };
        let since = now();
        bed.make(zone, &make);
        let (found, own) = bed.wait_event(zone, field, "DriftFound", since, name);
        let (mended, _) = bed.wait_event(zone, &own, "DriftMended", since, name);
        println!("{name:<36} {own:<28} {found:>9} {mended:>9}");
        bed.wait_steady(zone);
        let left = bed.drifted(zone);
        assert!(left.is_empty(), "{name}: {left:?}\n{}", bed.host.controller_log());
        count += 1;
    }
    assert!(only.is_some() || count >= 40, "{count}");
    println!("{count} kinds");
    let Bed { ref mut host, .. } = bed;
    let _ = Command::new("ip").args(["link", "del", "rvother"]).status();
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_is_only_told_of_stays_and_is_cleared_by_hand() {
    let mut bed = bed("drift-warn");
    bed.zone("w", 11, "drift: {default: warn}");
    bed.host.start_controller();
    bed.wait_steady("w");
    std::thread::sleep(Duration::from_millis(500));
    let rows: [(&str, &str, &str); 6] = [
        ("nsenter -t $Z -u hostname other", "hostname", "nsenter -t $Z -u hostname w"),
        ("nsenter -t $Z -n ip link set net0 mtu 1400", "net.net0.mtu", "nsenter -t $Z -n ip link set net0 mtu 1500"),
        (
            "nsenter -t $Z -n ip route del default",
            "routes.default",
            "nsenter -t $Z -n ip route add default via 192.0.2.1",
        ),
        ("ip link set $L down", "net", "ip link set $L up"),
        ("chmod 755 $P", "zonepath.mode", "chmod 700 $P"),
        ("echo 1 > $C/cgroup.freeze", "cgroup.freeze", "echo 0 > $C/cgroup.freeze"),
    ];
    let told = |bed: &Bed, field: &str, undo: &dyn Fn(&Bed)| {
        let (status, found) = bed.host.wait("w", "told of", |status| {
            condition(status, "Drifted")
                .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.split(", ").any(|own| own == field)))
        });
        assert_eq!(condition(&status, "Converged").expect("Converged")["reason"], "Drifted", "{status:#}");
        assert!(condition(&status, "Stalled").is_none() && condition(&status, "Reconciling").is_none(), "{status:#}");
        bed.no_change("w");
        std::thread::sleep(Duration::from_millis(300));
        let drifted = bed.drifted("w");
        assert!(drifted.iter().any(|one| one["field"] == field && one["handling"] == "warn"), "{drifted:?}");
        undo(bed);
        let (_, cleared) = bed.host.wait("w", "cleared", |status| condition(status, "Drifted").is_none());
        println!("warn {field:<20} found {found:?}, cleared by hand {cleared:?}");
        bed.wait_steady("w");
    };
    for (make, field, undo) in rows {
        bed.make("w", &Sh(make));
        told(&bed, field, &|bed| bed.make("w", &Sh(undo)));
    }
    // Mounts, and back again with the options that `reeve drift` shows.
    bed.make("w", &Mounts(|| remount("/usr", MountFlags::BIND | MountFlags::NODEV, "")));
    told(&bed, "fs./usr.options", &|bed| {
        let again = || remount("/usr", MountFlags::BIND | MountFlags::NODEV | MountFlags::RDONLY, "");
        bed.make("w", &Mounts(again));
    });
    // Who entered is told, and is not touched.
    let status = bed.status("w");
    let zsched = status["zschedPid"].to_string();
    let mut child = Command::new("nsenter").args(["-t", &zsched, "-n", "sleep", "300"]).spawn().expect("nsenter");
    let pid = i32::try_from(child.id()).expect("a pid");
    bed.started.push(pid);
    let field = format!("processes.{pid}");
    bed.host.wait("w", "told of who entered", |status| {
        condition(status, "Drifted")
            .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.contains(&field)))
    });
    let drifted = bed.drifted("w");
    let own = drifted.iter().find(|one| one["field"] == field.as_str()).expect("the process");
    assert_eq!(
        (&own["who"]["comm"], &own["who"]["uid"], &own["who"]["pid"]),
        (&"sleep".into(), &0.into(), &pid.into())
    );
    assert!(child.try_wait().expect("wait").is_none(), "it was ended");
    sys::kill(pid, libc::SIGKILL);
    child.wait().expect("wait");
    bed.started.clear();
    bed.host.wait("w", "cleared", |status| condition(status, "Drifted").is_none());
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_is_ignored_is_left_and_shown_only_when_asked_for() {
    let mut bed = bed("drift-ignore");
    bed.zone("i", 12, "drift: {default: ignore, fields: {hostname: heal, processes: ignore}}");
    bed.host.start_controller();
    bed.wait_steady("i");
    std::thread::sleep(Duration::from_millis(500));
    let rows = [
        ("nsenter -t $Z -n ip link set net0 mtu 1400", "net.net0.mtu"),
        ("chmod 755 $P", "zonepath.mode"),
        ("rm /proc/$Z/root/dev/null", "devices.null"),
        ("ip link set $L down", "net"),
    ];
    for (make, field) in rows {
        let since = now();
        bed.make("i", &Sh(make));
        bed.wait_event("i", field, "DriftFound", since, field);
    }
    // Something beside it is mended, and those are not.
    let since = now();
    bed.make("i", &Sh("nsenter -t $Z -u hostname other"));
    bed.wait_event("i", "hostname", "DriftMended", since, "hostname");
    let left = bed.drifted("i");
    for (_, field) in rows {
        assert!(left.iter().any(|one| one["field"] == field && one["handling"] == "ignore"), "{field}: {left:?}");
    }
    let status = bed.status("i");
    assert!(condition(&status, "Drifted").is_none(), "{status:#}");
    assert_eq!(condition(&status, "Converged").expect("Converged")["status"], "True", "{status:#}");
    bed.no_change("i");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_comes_back_too_often_stops_being_mended_until_somebody_says_so() {
    let mut bed = bed("drift-returning");
    bed.zone("r", 13, "drift: {maxPerHour: 2}");
    bed.host.start_controller();
    bed.wait_steady("r");
    std::thread::sleep(Duration::from_millis(500));
    let make = Sh("nsenter -t $Z -u hostname other");
    for _ in 0..2 {
        let since = now();
        bed.make("r", &make);
        bed.wait_event("r", "hostname", "DriftMended", since, "hostname");
    }
    bed.make("r", &make);
    let (status, _) = bed.host.wait("r", "told to come back", |status| condition(status, "DriftReturning").is_some());
    assert!(condition(&status, "Stalled").is_some() && condition(&status, "Drifted").is_some(), "{status:#}");
    assert_eq!(bed.drifted("r")[0]["returning"], true);
    let since = now();
    bed.host.ok(&["retry", "r"]);
    bed.wait_event("r", "hostname", "DriftMended", since, "hostname");
    bed.wait_steady("r");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn drift_waits_at_its_gate_for_somebody_who_approves_exactly_that() {
    let mut bed = bed("drift-gate");
    bed.zone("g", 14, "approval: {drift: {from: live}}");
    bed.host.start_controller();
    bed.wait_steady("g");
    std::thread::sleep(Duration::from_millis(500));
    let make = Sh("nsenter -t $Z -u hostname other");
    let pending = |status: &Value| status["pending"]["digest"].as_str().map(str::to_owned);
    bed.make("g", &make);
    let (status, _) = bed.host.wait("g", "waiting", |status| pending(status).is_some());
    assert_eq!(condition(&status, "Converged").expect("Converged")["reason"], "Drifted", "{status:#}");
    assert_eq!(
        condition(&status, "AwaitingConfirmation").expect("a person is needed")["reason"],
        "DriftApprovalRequired"
    );
    let told = bed.host.ok(&["describe", "g"]);
    assert!(told.contains("Drift:") && told.contains("waiting") && told.contains("reeve approve zone"), "{told}");
    let drifted = bed.drifted("g");
    assert_eq!((drifted.len(), &drifted[0]["waiting"]), (1, &Value::Bool(true)), "{drifted:?}");
    // A zone without its supervisor is taken over at once all the same.
    bed.make("g", &Sh("kill -9 $A"));
    bed.host.wait("g", "adopted", |now| now["zoneadmdPid"].is_i64() && now["zoneadmdPid"] != status["zoneadmdPid"]);
    let first = pending(&status).expect("a digest");
    // Another value is not what was looked at.
    bed.make("g", &Sh("nsenter -t $Z -u hostname third"));
    bed.host.wait("g", "another", |status| pending(status).is_some_and(|digest| digest != first));
    bed.host.ok(&["approve", "zone", "g", &first]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bed.drifted("g")[0]["observed"], "third", "it was mended by an approval of something else");
    let since = now();
    bed.host.ok(&["approve", "zone", "g"]);
    bed.wait_event("g", "hostname", "DriftMended", since, "hostname");
    bed.wait_steady("g");
    // What was approved is spent: the same again waits again.
    bed.make("g", &Sh("nsenter -t $Z -u hostname third"));
    bed.host.wait("g", "waiting again", |status| pending(status).is_some());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bed.drifted("g")[0]["waiting"], true);
    bed.make("g", &Sh("nsenter -t $Z -u hostname g"));
    bed.wait_steady("g");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

/// Makes a folder one that can be changed again, whatever happened.
struct Mutable(String);

impl Drop for Mutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-i", &self.0]).status();
    }
}

#[test]
fn what_cannot_be_mended_keeps_no_init_from_being_started() {
    let mut bed = bed("drift-unmendable");
    bed.zone("u", 15, "");
    bed.host.start_controller();
    bed.wait_steady("u");
    let before = bed.status("u");
    std::thread::sleep(Duration::from_millis(500));
    let mutable = Mutable(before["zonepath"].as_str().expect("a path").to_owned());
    // Between the two it would be mended.
    let controller = bed.host.controller_pid();
    sys::kill(controller, libc::SIGSTOP);
    bed.make("u", &Sh("chmod 755 $P && chattr +i $P"));
    sys::kill(controller, libc::SIGCONT);
    let failing = |status: &Value| {
        condition(status, "Converged")
            .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.contains("zonepath.mode")))
            && condition(status, "Converged").is_some_and(|one| one["reason"] == "StepFailed")
    };
    bed.host.wait("u", "failing", failing);
    bed.make("u", &Sh("kill -9 $I"));
    bed.host.wait("u", "started again", |now| now["initPid"].is_i64() && now["initPid"] != before["initPid"]);
    drop(mutable);
    bed.host.ok(&["retry", "u"]);
    bed.wait_steady("u");
    assert!(bed.drifted("u").is_empty(), "{:?}", bed.drifted("u"));
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}
