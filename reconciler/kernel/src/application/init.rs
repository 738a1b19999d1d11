//! The default init: a zone needs no init of its own to run one service. It is process 1 of its PID namespace, starts
//! the configured command, hands signals on to it, reaps whatever ends, and ends as the command ended.

use crate::sys;
use rustix::fd::AsFd;
use rustix::process::{WaitOptions, WaitStatus};
use std::process::Command;

/// Signals that are handed on to the command.
const HANDED_ON: [i32; 8] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGPWR,
];
/// Exit status when the command could not be started, as sh(1) has it.
const NOT_FOUND: i32 = 127;

/// Runs until the command ends; without a command, until SIGTERM. Returns the exit status for the zone.
pub fn run(command: &[String]) -> i32 {
    let mut wanted = HANDED_ON.to_vec();
    wanted.push(libc::SIGCHLD);
    let signals = match sys::signalfd(&wanted) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("init: {error}");
            return 1;
        }
    };
    let child = match start(command) {
        Ok(child) => child,
        Err(error) => {
            eprintln!("init: {}: {error}", command.join(" "));
            return NOT_FOUND;
        }
    };
    loop {
        let mut poll = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut poll, None);
        while let Some(signal) = sys::read_signal(signals.as_fd()) {
            match (signal, child) {
                (libc::SIGCHLD, _) => {
                    if let Some(status) = reap(child) {
                        return status;
                    }
                }
                (_, Some(child)) => sys::kill(child, signal),
                (libc::SIGTERM | libc::SIGINT | libc::SIGPWR, None) => return 0,
                _ => {}
            }
        }
    }
}

fn start(command: &[String]) -> std::io::Result<Option<i32>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(None) };
    let mut builder = Command::new(program);
    builder.args(arguments);
    sys::start_in_foreground(&mut builder);
    Ok(Some(builder.spawn()?.id() as i32))
}

/// Reaps all that ended; the exit status of the command, once it is among them.
fn reap(child: Option<i32>) -> Option<i32> {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if Some(pid.as_raw_nonzero().get()) == child {
            return Some(exit_status(status));
        }
    }
    None
}

/// The status that a shell would show: 128 and the signal's number for a command that was killed.
fn exit_status(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}
