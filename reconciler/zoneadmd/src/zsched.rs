//! zsched: the process that holds a zone (seed [0045], [0058], [0065]). It is process 1 of the zone's outer PID
//! namespace and has joined the zone's network, UTS and IPC namespaces; its mount namespace is where the zone's tree is
//! built. It starts what runs in the zone, waits for it and says how it ended. When it ends, all of the zone ends.
//!
//! It executes nothing, reads nothing the zone wrote, and listens on a socket that only the global zone can reach, so
//! that a new zoneadmd finds it.

use reeve_kernel::application::environment::{self, Command, Cradle, Executable, Platform, Prepared, Started, Streams};
use reeve_kernel::application::{login, privileges, reboot};
use reeve_kernel::channel::{Channel, Message};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::mount;
use reeve_kernel::platform::devices::{self, Console};
use reeve_kernel::platform::file_systems::FileSystems;
use reeve_kernel::platform::namespaces::Namespaces;
use reeve_kernel::platform::network;
use reeve_kernel::sys::{self, CStrings, Child};
use reeve_kernel::wire::{EndOfInit, Held, InitSpec, LoginSpec, PlatformSpec, Program, ZschedReply, ZschedRequest};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{WaitOptions, WaitStatus};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;

/// Capabilities over the host that zsched keeps: CHOWN, DAC_OVERRIDE, FOWNER, SYS_ADMIN, MKNOD. Over the zone's own
/// namespaces it has all, as their owner (user_namespaces(7)).
const KEPT: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 21 | 1 << 27;

/// How long nothing is asked before what is spent is given back.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

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
    cradle: Cradle,
    file_systems: Option<FileSystems>,
    console: Option<Console>,
    /// For the next environment, when one is said to be about to be asked for.
    prepared: Option<Prepared>,
    /// Nothing is left to be done while it is quiet.
    rested: bool,
    init: Option<Child>,
    /// The mount namespace of the application environment.
    mounts: Option<OwnedFd>,
    /// Mount namespaces that nobody lives in any more. The end of one waits for every processor of the host, so that it
    /// is put off until nobody waits for an answer.
    spent: Vec<OwnedFd>,
    /// Number of the last application environment; 0 before the first.
    environment: u32,
    logins: BTreeMap<i32, u32>,
    last_end: Option<EndOfInit>,
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
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let outer = rustix::fs::open("/proc/self/ns/pid", flags, rustix::fs::Mode::empty()).at("open", "ns/pid")?;
    sys::set_capabilities(KEPT)?;
    Ok(Zsched {
        spec: start.spec,
        user_ns,
        program: start.program,
        outer,
        cradle: Cradle::new()?,
        file_systems: None,
        console: None,
        prepared: None,
        rested: true,
        init: None,
        mounts: None,
        spent: Vec::new(),
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

impl Zsched<'_> {
    fn serve(&mut self, listener: &Channel) -> Result<()> {
        let children = sys::signalfd(&[libc::SIGCHLD])?;
        loop {
            let mut heard = Vec::new();
            let (quiet, asked, arrived);
            {
                let mut polled = vec![PollFd::new(listener, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
                polled.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
                polled.extend(self.peer.as_ref().map(|peer| PollFd::new(peer, PollFlags::IN)));
                quiet = match rustix::event::poll(&mut polled, (!self.rested).then_some(&QUIET)) {
                    Err(rustix::io::Errno::INTR) => continue,
                    polled => polled.at("poll", "zsched")? == 0,
                };
                let after = 2 + self.listeners.len();
                arrived = !polled[0].revents().is_empty();
                asked = polled.get(after).is_some_and(|peer| !peer.revents().is_empty());
                heard.extend(polled[2..after].iter().map(PollFd::revents));
            }
            self.rested = quiet;
            if quiet {
                self.rest();
            }
            self.hear(&heard);
            while sys::read_signal(children.as_fd()).is_some() {}
            self.reap();
            if asked && !self.answer()? {
                return Ok(());
            }
            if self.unheard.take() {
                if !self.established {
                    return Ok(());
                }
                self.peer = None;
            }
            if arrived && let Ok(peer) = listener.accept() {
                self.peer = Some(peer);
            }
        }
    }

    /// Does what nobody should have to wait for: what is spent goes, and so does what was made for a boot that did not come. A file
    /// system that nobody has mounted would look like one that a zone left behind, to whoever halts one that had its number before.
    fn rest(&mut self) {
        self.spent.clear();
        self.prepared = None;
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
        let Some(peer) = &self.peer else { return Ok(true) };
        match peer.receive() {
            Ok(Some(message)) => match ZschedRequest::from_bytes(&message.bytes) {
                Ok(ZschedRequest::Exit) => return Ok(false),
                Ok(request) => self.handle(request, message),
                Err(malformed) => self.fail(&Error::new("receive", "zoneadmd", malformed.to_string())),
            },
            // zoneadmd is gone. A platform that does not stand yet goes with it, nothing else would take it down.
            Ok(None) | Err(_) if !self.established => return Ok(false),
            Ok(None) | Err(_) => self.peer = None,
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
            ZschedRequest::Prepare => return self.prepare_boot(),
            ZschedRequest::Boot(number, init) => return self.boot(number, &init, &message.fds),
            ZschedRequest::Login(number, login) => return self.login(number, &login, &message.fds),
            ZschedRequest::Hello => return self.hello(),
            ZschedRequest::UnconfigureDevices => {
                self.spent.clear();
                self.prepared = None;
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

    fn hello(&self) {
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

    /// What cannot be made now is made when it is asked for, and then it is told why not.
    fn prepare_boot(&mut self) {
        if self.established && self.prepared.is_none() {
            self.prepared = Prepared::make(platform(self.spec, self.user_ns, self.program)).ok();
        }
    }

    fn boot(&mut self, number: u32, init: &InitSpec, fds: &[OwnedFd]) {
        match self.start_init(init, fds) {
            Ok(Started { child, listener, scaffold }) => {
                self.tell(&ZschedReply::Started, &[child.pidfd.as_fd()]);
                // Not to be had before Linux 6.11: then the end of init waits for that of its mounts.
                self.mounts = sys::pidfd_mount_namespace(child.pidfd.as_fd()).ok();
                self.init = Some(child);
                self.environment = number;
                self.listeners.push(listener);
                self.spent.extend(scaffold);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn start_init(&mut self, init: &InitSpec, fds: &[OwnedFd]) -> Result<Started> {
        let [cgroup] = fds else { return Err(Error::new("boot", "", "needs the descriptor of a cgroup")) };
        let Some(console) = &self.console else { return Err(Error::new("boot", "", "there is no console")) };
        if self.init.is_some() {
            return Err(Error::new("boot", "", "an init runs already"));
        }
        let command = match &init.program {
            Program::Command(argv) => below_own_init(argv, &init.environment.0),
            Program::Init(argv) => command(argv, &init.environment.0)?,
        };
        let slave = console.slave.as_fd();
        let streams = Streams { fds: [slave; 3], terminal: true };
        let platform = platform(self.spec, self.user_ns, self.program);
        let prepared = self.prepared.take().map_or_else(|| Prepared::make(platform), Ok)?;
        environment::start(&mut self.cradle, cgroup.as_fd(), platform, prepared, &command, streams)
    }

    fn login(&mut self, number: u32, login: &LoginSpec, fds: &[OwnedFd]) {
        match self.start_login(login, fds) {
            Ok((Started { child, listener, scaffold }, master)) => {
                self.listeners.push(listener);
                let mut sent = vec![child.pidfd.as_fd()];
                sent.extend(master.as_ref().map(AsFd::as_fd));
                self.tell(&ZschedReply::Started, &sent);
                self.logins.insert(child.pid, number);
                self.spent.extend(scaffold);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn start_login(&mut self, login: &LoginSpec, fds: &[OwnedFd]) -> Result<(Started, Option<OwnedFd>)> {
        let direct = command(&login.argv, &login.environment)?;
        let platform = platform(self.spec, self.user_ns, self.program);
        let terminal;
        let (master, streams) = match fds {
            [_, input, output, error] if !login.terminal => {
                (None, Streams { fds: [input.as_fd(), output.as_fd(), error.as_fd()], terminal: false })
            }
            [_] if login.terminal => {
                let (master, slave) = devices::login_terminal(self.spec.id_base)?;
                let (rows, columns) = login.size;
                let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                rustix::termios::tcsetwinsize(&master, size).at("TIOCSWINSZ", "login")?;
                terminal = slave;
                (Some(master), Streams { fds: [terminal.as_fd(); 3], terminal: true })
            }
            _ => return Err(Error::new("login", "", "needs a cgroup, and three streams or a terminal")),
        };
        let cgroup = fds[0].as_fd();
        let started = match &self.init {
            Some(init) => {
                let namespaces = (init.pidfd.as_fd(), self.outer.as_fd());
                login::start_beside_init(&mut self.cradle, cgroup, platform, namespaces, &direct, streams)?
            }
            None => {
                // The first process of a PID namespace is spared most signals, which no command expects.
                let zone = mount::open_folder(Path::new("/"))?;
                mount::exists_in(zone.as_fd(), &login.argv[0])?;
                let command = below_own_init(&login.argv, &login.environment);
                let prepared = Prepared::make(platform)?;
                environment::start(&mut self.cradle, cgroup, platform, prepared, &command, streams)?
            }
        };
        Ok((started, master))
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
            let pid = pid.as_raw_nonzero().get();
            if self.init.as_ref().is_some_and(|init| init.pid == pid) {
                self.init = None;
                let end = self.asked_inside.take().unwrap_or_else(|| end_of(status));
                self.last_end = Some(end.clone());
                self.tell(&ZschedReply::InitEnded(end), &[]);
                self.spent.extend(self.mounts.take());
            } else if let Some(number) = self.logins.remove(&pid) {
                self.tell(&ZschedReply::LoginEnded(number, end_of(status)), &[]);
            }
        }
    }
}

fn platform<'a>(spec: &PlatformSpec, user_ns: BorrowedFd<'a>, program: BorrowedFd<'a>) -> Platform<'a> {
    Platform { user_ns, id_base: spec.id_base, tmpfs_bytes: spec.tmpfs_bytes, program }
}

fn below_own_init(argv: &[String], environment: &[String]) -> Command {
    let words = std::iter::once("init").chain(argv.iter().map(String::as_str));
    Command { executable: Executable::Own, argv: CStrings::new(words), environment: CStrings::new(environment) }
}

fn command(argv: &[String], environment: &[String]) -> Result<Command> {
    let path = argv.first().and_then(|path| CString::new(path.as_str()).ok());
    let path = path.ok_or_else(|| Error::new("execve", "", "there is no command"))?;
    Ok(Command {
        executable: Executable::Path(path),
        argv: CStrings::new(argv),
        environment: CStrings::new(environment),
    })
}

fn end_of(status: WaitStatus) -> EndOfInit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => EndOfInit::Exited(code),
        (None, Some(signal)) => EndOfInit::Signaled(signal),
        (None, None) => EndOfInit::Exited(0),
    }
}
