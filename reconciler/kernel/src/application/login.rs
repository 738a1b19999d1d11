//! A login: a command run in a zone for somebody of the global zone. Into a Running zone it joins init's namespaces;
//! into a Ready zone, which has no process, it gets an environment of its own, so that zsched is out of its sight.

use crate::application::environment::{self, Command, Cradle, Platform, Started, Streams};
use crate::error::Result;
use crate::sys::{self, flags};
use rustix::fd::BorrowedFd;

/// Starts the command inside the application environment whose init is `init`. The caller is zsched, whose own PID
/// namespace is `outer`.
///
/// # Errors
/// ESRCH when init has just ended, else the call that failed.
pub fn start_beside_init(
    cradle: &mut Cradle,
    cgroup: BorrowedFd<'_>,
    platform: Platform<'_>,
    (init, outer): (BorrowedFd<'_>, BorrowedFd<'_>),
    command: &Command,
    streams: Streams<'_>,
) -> Result<Started> {
    // setns(2) to a PID namespace counts for children only; it is taken back at once, whatever happens.
    sys::setns(init, flags::NEWPID)?;
    let started = environment::spawn(cradle, 0, cgroup, |listen| {
        sys::setns(init, flags::NEWUSER | flags::NEWNS)?;
        sys::unshare(flags::NEWCGROUP)?;
        environment::execute(platform, command, streams, listen, None)
    });
    sys::setns(outer, flags::NEWPID)?;
    started
}
