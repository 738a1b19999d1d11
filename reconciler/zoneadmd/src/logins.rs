//! Who is logged in: each login has a cgroup of its own and belongs to the connection that asked for it.

use crate::supervisor::{Process, Supervisor};
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::error::{Error, Result};
use reeve_kernel::wire::{EndOfInit, LoginSpec, ZschedReply, ZschedRequest};
use rustix::fd::{AsFd, OwnedFd};
use std::collections::BTreeMap;

/// The logins of a zone.
#[derive(Debug, Default)]
pub struct Logins {
    last: u32,
    active: BTreeMap<u32, Login>,
    ended: Vec<(u32, EndOfInit)>,
}

#[derive(Debug)]
struct Login {
    client: u64,
    cgroup: Cgroup,
    _process: Process,
}

impl Logins {
    /// A number that an earlier zoneadmd gave out; it is not used again.
    pub fn seen(&mut self, number: u32) {
        self.last = self.last.max(number);
    }

    /// zsched says that a login ended.
    pub fn ended(&mut self, number: u32, end: EndOfInit) {
        self.ended.push((number, end));
    }

    /// The logins that ended since the last call, with the connection each belongs to. Their cgroups go, with whatever
    /// they left running.
    pub fn take_ended(&mut self) -> Vec<(u64, u32, EndOfInit)> {
        let mut told = Vec::new();
        for (number, end) in std::mem::take(&mut self.ended) {
            if let Some(login) = self.active.remove(&number) {
                told.push((login.client, number, end));
                let _ = login.cgroup.kill();
                let _ = login.cgroup.wait_empty(crate::supervisor::KILLED_WITHIN);
                let _ = login.cgroup.remove();
            }
        }
        told
    }

    /// A connection closed: what it started ends.
    pub fn client_gone(&mut self, client: u64) {
        for login in self.active.values().filter(|login| login.client == client) {
            let _ = login.cgroup.kill();
        }
    }
}

impl Supervisor {
    /// Starts a command in the zone for `client`. The master of its terminal comes back when it has one.
    pub fn log_in(&mut self, client: u64, login: &LoginSpec, streams: &[OwnedFd]) -> Result<(u32, Option<OwnedFd>)> {
        self.may_start("login")?;
        let number = self.logins.last + 1;
        self.logins.last = number;
        let cgroup = Cgroup::create_fresh(&self.leaf_path("login.", number))?;
        let mut fds = vec![cgroup.as_fd()];
        fds.extend(streams.iter().map(AsFd::as_fd));
        let started = self.ask(&ZschedRequest::Login(number, login.clone()), &fds).and_then(|(reply, fds)| {
            let mut fds = fds.into_iter();
            match (reply, fds.next()) {
                (ZschedReply::Started, Some(pidfd)) => Ok((Process::from_pidfd(pidfd)?, fds.next())),
                (reply, _) => Err(Error::new("login", "", format!("zsched answered {reply:?}"))),
            }
        });
        match started {
            Ok((process, master)) => {
                self.logins.active.insert(number, Login { client, cgroup, _process: process });
                Ok((number, master))
            }
            Err(error) => {
                // Somebody inside may have stopped it before it was one, and zsched waits for it.
                let _ = cgroup.kill();
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }
}
