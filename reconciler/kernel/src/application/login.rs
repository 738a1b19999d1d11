//! A login: a command run in a zone for somebody of the global zone. Into a Running zone it joins init's namespaces;
//! into a Ready zone, which has no process of its own, it gets an environment of its own, so that zsched is out of its sight.

use crate::application::environment::Platform;
use crate::application::waiting::{Streams, Waiting};
use crate::error::Result;
use crate::sys::{self, flags};
use rustix::fd::BorrowedFd;

/// Makes a process inside the application environment whose init is `init`, up to the execution of the command. The caller is
/// zsched, whose own PID namespace is `outer`.
///
/// # Errors
/// ESRCH when init has just ended, else the call that failed.
pub fn beside_init<'a>(
    cgroup: BorrowedFd<'_>,
    platform: Platform<'a>,
    (init, outer): (BorrowedFd<'_>, BorrowedFd<'_>),
    streams: Streams<'_>,
) -> Result<Waiting<'a>> {
    // setns(2) to a PID namespace counts for children only; it is taken back at once, whatever happens.
    sys::setns(init, flags::NEWPID)?;
    let made = Waiting::make(0, cgroup, platform, streams, &[init], || {
        sys::setns(init, flags::NEWUSER | flags::NEWNS)?;
        sys::unshare(flags::NEWCGROUP)?;
        Ok(None)
    });
    sys::setns(outer, flags::NEWPID)?;
    made
}
