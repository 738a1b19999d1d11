//! One login: asks zoneadmd for it, then passes on what is typed and what is printed until it ends. One thread, poll(2),
//! and no descriptor of this process's own goes into the zone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use reeve_kernel::channel::Channel;
use reeve_kernel::sys;
use reeve_kernel::wire::{EndOfInit, Event, LoginSpec, Reply, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use super::escape::Escape;
use crate::cli::failure::Failure;
use crate::cli::terminal::Raw;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;
const SIGWINCH: i32 = 28;

/// Rows and columns of the terminal at standard input; zeros where there is none.
pub fn size() -> (u16, u16) {
    tcgetwinsize(stdin()).map_or((0, 0), |size| (size.ws_row, size.ws_col))
}

/// What asking for a login came to.
pub enum Started {
    /// It runs.
    Session(Box<Session>),
    /// The zone does not have the command.
    NotThere(String),
}

/// What comes out of the zone, and where it goes.
struct Output {
    from: OwnedFd,
    to: BorrowedFd<'static>,
}

/// A login that runs.
pub struct Session {
    /// Gone where zoneadmd went away: the login goes on.
    channel: Option<Channel>,
    /// What is typed goes here.
    input: Option<OwnedFd>,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    outputs: Vec<Output>,
    terminal: Option<Terminal>,
    escape: Option<Escape>,
    stdin_open: bool,
}

/// What a login with a terminal has.
struct Terminal {
    raw: Raw,
    signals: OwnedFd,
}

/// How a turn of the loop may end the session.
enum Ended {
    Login(EndOfInit),
    /// By `~.`, by the end of what is typed, or a signal to this process.
    Disconnected(EndOfInit),
}

impl Session {
    /// Asks for the login.
    ///
    /// # Errors
    /// zoneadmd refused, or went away.
    pub fn start(channel: Channel, login: &LoginSpec, escape: bool) -> Result<Started, Failure> {
        let mut pipes = if login.terminal { None } else { Some(pipes()?) };
        let theirs = pipes.as_mut().map(|pipes| std::mem::take(&mut pipes.theirs)).unwrap_or_default();
        let lent: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        channel.send(&Request::Login(login.clone()).to_bytes(), &lent).map_err(lost)?;
        drop(theirs);
        let master = loop {
            let message = channel.receive().map_err(lost)?.ok_or_else(|| lost("it closed the connection"))?;
            match Reply::from_bytes(&message.bytes).map_err(lost)? {
                Reply::LoggedIn(_) => break message.fds.into_iter().next(),
                Reply::Failed(_, call, args, errno, reason) => {
                    if errno == Errno::NOENT.raw_os_error() && call.starts_with("exec") {
                        return Ok(Started::NotThere(login.argv[0].clone()));
                    }
                    return Err(Failure::new(format!("login: {call}({args}): {reason}")));
                }
                _ => {}
            }
        };
        let mut session = match (pipes, master) {
            (Some(pipes), _) => Self::new(channel, pipes.input, pipes.outputs),
            (None, Some(master)) => Self::with_terminal(channel, master)?,
            (None, None) => return Err(lost("it sent no terminal")),
        };
        session.escape = (escape && login.terminal).then(Escape::new);
        Ok(Started::Session(Box::new(session)))
    }

    fn new(channel: Channel, input: OwnedFd, outputs: Vec<Output>) -> Self {
        let (channel, input) = (Some(channel), Some(input));
        Self { channel, input, typed: Vec::new(), outputs, terminal: None, escape: None, stdin_open: true }
    }

    fn with_terminal(channel: Channel, master: OwnedFd) -> Result<Self, Failure> {
        let no_terminal = |error: &dyn std::fmt::Display| Failure::new(format!("terminal: {error}"));
        nonblocking(&master).map_err(|error| no_terminal(&error))?;
        let input = master.try_clone().map_err(|error| no_terminal(&error))?;
        let outputs = vec![Output { from: master, to: stdout() }];
        let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCONT, SIGWINCH];
        let signals = sys::signalfd(&signals).map_err(|error| no_terminal(&error))?;
        let raw = Raw::enter().map_err(|error| no_terminal(&error))?;
        let session = Self { terminal: Some(Terminal { raw, signals }), ..Self::new(channel, input, outputs) };
        // It may have changed between the question and the answer.
        session.resize();
        Ok(session)
    }

    /// Passes on what is said until the login ends; how it did.
    ///
    /// # Errors
    /// zoneadmd went away and took the exit status with it.
    pub fn run(&mut self) -> Result<EndOfInit, Failure> {
        loop {
            match self.turn() {
                Ok(None) if self.channel.is_none() && self.outputs.is_empty() => {
                    self.terminal = None;
                    return Err(Failure::new("zoneadmd went away during the login, so its exit status is not known"));
                }
                Ok(None) => {}
                Ok(Some(ended)) => {
                    if let Ended::Login(_) = ended {
                        self.drain();
                    }
                    self.terminal = None;
                    let (Ended::Login(end) | Ended::Disconnected(end)) = ended;
                    return Ok(end);
                }
                Err(errno) => {
                    self.terminal = None;
                    return Err(Failure::new(format!("login: {}", io::Error::from(errno))));
                }
            }
        }
    }

    fn turn(&mut self) -> Result<Option<Ended>, Errno> {
        let woken = self.wait()?;
        if woken.signal
            && let Some(ended) = self.signal()
        {
            return Ok(Some(ended));
        }
        if woken.stdin
            && let Some(ended) = self.read_stdin()?
        {
            return Ok(Some(ended));
        }
        if woken.input {
            self.write_input();
        }
        for index in woken.outputs.into_iter().rev() {
            if !pass_on(&self.outputs[index]) {
                self.outputs.remove(index);
            }
        }
        Ok(if woken.channel { self.hear().map(Ended::Login) } else { None })
    }

    fn wait(&self) -> Result<Woken, Errno> {
        let reads_stdin = self.stdin_open && self.typed.is_empty() && self.input.is_some();
        let input = self.input.as_ref().filter(|_| !self.typed.is_empty());
        let signals = self.terminal.as_ref().map(|terminal| &terminal.signals);
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(self.outputs.len() + 4);
        polled.extend(self.outputs.iter().map(|output| PollFd::new(&output.from, PollFlags::IN)));
        let at_stdin = add(&mut polled, reads_stdin.then(stdin), PollFlags::IN);
        let at_input = add(&mut polled, input.map(AsFd::as_fd), PollFlags::OUT);
        let at_signals = add(&mut polled, signals.map(AsFd::as_fd), PollFlags::IN);
        let at_channel = add(&mut polled, self.channel.as_ref().map(AsFd::as_fd), PollFlags::IN);
        match poll(&mut polled, None) {
            Err(Errno::INTR) => return Ok(Woken::default()),
            ready => drop(ready?),
        }
        let woke = |at: Option<usize>| at.is_some_and(|at| !polled[at].revents().is_empty());
        Ok(Woken {
            stdin: woke(at_stdin),
            input: woke(at_input),
            signal: woke(at_signals),
            channel: woke(at_channel),
            outputs: (0..self.outputs.len()).filter(|index| woke(Some(*index))).collect(),
        })
    }

    fn signal(&mut self) -> Option<Ended> {
        let terminal = self.terminal.as_ref()?;
        match sys::read_signal(terminal.signals.as_fd())? {
            SIGWINCH => self.resize(),
            SIGCONT => {
                let _ = terminal.raw.again();
                self.resize();
            }
            signal => return Some(Ended::Disconnected(EndOfInit::Signaled(signal))),
        }
        None
    }

    /// The zone's terminal gets the size of ours; the kernel tells the programs on it (TIOCSWINSZ).
    fn resize(&self) {
        let (ws_row, ws_col) = size();
        if let Some(master) = &self.input {
            let _ = tcsetwinsize(master, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 });
        }
    }

    fn read_stdin(&mut self) -> Result<Option<Ended>, Errno> {
        let mut buffer = [0u8; 16 * 1024];
        let count = match rustix::io::read(stdin(), &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(None),
            Err(Errno::IO) => 0,
            read => read?,
        };
        if count == 0 {
            self.stdin_open = false;
            if self.terminal.is_some() {
                // The terminal is gone, as after a hangup.
                return Ok(Some(Ended::Disconnected(EndOfInit::Signaled(SIGHUP))));
            }
            self.input = None;
            return Ok(None);
        }
        match &mut self.escape {
            Some(escape) => {
                if escape.filter(&buffer[..count], &mut self.typed) {
                    return Ok(Some(Ended::Disconnected(EndOfInit::Exited(0))));
                }
            }
            None => self.typed.extend_from_slice(&buffer[..count]),
        }
        self.write_input();
        Ok(None)
    }

    fn write_input(&mut self) {
        let Some(input) = &self.input else { return };
        match rustix::io::write(input, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                // Nobody reads any more; how it ends is told by the channel.
                self.input = None;
                self.typed.clear();
            }
        }
    }

    fn hear(&mut self) -> Option<EndOfInit> {
        let message = self.channel.as_ref().and_then(|channel| channel.receive().ok().flatten());
        let reply = message.and_then(|message| Reply::from_bytes(&message.bytes).ok());
        match reply {
            Some(Reply::LoginEnded(_, end)) => Some(end),
            Some(Reply::Happened(Event::ZschedGone)) => Some(EndOfInit::Signaled(9)),
            Some(_) => None,
            None => {
                self.channel = None;
                None
            }
        }
    }

    /// What was printed before the end and not read yet. Its writers are gone, so it is all there.
    fn drain(&mut self) {
        for output in &self.outputs {
            let ready = |output: &Output| {
                let mut polled = [PollFd::new(&output.from, PollFlags::IN)];
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
            };
            while ready(output) && pass_on(output) {}
        }
    }
}

/// Adds a descriptor to a list, if there is one; where it is in it.
fn add<'a>(polled: &mut Vec<PollFd<'a>>, fd: Option<BorrowedFd<'a>>, flags: PollFlags) -> Option<usize> {
    polled.push(PollFd::from_borrowed_fd(fd?, flags));
    Some(polled.len() - 1)
}

/// What poll(2) said.
#[derive(Default)]
struct Woken {
    stdin: bool,
    input: bool,
    signal: bool,
    channel: bool,
    outputs: Vec<usize>,
}

/// Passes a piece on; false once nothing more comes, or nobody wants it.
fn pass_on(output: &Output) -> bool {
    let mut buffer = [0u8; 16 * 1024];
    match rustix::io::read(&output.from, &mut buffer) {
        Ok(0) => false,
        Ok(count) => write_all(output.to, &buffer[..count]),
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}

/// Three pipes for a login without a terminal.
struct Pipes {
    /// What is typed goes into this one.
    input: OwnedFd,
    /// What is printed comes out of these.
    outputs: Vec<Output>,
    /// The ends that go into the zone as its standard streams.
    theirs: Vec<OwnedFd>,
}

fn pipes() -> Result<Pipes, Failure> {
    let failed = |call: &'static str| move |errno| Failure::new(format!("{call}: {}", io::Error::from(errno)));
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(failed("pipe"));
    let ((in_read, input), (out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?, pipe()?);
    for ours in [&input, &out_read, &err_read] {
        nonblocking(ours).map_err(failed("fcntl"))?;
    }
    let outputs = vec![Output { from: out_read, to: stdout() }, Output { from: err_read, to: stderr() }];
    Ok(Pipes { input, outputs, theirs: vec![in_read, out_write, err_write] })
}

fn nonblocking(fd: &OwnedFd) -> Result<(), Errno> {
    fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)
}

fn lost(why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("zoneadmd: {why}"))
}
