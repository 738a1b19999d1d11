//! The README's first command, as written, on a network of the test's own: three zones come up, one of them serves, Ctrl-C
//! leaves them as they are, and after `down --purge` nothing of Reeve is left in the kernel.

mod harness;

use harness::{Host, kernel};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

fn examples() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart").to_owned()
}

fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn the_quickstart_serves_and_leaves_nothing_behind() {
    let host = Host::new("quickstart");
    let log = std::fs::File::create(host.folder().join("run.log")).expect("run.log");
    let quickstart = host.command(&["run", &examples()]);
    // As in a terminal, wherever this test runs.
    let mut run = Command::new("env");
    run.arg("--default-signal=INT").arg(quickstart.get_program()).args(quickstart.get_args());
    run.envs(quickstart.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut run = run.stdout(log.try_clone().expect("dup")).stderr(log).spawn().expect("run");
    let printed = || std::fs::read_to_string(host.folder().join("run.log")).unwrap_or_default();
    host.wait_state("web", "running");
    host.wait_state("standby", "ready");
    host.wait_state("archive", "installed");
    let started = Instant::now();
    let answer = loop {
        match fetch("10.77.0.10:80") {
            Ok(answer) => break answer,
            Err(error) => assert!(started.elapsed() < harness::PATIENCE, "{error}\n{}", printed()),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(answer.contains("200 OK") && answer.contains("web"), "{answer}");

    let before = host.zone_status("web");
    reeve_kernel::sys::kill(run.id() as i32, libc::SIGINT);
    assert!(run.wait().expect("wait").success(), "{}", printed());
    assert!(printed().contains("reeve down"), "it says how to take them down: {}", printed());
    assert_eq!(host.zone_status("web")["initPid"], before["initPid"], "Ctrl-C leaves the zones as they are");
    assert!(fetch("10.77.0.10:80").is_ok());

    let namespaces = kernel::namespaces_of(&host.cgroup());
    host.ok(&["down", &examples()]);
    assert_eq!(host.state("web"), "installed");
    host.ok(&["down", &examples(), "--purge"]);
    let left = kernel::left_over(&host.cgroup(), host.folder(), &namespaces);
    assert!(left.problems.is_empty(), "{:#?}", left.problems);
}
