//! Opening encrypted files, by the `age` program. It is given the file on its standard input and its value comes out of its
//! standard output, so that nothing is written anywhere.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::BYTES_MAX;
use super::file;

/// How long age may take. It is a matter of milliseconds, unless an identity is one that asks somebody or something.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that are shown of what age complains of.
const COMPLAINT_MAX: usize = 300;
/// How a file begins that age encrypted, and how one that it also put into letters.
const BEGINNINGS: [&[u8]; 2] = [b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"];
/// The search path where Reeve has none.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What tells one state of the identity file from another: device, inode, size, and when it was changed.
pub(super) type Identity = (u64, u64, u64, i64, i64);

/// Why a file could not be opened, and what to do.
#[derive(Debug)]
pub(super) enum Closed {
    /// age said why, or could not be asked.
    Failed(String),
    /// age did not answer.
    Late(String),
}

/// Whether this looks like a file that age encrypted.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning))
}

/// The state of the host's identity file, which must be there for root alone.
///
/// # Errors
/// Why it is not used, and what to do.
pub(super) fn identity(path: Option<&Path>) -> Result<Identity, String> {
    let Some(path) = path else {
        return Err("this host has no age identity to open it with; make one (age-keygen -o FILE) and name it: \
                    REEVE_AGE_IDENTITY=FILE"
            .into());
    };
    let mut file = file::open(path, file::OTHERS).map_err(|why| format!("the age identity: {why}"))?;
    let found = file.metadata().map_err(|error| format!("fstat {}: {error}", path.display()))?;
    let mut beginning = [0; 40];
    let read = file.read(&mut beginning).map_err(|error| format!("read {}: {error}", path.display()))?;
    if is_encrypted(&beginning[..read]) {
        let path = path.display();
        return Err(format!(
            "the age identity {path} has a passphrase, and nobody is there to type it; use one without"
        ));
    }
    Ok((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

/// What is in an encrypted file, at most a byte more than a secret may have. `shown` names it in errors.
///
/// # Errors
/// [`Closed`].
pub(super) fn open(identity: &Path, shown: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
    let mut age = start(identity).map_err(Closed::Failed)?;
    let ended = converse(&mut age, ciphertext);
    // Whatever came of it, no age is left behind.
    let _ = age.kill();
    let _ = age.wait();
    ended.map_err(|closed| match closed {
        Closed::Failed(why) => Closed::Failed(format!(
            "{shown} could not be opened: {why}; encrypt it for a recipient of {} (age-keygen -y), or give this host the \
             identity that it is for",
            identity.display()
        )),
        Closed::Late(why) => Closed::Late(format!("{shown} could not be opened: {why}")),
    })
}

/// Gives age the file, and takes what it says.
fn converse(age: &mut Child, ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
    let failed = |error: std::io::Error| Closed::Failed(format!("age could not be talked to: {error}"));
    let late =
        || Closed::Late(format!("age did not end within {} s; is its identity one that asks?", PATIENCE.as_secs()));
    let until = Instant::now() + PATIENCE;
    let left = || until.saturating_duration_since(Instant::now());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (age.stdin.take(), age.stdout.take(), age.stderr.take()) else {
        return Err(Closed::Failed("age was started without its pipes".into()));
    };
    let value = read(stdout, BYTES_MAX + 1).map_err(failed)?;
    let complaint = read(stderr, COMPLAINT_MAX).map_err(failed)?;
    let ciphertext = ciphertext.to_vec();
    // Where age has ended before it read all, it says why.
    thread(move || drop(stdin.write_all(&ciphertext))).map_err(failed)?;
    let value = value.recv_timeout(left()).map_err(|_| late())?;
    if value.len() > BYTES_MAX {
        // age was not heard to the end.
        return Ok(value);
    }
    let complaint = complaint.recv_timeout(left()).map_err(|_| late())?;
    match wait(age, left()).map_err(failed)? {
        Some(status) if status.success() => Ok(value),
        Some(_) => Err(Closed::Failed(complained(&complaint))),
        None => Err(late()),
    }
}

/// How age ended; none where it did not in this time.
fn wait(age: &mut Child, left: Duration) -> std::io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(age.id()).ok().and_then(Pid::from_raw).ok_or(ErrorKind::InvalidInput)?;
    let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&left)))?;
    age.try_wait()
}

fn start(identity: &Path) -> Result<Child, String> {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| PATH.into());
    let mut age = Command::new("age");
    age.arg("--decrypt").arg("--identity").arg(identity).env_clear().env("PATH", path).current_dir("/");
    age.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    age.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => "encrypted files are opened by age, which is not there: apt-get install age".into(),
        _ => format!("age could not be started: {error}"),
    })
}

/// Reads at most so many bytes, in a thread of its own.
fn read(from: impl Read + Send + 'static, most: usize) -> std::io::Result<Receiver<Vec<u8>>> {
    let (tell, told) = channel();
    thread(move || {
        let mut bytes = Vec::new();
        let _ = from.take(most as u64).read_to_end(&mut bytes);
        let _ = tell.send(bytes);
    })?;
    Ok(told)
}

/// A thread that nobody waits for; on a host that has none to spare, an error.
fn thread(body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("age".into()).spawn(body).map(drop)
}

/// What age complained of, as one line.
fn complained(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("age failed without a word");
    let first = first.strip_prefix("age: error: ").unwrap_or(first);
    first.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
