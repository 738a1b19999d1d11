//! What a controller does while nobody waits. The zoneadmd of the zone that comes up next is started: it becomes the zone's, and
//! whatever is done to it, the zone comes up all the same. And what the kernel left of a zone that is down is cleared away.

mod harness;

use harness::{Host, SLEEPER, kernel};
use reeve_kernel::sys;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// Processes among the zoneadmd with this command line.
fn named(host: &Host, name: &str) -> Vec<i32> {
    let all = kernel::processes(&host.cgroup().join("zoneadmd"));
    all.into_iter().filter(|pid| kernel::command_line(*pid) == name).collect()
}

/// The one that waits, once there is one that is none of these.
fn waiting(host: &Host, others: &[i32]) -> i32 {
    let new = || named(host, "reeve-next").into_iter().find(|pid| !others.contains(pid));
    kernel::within(PATIENCE, || new().is_some());
    new().unwrap_or_else(|| panic!("none waits: {}\n{}", kernel::describe(&host.cgroup()), host.controller_log()))
}

fn zoneadmd(host: &Host, zone: &str) -> i32 {
    host.wait_state(zone, "running")["zoneadmdPid"].as_i64().unwrap_or(0) as i32
}

/// A controller with a zone that runs, and the one that waits for the next.
fn beside_a_zone(test: &str) -> (Host, i32) {
    let mut host = Host::new(test);
    host.zone("a", "running", SLEEPER);
    host.start_controller();
    zoneadmd(&host, "a");
    let next = waiting(&host, &[]);
    (host, next)
}

#[test]
fn it_becomes_the_zoneadmd_of_the_next_zone() {
    let (mut host, next) = beside_a_zone("next");
    host.zone("b", "running", SLEEPER);
    assert_eq!(zoneadmd(&host, "b"), next);
    assert_eq!(named(&host, "zoneadmd b"), [next]);
    let comm = std::fs::read_to_string(format!("/proc/{next}/comm")).expect("comm");
    assert_eq!(comm.trim(), "zoneadmd b");
    let log = std::fs::read_link(format!("/proc/{next}/fd/2")).expect("its log");
    assert_eq!(log, host.run_folder("b").join("zoneadmd.log"));
    waiting(&host, &[next]);
    assert_eq!(named(&host, "reeve-next").len(), 1, "never more than one");
    host.end_controller(libc::SIGKILL);
    assert!(kernel::within(PATIENCE, || named(&host, "reeve-next").is_empty()), "it ends with the controller");
    assert_eq!((host.state("a"), host.state("b")), ("running".into(), "running".into()));
    host.finish();
}

#[test]
fn a_zone_comes_up_without_it() {
    let (mut host, next) = beside_a_zone("next-killed");
    sys::kill(next, libc::SIGKILL);
    assert!(kernel::within(PATIENCE, || !kernel::alive(next)));
    host.zone("b", "running", SLEEPER);
    assert_ne!(zoneadmd(&host, "b"), next);
    // One that is stopped ends as well.
    sys::kill(waiting(&host, &[next]), libc::SIGSTOP);
    host.end_controller(libc::SIGTERM);
    assert!(named(&host, "reeve-next").is_empty(), "it is gone when the controller has ended");
    host.finish();
}

#[test]
fn what_the_kernel_left_of_a_zone_that_is_down_is_cleared_away_and_of_no_other() {
    let mut host = Host::new("next-cleared");
    host.zone("a", "running", SLEEPER);
    host.zone("b", "running", SLEEPER);
    host.start_controller();
    let zonepaths = host.folder().join("state/zonepaths");
    let left = |zone: &str| zonepaths.join(zone).join("work/work");
    for zone in ["a", "b"] {
        host.wait_state(zone, "running");
        assert!(left(zone).is_dir(), "the kernel makes it when the overlay is mounted");
    }
    host.zone("a", "installed", SLEEPER);
    host.wait_state("a", "installed");
    assert!(kernel::within(PATIENCE, || !left("a").exists()), "{}", host.controller_log());
    // Halted as well, and up again.
    let next = waiting(&host, &[]);
    let before = host.wait_state("b", "running")["zoneId"].clone();
    host.zone("b", "running", &format!("hostname: other\n{SLEEPER}"));
    assert!(kernel::within(PATIENCE, || host.wait_state("b", "running")["zoneId"] != before));
    waiting(&host, &[next]);
    assert!(!kernel::within(Duration::from_millis(300), || !left("b").is_dir()), "that of a zone that is up stays");
    host.zone("a", "running", SLEEPER);
    host.wait_state("a", "running");
    assert!(left("a").is_dir());
    host.finish();
}
