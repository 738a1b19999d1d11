//! Halts that cannot finish, each held up on the real kernel by what holds zones up in the field. The condition and its
//! reason are exact, the holder is named by its process ID or not at all, and when the cause is gone the zone is installed
//! within two seconds without anybody's doing.

mod harness;

use harness::held::{Frozen, Held, loop_device, namespace_file};
use harness::{Host, SLEEPER, fuse, kernel, shown};
use serde_json::Value;
use std::time::Duration;

/// From the cause being gone to Installed.
const FREED_WITHIN: Duration = Duration::from_secs(2);

/// A host with a controller and one running zone; its status.
fn running(test: &str, spec: &str) -> (Host, Value) {
    let mut host = Host::new(test);
    host.zone("z", "running", spec);
    host.start_controller();
    host.wait("z", "running and converged", |status| converged(status, "running"));
    let status = host.zone_status("z");
    (host, status)
}

fn zsched(status: &Value) -> i64 {
    status["zschedPid"].as_i64().expect("a zsched")
}

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

fn converged(status: &Value, state: &str) -> bool {
    status["state"] == state && condition(status, "Converged")["status"] == "True"
}

/// Asks for Installed and waits until the halt is blocked.
fn blocked(host: &Host, spec: &str) -> Value {
    host.zone("z", "installed", spec);
    let is_told = |status: &Value| condition(status, "HaltBlocked")["status"] == "True";
    host.wait("z", "blocked", |status| is_told(status) && status["halt"]["nextRetry"].is_u64()).0
}

/// What must be told of every halt that is blocked; the text of `describe`.
fn told(host: &Host, status: &Value, state: &str, reason: &str, step: &str) -> String {
    assert_eq!(status["state"], state, "{status:#}");
    assert_eq!(condition(status, "HaltBlocked")["reason"], reason, "{status:#}");
    assert_eq!(condition(status, "Stalled")["reason"], "HaltBlocked", "{status:#}");
    let halt = &status["halt"];
    assert_eq!(halt["step"], step, "{halt:#}");
    assert_eq!(halt["reason"], reason, "{halt:#}");
    assert!(halt["attempts"].as_u64().is_some_and(|attempts| attempts >= 1), "{halt:#}");
    assert!(halt["since"].is_u64() && halt["nextRetry"].is_u64(), "{halt:#}");
    assert!(!status["zoneadmdPid"].is_null() && !status["zoneId"].is_null(), "active, with an ID: {status:#}");
    let steps = |list: &str| halt[list].as_array().map_or(0, Vec::len);
    assert_eq!(steps("completed") + steps("remaining"), 5, "{halt:#}");
    assert!(halt["remaining"].as_array().is_some_and(|steps| steps.contains(&step.into())), "{halt:#}");
    let text = host.ok(&["describe", "z"]);
    assert!(text.contains(reason) && text.contains(step), "{text}");
    let list = host.by_name("zoneadm", &["list", "-v"]);
    assert!(shown(&list).lines().any(|line| line.contains(" z ") && line.contains(state)), "{}", shown(&list));
    text
}

/// The evidence of a kind; fails where there is none.
fn evidence<'s>(status: &'s Value, kind: &str, holder: Option<i32>) -> &'s Value {
    let all = status["halt"]["evidence"].as_array().map_or(&[][..], Vec::as_slice);
    let is_it = |one: &&Value| one["kind"] == kind && holder.is_none_or(|pid| one["holder"]["pid"] == pid);
    all.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {holder:?} in {:#}", status["halt"]))
}

fn says(status: &Value, command: &str) {
    let all = status["halt"]["commands"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(all.iter().any(|one| one == command), "no `{command}` in {:#}", status["halt"]["commands"]);
    assert!(all.iter().any(|one| one == "reeve retry z"), "{:#}", status["halt"]["commands"]);
}

/// Waits until the zone is installed, now that the cause is gone: in time, and with nothing said of a halt any more.
fn freed(host: Host) {
    let (status, took) = host.wait("z", "installed and converged", |status| converged(status, "installed"));
    println!("from cause gone to installed: {} ms", took.as_millis());
    assert!(took < FREED_WITHIN, "took {took:?}\n{}", host.controller_log());
    assert!(status["halt"].is_null() && condition(&status, "HaltBlocked").is_null(), "{status:#}");
    assert!(!kernel::cgroup_mount().join(host.cgroup()).join("zone.z").exists());
    host.finish();
}

#[test]
fn a_working_directory_of_a_global_process() {
    let (host, status) = running("stuck-cwd", SLEEPER);
    let holder = Held::shell(&format!("cd /proc/{}/root/etc", zsched(&status)));
    let status = blocked(&host, SLEEPER);
    let text = told(&host, &status, "down", "MountBusy", "unmount");
    let found = evidence(&status, "cwd", Some(holder.pid()));
    assert_eq!(found["holder"]["zone"], "global", "{found:#}");
    assert_eq!(found["holder"]["startTime"].to_string(), kernel::start_time(holder.pid()), "{found:#}");
    assert_eq!(status["halt"]["path"], "/", "{:#}", status["halt"]);
    assert_eq!(status["halt"]["safeToRebootHost"], true);
    says(&status, &format!("kill {}", holder.pid()));
    assert!(text.contains(&format!("kill {}", holder.pid())), "{text}");
    drop(holder);
    freed(host);
}

#[test]
fn an_open_file_that_is_closed_without_its_process_ending() {
    let (host, status) = running("stuck-file", SLEEPER);
    let mut holder = Held::shell(&format!("exec 3< /proc/{}/root/etc/hosts", zsched(&status)));
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "down", "MountBusy", "unmount");
    evidence(&status, "openFile", Some(holder.pid()));
    says(&status, &format!("kill {}", holder.pid()));
    holder.let_go("exec 3<&-");
    freed(host);
}

#[test]
fn a_copy_of_the_mounts_in_a_foreign_mount_namespace() {
    let (host, status) = running("stuck-copy", SLEEPER);
    let holder = Held::copy_of_mounts(zsched(&status));
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "down", "MountBusy", "destroy");
    assert!(status["zschedPid"].is_null(), "everything but the file systems is gone: {status:#}");
    let found = evidence(&status, "mount", Some(holder.pid()));
    assert!(found["object"].as_str().is_some_and(|object| object.starts_with("mount 0:")), "{found:#}");
    says(&status, &format!("kill {}", holder.pid()));
    drop(holder);
    freed(host);
}

#[test]
fn a_namespace_bound_to_a_file() {
    let (host, status) = running("stuck-bound", SLEEPER);
    let file = host.folder().join("uts of z");
    let bound = namespace_file(zsched(&status), "uts", &file);
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "down", "NamespaceReferenced", "destroy");
    let found = evidence(&status, "namespaceFile", None);
    assert!(found["holder"].is_null(), "nobody holds it, it is bound: {found:#}");
    assert_eq!(found["path"], file.to_str().expect("UTF-8"), "{found:#}");
    says(&status, &format!("umount '{}'", file.display()));
    drop(bound);
    freed(host);
}

#[test]
fn a_network_namespace_that_is_held_open() {
    let spec = format!("{}{SLEEPER}", harness::net(10));
    let (host, status) = running("stuck-net", &spec);
    let mut holder = Held::shell(&format!("exec 3< /proc/{}/ns/net", zsched(&status)));
    let status = blocked(&host, &spec);
    told(&host, &status, "down", "NamespaceReferenced", "destroy");
    evidence(&status, "namespaceDescriptor", Some(holder.pid()));
    evidence(&status, "link", None);
    says(&status, &format!("kill {}", holder.pid()));
    holder.let_go("exec 3<&-");
    freed(host);
}

#[test]
fn a_network_namespace_without_a_link_that_is_held_open() {
    let (host, status) = running("stuck-netns", SLEEPER);
    let holder = Held::shell(&format!("exec 3< /proc/{}/ns/net", zsched(&status)));
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "down", "NamespaceReferenced", "destroy");
    evidence(&status, "namespaceDescriptor", Some(holder.pid()));
    drop(holder);
    freed(host);
}

#[test]
fn a_loop_device_on_a_file_of_the_zone() {
    let (host, status) = running("stuck-loop", SLEEPER);
    let (code, text) = host.inside("z", "truncate -s 1M /root/disk.img");
    assert_eq!(code, 0, "{text}");
    let device = loop_device(&format!("/proc/{}/root/root/disk.img", zsched(&status)));
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "down", "DeviceBusy", "unmount");
    let found = evidence(&status, "loopDevice", None);
    assert_eq!(found["object"], device.name(), "{found:#}");
    assert!(found["holder"].is_null(), "the kernel holds it: {found:#}");
    assert_eq!(status["halt"]["safeToRebootHost"], false, "what is to be written may not be: {:#}", status["halt"]);
    says(&status, &format!("losetup -d {}", device.name()));
    drop(device);
    freed(host);
}

#[test]
fn a_task_that_waits_for_a_stopped_fuse_server() {
    let mut host = Host::new("stuck-fuse");
    let server = fuse::Server::start(&host.folder().join("fuse"));
    let spec =
        format!("fs:\n  - dir: /data\n    type: loopback\n    special: {}\n{SLEEPER}", server.folder().display());
    host.zone("z", "running", &spec);
    host.start_controller();
    host.wait("z", "running and converged", |status| converged(status, "running"));
    let mut reader = host.command(&["login", "z", "--", "/bin/cat", "/data/file"]).spawn().expect("login");
    server.wait_stopped();
    let status = blocked(&host, &spec);
    told(&host, &status, "shutting_down", "TaskUninterruptible", "killProcesses");
    let found = evidence(&status, "process", None);
    assert_eq!(found["holder"]["comm"], "cat", "{found:#}");
    assert_eq!(found["holder"]["zone"], "z", "{found:#}");
    evidence(&status, "fuse", None);
    assert_eq!(status["halt"]["safeToRebootHost"], true, "the cause is known: {:#}", status["halt"]);
    says(&status, &format!("echo 1 > /sys/fs/fuse/connections/{}/abort", server.connection()));
    server.go_on();
    let _ = reader.wait();
    // The mount of the share is the test's own: nothing of it may stay for the zone.
    freed(host);
    drop(server);
}

#[test]
fn a_task_that_a_version_1_cgroup_froze() {
    let (host, status) = running("stuck-frozen", SLEEPER);
    let init = status["initPid"].as_i64().expect("init") as i32;
    let frozen = Frozen::new("reeve-test-stuck-frozen", &[init]);
    let status = blocked(&host, SLEEPER);
    told(&host, &status, "shutting_down", "TaskUninterruptible", "killProcesses");
    let found = evidence(&status, "frozen", Some(init));
    assert_eq!(found["path"], frozen.path().to_str().expect("UTF-8"), "{found:#}");
    says(&status, &format!("echo THAWED > {}/freezer.state", frozen.path().display()));
    let completed = status["halt"]["completed"].to_string();
    assert!(completed.contains("unplumb") && !completed.contains("unmount"), "network goes, files stay: {completed}");
    frozen.thaw();
    freed(host);
}

/// Not a test: the FUSE server, which this program is when it is started as one.
#[test]
fn fuse_server() {
    fuse::serve_if_asked();
}
