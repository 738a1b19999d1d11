//! kill -9 of the controller, zoneadmd, zsched and init, in each state, again and again: the zone ends where its manifest
//! says, and nothing is left over.

mod harness;

use harness::{Host, PATIENCE, SLEEPER, kernel};
use reeve_kernel::sys;
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How often each process is killed in each state. The nightly run raises it.
fn rounds() -> u32 {
    std::env::var("REEVE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn pid(status: &Value, field: &str) -> i32 {
    status[field].as_i64().unwrap_or(0) as i32
}

fn converged(status: &Value, state: &str) -> bool {
    let active = state != "installed";
    let condition = status["conditions"].as_array().and_then(|all| all.iter().find(|one| one["type"] == "Converged"));
    status["state"] == state
        && condition.is_some_and(|condition| condition["status"] == "True")
        && active != status["zoneadmdPid"].is_null()
        && active != status["zschedPid"].is_null()
        && (state == "running") != status["initPid"].is_null()
}

fn settled(host: &Host, state: &str) -> Value {
    host.wait("z", &format!("{state} and converged"), |status| converged(status, state)).0
}

fn begin(test: &str, state: &str) -> (Host, Value) {
    let mut host = Host::new(test);
    host.zone("z", state, &format!("{}{SLEEPER}", harness::net(10)));
    host.start_controller();
    let status = settled(&host, state);
    (host, status)
}

#[test]
fn killed_zoneadmd_is_replaced_and_nothing_in_the_zone_notices() {
    for state in ["ready", "running"] {
        let (host, mut before) = begin("kill-zoneadmd", state);
        for round in 0..rounds() {
            let killed = pid(&before, "zoneadmdPid");
            sys::kill(killed, libc::SIGKILL);
            let (after, took) = host.wait("z", "served by a new zoneadmd", |status| {
                converged(status, state) && pid(status, "zoneadmdPid") != killed
            });
            for field in ["zoneId", "zschedPid", "initPid"] {
                assert_eq!(before[field], after[field], "round {round}, {state}, {field}, after {took:?}");
            }
            before = after;
        }
        host.finish();
    }
}

#[test]
fn killed_zsched_takes_all_of_the_zone_with_it_and_the_zone_comes_up_again() {
    for state in ["ready", "running"] {
        let (host, mut before) = begin("kill-zsched", state);
        for round in 0..rounds() {
            let (killed, init) = (pid(&before, "zschedPid"), pid(&before, "initPid"));
            let started = (kernel::start_time(killed), kernel::start_time(init));
            sys::kill(killed, libc::SIGKILL);
            let after =
                host.wait("z", "up again", |status| converged(status, state) && status["zoneId"] != before["zoneId"]).0;
            assert_ne!((kernel::start_time(killed), kernel::start_time(init)), started, "round {round}: still there");
            let expected = if state == "running" { 3 } else { 1 };
            // Init has been executed; that it has started its command takes its moment.
            let whole = |_: &Value| kernel::at_work(&host.cgroup().join("zone.z")).len() == expected;
            host.wait("z", &format!("whole, with {expected} processes, in round {round}"), whole);
            before = after;
        }
        host.finish();
    }
}

#[test]
fn killed_init_is_started_again_on_the_same_platform() {
    let mut host = Host::new("kill-init");
    host.zone("z", "running", SLEEPER);
    host.start_controller();
    let mut before = settled(&host, "running");
    for round in 0..rounds() {
        let killed = pid(&before, "initPid");
        sys::kill(killed, libc::SIGKILL);
        let after = host
            .wait("z", "restarted or given up", |status| {
                (converged(status, "running") && pid(status, "initPid") != killed)
                    || status["conditions"].to_string().contains("GaveUp")
            })
            .0;
        assert_eq!(before["zoneId"], after["zoneId"], "round {round}: the platform and its ID stay");
        assert_eq!(before["zschedPid"], after["zschedPid"], "round {round}");
        if after["state"] == "ready" {
            // Ten ends one after another are given up on; a retry begins anew.
            host.ok(&["retry", "zone", "z"]);
            before = settled(&host, "running");
        } else {
            before = after;
        }
    }
    host.finish();
}

#[test]
fn killed_controller_finds_every_zone_as_it_was() {
    for state in ["installed", "ready", "running"] {
        let (mut host, before) = begin("kill-controller", state);
        for round in 0..rounds() {
            host.end_controller(libc::SIGKILL);
            host.start_controller();
            let after = settled(&host, state);
            for field in ["zoneId", "zschedPid", "zoneadmdPid", "initPid"] {
                assert_eq!(before[field], after[field], "round {round}, {state}, {field}");
            }
        }
        host.finish();
    }
}

#[test]
fn a_controller_killed_in_the_middle_of_anything_is_picked_up_from() {
    let mut host = Host::new("kill-middle");
    host.start_controller();
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    for round in 0..rounds() {
        // A linear congruential generator: which state, and after how many microseconds the controller dies.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let state = ["installed", "ready", "running"][(seed >> 33) as usize % 3];
        let delay = (seed >> 40) % 30_000;
        host.zone("z", state, &format!("{}{SLEEPER}", harness::net(10)));
        std::thread::sleep(std::time::Duration::from_micros(delay));
        host.end_controller(libc::SIGKILL);
        host.start_controller();
        let status = settled(&host, state);
        let alive = kernel::at_work(&host.cgroup().join("zone.z")).len();
        let expected = match state {
            "installed" => 0,
            "ready" => 1,
            _ => 3,
        };
        assert!(
            alive == expected || state == "running",
            "round {round}: {}\n{status:#}",
            kernel::describe(&host.cgroup())
        );
    }
    host.finish();
}

#[test]
fn zsched_that_is_killed_while_the_platform_is_made_holds_nobody_up() {
    let host = Host::new("kill-making");
    host.zone("z", "ready", SLEEPER);
    let manifests = host.manifests();
    let manifests = manifests.to_str().expect("UTF-8");
    let leaf = host.cgroup().join("zone.z/zsched");
    for round in 0..10 {
        let mut apply = host.command(&["apply", manifests]);
        let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("reeve apply");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && apply.try_wait().expect("wait").is_none() {
            if let Some(zsched) = kernel::processes(&leaf).first() {
                // A little later each time: it owes another answer.
                std::thread::sleep(Duration::from_micros(300 * round));
                sys::kill(*zsched, libc::SIGKILL);
                break;
            }
        }
        let pid = apply.id() as i32;
        let ended = kernel::within(Duration::from_secs(15), || !kernel::alive(pid));
        let _ = apply.kill();
        apply.wait().expect("wait");
        assert!(ended, "round {round}: {}", kernel::describe(&host.cgroup()));
        host.apply();
        assert_eq!(host.state("z"), "ready", "round {round}");
        host.ok(&["halt", "z"]);
    }
    host.finish();
}
