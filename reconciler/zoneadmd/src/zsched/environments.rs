//! What zsched starts in the zone: the application environments, each of which is made before it is asked for, and logins.

use super::Zsched;
use crate::steps::{NOW, micros};
use reeve_kernel::application::environment::{self, Platform};
use reeve_kernel::application::login;
use reeve_kernel::application::waiting::{Command, Executable, Started, Streams, Waiting};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::mount;
use reeve_kernel::platform::devices;
use reeve_kernel::sys::CStrings;
use reeve_kernel::wire::{EndOfInit, InitSpec, LoginSpec, PlatformSpec, Program, ZschedReply};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ffi::CString;
use std::path::Path;
use std::time::Instant;

/// The application environment after this one: its number, its cgroup, and what waits in it to become its init.
pub(super) struct Next<'a> {
    pub(super) number: u32,
    cgroup: OwnedFd,
    pub(super) waiting: Option<Waiting<'a>>,
}

/// The environment that is started when init has ended.
pub(super) struct After {
    number: u32,
    init: InitSpec,
    fds: Vec<OwnedFd>,
    since: Instant,
}

impl<'a> Zsched<'a> {
    pub(super) fn take_next(&mut self, number: u32, fds: Vec<OwnedFd>) {
        self.next = None;
        self.next = fds.into_iter().next().map(|cgroup| Next { number, cgroup, waiting: None });
        // Where an init runs, whoever was told of it may still be at work.
        if self.init.is_none() {
            self.make_next();
        }
    }

    /// What cannot be made now is made when it is asked for, and then it is told why not.
    pub(super) fn make_next(&mut self) {
        let Some(Next { cgroup, waiting: None, .. }) = &self.next else { return };
        if self.established {
            // What changed up to now is in the copy of the mounts that it gets.
            self.is_remounted();
            match self.make_environment(cgroup.as_fd()) {
                Ok(made) => {
                    if let Some(next) = &mut self.next {
                        next.waiting = Some(made);
                    }
                }
                Err(error) if error.is_ended_early() => self.next_ended(),
                Err(_) => {}
            }
        }
    }

    /// Gives up what waits, or would: it was killed, and its cgroup may kill the next one as well.
    pub(super) fn next_ended(&mut self) {
        if let Some(next) = self.next.take() {
            self.tell(&ZschedReply::NextEnded(next.number), &[]);
        }
    }

    pub(super) fn waiting(&self) -> Option<&Waiting<'a>> {
        self.next.as_ref().and_then(|next| next.waiting.as_ref())
    }

    fn make_environment(&self, cgroup: BorrowedFd<'_>) -> Result<Waiting<'a>> {
        let Some(console) = &self.console else { return Err(Error::new("boot", "", "there is no console")) };
        let streams = Streams { fds: [console.slave.as_fd(); 3], terminal: true };
        environment::make(cgroup, platform(self.spec, self.user_ns, self.program), streams)
    }

    /// Whether a mount of the platform came, went or changed since this was asked the last time (proc_pid_mountinfo(5)).
    fn is_remounted(&self) -> bool {
        let mut polled = [PollFd::new(&self.mount_table, PollFlags::PRI)];
        !matches!(rustix::event::poll(&mut polled, Some(&NOW)), Ok(0))
    }

    /// Ends what waits; it is made anew when nobody waits for anything.
    pub(super) fn drop_waiting(&mut self) {
        if let Some(next) = &mut self.next {
            next.waiting = None;
        }
    }

    pub(super) fn boot(&mut self, number: u32, init: &InitSpec, fds: &[OwnedFd]) {
        match self.start_init(number, init, fds) {
            Ok(started) => self.started(number, started, &ZschedReply::Started),
            Err(error) => self.fail(&error),
        }
    }

    fn started(&mut self, number: u32, started: Started<'a>, reply: &ZschedReply) {
        let Started { child, listener, used } = started;
        self.tell(reply, &[child.pidfd.as_fd()]);
        self.init = Some(child);
        self.environment = number;
        self.listeners.push(listener);
        self.used.push(used);
    }

    pub(super) fn boot_after(&mut self, number: u32, init: InitSpec, fds: Vec<OwnedFd>) {
        // Of an init that has ended, zoneadmd has been told.
        self.after = self.init.as_ref().map(|_| After { number, init, fds, since: Instant::now() });
    }

    fn peer_lives(&self) -> bool {
        let Some(peer) = &self.peer else { return false };
        let mut polled = [PollFd::new(peer, PollFlags::empty())];
        let polls = rustix::event::poll(&mut polled, Some(&NOW));
        polls.is_ok() && !polled[0].revents().contains(PollFlags::HUP)
    }

    /// Tells that init ended, and starts the one that was asked for in its place. What cannot be started zoneadmd will ask for, and
    /// be told why not.
    pub(super) fn tell_end(&mut self, end: EndOfInit) {
        let after = self.after.take().filter(|_| self.peer_lives());
        if let Some(After { number, init, fds, since }) = after {
            let micros = micros(since);
            if let Ok(started) = self.start_init(number, &init, &fds) {
                return self.started(number, started, &ZschedReply::Restarted(end, micros));
            }
        }
        self.tell(&ZschedReply::InitEnded(end), &[]);
    }

    fn start_init(&mut self, number: u32, init: &InitSpec, fds: &[OwnedFd]) -> Result<Started<'a>> {
        let [cgroup] = fds else { return Err(Error::new("boot", "", "needs the descriptor of a cgroup")) };
        if self.init.is_some() {
            return Err(Error::new("boot", "", "an init runs already"));
        }
        let command = match &init.program {
            Program::Command(argv) => below_own_init(argv, &init.environment.0),
            Program::Init(argv) => command(argv, &init.environment.0)?,
        };
        if self.next.as_ref().is_some_and(|next| next.number != number) || self.is_remounted() {
            self.drop_waiting();
        }
        let waiting = match self.next.take().and_then(|next| next.waiting) {
            Some(waiting) => waiting,
            None => self.make_environment(cgroup.as_fd())?,
        };
        waiting.start(command)
    }

    pub(super) fn login(&mut self, number: u32, login: &LoginSpec, fds: &[OwnedFd]) {
        match self.start_login(login, fds) {
            Ok((Started { child, listener, used }, master)) => {
                self.listeners.push(listener);
                let mut sent = vec![child.pidfd.as_fd()];
                sent.extend(master.as_ref().map(AsFd::as_fd));
                self.tell(&ZschedReply::Started, &sent);
                self.logins.insert(child.pid, number);
                self.used.push(used);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn start_login(&mut self, login: &LoginSpec, fds: &[OwnedFd]) -> Result<(Started<'a>, Option<OwnedFd>)> {
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
                let direct = command(&login.argv, &login.environment)?;
                login::beside_init(cgroup, platform, namespaces, streams)?.start(direct)?
            }
            None => {
                // The first process of a PID namespace is spared most signals, which no command expects.
                let zone = mount::open_folder(Path::new("/"))?;
                mount::exists_in(zone.as_fd(), login.argv.first().map_or("", String::as_str))?;
                let below = below_own_init(&login.argv, &login.environment);
                environment::make(cgroup, platform, streams)?.start(below)?
            }
        };
        Ok((started, master))
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
