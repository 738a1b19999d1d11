//! The zoneadmd of the zone that comes up next: the controller has it started, it becomes the zone's, and whatever is done to it, the
//! zone comes up all the same.

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
    host.end_controller(libc::SIGINT);
    assert!(named(&host, "reeve-next").is_empty(), "it is gone when the controller has ended");
    host.finish();
}
