//! zsched: the process that holds a zone (seed [0045], [0058], [0065]). It is process 1 of the zone's outer PID
//! namespace and has joined the zone's network, UTS and IPC namespaces; its mount namespace is where the zone's tree is
//! built. It starts what runs in the zone, waits for it and says how it ended. When it ends, all of the zone ends.
//!
//! It executes nothing, reads nothing the zone wrote, and listens on a socket that only the global zone can reach, so
//! that a new zoneadmd finds it.

mod environments;

use environments::{After, Next};
use reeve_kernel::application::now;
use reeve_kernel::application::waiting::Used;
use reeve_kernel::application::{privileges, reboot};
use reeve_kernel::channel::{Channel, Message};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::mount;
use reeve_kernel::platform::devices::{self, Console};
use reeve_kernel::platform::file_systems::FileSystems;
use reeve_kernel::platform::namespaces::Namespaces;
use reeve_kernel::platform::network;
use reeve_kernel::sys::{self, Child};
use reeve_kernel::wire::{EndOfInit, Held, PlatformSpec, ZschedReply, ZschedRequest};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{WaitOptions, WaitStatus};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Capabilities over the host that zsched keeps: CHOWN, DAC_OVERRIDE, FOWNER, SYS_ADMIN, MKNOD. Over the zone's own
/// namespaces it has all, as their owner (user_namespaces(7)).
const KEPT: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 21 | 1 << 27;

/// How long nothing is asked, and nothing ends, before what nobody waits for is done. What processes of the zone do does not count:
/// they could keep it from ever being done.
const QUIET: Duration = Duration::from_millis(5);

/// What zsched is started with.
pub struct Start<'a> {
    /// The zone.
    pub spec: &'a PlatformSpec,
    /// Its namespaces.
    pub namespaces: &'a Namespaces,
    /// Reeve's own program.
    pub program: BorrowedFd<'a>,
    /// The channel to the zoneadmd that forked it.
    pub peer: Channel,
    /// The socket on which the next zoneadmd will find it.
    pub listener: &'a Channel,
}

struct Zsched<'a> {
    spec: &'a PlatformSpec,
    user_ns: BorrowedFd<'a>,
    program: BorrowedFd<'a>,
    outer: OwnedFd,
    /// The mount table of zsched's own namespace, to hear that something changed in it.
    mount_table: OwnedFd,
    file_systems: Option<FileSystems>,
    console: Option<Console>,
    /// The next application environment.
    next: Option<Next<'a>>,
    /// When it will have been quiet for long enough; none when there is nothing left to do then.
    rest_at: Option<Instant>,
    /// What is started when init has ended: number, what, the cgroup, and since when that is known.
    after: Option<After>,
    init: Option<Child>,
    /// The mount namespace of the application environment.
    mounts: Option<OwnedFd>,
    /// Mount namespaces of environments that have ended. The end of one waits for every processor of the host, so that it
    /// is put off until nobody waits for an answer.
    spent: Vec<OwnedFd>,
    /// The same of what processes left that have been started.
    used: Vec<Used<'a>>,
    /// Number of the last application environment; 0 before the first.
    environment: u32,
    logins: BTreeMap<i32, u32>,
    /// How the last one ended, and when, in milliseconds since 1970.
    last_end: Option<(EndOfInit, u64)>,
    /// Where reboot(2) of the zone's processes is heard.
    listeners: Vec<OwnedFd>,
    /// What a process inside asked for by reboot(2), until init is gone.
    asked_inside: Option<EndOfInit>,
    peer: Option<Channel>,
    established: bool,
    /// An answer could not be sent: whoever waits for it has to hear that the channel is closed.
    unheard: Cell<bool>,
}

/// Runs in the child that zoneadmd forked; ends with the platform.
pub fn run(start: Start<'_>) -> ! {
    let listener = start.listener;
    let status = match prepare(start).and_then(|mut zsched| zsched.serve(listener)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("zsched: {error}");
            1
        }
    };
    sys::exit_now(status)
}

fn prepare(start: Start<'_>) -> Result<Zsched<'_>> {
    let user_ns = start.namespaces.user().as_fd();
    start.namespaces.join()?;
    sys::close_except(&[start.peer.as_fd(), start.listener.as_fd(), start.program, user_ns]);
    sys::set_title(&["zsched", &start.spec.zone]);
    mount::mark_with(&start.spec.mark());
    start.listener.listen()?;
    network::without_ipv6(start.spec)?;
    rustix::system::sethostname(start.spec.hostname.as_bytes()).at("sethostname", &start.spec.hostname)?;
    let (outer, mount_table) = (open_own("ns/pid")?, open_own("mountinfo")?);
    sys::set_capabilities(KEPT)?;
    Ok(Zsched {
        spec: start.spec,
        user_ns,
        program: start.program,
        outer,
        mount_table,
        file_systems: None,
        console: None,
        next: None,
        rest_at: None,
        after: None,
        init: None,
        mounts: None,
        spent: Vec::new(),
        used: Vec::new(),
        environment: 0,
        logins: BTreeMap::new(),
        last_end: None,
        listeners: Vec::new(),
        asked_inside: None,
        peer: Some(start.peer),
        established: false,
        unheard: Cell::new(false),
    })
}

fn open_own(file: &str) -> Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/self/{file}"), flags, rustix::fs::Mode::empty()).at("open", file)
}

impl<'a> Zsched<'a> {
    fn serve(&mut self, listener: &Channel) -> Result<()> {
        let children = sys::signalfd(&[libc::SIGCHLD])?;
        loop {
            let mut heard = Vec::new();
            let (asked, arrived, ended, remounted);
            {
                let mut polled = vec![PollFd::new(listener, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
                polled.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
                polled.extend(self.peer.as_ref().map(|peer| PollFd::new(peer, PollFlags::IN)));
                let at_table = polled.len();
                polled.extend(self.waiting().map(|_| PollFd::new(&self.mount_table, PollFlags::PRI)));
                let left = self.rest_at.map(|at| at.saturating_duration_since(Instant::now()));
                let left = left.and_then(|left| Timespec::try_from(left).ok());
                match rustix::event::poll(&mut polled, left.as_ref()) {
                    Err(rustix::io::Errno::INTR) => continue,
                    polled => drop(polled.at("poll", "zsched")?),
                }
                let after = 2 + self.listeners.len();
                arrived = !polled[0].revents().is_empty();
                let woke = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
                ended = woke(1);
                asked = self.peer.is_some() && woke(after);
                remounted = woke(at_table);
                heard.extend(polled[2..after].iter().map(PollFd::revents));
            }
            if self.rest_at.is_some_and(|at| at <= Instant::now()) {
                self.rest_at = None;
                self.rest();
            }
            self.hear(&heard);
            if ended {
                while sys::read_signal(children.as_fd()).is_some() {}
                self.reap();
            }
            if remounted {
                self.drop_waiting();
                self.rest_soon();
            }
            if asked && !self.answer()? {
                return Ok(());
            }
            if self.unheard.take() {
                if !self.established {
                    return Ok(());
                }
                self.peer_is_gone();
            }
            if arrived && let Ok(peer) = listener.accept() {
                // What the one before asked for is not this one's.
                (self.peer, self.after) = (Some(peer), None);
            }
        }
    }

    /// What it asked for and did not live to hear of is for the next zoneadmd to say.
    fn peer_is_gone(&mut self) {
        (self.peer, self.after) = (None, None);
    }

    fn rest_soon(&mut self) {
        self.rest_at = Some(Instant::now() + QUIET);
    }

    /// Does what nobody should have to wait for: what is spent goes, and what is missing of the next environment is made.
    fn rest(&mut self) {
        if let (Some(init), None) = (&self.init, &self.mounts) {
            // Not to be had before Linux 6.11: then the end of init waits for that of its mounts.
            self.mounts = sys::pidfd_mount_namespace(init.pidfd.as_fd()).ok();
        }
        self.make_next();
        if let Some(waiting) = self.next.as_mut().and_then(|next| next.waiting.as_mut()) {
            waiting.end_scaffold();
        }
        self.clear_spent();
    }

    fn clear_spent(&mut self) {
        self.spent.clear();
        self.used.clear();
    }

    /// Hears reboot(2) of the zone's processes, and forgets the listeners that have nobody left.
    fn hear(&mut self, heard: &[PollFlags]) {
        for (index, flags) in heard.iter().enumerate().rev() {
            if flags.contains(PollFlags::HUP) {
                drop(self.listeners.swap_remove(index));
            } else if flags.contains(PollFlags::IN)
                && let Ok(Some(end)) = reboot::hear(self.listeners[index].as_fd(), self.init.is_some())
                && let Some(init) = &self.init
            {
                self.asked_inside = Some(end);
                let _ = sys::pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL);
            }
        }
    }

    /// Answers one request; false when it was the last.
    fn answer(&mut self) -> Result<bool> {
        self.rest_soon();
        let Some(peer) = &self.peer else { return Ok(true) };
        match peer.receive() {
            Ok(Some(message)) => match ZschedRequest::from_bytes(&message.bytes) {
                Ok(ZschedRequest::Exit) => return Ok(false),
                Ok(request) => self.handle(request, message),
                Err(malformed) => self.fail(&Error::new("receive", "zoneadmd", malformed.to_string())),
            },
            // zoneadmd is gone. A platform that does not stand yet goes with it, nothing else would take it down.
            Ok(None) | Err(_) if !self.established => return Ok(false),
            Ok(None) | Err(_) => self.peer_is_gone(),
        }
        Ok(true)
    }

    fn handle(&mut self, request: ZschedRequest, message: Message) {
        let done = match request {
            ZschedRequest::FileSystems => FileSystems::build(self.spec, self.user_ns).map(|built| {
                self.file_systems = Some(built);
            }),
            ZschedRequest::Network => network::configure(self.spec),
            ZschedRequest::Devices => devices::create(self.spec.id_base, self.spec.tmpfs_bytes).map(|console| {
                self.console = Some(console);
            }),
            ZschedRequest::Established => privileges::prepare().map(|()| {
                self.established = true;
                sys::set_undumpable();
                sys::trim_memory();
            }),
            ZschedRequest::Next(number) => return self.take_next(number, message.fds),
            ZschedRequest::BootAfter(number, init) => return self.boot_after(number, init, message.fds),
            ZschedRequest::Forget => {
                self.after = None;
                Ok(())
            }
            ZschedRequest::Boot(number, init) => return self.boot(number, &init, &message.fds),
            ZschedRequest::Login(number, login) => return self.login(number, &login, &message.fds),
            ZschedRequest::Hello => return self.hello(),
            ZschedRequest::UnconfigureDevices => {
                self.clear_spent();
                (self.next, self.after) = (None, None);
                self.console = None;
                // Where the file systems could not be built, what is at /dev is a copy of the host's.
                self.file_systems.as_ref().map_or(Ok(()), |_| devices::remove())
            }
            ZschedRequest::Unplumb => network::unplumb(),
            ZschedRequest::Unmount(detach) => return self.unmount(detach),
            ZschedRequest::Exit => Ok(()),
        };
        match done {
            Ok(()) => self.tell(&ZschedReply::Done, &[]),
            Err(error) => self.fail(&error),
        }
    }

    fn unmount(&mut self, detach: bool) {
        match self.file_systems.as_mut().map_or(Ok(Vec::new()), |built| built.unmount(detach)) {
            Ok(detached) => self.tell(&ZschedReply::Unmounted(detached), &[]),
            Err(error) => self.fail(&error),
        }
    }

    fn tell(&self, reply: &ZschedReply, fds: &[BorrowedFd<'_>]) {
        // Nobody there to hear it: the next zoneadmd asks with Hello.
        if let Some(peer) = &self.peer {
            let heard = peer.send(&reply.to_bytes(), fds).is_ok();
            self.unheard.set(self.unheard.get() || !heard);
        }
    }

    fn fail(&self, error: &Error) {
        let errno = error.errno().map_or(0, |errno| errno.raw_os_error());
        let reply = ZschedReply::Failed(error.call().into(), error.args().into(), errno, error.reason());
        self.tell(&reply, &[]);
    }

    fn hello(&mut self) {
        // Whoever asks does not know of them yet.
        (self.next, self.after) = (None, None);
        let reply = ZschedReply::Here(Held {
            init: self.init.is_some(),
            environment: self.environment,
            last_end: self.last_end.clone(),
            id_base: self.spec.id_base,
        });
        let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
        fds.extend(self.console.as_ref().map(|console| console.master.as_fd()));
        fds.extend(self.init.as_ref().map(|init| init.pidfd.as_fd()));
        self.tell(&reply, &fds);
    }

    /// Waits for whatever has ended. Only here is known how an init ended: to everybody else a reboot inside is a SIGKILL.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(ended)) => ended,
                Ok(None) | Err(rustix::io::Errno::CHILD) => return,
                // An end that is not heard of now is not told again. Nothing else lasts (wait(2)).
                Err(_) => continue,
            };
            self.rest_soon();
            let pid = pid.as_raw_nonzero().get();
            if self.waiting().is_some_and(|waiting| waiting.pid() == pid) {
                self.next_ended();
                continue;
            }
            if self.init.as_ref().is_some_and(|init| init.pid == pid) {
                self.init = None;
                let end = self.asked_inside.take().unwrap_or_else(|| end_of(status));
                self.last_end = Some((end.clone(), now()));
                self.spent.extend(self.mounts.take());
                self.tell_end(end);
            } else if let Some(number) = self.logins.remove(&pid) {
                self.tell(&ZschedReply::LoginEnded(number, end_of(status)), &[]);
            }
        }
    }
}

fn end_of(status: WaitStatus) -> EndOfInit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => EndOfInit::Exited(code),
        (None, Some(signal)) => EndOfInit::Signaled(signal),
        (None, None) => EndOfInit::Exited(0),
    }
}
