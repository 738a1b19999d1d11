//! Programs that Reeve runs for their answer (git, ssh-keygen, gpgv): with an empty environment but for what they are
//! given, for a bounded time, with bounded output, memory and files, and no longer than Reeve itself.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, OnFile, Result};

/// The most bytes of what a program says on standard error that are kept.
const SAID_MAX: usize = 8 << 10;

/// How much a program may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long.
    pub time: Duration,
    /// Bytes of its answer; it is ended when it says more.
    pub output: usize,
    /// Bytes of a file that it writes.
    pub file: u64,
    /// Bytes of address space.
    pub memory: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(20), output: 1 << 20, file: 1 << 20, memory: 1 << 30 }
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it answered.
    pub output: Vec<u8>,
    /// What it said on standard error, as text.
    pub said: String,
    /// It took too long and was ended.
    pub late: bool,
    /// It answered more than it may and was ended.
    pub much: bool,
}

impl Ended {
    /// Whether it did what it should.
    pub fn good(&self) -> bool {
        self.status.success() && !self.late && !self.much
    }

    /// Its answer as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// A command with nothing in its environment but a path, a language that messages can be told apart in, and a home that is
/// not there.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C"),
        ("HOME", "/nonexistent"),
    ]);
    command.current_dir("/");
    command
}

/// Runs it with `input` as its standard input, and waits for its end.
///
/// # Errors
/// When it cannot be started; a program that is not there is named with the package of Debian that has it.
pub fn run(command: &mut Command, input: &[u8], bounds: &Bounds) -> Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    reeve_kernel::sys::bind_child(command, bounds.file, bounds.memory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_start(&program, &error))?;
    let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let until = Instant::now() + bounds.time;
    let (mut output, mut said) = (Vec::new(), Vec::new());
    let (mut late, mut much) = (false, false);
    std::thread::scope(|scope| {
        // It may answer before it has read all, so both go on at once.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        while stdout.is_some() || stderr.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            (late, much) = (left.is_zero(), output.len() > bounds.output);
            if late || much {
                break;
            }
            let (mut heard_out, mut heard_err) = (false, false);
            wait_for(stdout.as_ref(), stderr.as_ref(), left, &mut heard_out, &mut heard_err);
            if heard_out && take(&mut stdout, &mut output, usize::MAX) {
                stdout = None;
            }
            if heard_err && take(&mut stderr, &mut said, SAID_MAX) {
                stderr = None;
            }
        }
        // Closed pipes, or an end that is made: either way nobody waits for it for ever.
        if late || much {
            end(child.id());
        }
    });
    let status = wait(&mut child, until, &mut late).on("wait", std::path::Path::new(&program))?;
    Ok(Ended { status, output, said: String::from_utf8_lossy(&said).trim().to_owned(), late, much })
}

fn cannot_start(program: &str, error: &std::io::Error) -> Error {
    let package = match program {
        "git" => "git",
        "ssh-keygen" => "openssh-client",
        "gpgv" => "gpgv",
        other => other,
    };
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::Unsupported(format!("there is no {program}; do: apt-get install {package}"))
        }
        _ => Error::refused(format!("{program} could not be started: {error}")),
    }
}

fn wait_for(
    stdout: Option<&impl AsFd>,
    stderr: Option<&impl AsFd>,
    left: Duration,
    heard_out: &mut bool,
    heard_err: &mut bool,
) {
    let mut fds = Vec::new();
    fds.extend(stdout.map(|fd| PollFd::new(fd, PollFlags::IN)));
    fds.extend(stderr.map(|fd| PollFd::new(fd, PollFlags::IN)));
    // An interrupted wait is one that heard nothing.
    let _ = poll(&mut fds, Some(&timespec(left)));
    let mut heard = fds.iter().map(|fd| !fd.revents().is_empty());
    *heard_out = stdout.is_some() && heard.next().unwrap_or(false);
    *heard_err = stderr.is_some() && heard.next().unwrap_or(false);
}

/// Takes what is there; true at the end.
fn take(from: &mut Option<impl Read>, into: &mut Vec<u8>, most: usize) -> bool {
    let mut piece = [0; 64 << 10];
    match from.as_mut().map(|from| from.read(&mut piece)) {
        Some(Ok(0)) | None => true,
        Some(Ok(count)) => {
            let room = most.saturating_sub(into.len()).min(count);
            into.extend_from_slice(&piece[..room]);
            false
        }
        Some(Err(error)) => error.kind() != std::io::ErrorKind::Interrupted,
    }
}

/// Waits for the end of a program that has closed its pipes, or was ended. What it started itself goes with it: before it is
/// reaped, because after that its number may be somebody else's.
fn wait(child: &mut std::process::Child, until: Instant, late: &mut bool) -> std::io::Result<ExitStatus> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return child.wait() };
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Ended for taking too long, it is waited for to the end: nobody can refuse that signal.
        let time = if *late { None } else { Some(timespec(left)) };
        let mut fds = [PollFd::new(&ended, PollFlags::IN)];
        let heard = poll(&mut fds, time.as_ref());
        if heard.is_ok_and(|count| count > 0) {
            end(child.id());
            return child.wait();
        }
        if left.is_zero() {
            *late = true;
            end(child.id());
        }
    }
}

fn timespec(left: Duration) -> Timespec {
    Timespec { tv_sec: left.as_secs().min(3600) as i64, tv_nsec: i64::from(left.subsec_nanos()) }
}

/// Ends the program's process group.
fn end(child: u32) {
    if let Some(group) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], bounds: &Bounds) -> Ended {
        run(command("/bin/sh").args(["-c", script]), input, bounds).expect("sh")
    }

    #[test]
    fn answers_come_whole_and_nothing_is_inherited() {
        let input = vec![b'x'; 600_000];
        let ended = sh("cat; env >&2; exit 3", &input, &Bounds::default());
        assert_eq!((ended.output.len(), ended.status.code()), (input.len(), Some(3)));
        assert!(!ended.good() && !ended.said.contains("CARGO"), "{}", ended.said);
    }

    #[test]
    fn who_says_too_much_or_takes_too_long_is_ended_with_what_it_started() {
        let short = Bounds { time: Duration::from_millis(300), ..Bounds::default() };
        let ended = sh("sleep 50 & echo $!; sleep 50", b"", &short);
        assert!(ended.late && !ended.good());
        let sleeper = ended.text().trim().parse::<i32>().unwrap();
        let gone = || rustix::process::test_kill_process(Pid::from_raw(sleeper).unwrap()).is_err();
        let is_dead =
            || gone() || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|s| s.contains(") Z"));
        assert!((0..100).any(|_| is_dead() || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }));
        let ended = sh("yes", b"", &Bounds { output: 1000, ..Bounds::default() });
        assert!(ended.much && !ended.good());
    }

    #[test]
    fn files_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let script = format!("head -c 100000 /dev/zero > {}", path.display());
        let ended = sh(&script, b"", &Bounds { file: 5000, ..Bounds::default() });
        assert!(!ended.good());
        assert!(std::fs::metadata(&path).unwrap().len() <= 5000);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let error = cannot_start("ssh-keygen", &std::io::ErrorKind::NotFound.into()).to_string();
        assert!(error.contains("openssh-client"), "{error}");
    }
}
