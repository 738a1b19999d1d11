//! Each of the nine pairs of states, by changing the manifest under a running controller; and how fast a file becomes a
//! running zone.

mod harness;

use harness::{Host, SLEEPER};
use std::time::{Duration, Instant};

const STATES: [&str; 3] = ["installed", "ready", "running"];

#[test]
fn every_state_can_be_reached_from_every_other_by_changing_the_manifest() {
    let mut host = Host::new("pairs");
    let spec = format!("{}{SLEEPER}", harness::net(10));
    host.start_controller();
    for from in STATES {
        for to in STATES {
            host.zone("z", from, &spec);
            let before = host.wait_state("z", from);
            host.zone("z", to, &spec);
            let after = host.wait_state("z", to);
            host.wait("z", "converged", |status| status["conditions"][0]["status"] == "True");
            if from == to {
                assert_eq!(before["zoneId"], after["zoneId"], "{from} to {to}: nothing is to be done");
                assert_eq!(before["initPid"], after["initPid"], "{from} to {to}");
            }
            if [from, to] == ["ready", "running"] || [from, to] == ["running", "ready"] {
                assert_eq!(before["zoneId"], after["zoneId"], "{from} to {to}: the platform and its ID stay");
                assert_eq!(before["zschedPid"], after["zschedPid"], "{from} to {to}");
            }
            assert_eq!(to == "installed", after["zoneId"].is_null(), "{to}: {after:#}");
            assert_eq!(to == "running", !after["initPid"].is_null(), "{to}: {after:#}");
        }
    }
    host.finish();
}

#[test]
fn a_changed_file_becomes_a_running_zone_in_well_under_a_second() {
    let mut host = Host::new("latency");
    host.zone("z", "installed", SLEEPER);
    host.start_controller();
    host.wait_state("z", "installed");
    let started = Instant::now();
    host.zone("z", "running", SLEEPER);
    host.wait_state("z", "running");
    println!("from the changed file to Running, as `reeve get` sees it: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "that is no reaction to an event");
    host.finish();
}
