//! The application environment as zoneadmd has it: each in a cgroup of its own, started, stopped and restarted through zsched, and the
//! next one made before anybody asks for it.

use crate::steps::{self, NOW, micros};
use crate::supervisor::{ANSWERS_WITHIN, Process, Supervisor, Zsched, unexpected};
use reeve_kernel::application::now;
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::sys;
use reeve_kernel::wire::{EndOfInit, InitSpec, ZschedReply, ZschedRequest};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// The running application environment.
#[derive(Debug)]
pub struct Environment {
    pub number: u32,
    pub cgroup: Cgroup,
    pub init: Process,
}

impl Supervisor {
    /// Makes the cgroup of the next environment ahead of the request for it, and has zsched make the rest; where that fails, the
    /// request will tell.
    pub fn prepare_next(&mut self) {
        let free = |zsched: &&Zsched| zsched.owed == 0 && self.next.is_none() && !self.halting;
        let Some(zsched) = self.zsched.as_ref().filter(free) else { return };
        let Ok((number, mut cgroup)) = self.make_leaf() else { return };
        cgroup.prepare_kill();
        let _ = zsched.channel.send(&ZschedRequest::Next(number).to_bytes(), &[cgroup.as_fd()]);
        self.next = Some((number, cgroup));
    }

    /// A cgroup that no environment had before, and its number.
    fn make_leaf(&self) -> Result<(u32, Cgroup)> {
        let mut number = self.last_number + 1;
        let cgroup = loop {
            match Cgroup::create_fresh(&self.leaf_path("env.", number)) {
                // What is left of an earlier zoneadmd's.
                Err(error) if error.errno() == Some(Errno::EXIST) => number += 1,
                made => break made?,
            }
        };
        match self.id_base.map_or(Ok(()), |owner| cgroup.delegate(owner)) {
            Ok(()) => Ok((number, cgroup)),
            Err(error) => {
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    /// Starts the application environment, in a cgroup of its own.
    pub fn boot(&mut self, init: &InitSpec) -> Result<()> {
        self.may_start("boot")?;
        if self.environment.is_some() {
            return Err(Error::new("boot", &self.adoption.zone, "an init runs already"));
        }
        let next = self.next.take();
        let made_ahead = next.is_some();
        match next.map_or_else(|| self.make_leaf(), Ok).and_then(|leaf| self.boot_in(leaf, init)) {
            // Its cgroup was killed, and with it what came into it: that was not this boot's.
            Err(error) if made_ahead && error.is_ended_early() => {
                let leaf = self.make_leaf()?;
                self.boot_in(leaf, init)
            }
            booted => booted,
        }
    }

    fn boot_in(&mut self, (number, cgroup): (u32, Cgroup), init: &InitSpec) -> Result<()> {
        self.last_number = number;
        let started = self.ask(&ZschedRequest::Boot(number, init.clone()), &[cgroup.as_fd()]);
        let fds = started.and_then(|(reply, fds)| match reply {
            ZschedReply::Started => Ok(fds),
            reply => Err(unexpected("Boot", &reply)),
        });
        match fds {
            Ok(fds) => self.runs(number, cgroup, fds),
            Err(error) => {
                // What did start, and zsched could not say so in time, must not live on unknown.
                self.give_up(cgroup);
                Err(error)
            }
        }
    }

    fn give_up(&mut self, cgroup: Cgroup) {
        let _ = cgroup.kill();
        self.spent.push(cgroup);
    }

    /// Takes in that an init runs, which a descriptor of zsched's names. One that cannot be named must not live on unknown.
    fn runs(&mut self, number: u32, cgroup: Cgroup, fds: Vec<OwnedFd>) -> Result<()> {
        let pidfd =
            fds.into_iter().next().ok_or_else(|| Error::new("ask", "Boot", "zsched sent no descriptor of init"));
        match pidfd.and_then(Process::from_pidfd) {
            Ok(init) => {
                self.environment = Some(Environment { number, cgroup, init });
                Ok(())
            }
            Err(error) => {
                self.give_up(cgroup);
                Err(error)
            }
        }
    }

    /// Asks init to end with `signal`, kills its environment after `timeout`, and returns when all of it is reaped.
    ///
    /// # Errors
    /// ETIMEDOUT when a killed process does not go.
    pub fn stop(&mut self, signal: i32, timeout: Duration) -> Result<()> {
        let Some(environment) = &self.environment else { return Ok(()) };
        let number = environment.number;
        if !timeout.is_zero() {
            match sys::pidfd_send_signal(environment.init.pidfd.as_fd(), signal) {
                Err(error) if error.errno() != Some(Errno::SRCH) => return Err(error),
                _ => {}
            }
            if self.wait_end(number, Instant::now() + timeout)? {
                return Ok(());
            }
        }
        if let Some(environment) = &self.environment {
            environment.cgroup.kill()?;
        }
        if self.wait_end(number, Instant::now() + self.killed_within())? {
            return Ok(());
        }
        let pid = self.snapshot().init;
        Err(Error::os("wait", format!("init, pid {pid}, killed"), Errno::TIMEDOUT))
    }

    /// Stops the environment and starts the next one. zsched is told of the start before: between the end of the old init and the
    /// start of the new one nobody waits for a message. Returns how long the stop took, in microseconds, as soon as the old init has
    /// ended; where no new one runs then, it is for `boot` to start it and to say why it cannot.
    ///
    /// # Errors
    /// As those of `stop`: nothing will be started then.
    pub fn stop_for(&mut self, init: &InitSpec, signal: i32, timeout: Duration) -> Result<u32> {
        self.may_start("restart")?;
        let begun = Instant::now();
        self.stopped_in = 0;
        self.hand_over(init);
        let stopped = self.stop(signal, timeout);
        if let Err(error) = stopped.or_else(|error| self.wait_next(error)) {
            // Until it is forgotten it may be started yet, and is taken in then.
            if self.handed_over.is_some() && self.order(&ZschedRequest::Forget).is_ok() {
                self.next = self.next.take().or_else(|| self.handed_over.take());
            }
            return Err(error);
        }
        Ok(if self.environment.is_some() { self.stopped_in } else { micros(begun) })
    }

    /// An init that has ended, and that zsched has not told of: zsched starts the next one, which is no matter of the stop any more.
    fn wait_next(&mut self, error: Error) -> Result<()> {
        let Some(environment) = self.environment.as_ref().filter(|_| self.handed_over.is_some()) else {
            return Err(error);
        };
        let number = environment.number;
        let ended = rustix::event::poll(&mut [PollFd::new(&environment.init.pidfd, PollFlags::IN)], Some(&NOW));
        match ended {
            Ok(1) if self.wait_end(number, Instant::now() + ANSWERS_WITHIN)? => Ok(()),
            _ => Err(error),
        }
    }

    /// Tells zsched what to start when init has ended. Where it cannot be told, it is not.
    fn hand_over(&mut self, init: &InitSpec) {
        if self.environment.is_none() || self.zsched.as_ref().is_none_or(|zsched| zsched.owed > 0) {
            return;
        }
        let Ok((number, cgroup)) = self.next.take().map_or_else(|| self.make_leaf(), Ok) else { return };
        let request = ZschedRequest::BootAfter(number, init.clone()).to_bytes();
        let sent = self.zsched.as_ref().is_some_and(|zsched| zsched.channel.send(&request, &[cgroup.as_fd()]).is_ok());
        if sent {
            self.handed_over = Some((number, cgroup));
        } else {
            self.next = Some((number, cgroup));
        }
    }

    /// zsched says that init ended, and that it has started nothing in its place.
    pub(super) fn init_ended(&mut self, end: EndOfInit) {
        self.next = self.next.take().or(self.handed_over.take());
        self.last_end = Some((end.clone(), now()));
        if let Some(environment) = self.environment.take() {
            self.spent.push(environment.cgroup);
            self.untold.push((environment.number, end));
        }
    }

    /// zsched says that init ended, so many microseconds after it was told what to start then, and that this runs.
    pub(super) fn restarted(&mut self, end: EndOfInit, micros: u32, fds: Vec<OwnedFd>) {
        let started = self.handed_over.take();
        self.init_ended(end);
        self.stopped_in = micros;
        if let Some((number, cgroup)) = started {
            self.last_number = number;
            // What cannot be named is killed, and the next one started by a boot.
            let _ = self.runs(number, cgroup, fds);
        }
    }

    /// zsched says that what waited to become the init of this environment has ended.
    pub(super) fn next_ended(&mut self, ended: u32) {
        if let Some((_, cgroup)) = self.next.take_if(|(number, _)| *number == ended) {
            self.spent.push(cgroup);
        }
    }

    /// Waits until zsched says that the init of this environment has ended; true when it has. What the zone prints meanwhile is
    /// taken, or it could not finish printing.
    fn wait_end(&mut self, number: u32, deadline: Instant) -> Result<bool> {
        while self.environment.as_ref().is_some_and(|environment| environment.number == number) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let Some(zsched) = &self.zsched else { return Err(Error::new("stop", "init", "zsched is gone")) };
            let heard = {
                let mut polled = vec![PollFd::new(&zsched.channel, PollFlags::IN)];
                polled.extend(self.console.iter().map(|console| PollFd::new(console, PollFlags::IN)));
                steps::poll(self.teller(), &mut polled, deadline).at("poll", "zsched")?;
                !polled[0].revents().is_empty()
            };
            if let Some(console) = &mut self.console
                && !console.drain()?
            {
                self.console = None;
            }
            if heard {
                let message = self.zsched.as_ref().and_then(|zsched| zsched.channel.receive().ok()).flatten();
                if !self.hear(message) {
                    return Err(Error::new("stop", "init", "zsched is gone"));
                }
            }
        }
        Ok(true)
    }
}
