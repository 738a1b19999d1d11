//! What waits in a zone to become its next init: it is there, it is no process of the zone's, it becomes the init, and whatever is
//! done to it, the zone boots all the same.

mod harness;

use harness::{Host, SLEEPER, kernel};
use reeve_kernel::sys;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

fn cgroup(host: &Host) -> PathBuf {
    host.cgroup().join("zone.z")
}

/// The process that waits, once it is there.
fn waiting(host: &Host) -> i32 {
    kernel::within(PATIENCE, || kernel::waiting(&cgroup(host)).is_some());
    kernel::waiting(&cgroup(host)).unwrap_or_else(|| panic!("nothing waits: {}", kernel::describe(&host.cgroup())))
}

fn gone(pid: i32) {
    assert!(kernel::within(PATIENCE, || !kernel::alive(pid)), "{pid} lives");
}

fn pid(host: &Host, field: &str) -> i32 {
    host.zone_status("z")[field].as_i64().unwrap_or(0) as i32
}

/// A zone that is Ready, without a controller.
fn ready(test: &str, spec: &str) -> Host {
    let host = Host::new(test);
    host.zone("z", "ready", spec);
    host.apply();
    assert_eq!(host.state("z"), "ready");
    host
}

fn boot(host: &Host) {
    let booted = host.by_name("zoneadm", &["-z", "z", "boot"]);
    assert!(booted.status.success(), "{}", harness::shown(&booted));
    assert_eq!(host.state("z"), "running");
}

#[test]
fn it_becomes_the_init_of_a_boot_and_of_a_restart() {
    let host = ready("waiting-init", SLEEPER);
    assert_eq!(kernel::at_work(&cgroup(&host)), [pid(&host, "zschedPid")], "zsched and no process of the zone's");
    let next = waiting(&host);
    boot(&host);
    assert_eq!(pid(&host, "initPid"), next);
    let after = waiting(&host);
    assert_ne!(after, next);
    host.ok(&["restart", "z"]);
    assert_eq!(pid(&host, "initPid"), after);
    host.finish();
}

#[test]
fn a_zone_boots_without_it() {
    let host = ready("waiting-killed", SLEEPER);
    for round in 0..3 {
        let next = waiting(&host);
        if round == 1 {
            // All of its cgroup, which kills whatever is cloned into it afterwards.
            let text = std::fs::read_to_string(format!("/proc/{next}/cgroup")).expect("its cgroup");
            let path = text.lines().find_map(|line| line.strip_prefix("0::/")).expect("version 2");
            std::fs::write(kernel::cgroup_mount().join(path).join("cgroup.kill"), "1").expect("cgroup.kill");
        } else {
            sys::kill(next, libc::SIGKILL);
        }
        gone(next);
        assert_eq!(host.state("z"), "ready", "round {round}");
        boot(&host);
        host.ok(&["stop", "z"]);
    }
    host.finish();
}

#[test]
fn a_new_zoneadmd_has_another_one_made() {
    let host = ready("waiting-adopted", SLEEPER);
    let (next, zoneadmd) = (waiting(&host), pid(&host, "zoneadmdPid"));
    sys::kill(zoneadmd, libc::SIGKILL);
    gone(zoneadmd);
    boot(&host);
    gone(next);
    host.ok(&["stop", "z"]);
    let next = waiting(&host);
    boot(&host);
    assert_eq!(pid(&host, "initPid"), next);
    host.finish();
}

#[test]
fn what_is_mounted_meanwhile_is_there_for_the_next_init() {
    let host = ready("waiting-mounts", SLEEPER);
    let (next, zsched) = (waiting(&host), pid(&host, "zschedPid").to_string());
    let in_platform = |command: &[&str]| {
        let nsenter = Command::new("nsenter").args(["--target", &zsched, "--mount", "busybox"]).args(command).status();
        assert!(nsenter.expect("nsenter").success(), "{command:?}");
    };
    in_platform(&["mount", "-t", "tmpfs", "-o", "size=1m", "by-hand", "/mnt"]);
    gone(next);
    let init = waiting(&host);
    assert_ne!(next, init);
    boot(&host);
    let (_, text) = host.inside("z", "grep ' /mnt ' /proc/self/mountinfo");
    assert!(text.contains("by-hand"), "{text}");
    // What is no mount of Reeve's would hold up the halt.
    in_platform(&["umount", "/mnt"]);
    host.finish();
}

#[test]
fn a_program_that_is_not_there_is_named_and_the_next_try_is_like_the_first() {
    let host = ready("waiting-missing", "init: {program: /no/such/init}\n");
    waiting(&host);
    for _ in 0..2 {
        let booted = host.by_name("zoneadm", &["-z", "z", "boot"]);
        assert!(!booted.status.success(), "{}", harness::shown(&booted));
        assert!(harness::shown(&booted).contains("/no/such/init"), "{}", harness::shown(&booted));
        assert_eq!(host.state("z"), "ready");
        waiting(&host);
        let leaves = || std::fs::read_dir(cgroup(&host)).into_iter().flatten().flatten();
        let environments = || leaves().filter(|leaf| leaf.file_name().to_string_lossy().starts_with("env.")).count();
        assert!(kernel::within(PATIENCE, || environments() == 1), "{} cgroups of environments", environments());
    }
    host.finish();
}

/// An init that does not listen to the signal that asks it to end, as the first process of a PID namespace without a handler, and
/// that is a file of the zone's own.
fn own_program(halt_timeout: &str) -> String {
    format!("init: {{program: /etc/own, args: [infinity], haltTimeout: {halt_timeout}}}\n")
}

#[test]
fn a_restart_whose_program_has_gone_says_so_and_leaves_the_zone_ready() {
    let host = ready("restart-missing", &own_program("0s"));
    host.inside("z", "cp /usr/bin/sleep /etc/own");
    boot(&host);
    host.inside("z", "mv /etc/own /etc/away");
    let restarted = host.reeve(&["restart", "z"]);
    assert!(!restarted.status.success(), "{}", harness::shown(&restarted));
    assert!(harness::shown(&restarted).contains("/etc/own"), "{}", harness::shown(&restarted));
    assert_eq!(host.state("z"), "ready");
    assert_eq!(kernel::at_work(&cgroup(&host)), [pid(&host, "zschedPid")], "nothing of the restart is left");
    host.inside("z", "mv /etc/away /etc/own");
    boot(&host);
    host.ok(&["restart", "z"]);
    assert_eq!(host.state("z"), "running");
    host.finish();
}

#[test]
fn a_restart_whose_zoneadmd_is_killed_starts_nothing_afterwards() {
    let host = ready("restart-killed", &own_program("60s"));
    host.inside("z", "cp /usr/bin/sleep /etc/own");
    boot(&host);
    let (init, zoneadmd) = (pid(&host, "initPid"), pid(&host, "zoneadmdPid"));
    let mut restart =
        host.command(&["restart", "z"]).stderr(std::process::Stdio::null()).spawn().expect("reeve restart");
    // It waits for an init that does not listen.
    std::thread::sleep(Duration::from_millis(500));
    assert!(restart.try_wait().expect("wait").is_none() && kernel::alive(init));
    sys::kill(zoneadmd, libc::SIGKILL);
    assert!(!restart.wait().expect("wait").success());
    assert_eq!(pid(&host, "initPid"), init, "it runs on");
    sys::kill(init, libc::SIGKILL);
    gone(init);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(host.state("z"), "ready");
    assert_eq!(kernel::at_work(&cgroup(&host)), [pid(&host, "zschedPid")], "nothing was started in its place");
    host.finish();
}
