//! The zone as its zoneadmd knows it: the channel to zsched, init's descriptor, the console, the cgroups. All of it can
//! be had again from zsched and the kernel, which is what adopting a zone does.

use crate::console::ConsoleLog;
use crate::environment::Environment;
use crate::logins::Logins;
use crate::steps::{self, Teller};
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::{Channel, Message};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::traces;
use reeve_kernel::platform::network;
use reeve_kernel::sys;
use reeve_kernel::wire::{Adoption, EndOfInit, Snapshot, Traces, ZschedReply, ZschedRequest};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long processes that were killed may take to be gone before the halt is called stuck.
pub const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// The same where that did not do before: whoever asks again waits for the event that something changed.
pub const AGAIN_WITHIN: Duration = Duration::from_millis(200);

/// How long zsched may take for an answer. It may hang in the kernel on a file system that a server outside serves; then
/// zoneadmd must go on answering.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// How long a zsched that closed its channel may take to be gone, before it is taken to live on.
const ENDING_WITHIN: Duration = Duration::from_secs(1);

/// A process of the zone: its ID on the host and the descriptor that names it for good.
#[derive(Debug)]
pub struct Process {
    /// Process ID in the global zone.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

impl Process {
    /// Reads the process ID from what the kernel says of the descriptor.
    pub fn from_pidfd(pidfd: OwnedFd) -> Result<Self> {
        use std::os::fd::AsRawFd;
        if let Ok(pid) = sys::pidfd_pid(pidfd.as_fd()) {
            return Ok(Self { pid, pidfd });
        }
        // Before Linux 6.13.
        let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let text = std::fs::read_to_string(&path).at("read", &path)?;
        let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")).and_then(|pid| pid.trim().parse().ok());
        let pid = pid.ok_or_else(|| Error::new("read", &path, "no Pid in it"))?;
        Ok(Self { pid, pidfd })
    }
}

/// zsched, and the channel to it.
#[derive(Debug)]
pub struct Zsched {
    pub process: Process,
    pub channel: Channel,
    /// Answers that it still owes: it was not waited for any longer.
    pub owed: u32,
}

impl Zsched {
    /// Waits for its next message. None when its end is closed.
    fn receive(&self, teller: Option<&Teller>, deadline: Instant) -> Result<Option<Message>> {
        let mut polled = [rustix::event::PollFd::new(&self.channel, rustix::event::PollFlags::IN)];
        match steps::poll(teller, &mut polled, deadline).at("poll", "zsched")? {
            0 => Err(self.silent()),
            _ => self.channel.receive(),
        }
    }

    /// That it does not answer.
    pub fn silent(&self) -> Error {
        Error::os("zsched", format!("pid {}", self.process.pid), rustix::io::Errno::TIMEDOUT)
    }
}

/// One zone.
#[derive(Debug)]
pub struct Supervisor {
    pub adoption: Adoption,
    pub cgroup: PathBuf,
    /// Names of the host ends of its links.
    pub links: Vec<String>,
    pub zsched: Option<Zsched>,
    pub environment: Option<Environment>,
    /// Number of the last environment that was started.
    pub last_number: u32,
    /// How the last one ended, and when, in milliseconds since 1970.
    pub last_end: Option<(EndOfInit, u64)>,
    pub console: Option<ConsoleLog>,
    pub logins: Logins,
    /// The cgroup of the next environment, with its number: made while nobody waits for it, and zsched has been told of it.
    pub next: Option<(u32, Cgroup)>,
    /// The same of the one that zsched was told to start when init has ended.
    pub handed_over: Option<(u32, Cgroup)>,
    /// How long the last restart waited for the end of the old init, in microseconds.
    pub stopped_in: u32,
    /// First host ID of the zone's range, once zsched has said it.
    pub id_base: Option<u32>,
    /// Cgroups of environments that ended and are still to be removed, which no request waits for.
    pub spent: Vec<Cgroup>,
    /// Ends of init that nobody has been told yet.
    pub untold: Vec<(u32, EndOfInit)>,
    /// A halt has begun: nothing is started in the zone any more.
    pub halting: bool,
    /// A halt was tried and could not finish.
    pub stuck: bool,
    /// What tells at the end of a halt whether all of the zone is gone.
    pub traces: Traces,
    /// Who tells of the request that is carried out.
    pub teller: Option<Rc<Teller>>,
}

impl Supervisor {
    /// Knows where the zone is, and of nothing in it.
    pub fn new(adoption: Adoption) -> Self {
        let cgroup = PathBuf::from(&adoption.cgroup);
        Self {
            adoption,
            cgroup,
            links: Vec::new(),
            zsched: None,
            environment: None,
            last_number: 0,
            last_end: None,
            console: None,
            logins: Logins::default(),
            next: None,
            handed_over: None,
            stopped_in: 0,
            id_base: None,
            spent: Vec::new(),
            untold: Vec::new(),
            halting: false,
            stuck: false,
            traces: Traces::none(String::new()),
            teller: None,
        }
    }

    /// Takes over what is there: a zsched that answers, with its init and console, or the remains of one.
    pub fn adopt(adoption: Adoption) -> Result<Self> {
        let mut zone = Self::new(adoption);
        zone.halting = zone.adoption.halting;
        zone.links = network::host_ends(&mut Rtnl::open()?, &zone.adoption.alias)?;
        for (number, leaf) in zone.leaves("login.") {
            zone.logins.seen(number);
            // Whoever was logged in spoke to a zoneadmd that is gone; an empty leaf is what it left.
            let _ = leaf.remove();
        }
        if let Ok(channel) = Channel::connect(zone.run_folder(), "zsched.sock")
            && let Err(error) = zone.meet(channel)
        {
            if zone.zsched.is_none() {
                return Err(error);
            }
            // It may be about to end: then what it leaves is taken over.
            zone.lost_zsched()?;
        }
        Ok(zone)
    }

    /// Takes up with the zsched that this channel leads to.
    fn meet(&mut self, channel: Channel) -> Result<()> {
        let pid = channel.peer_pid()?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or_else(|| Error::new("connect", "zsched.sock", "no peer"))?;
        let flags = rustix::process::PidfdFlags::empty();
        let pidfd = rustix::process::pidfd_open(pid, flags).at("pidfd_open", "zsched")?;
        self.zsched = Some(Zsched { process: Process { pid: pid.as_raw_nonzero().get(), pidfd }, channel, owed: 0 });
        self.greet()
    }

    /// What to do when zsched closed the channel: as a rule it ends, and is reaped here if it is a child. One that lives
    /// on has only given this channel up, because a message could not be read from it, and is met again. True when there
    /// is a zsched afterwards.
    ///
    /// # Errors
    /// When it lives and cannot be met.
    pub fn lost_zsched(&mut self) -> Result<bool> {
        let Some(zsched) = self.zsched.take() else { return Ok(false) };
        let mut poll = [rustix::event::PollFd::new(&zsched.process.pidfd, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(ENDING_WITHIN).ok();
        if rustix::event::poll(&mut poll, limit.as_ref()).at("poll", "zsched")? > 0 {
            // Its channel closes before it can be waited for; an adopted one is not this process's to reap.
            let id = rustix::process::WaitId::PidFd(zsched.process.pidfd.as_fd());
            let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
            return Ok(false);
        }
        drop(zsched);
        let channel = Channel::connect(self.run_folder(), "zsched.sock")?;
        self.environment = None;
        self.meet(channel)?;
        Ok(true)
    }

    /// Learns from zsched what runs, and takes the console.
    pub fn greet(&mut self) -> Result<()> {
        let here = self.ask(&ZschedRequest::Hello, &[])?;
        self.take_up(here)
    }

    /// Takes in the answer to Hello.
    pub fn take_up(&mut self, (reply, fds): (ZschedReply, Vec<OwnedFd>)) -> Result<()> {
        let ZschedReply::Here(held) = reply else { return Err(unexpected("Hello", &reply)) };
        (self.last_end, self.last_number, self.id_base) = (held.last_end, held.environment, Some(held.id_base));
        let mut fds = fds.into_iter();
        if fds.len() > usize::from(held.init)
            && let Some(master) = fds.next()
        {
            self.console = Some(ConsoleLog::open(master, self.run_folder())?);
        }
        if let (true, Some(pidfd)) = (held.init, fds.next()) {
            let (number, init) = (self.last_number, Process::from_pidfd(pidfd)?);
            let cgroup = Cgroup::open(&self.leaf_path("env.", number))?;
            self.environment = Some(Environment { number, cgroup, init });
        }
        // zsched has given up the one that it had made ahead.
        (self.next, self.handed_over) = (None, None);
        for (number, leaf) in self.leaves("env.") {
            if self.environment.as_ref().is_none_or(|environment| environment.number != number) {
                self.spent.push(leaf);
            }
        }
        Ok(())
    }

    /// Who tells of the request that is carried out, if any is.
    pub fn teller(&self) -> Option<&Teller> {
        self.teller.as_deref()
    }

    /// The zone's run folder.
    pub fn run_folder(&self) -> &Path {
        Path::new(&self.adoption.run_folder)
    }

    /// Path of a numbered leaf of the zone's cgroup.
    pub fn leaf_path(&self, prefix: &str, number: u32) -> PathBuf {
        self.cgroup.join(format!("{prefix}{number}"))
    }

    /// The numbered leaves of the zone's cgroup that are there.
    pub fn leaves(&self, prefix: &str) -> Vec<(u32, Cgroup)> {
        let names = Cgroup::open(&self.cgroup).and_then(|cgroup| cgroup.children()).unwrap_or_default();
        let numbers = names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok());
        numbers.filter_map(|number| Some((number, Cgroup::open(&self.leaf_path(prefix, number)).ok()?))).collect()
    }

    /// Whether nothing of the zone is in the kernel any more.
    pub fn is_gone(&self) -> bool {
        self.zsched.is_none() && !self.cgroup.exists() && traces::left(&self.traces).is_none()
    }

    /// What the controller is told.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            zsched: self.zsched.as_ref().map_or(0, |zsched| zsched.process.pid),
            init: self.environment.as_ref().map_or(0, |environment| environment.init.pid),
            environment: self.last_number,
            last_end: self.last_end.clone(),
        }
    }

    /// Asks zsched and waits for its answer; what it tells in between is noted.
    ///
    /// # Errors
    /// ETIMEDOUT of `zsched` when it does not answer; what it says; that it is gone.
    pub fn ask(&mut self, request: &ZschedRequest, fds: &[BorrowedFd<'_>]) -> Result<(ZschedReply, Vec<OwnedFd>)> {
        let gone = || Error::new("ask", format!("{request:?}"), "zsched is gone");
        while self.zsched.as_ref().is_some_and(|zsched| zsched.owed > 0) {
            self.answer(Instant::now() + AGAIN_WITHIN)?.ok_or_else(gone)?;
        }
        self.send(request, fds)?;
        self.answered()
    }

    /// Asks for things that are done one after the other, in this order. Each is to be waited for by [`Supervisor::answered`]; those
    /// behind one that failed are tried all the same.
    ///
    /// # Errors
    /// That zsched is gone.
    pub fn send_all(&mut self, requests: &[ZschedRequest]) -> Result<()> {
        requests.iter().try_for_each(|request| self.send(request, &[]))
    }

    fn send(&mut self, request: &ZschedRequest, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let gone = || Error::new("ask", format!("{request:?}"), "zsched is gone");
        let zsched = self.zsched.as_mut().ok_or_else(gone)?;
        zsched.channel.send(&request.to_bytes(), fds)?;
        zsched.owed += 1;
        Ok(())
    }

    /// Waits for the answer to the first of what was asked and is not answered yet.
    ///
    /// # Errors
    /// As those of [`Supervisor::ask`].
    pub fn answered(&mut self) -> Result<(ZschedReply, Vec<OwnedFd>)> {
        match self.answer(Instant::now() + ANSWERS_WITHIN)? {
            Some((ZschedReply::Failed(call, args, errno, reason), _)) => Err(as_error(&call, &args, errno, &reason)),
            Some(answer) => Ok(answer),
            None => Err(Error::new("ask", "zsched", "it is gone")),
        }
    }

    /// The next answer, which settles what zsched owes; none when it is gone.
    fn answer(&mut self, deadline: Instant) -> Result<Option<(ZschedReply, Vec<OwnedFd>)>> {
        loop {
            let Some(zsched) = &self.zsched else { return Ok(None) };
            let Some(message) = zsched.receive(self.teller.as_deref(), deadline)? else { return Ok(None) };
            let reply = ZschedReply::from_bytes(&message.bytes).map_err(|malformed| {
                // One that cannot be read is one all the same.
                self.settle();
                Error::new("receive", "zsched", malformed.to_string())
            })?;
            if let Some(answer) = self.note(reply, message.fds) {
                return Ok(Some(answer));
            }
        }
    }

    /// Notes what zsched tells of its own accord. Anything else is an answer, which settles what it owes.
    fn note(&mut self, reply: ZschedReply, fds: Vec<OwnedFd>) -> Option<(ZschedReply, Vec<OwnedFd>)> {
        match reply {
            ZschedReply::InitEnded(end) => self.init_ended(end),
            ZschedReply::Restarted(end, micros) => self.restarted(end, micros, fds),
            ZschedReply::LoginEnded(number, end) => self.logins.ended(number, end),
            ZschedReply::NextEnded(number) => self.next_ended(number),
            reply => {
                self.settle();
                return Some((reply, fds));
            }
        }
        None
    }

    /// An answer came.
    fn settle(&mut self) {
        if let Some(zsched) = &mut self.zsched {
            zsched.owed = zsched.owed.saturating_sub(1);
        }
    }

    /// Asks for something that is answered with Done.
    pub fn order(&mut self, request: &ZschedRequest) -> Result<()> {
        is_done(&self.ask(request, &[])?.0)
    }

    /// Waits for the answer to something that is answered with Done.
    pub fn done(&mut self) -> Result<()> {
        is_done(&self.answered()?.0)
    }

    /// Notes what zsched told while it was not asked. False when it is gone.
    pub fn hear(&mut self, message: Option<Message>) -> bool {
        let Some(message) = message else { return false };
        // An answer that nobody waits for any more is dropped. One that cannot be read is one as well.
        let reply = ZschedReply::from_bytes(&message.bytes).unwrap_or(ZschedReply::Done);
        drop(self.note(reply, message.fds));
        true
    }

    /// Removes the cgroups of ended environments. One that is not empty yet is left for the next time.
    pub fn clear_spent(&mut self) {
        self.spent.retain(|cgroup| cgroup.remove().is_err());
    }

    /// Refuses to start anything in a zone whose halt has begun (seed [0060], [0084]).
    ///
    /// # Errors
    /// That it has.
    pub fn may_start(&self, what: &str) -> Result<()> {
        if self.halting {
            let help = "is being halted, and nothing can be started in it; only halt is possible";
            return Err(Error::new(what, &self.adoption.zone, help));
        }
        Ok(())
    }

    /// How long what was killed may take to be gone.
    pub fn killed_within(&self) -> Duration {
        if self.stuck { AGAIN_WITHIN } else { KILLED_WITHIN }
    }
}

fn is_done(reply: &ZschedReply) -> Result<()> {
    match reply {
        ZschedReply::Done => Ok(()),
        reply => Err(unexpected("order", reply)),
    }
}

/// An error that zsched sent.
pub fn as_error(call: &str, args: &str, errno: i32, reason: &str) -> Error {
    match errno {
        0 => Error::new(call, args, reason),
        errno => Error::os(call, args, rustix::io::Errno::from_raw_os_error(errno)),
    }
}

pub fn unexpected(asked: &str, reply: &ZschedReply) -> Error {
    Error::new("ask", asked, format!("zsched answered {reply:?}"))
}
