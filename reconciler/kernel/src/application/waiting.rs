//! A process of a zone that has all but executed: zsched clones it, it becomes what every process of the zone is, and waits to
//! be told what to execute. It runs no code but Reeve's until then, so that a zone can have one without having a user process
//! (SEED Z2), and to boot it is no more than to say what.
//!
//! From outside it is told from an init by the kernel's own word: `PF_FORKNOEXEC` of proc_pid_stat(5), "forked but didn't
//! exec" of ps(1).

use crate::application::environment::Platform;
use crate::application::privileges;
use crate::channel::Channel;
use crate::error::{Context, Error, Result};
use crate::sys::{self, CStrings, Child, Halfway};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ffi::CString;

/// Name (comm) of the process while it waits.
const NAME: &str = "zsched-next";

/// What is executed.
pub enum Executable {
    /// Reeve's own program, by descriptor: the zone's root need not have it.
    Own,
    /// A program of the zone.
    Path(CString),
}

/// What to execute.
pub struct Command {
    /// What.
    pub executable: Executable,
    /// Arguments, the program's name first.
    pub argv: CStrings,
    /// Environment.
    pub environment: CStrings,
}

/// Standard input, output and error of what is started.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    /// The three descriptors.
    pub fds: [BorrowedFd<'a>; 3],
    /// Whether the first is a terminal that becomes the controlling one.
    pub terminal: bool,
}

/// What has been started.
pub struct Started<'a> {
    /// Its process.
    pub child: Child,
    /// Where the system calls are heard that its filter hands over: reboot(2).
    pub listener: OwnedFd,
    /// What nobody needs any more, to be dropped when nobody waits for an answer.
    pub used: Used<'a>,
}

/// What a process that has executed left behind: its stack, and the mount namespace in which its mounts were made. The kernel waits
/// for every processor when that ends.
pub struct Used<'a> {
    _process: Halfway<Execution<'a>>,
    _scaffold: Option<OwnedFd>,
}

/// A process that waits to be told what to execute.
pub struct Waiting<'a> {
    process: Halfway<Execution<'a>>,
    listener: OwnedFd,
    scaffold: Option<OwnedFd>,
}

struct Execution<'a> {
    program: BorrowedFd<'a>,
    terminal: bool,
    command: Option<Command>,
}

impl<'a> Waiting<'a> {
    /// Clones it into `cgroup`. In the child `enter` goes to where the process belongs, and returns the mount namespace that was
    /// only made on the way. Of the descriptors only those of `platform` and `streams`, and `kept`, are open there.
    ///
    /// # Errors
    /// The call that failed, also in the child. Nothing is left running.
    pub(super) fn make(
        flags: u64,
        cgroup: BorrowedFd<'_>,
        platform: Platform<'a>,
        streams: Streams<'_>,
        kept: &[BorrowedFd<'_>],
        enter: impl FnOnce() -> Result<Option<OwnedFd>>,
    ) -> Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let execution = Execution { program: platform.program, terminal: streams.terminal, command: None };
        let become_it = |turn: BorrowedFd<'_>| {
            let mut open = vec![turn, theirs.as_fd(), platform.program, platform.user_ns];
            open.extend(streams.fds.iter().chain(kept));
            sys::close_except(&open);
            settle(streams, &theirs, enter()?)
        };
        let process = Halfway::start(flags, cgroup, execution, become_it, execute)?;
        let mut fds = ours.receive()?.into_iter().flat_map(|message| message.fds);
        let listener = fds.next().ok_or_else(|| Error::new("seccomp", "", "no listener came"))?;
        Ok(Self { process, listener, scaffold: fds.next() })
    }

    /// Its process ID in the caller's PID namespace.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Ends the mount namespace in which its mounts were made, which nobody lives in any more. The kernel waits for every
    /// processor then.
    pub fn end_scaffold(&mut self) {
        self.scaffold = None;
    }

    /// Has it execute this. When this returns without an error the program has been executed, or the process was killed.
    ///
    /// # Errors
    /// The call that failed in the child; ENOENT or EACCES of execve(2) name the program. Nothing is left running.
    pub fn start(self, command: Command) -> Result<Started<'a>> {
        let Self { mut process, listener, scaffold } = self;
        let child = process.execute(|execution| execution.command = Some(command))?;
        Ok(Started { child, listener, used: Used { _process: process, _scaffold: scaffold } })
    }
}

/// From here on the child is inside the zone's user and mount namespace. Takes on the zone's root, its streams and its limits.
fn settle(streams: Streams<'_>, channel: &Channel, scaffold: Option<OwnedFd>) -> Result<()> {
    for (fd, number) in streams.fds.iter().zip(0..) {
        sys::dup_onto(*fd, number).at("dup3", number.to_string())?;
    }
    sys::become_root_of_namespace()?;
    // As somebody else it may have become dumpable (fs.suid_dumpable), and zsched, whose memory this is, with it.
    sys::set_undumpable();
    sys::set_name(NAME);
    sys::default_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").at("chdir", "/")?;
    let listener = privileges::give_up()?;
    let _ = rustix::process::setsid();
    let both = [listener.as_fd(), scaffold.as_ref().unwrap_or(&listener).as_fd()];
    channel.send(b"l", &both[..1 + usize::from(scaffold.is_some())])
}

/// Returns only if it failed.
fn execute(execution: &mut Execution<'_>) -> Error {
    let Some(command) = &execution.command else { return Error::new("execve", "", "there is no command") };
    if execution.terminal
        && let Err(errno) = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
    {
        return Error::os("TIOCSCTTY", "terminal", errno);
    }
    sys::cloexec_from(3);
    let (errno, name) = match &command.executable {
        // Our own init starts with every signal blocked: the kernel drops what reaches the first process of a PID
        // namespace before it is ready, unless it is blocked.
        Executable::Own => {
            (sys::fexecve(execution.program, &command.argv, &command.environment), "init of Reeve".into())
        }
        Executable::Path(path) => {
            sys::unblock_signals();
            (sys::execve(path, &command.argv, &command.environment), path.to_string_lossy().into_owned())
        }
    };
    Error::os("execve", name, errno)
}
