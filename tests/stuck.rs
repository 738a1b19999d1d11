//! Halts that cannot finish, each held up on the real kernel by what holds zones up in the field. The condition and its
//! reason are exact, the holder is named by its process ID or not at all, and when the cause is gone the zone is installed
//! within two seconds without anybody's doing.

mod harness;

use harness::held::{Frozen, Held, loop_device, namespace_file};
use harness::{Host, fuse, kernel, shown};
use reeve_kernel::channel::Channel;
use reeve_kernel::wire::{Hidden, InitSpec, LoginSpec, Program, Reply, Request};
use serde_json::Value;
use std::time::Duration;

/// From the cause being gone to Installed.
const FREED_WITHIN: Duration = Duration::from_secs(2);

/// An init that has a second to end.
const INIT: &str = "init:\n  command: [/usr/bin/sleep, infinity]\n  haltTimeout: 1s\n";

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

/// Waits until the zone is installed, now that the cause is gone: in time, and with nothing said of a halt any more; and
/// nothing is left over then.
fn freed(host: Host) {
    installed(&host);
    host.finish();
}

fn installed(host: &Host) {
    let (status, took) = host.wait("z", "installed and converged", |status| converged(status, "installed"));
    println!("from cause gone to installed: {} ms", took.as_millis());
    assert!(took < FREED_WITHIN, "took {took:?}\n{}", host.controller_log());
    assert!(status["halt"].is_null() && condition(&status, "HaltBlocked").is_null(), "{status:#}");
    assert!(!host.cgroup().join("zone.z").exists());
}

#[test]
fn a_look_that_has_the_root_open_for_a_moment_holds_nothing_up() {
    let host = Host::new("stuck-moment");
    host.zone("z", "running", INIT);
    host.apply();
    let root = std::fs::File::open(format!("/proc/{}/root", zsched(&host.zone_status("z")))).expect("the root");
    let mut halt = host.command(&["halt", "z"]).spawn().expect("reeve halt");
    // Its processes are gone: it is unmounted in less than a millisecond.
    let environment = host.cgroup().join("zone.z/env.1");
    assert!(environment.exists() && kernel::within(harness::PATIENCE, || !environment.exists()));
    std::thread::sleep(std::time::Duration::from_millis(3));
    drop(root);
    assert!(halt.wait().expect("wait").success());
    assert_eq!(host.state("z"), "installed");
    host.finish();
}

#[test]
fn a_working_directory_of_a_global_process() {
    let (host, status) = running("stuck-cwd", INIT);
    let holder = Held::shell(&format!("cd /proc/{}/root/etc", zsched(&status)));
    let status = blocked(&host, INIT);
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
    let (host, status) = running("stuck-file", INIT);
    let mut holder = Held::shell(&format!("exec 3< /proc/{}/root/etc/hosts", zsched(&status)));
    let status = blocked(&host, INIT);
    told(&host, &status, "down", "MountBusy", "unmount");
    evidence(&status, "openFile", Some(holder.pid()));
    says(&status, &format!("kill {}", holder.pid()));
    holder.let_go("exec 3<&-");
    freed(host);
}

#[test]
fn a_copy_of_the_mounts_in_a_foreign_mount_namespace() {
    let (host, status) = running("stuck-copy", INIT);
    let holder = Held::copy_of_mounts(zsched(&status));
    let status = blocked(&host, INIT);
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
    let (host, status) = running("stuck-bound", INIT);
    let file = host.folder().join("uts of z");
    let bound = namespace_file(zsched(&status), "uts", &file);
    let status = blocked(&host, INIT);
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
    let spec = format!("{}{INIT}", harness::net(10));
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
    let (host, status) = running("stuck-netns", INIT);
    let holder = Held::shell(&format!("exec 3< /proc/{}/ns/net", zsched(&status)));
    let status = blocked(&host, INIT);
    told(&host, &status, "down", "NamespaceReferenced", "destroy");
    evidence(&status, "namespaceDescriptor", Some(holder.pid()));
    drop(holder);
    freed(host);
}

#[test]
fn a_loop_device_on_a_file_of_the_zone() {
    let (host, status) = running("stuck-loop", INIT);
    let (code, text) = host.inside("z", "truncate -s 1M /root/disk.img");
    assert_eq!(code, 0, "{text}");
    let device = loop_device(&format!("/proc/{}/root/root/disk.img", zsched(&status)));
    let status = blocked(&host, INIT);
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
    let spec = format!("fs:\n  - dir: /data\n    type: loopback\n    special: {}\n{INIT}", server.folder().display());
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
    installed(&host);
    drop(server);
    host.finish();
}

#[test]
fn a_task_that_a_version_1_cgroup_froze() {
    let (host, status) = running("stuck-frozen", INIT);
    let init = status["initPid"].as_i64().expect("init") as i32;
    let frozen = Frozen::new("reeve-test-stuck-frozen", &[init]);
    let status = blocked(&host, INIT);
    told(&host, &status, "shutting_down", "TaskUninterruptible", "killProcesses");
    let found = evidence(&status, "frozen", Some(init));
    assert_eq!(found["path"], frozen.path().to_str().expect("UTF-8"), "{found:#}");
    says(&status, &format!("echo THAWED > {}/freezer.state", frozen.path().display()));
    let completed = status["halt"]["completed"].to_string();
    assert!(completed.contains("unplumb") && !completed.contains("unmount"), "network goes, files stay: {completed}");
    frozen.thaw();
    freed(host);
}

/// What the zone's zoneadmd answers to a request.
fn asked(host: &Host, request: &Request) -> Reply {
    let zoneadmd = Channel::connect(&host.run_folder("z"), "zoneadmd.sock").expect("connect");
    zoneadmd.send(&request.to_bytes(), &[]).expect("send");
    let message = zoneadmd.receive().expect("receive").expect("an answer");
    Reply::from_bytes(&message.bytes).expect("a reply")
}

#[test]
fn nothing_can_be_started_in_a_zone_that_is_being_halted() {
    let (mut host, status) = running("stuck-start", INIT);
    let holder = Held::shell(&format!("cd /proc/{}/root/etc", zsched(&status)));
    let status = blocked(&host, INIT);
    assert_eq!(status["state"], "down");
    let refused = |host: &Host| {
        let login = host.reeve(&["login", "z", "--", "/bin/true"]);
        assert_eq!(login.status.code(), Some(1), "{}", shown(&login));
        let boot = host.by_name("zoneadm", &["-z", "z", "boot"]);
        assert!(!boot.status.success() && shown(&boot).contains("not possible from state down"), "{}", shown(&boot));
        // Who looked before the halt began asks zoneadmd itself, which refuses by what it knows.
        let command = vec!["/usr/bin/true".to_owned()];
        let (terminal, size, environment) = (true, (24, 80), Vec::new());
        let login = LoginSpec { argv: command.clone(), environment: environment.clone(), terminal, size };
        let boot = InitSpec { program: Program::Command(command), environment: Hidden(environment) };
        for request in [Request::Login(login), Request::Boot(boot)] {
            let answer = asked(host, &request);
            assert!(matches!(&answer, Reply::Failed(.., why) if why.contains("is being halted")), "{answer:?}");
        }
    };
    refused(&host);
    // A zoneadmd that finds a halt begun by another one refuses, too; no controller is there to halt in between.
    host.end_controller(libc::SIGKILL);
    let zoneadmd = status["zoneadmdPid"].as_i64().expect("a zoneadmd") as i32;
    reeve_kernel::sys::kill(zoneadmd, libc::SIGKILL);
    host.wait("z", "without its zoneadmd", |status| status["zoneadmdPid"].is_null());
    assert_eq!(host.reeve(&["retry", "z"]).status.code(), Some(3), "it is still held");
    assert!(!host.zone_status("z")["zoneadmdPid"].is_null(), "a new one took it over");
    refused(&host);
    assert_eq!(host.state("z"), "down");
    assert_eq!(kernel::at_work(&host.cgroup().join("zone.z")).len(), 1, "{}", kernel::describe(&host.cgroup()));
    // By hand it goes on as well.
    drop(holder);
    host.ok(&["retry", "z"]);
    assert_eq!(host.state("z"), "installed");
    host.finish();
}

#[test]
fn a_halt_by_hand_says_what_holds_it_and_a_forced_one_says_until_it_is_freed() {
    let host = Host::new("stuck-force");
    host.zone("z", "running", INIT);
    host.apply();
    let status = host.zone_status("z");
    let mut holder = Held::shell(&format!("exec 3< /proc/{}/root/etc/hosts", zsched(&status)));
    let halt = host.reeve(&["halt", "z"]);
    assert_eq!(halt.status.code(), Some(3), "blocked: {}", shown(&halt));
    assert!(
        shown(&halt).contains("umount2(/)") && shown(&halt).contains(&holder.pid().to_string()),
        "{}",
        shown(&halt)
    );
    let status = host.zone_status("z");
    assert_eq!(condition(&status, "HaltBlocked")["reason"], "MountBusy", "told without a controller: {status:#}");
    let text = host.ok(&["describe", "z"]);
    assert!(text.contains(&format!("kill {}", holder.pid())) && text.contains("no controller runs"), "{text}");

    let forced = host.reeve(&["halt", "z", "--force-detach"]);
    assert_eq!(forced.status.code(), Some(3), "{}", shown(&forced));
    assert!(shown(&forced).contains("warning"), "{}", shown(&forced));
    let status = host.zone_status("z");
    assert_eq!(status["state"], "down", "not freed, not installed: {status:#}");
    assert_eq!(condition(&status, "HaltBlocked")["reason"], "DetachedNotFreed", "{status:#}");
    assert_eq!(status["halt"]["detached"], serde_json::json!(["/"]), "{status:#}");
    assert!(status["zschedPid"].is_null(), "{status:#}");
    evidence(&status, "openFile", Some(holder.pid()));
    let again = host.reeve(&["retry", "z"]);
    assert_eq!(again.status.code(), Some(3), "{}", shown(&again));
    assert_eq!(host.state("z"), "down");

    holder.let_go("exec 3<&-");
    host.ok(&["retry", "z"]);
    let status = host.zone_status("z");
    assert_eq!(status["state"], "installed", "{status:#}");
    assert!(status["halt"].is_null(), "{status:#}");
    host.finish();
}

#[test]
fn the_same_failure_is_one_entry_and_a_changed_manifest_waits_and_says_so() {
    let (mut host, status) = running("stuck-history", INIT);
    let holder = Held::shell(&format!("cd /proc/{}/root/etc", zsched(&status)));
    let first = blocked(&host, INIT);
    let since = first["halt"]["since"].clone();
    // Tried again by itself, and at once by a word.
    host.ok(&["retry", "z"]);
    let attempts = |status: &Value| status["halt"]["attempts"].as_u64().unwrap_or(0);
    host.wait("z", "tried again", |status| attempts(status) >= 3);
    // A changed manifest wants it running: that waits.
    host.zone("z", "running", &format!("hostname: changed\n{INIT}"));
    let says_so = |status: &Value| {
        condition(status, "Converged")["message"].as_str().is_some_and(|text| text.contains("The changed manifest"))
    };
    let status = host.wait("z", "waiting with its changed manifest", says_so).0;
    assert_eq!(status["state"], "down", "{status:#}");
    // Another controller goes on where this one was.
    host.end_controller(libc::SIGKILL);
    host.start_controller();
    let before = attempts(&status);
    let status = host.wait("z", "tried by the new controller", |status| attempts(status) > before).0;
    assert_eq!(status["halt"]["since"], since, "since the first failure: {:#}", status["halt"]);
    let history = status["history"].as_array().expect("history");
    let failures: Vec<&Value> = history.iter().filter(|entry| entry["transition"] == "halt").collect();
    assert!(failures.len() <= 2, "the first came from running, the others from down: {failures:#?}");
    let times: u64 = failures.iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).sum();
    assert!(times >= 3, "{failures:#?}");
    drop(holder);
    let (status, took) = host.wait("z", "running again", |status| converged(status, "running"));
    assert!(took < FREED_WITHIN, "took {took:?}");
    assert_ne!(status["zoneId"], first["zoneId"], "a new ID");
    let (_, text) = host.inside("z", "hostname");
    assert_eq!(text.trim(), "changed");
    host.finish();
}

#[test]
fn figure_4a_with_unlucky_really_stuck() {
    let mut host = Host::new("figure4a-stuck");
    let aux = host.folder().join("aux0");
    let spec = |zone: &str| format!("zonepath: {}/{zone}\n{INIT}", aux.display());
    for zone in ["my-zone", "fun", "nofun", "lucky", "unlucky"] {
        let path = aux.join(zone);
        std::fs::create_dir_all(&path).expect("zonepath");
        std::os::unix::fs::chown(&path, Some(0), Some(0)).expect("chown");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("chmod");
    }
    // The IDs of the figure, in the order in which its zones were made ready.
    for (zone, state, id) in [("lucky", "running", 7), ("unlucky", "running", 13), ("nofun", "ready", 15)] {
        host.zone(zone, state, &spec(zone));
        std::fs::create_dir_all(host.folder().join("run")).expect("run folder");
        std::fs::write(host.folder().join("run/next-zone-id"), format!("{id}\n")).expect("next ID");
        host.apply();
    }
    host.zone("fun", "installed", &spec("fun"));
    host.zone("my-zone", "installed", &spec("my-zone"));
    host.apply();
    // The manifest goes with its files, so that nobody installs it again.
    let uninstalled = host.by_name("zoneadm", &["-z", "my-zone", "uninstall", "-F"]);
    assert!(uninstalled.status.success(), "{}", shown(&uninstalled));
    let init = host.zone_status("unlucky")["initPid"].as_i64().expect("init") as i32;
    let frozen = Frozen::new("reeve-test-figure4a", &[init]);
    let halt = host.reeve(&["halt", "unlucky"]);
    assert_eq!(halt.status.code(), Some(3), "{}", shown(&halt));

    let list = host.by_name("zoneadm", &["list", "-civ"]);
    let row = |id: &str, name: &str, status: &str, path: &str| format!("{id:>4} {name:<16} {status:<14} {path}\n");
    let path = |zone: &str| format!("{}/{zone}", aux.display());
    let expected = [
        row("ID", "NAME", "STATUS", "PATH"),
        row("0", "global", "running", "/"),
        row("-", "my-zone", "configured", &path("my-zone")),
        row("-", "fun", "installed", &path("fun")),
        row("15", "nofun", "ready", &path("nofun")),
        row("7", "lucky", "running", &path("lucky")),
        row("13", "unlucky", "shutting_down", &path("unlucky")),
    ];
    assert_eq!(String::from_utf8_lossy(&list.stdout), expected.concat());
    let mut supervisors: Vec<String> =
        kernel::processes(&host.cgroup().join("zoneadmd")).into_iter().map(kernel::command_line).collect();
    supervisors.sort();
    assert_eq!(supervisors, ["zoneadmd lucky", "zoneadmd nofun", "zoneadmd unlucky"]);

    // Freed at the end.
    frozen.thaw();
    host.ok(&["retry", "unlucky"]);
    assert_eq!(host.state("unlucky"), "installed");
    let left = host.take_down();
    assert!(left.problems.is_empty(), "{:#?}", left.problems);
}

/// Halts these zones by their manifests, all at once; how long until all of them are installed.
fn halt_all(host: &Host, zones: &[String]) -> Duration {
    let started = std::time::Instant::now();
    let all: String = zones.iter().map(|zone| format!("---\n{}", harness::manifest(zone, "installed", INIT))).collect();
    host.write("zones.yaml", &all);
    loop {
        let states = host.status();
        let there =
            |zone: &String| states.iter().any(|status| status["name"] == **zone && converged(status, "installed"));
        if zones.iter().filter(|zone| *zone != "z00").all(there) {
            return started.elapsed();
        }
        assert!(started.elapsed() < harness::PATIENCE, "{states:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_stuck_zone_holds_up_no_other() {
    let mut host = Host::new("stuck-many");
    let zones: Vec<String> = (0..20).map(|number| format!("z{number:02}")).collect();
    let up: String = zones.iter().map(|zone| format!("---\n{}", harness::manifest(zone, "running", INIT))).collect();
    let mut took = Vec::new();
    host.start_controller();
    for stuck in [false, true] {
        host.write("zones.yaml", &up);
        for zone in &zones {
            host.wait(zone, "running", |status| converged(status, "running"));
        }
        let init = host.zone_status("z00")["initPid"].as_i64().expect("init") as i32;
        let frozen = stuck.then(|| Frozen::new("reeve-test-stuck-many", &[init]));
        took.push(halt_all(&host, &zones));
        if let Some(frozen) = frozen {
            assert_eq!(host.state("z00"), "shutting_down");
            frozen.thaw();
        }
        host.wait("z00", "installed", |status| converged(status, "installed"));
    }
    let ratio = took[1].as_secs_f64() / took[0].as_secs_f64();
    println!("19 zones halted in {:?} without, {:?} beside a stuck one: ratio {ratio:.2}", took[0], took[1]);
    host.finish();
}

/// Not a test: the FUSE server, which this program is when it is started as one.
#[test]
fn fuse_server() {
    fuse::serve_if_asked();
}
