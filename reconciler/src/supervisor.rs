//! zoneadmd as the controller sees it: starting one, finding one that runs, asking it and hearing what it tells.

mod attention;
mod next;
mod process;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::Channel;
use reeve_kernel::error::{Context, Error as KernelError};
use reeve_kernel::wire::{Adoption, Event, Reply, Request, Snapshot, StepName};
use reeve_state::observed::ProcessId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::{Error, Result};
use crate::places::Places;
pub use next::Next;
use process::Child;

/// The socket on which a zoneadmd can be reached, in the zone's run folder.
const SOCKET: &str = "zoneadmd.sock";
/// How long a zoneadmd may take for an answer, beyond what the request itself allows. Its own waits (10 s for killed
/// processes, 10 s for links) are shorter.
const PATIENCE: Duration = Duration::from_secs(40);
/// No time at all.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A connection to the zoneadmd of one zone.
#[derive(Debug)]
pub struct Zoneadmd {
    zone: String,
    channel: Channel,
    child: Child,
    events: VecDeque<Event>,
    detached: Vec<String>,
}

impl AsFd for Zoneadmd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Zoneadmd {
    fn new(zone: &str, channel: Channel, child: Child) -> Self {
        Self { zone: zone.to_owned(), channel, child, events: VecDeque::new(), detached: Vec::new() }
    }

    /// Starts a zoneadmd for the zone in `cgroup`. It has no zone yet: the first request is Ready or Adopt.
    ///
    /// # Errors
    /// The call that failed.
    pub fn start(places: &Places, zone: &str, cgroup: &Cgroup) -> Result<Self> {
        let log = process::log_file(&places.zone_run(zone))?;
        let (channel, child) = process::start(["zoneadmd", zone], log.as_fd(), cgroup)?;
        Ok(Self::new(zone, channel, child))
    }

    /// Connects to the zone's zoneadmd; none when none can be reached.
    ///
    /// # Errors
    /// Another failure than that nobody is there.
    pub fn connect(places: &Places, zone: &str) -> Result<Option<Self>> {
        match Channel::connect(&places.zone_run(zone), SOCKET) {
            Ok(channel) => Ok(Some(Self::new(zone, channel, Child::default()))),
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::CONNREFUSED)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects to the zone's zoneadmd, or starts one and has it take the zone over. One that runs but cannot be reached
    /// (it was killed in the middle of something) is ended first. `halting`: the journal says that a halt has begun.
    ///
    /// # Errors
    /// The call that failed, or what the new zoneadmd said.
    pub fn find_or_adopt(
        places: &Places,
        zone: &str,
        cgroup: &Cgroup,
        known: Option<i32>,
        halting: bool,
    ) -> Result<(Self, Snapshot)> {
        if let Some(mut found) = Self::connect(places, zone)?
            && let Ok(snapshot) = found.request(&Request::Status, Duration::ZERO, &mut |_, _| {})
        {
            return Ok((found, snapshot));
        }
        if let Some(pid) = known {
            end_unreachable(zone, pid, cgroup)?;
        }
        let mut new = Self::start(places, zone, cgroup)?;
        let adoption = Adoption {
            zone: zone.to_owned(),
            run_folder: places.zone_run(zone).display().to_string(),
            cgroup: places.zone_cgroup(zone)?.display().to_string(),
            alias: places.link_alias(zone),
            halting,
        };
        let snapshot = new.request(&Request::Adopt(adoption), Duration::ZERO, &mut |_, _| {})?;
        Ok((new, snapshot))
    }

    /// What the zone's zoneadmd says of a zone whose init is seen to have ended, once it knows of that as well; none where it cannot
    /// be reached or takes longer than `patience`.
    pub fn ask_of_end(places: &Places, zone: &str, patience: Duration) -> Option<Snapshot> {
        let found = Self::connect(places, zone).ok()??;
        let ask = || found.channel.send(&Request::Status.to_bytes(), &[]).ok();
        ask()?;
        let deadline = Instant::now() + patience;
        while found.wait(deadline.saturating_duration_since(Instant::now())).ok()? {
            match found.receive().ok()? {
                Reply::Done(snapshot, _) if snapshot.init == 0 => return Some(snapshot),
                // It has yet to hear of the end, and tells of it then.
                Reply::Done(..) => {}
                Reply::Happened(_) => ask()?,
                _ => return None,
            }
        }
        None
    }

    /// The process, where this one started it.
    pub fn process(&self) -> Option<ProcessId> {
        self.child.process()
    }

    /// The channel, for who speaks for himself.
    pub fn into_channel(self) -> Channel {
        self.channel
    }

    fn gone(&self, what: impl Into<String>) -> Error {
        Error::Zoneadmd { zone: self.zone.clone(), what: what.into() }
    }

    /// Asks, tells `on_step` of each step and its microseconds, and returns what is there when it is done. `allowed` is
    /// what the request itself may take.
    ///
    /// # Errors
    /// [`Error::Step`] with what zoneadmd says; [`Error::Zoneadmd`] when it went away or does not answer.
    pub fn request(
        &mut self,
        request: &Request,
        allowed: Duration,
        on_step: &mut dyn FnMut(StepName, u32),
    ) -> Result<Snapshot> {
        self.channel.send(&request.to_bytes(), &[]).map_err(|error| self.gone(error.to_string()))?;
        let deadline = Instant::now() + allowed + PATIENCE;
        // A boot is passed on from process to process, as a rule on the processor that it was asked from: who watches there is in its
        // way. A restart waits for the end of the old init meanwhile, and the processor would fall asleep.
        let soon = allowed.is_zero() && matches!(request, Request::Restart(..));
        let mut here = soon && self.watch();
        loop {
            if !std::mem::take(&mut here) && !self.wait(deadline.saturating_duration_since(Instant::now()))? {
                // What it has not read yet it must not carry out later, beside another one.
                if matches!(request, Request::Ready(_)) {
                    self.child.kill();
                }
                return Err(self.gone("does not answer"));
            }
            match self.receive()? {
                Reply::Step(step, micros) => on_step(step, micros),
                Reply::Done(snapshot, steps) => {
                    steps.into_iter().for_each(|(step, micros)| on_step(step, micros));
                    return Ok(snapshot);
                }
                Reply::Failed(step, call, args, errno, reason) => {
                    return Err(Error::Step { step: step.as_str().to_owned(), call, args, errno, reason });
                }
                Reply::Happened(event) => self.events.push_back(event),
                Reply::Detached(mounts) => self.detached.extend(mounts),
                other => return Err(self.gone(format!("answered {other:?}"))),
            }
        }
    }

    fn wait(&self, timeout: Duration) -> Result<bool> {
        let mut polled = [PollFd::new(&self.channel, PollFlags::IN)];
        let deadline = Instant::now() + timeout;
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
            match rustix::event::poll(&mut polled, left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(KernelError::os("poll", "zoneadmd", errno).into()),
            }
        }
    }

    /// Waits awake, for a short while, for an answer that will come soon. True when it came.
    fn watch(&self) -> bool {
        let mut polled = [PollFd::new(&self.channel, PollFlags::IN)];
        attention::Waiting::begin()
            .awake(|| matches!(rustix::event::poll(&mut polled, Some(&NOW)), Ok(0) | Err(Errno::INTR)))
    }

    fn receive(&self) -> Result<Reply> {
        match self.channel.receive() {
            Ok(Some(message)) => {
                Reply::from_bytes(&message.bytes).map_err(|malformed| self.gone(malformed.to_string()))
            }
            Ok(None) => Err(self.gone("went away")),
            Err(error) => Err(self.gone(error.to_string())),
        }
    }

    /// Waits until it tells something of its own accord, for this long at most.
    ///
    /// # Errors
    /// As [`Zoneadmd::drain`].
    pub fn wait_event(&mut self, timeout: Duration) -> Result<()> {
        if self.events.is_empty() && self.wait(timeout)? { self.drain() } else { Ok(()) }
    }

    /// What it told of its own accord so far, without waiting.
    ///
    /// # Errors
    /// [`Error::Zoneadmd`] when it went away; what it told before is still returned by the next call of
    /// [`Zoneadmd::take_events`].
    pub fn drain(&mut self) -> Result<()> {
        while self.wait(Duration::ZERO)? {
            match self.receive()? {
                Reply::Happened(event) => self.events.push_back(event),
                other => tracing::debug!("zone {}: zoneadmd said {other:?}, which nobody waits for", self.zone),
            }
        }
        Ok(())
    }

    /// Events that came in between; they are the caller's now.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Mounts that it detached by force; they are the caller's to tell of now.
    pub fn take_detached(&mut self) -> Vec<String> {
        std::mem::take(&mut self.detached)
    }

    /// Waits for a zoneadmd that says it ends, so that it is gone when this returns. One that was started by somebody
    /// else is seen to close its end.
    pub fn wait_end(mut self) {
        if !self.child.wait() {
            while self.wait(PATIENCE).unwrap_or(false) && self.receive().is_ok() {}
        }
    }
}

/// Ends a zoneadmd that does not answer, or has no zone to serve. That it is one is seen by the cgroup that it is in.
pub fn end_unreachable(zone: &str, pid: i32, cgroup: &Cgroup) -> Result<()> {
    let Some(process) = Pid::from_raw(pid) else { return Ok(()) };
    let pidfd = match rustix::process::pidfd_open(process, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened.at("pidfd_open", pid.to_string())?,
    };
    // Looked at after the descriptor was opened: it is this process and no later one of the same number.
    let listed = cgroup.read("cgroup.procs")?;
    if !listed.lines().any(|line| line.trim() == pid.to_string()) {
        return Ok(());
    }
    tracing::warn!("zone {zone}: its zoneadmd (process {pid}) has nothing to serve or cannot be reached, and is ended");
    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    let limit = Timespec::try_from(PATIENCE).ok();
    rustix::event::poll(&mut polled, limit.as_ref()).at("poll", "zoneadmd")?;
    Ok(())
}
