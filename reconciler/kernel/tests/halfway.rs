//! A child that stops short of executing: it does what it was started for, executes what it is told, says what it failed with, and
//! can be killed at any time. As root, on this machine's kernel.

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::error::{Error, Result};
use reeve_kernel::sys::{self, CStrings, Halfway};
use rustix::fd::AsFd;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::path::PathBuf;

/// A cgroup of the test's own, removed whatever happens.
struct Home(Option<Cgroup>);

impl Home {
    fn new() -> Self {
        let mounts = std::fs::read_to_string("/proc/mounts").expect("/proc/mounts");
        let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).expect("a cgroup2 mount");
        let mount = PathBuf::from(line.split(' ').nth(1).expect("its place"));
        let path = mount.join(format!("reeve-test-halfway-{}", std::process::id()));
        Self(Some(Cgroup::create_fresh(&path).expect("a cgroup")))
    }

    fn start(&self, program: &'static str, first: Option<Error>) -> Result<Halfway<&'static str>> {
        let cgroup = self.0.as_ref().expect("a cgroup").as_fd();
        Halfway::start(0, cgroup, program, |_| first.map_or(Ok(()), Err), execute)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(cgroup) = self.0.take() {
            let _ = cgroup.kill();
            let _ = cgroup.wait_empty(std::time::Duration::from_secs(5)).and_then(|()| cgroup.remove());
        }
    }
}

fn execute(program: &mut &'static str) -> Error {
    let path = std::ffi::CString::new(*program).expect("no NUL in it");
    sys::cloexec_from(3);
    Error::os("execve", *program, sys::execve(&path, &CStrings::new([*program]), &CStrings::new(["A=b"])))
}

fn status_of(child: &sys::Child) -> Option<rustix::process::WaitIdStatus> {
    rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).expect("waitid")
}

// One test: a parent has one thread at work.
#[test]
fn halfway_there_and_on() {
    let home = Home::new();

    let mut halfway = home.start("/bin/false", None).expect("started");
    let child = halfway.execute(|program| *program = "/bin/true").expect("executed");
    assert_eq!(status_of(&child).and_then(|status| status.exit_status()), Some(0), "what it was told last");
    drop(halfway);

    let mut halfway = home.start("/no/such/program", None).expect("started");
    let error = halfway.execute(|_| {}).expect_err("there is no such program");
    assert_eq!((error.call(), error.args()), ("execve", "/no/such/program"));
    assert_eq!(error.errno(), Some(rustix::io::Errno::NOENT));
    let failed = Pid::from_raw(halfway.pid()).expect("a PID");
    drop(halfway);
    assert!(rustix::process::test_kill_process(failed).is_err(), "nothing of it is left");

    let error = home.start("/bin/true", Some(Error::new("first", "1", "cannot"))).err().expect("it fails at once");
    assert_eq!((error.call(), error.reason().as_str()), ("first", "cannot"));

    let halfway = home.start("/bin/true", None).expect("started");
    let waits = Pid::from_raw(halfway.pid()).expect("a PID");
    assert!(rustix::process::test_kill_process(waits).is_ok(), "control: it waits");
    drop(halfway);
    assert!(rustix::process::test_kill_process(waits).is_err(), "one that is not wanted is ended");

    let mut halfway = home.start("/bin/true", None).expect("started");
    rustix::process::kill_process(Pid::from_raw(halfway.pid()).expect("a PID"), Signal::KILL).expect("kill");
    let child = halfway.execute(|_| {}).expect("as if it had executed");
    let signal = status_of(&child).and_then(|status| status.terminating_signal());
    assert_eq!(signal, Some(Signal::KILL.as_raw()), "and was killed then");

    // Many at once, ended in another order than made.
    let mut many: Vec<_> = (0..8).map(|_| home.start("/bin/true", None).expect("started")).collect();
    many.swap(0, 7);
    for mut halfway in many {
        let child = halfway.execute(|_| {}).expect("executed");
        assert_eq!(status_of(&child).and_then(|status| status.exit_status()), Some(0));
    }
}
