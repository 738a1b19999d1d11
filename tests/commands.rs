//! The commands as somebody at a terminal uses them: login with its exit status and its terminal, logs, the state lock,
//! exit codes, and what is said of wrong input.

mod harness;

use harness::{Host, SLEEPER, shown};
use serde_json::Value;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn login_passes_streams_and_exit_status_through_into_running_and_ready_zones() {
    let host = Host::new("login");
    host.zone("up", "running", SLEEPER);
    host.zone("idle", "ready", "");
    host.zone("off", "installed", "");
    host.apply();
    for zone in ["up", "idle"] {
        let (status, text) = host.inside(zone, "echo out; echo err >&2; exit 42");
        assert_eq!(status, 42, "{zone}: {text}");
        assert!(text.contains("out") && text.contains("err"), "{zone}: {text}");
        let (status, _) = host.inside(zone, "kill -TERM $$");
        assert_eq!(status, 128 + 15, "{zone}: a signal shows as a shell has it");
        let mut login = host.command(&["login", zone, "--", "/usr/bin/wc", "-c"]);
        let mut child = login.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("login");
        child.stdin.take().expect("stdin").write_all(&[b'x'; 100_000]).expect("write");
        let mut text = String::new();
        child.stdout.take().expect("stdout").read_to_string(&mut text).expect("read");
        assert_eq!(text.trim(), "100000", "{zone}: all of the input went in");
        assert!(child.wait().expect("wait").success());
    }
    assert_eq!(host.reeve(&["login", "up", "--", "/no/such"]).status.code(), Some(1));
    let refused = host.reeve(&["login", "off", "--", "/bin/true"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(shown(&refused).contains("installed"), "{}", shown(&refused));
    let refused = host.reeve(&["login", "nobody", "--", "/bin/true"]);
    assert_eq!(refused.status.code(), Some(1));
    host.finish();
}

#[test]
fn login_with_a_terminal_gets_one_of_the_zones_own_with_its_size() {
    let host = Host::new("tty");
    host.zone("up", "running", SLEEPER);
    host.zone("idle", "ready", "");
    host.apply();
    for zone in ["up", "idle"] {
        let reeve = host.command(&["login", zone, "--", "/bin/sh", "-c", "tty; stty size; exit 5"]);
        // script(1) gives the command a terminal.
        let line = format!(
            "stty rows 33 cols 77; {} login {zone} -- /bin/sh -c 'tty; stty size; exit 5'",
            env!("CARGO_BIN_EXE_reeve")
        );
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
        for (key, value) in reeve.get_envs() {
            script.env(key, value.unwrap_or_default());
        }
        let output = script.output().expect("script(1), of bsdutils");
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(5), "{zone}: {text}");
        assert!(text.contains("/dev/pts/") && text.contains("33 77"), "{zone}: {text}");
    }
    host.finish();
}

#[test]
fn what_was_typed_before_a_login_was_ready_is_not_lost() {
    let host = Host::new("ahead");
    host.zone("up", "running", SLEEPER);
    host.apply();
    let reeve = host.command(&[]);
    let line = format!("sleep 0.2; {} login up -- /bin/sh", env!("CARGO_BIN_EXE_reeve"));
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    for (key, value) in reeve.get_envs() {
        script.env(key, value.unwrap_or_default());
    }
    let mut script = script.spawn().expect("script(1), of bsdutils");
    let mut stdin = script.stdin.take().expect("stdin");
    stdin.write_all(b"exit 6\n").expect("write");
    let output = script.wait_with_output().expect("wait");
    drop(stdin);
    assert_eq!(output.status.code(), Some(6), "{}", shown(&output));
    host.finish();
}

#[test]
fn logs_show_what_init_printed_from_a_bounded_ring_and_outlive_a_zoneadmd() {
    let host = Host::new("logs");
    let noisy = "init:\n  command: [/bin/sh, -c, 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exec sleep infinity']\n";
    host.zone("noisy", "running", noisy);
    host.apply();
    host.wait("noisy", "done printing", |_| host.ok(&["logs", "noisy"]).contains("line 19999"));
    let text = host.ok(&["logs", "noisy"]);
    assert!(text.len() < 200_000 && text.contains("line 19998"), "{} bytes", text.len());
    let last = host.ok(&["logs", "noisy", "-n", "2"]);
    assert_eq!(last.lines().collect::<Vec<_>>(), ["line 19998", "line 19999"]);
    let zoneadmd = host.zone_status("noisy")["zoneadmdPid"].as_i64().expect("zoneadmd");
    reeve_kernel::sys::kill(zoneadmd as i32, libc::SIGKILL);
    assert!(host.ok(&["logs", "noisy"]).contains("line 19999"));
    host.finish();
}

#[test]
fn one_controller_a_state_folder_and_the_second_says_who_holds_it() {
    let mut host = Host::new("lock");
    host.zone("z", "running", SLEEPER);
    host.start_controller();
    let before = host.wait_state("z", "running");
    let manifests = host.manifests();
    let manifests = manifests.to_str().expect("UTF-8");
    let second = host.reeve(&["run", manifests]);
    let text = shown(&second);
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(text.contains(&host.controller_pid().to_string()), "it names the holder: {text}");
    let down = host.reeve(&["down", manifests]);
    assert_eq!(down.status.code(), Some(1), "{}", shown(&down));
    assert!(shown(&down).contains(&host.controller_pid().to_string()), "{}", shown(&down));
    // The same source: apply asks the controller for a pass and follows it. Looking takes no lock.
    host.ok(&["apply", manifests]);
    for look in [&["get"][..], &["describe", "zone", "z"], &["plan", manifests], &["diff", manifests]] {
        host.ok(look);
    }
    // An imperative command is recorded and says what the controller will do.
    let stop = host.reeve(&["stop", "z"]);
    assert!(stop.status.success(), "{}", shown(&stop));
    assert_eq!(shown(&stop).matches("controller").count(), 1, "once: {}", shown(&stop));
    let unknown = host.reeve(&["halt", "y"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(shown(&unknown).contains("there is z"), "which there are: {}", shown(&unknown));
    host.wait("z", "running again", |status| status["state"] == "running" && status["initPid"] != before["initPid"]);
    host.finish();
}

#[test]
fn a_controller_in_the_background_of_a_script_ignores_ctrl_c_and_ends_by_sigterm() {
    let mut host = Host::new("background");
    host.zone("z", "ready", SLEEPER);
    let script = host.folder().join("in-background");
    let text = format!("#!/bin/sh\ntrap '' INT\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_reeve"));
    std::fs::write(&script, text).expect("the script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    host.set_program(&script);
    host.start_controller();
    host.wait_state("z", "ready");
    reeve_kernel::sys::kill(host.controller_pid(), libc::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    host.zone("z", "running", SLEEPER);
    host.wait_state("z", "running");
    assert!(host.ended_controller().is_none());
    // That is between whoever started it and Reeve: the zone's programs ignore nothing, SIGPIPE neither.
    for process in ["1", "self"] {
        let (_, ignored) = host.inside("z", &format!("grep SigIgn: /proc/{process}/status"));
        let own = if process == "1" { "0000000000001000" } else { "0000000000000000" };
        assert!(ignored.contains(own), "{process}: {ignored}");
    }
    host.end_controller(libc::SIGTERM);
    host.finish();
}

#[test]
fn plan_says_what_apply_then_does_and_is_empty_the_second_time() {
    let host = Host::new("plan");
    host.zone("z", "running", SLEEPER);
    let manifests = host.manifests();
    let manifests = manifests.to_str().expect("UTF-8");
    assert_eq!(host.reeve(&["plan", manifests, "--detailed-exitcode"]).status.code(), Some(2));
    assert_eq!(host.reeve(&["diff", manifests]).status.code(), Some(1));
    let text = host.ok(&["plan", manifests]);
    for word in ["installed", "ready", "running"] {
        assert!(text.contains(word), "{text}");
    }
    host.apply();
    assert_eq!(host.reeve(&["plan", manifests, "--detailed-exitcode"]).status.code(), Some(0));
    assert_eq!(host.reeve(&["diff", manifests]).status.code(), Some(0));
    assert_eq!(host.reeve(&["plan", "--no-such-flag"]).status.code(), Some(1));
    let json: Value = serde_json::from_str(&host.ok(&["plan", manifests, "-o", "json"])).expect("JSON");
    assert!(json.is_object(), "{json}");
    host.finish();
}

#[test]
fn wrong_manifests_are_told_all_at_once_with_their_places_and_nothing_is_applied() {
    let host = Host::new("wrong");
    host.zone("good", "running", SLEEPER);
    host.write("bad.yaml", "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: bad\nspec:\n  sate: running\n  maxProcesses: many\n");
    let manifests = host.manifests();
    let manifests = manifests.to_str().expect("UTF-8");
    let refused = host.reeve(&["apply", manifests]);
    let text = shown(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    for part in ["bad.yaml:6:3", "spec.sate", "state", "bad.yaml:7:", "spec.maxProcesses", "spec.root"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    assert!(host.status().is_empty(), "nothing is applied from a set with an error");
    assert_eq!(host.reeve(&["validate", manifests]).status.code(), Some(1));
    host.finish();
}
