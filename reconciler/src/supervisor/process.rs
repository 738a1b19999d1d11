//! zoneadmd as a process: the program in a sealed memory file, its start, and its end, which has to be waited for.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::Channel;
use reeve_kernel::error::Context;
use reeve_kernel::observe::start_time;
use reeve_kernel::sys::{self, CStrings, Stack};
use reeve_state::observed::ProcessId;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Signal, WaitId, WaitIdOptions};

use super::NOW;
use crate::error::{OnFile, Result};
use crate::places;
use crate::planted::planted;

/// The program, linked statically by build.rs.
static PROGRAM: &[u8] = include_bytes!(env!("ZONEADMD"));
/// `MFD_EXEC`, Linux 6.3; older kernels have no such flag and make every memfd executable.
const MFD_EXEC: u32 = 0x10;
/// Descriptors that are handed to zoneadmd are first moved to numbers above those they end at.
const SPARE: i32 = 10;

/// The process, where this one started it and so has to reap it.
#[derive(Debug, Default)]
pub(super) struct Child {
    pidfd: Option<OwnedFd>,
    process: Option<ProcessId>,
}

/// The program in a sealed memory file: what runs is what was built, whatever happens to files.
fn program() -> Result<&'static OwnedFd> {
    static SEALED: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = SEALED.get() {
        return Ok(program);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let executable = flags | MemfdFlags::from_bits_retain(MFD_EXEC);
    let file = match rustix::fs::memfd_create("zoneadmd", executable) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("zoneadmd", flags),
        made => made,
    }
    .at("memfd_create", "zoneadmd")?;
    let mut file = File::from(file);
    std::io::Write::write_all(&mut file, PROGRAM).at("write", "memfd zoneadmd")?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).at("fcntl", "F_ADD_SEALS")?;
    let file = rustix::io::fcntl_dupfd_cloexec(&file, SPARE).at("fcntl", "F_DUPFD_CLOEXEC")?;
    Ok(SEALED.get_or_init(|| file))
}

/// Starts the program with these arguments in `cgroup`. What it has to say besides its answers goes to `log`.
pub(super) fn start(arguments: [&str; 2], log: BorrowedFd<'_>, cgroup: &Cgroup) -> Result<(Channel, Child)> {
    let (ours, theirs) = Channel::pair()?;
    let above = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, SPARE).at("fcntl", "F_DUPFD_CLOEXEC");
    let theirs = above(theirs.as_fd())?;
    let log = above(log)?;
    let null = above(null()?.as_fd())?;
    let (program, limit) = (program()?, places::usual_descriptor_limit());
    let argv = CStrings::new(arguments);
    let environment = CStrings::new::<&str>([]);
    let mut body = || {
        // Nothing of the terminal that the controller may have: Ctrl-C there must not end zones.
        let _ = rustix::process::setsid();
        let _ = rustix::process::chdir(c"/");
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
        let given = [(&null, 0), (&log, 1), (&log, 2), (&theirs, 3)];
        for (fd, number) in given {
            if sys::dup_onto(fd.as_fd(), number).is_err() {
                return 127;
            }
        }
        sys::cloexec_from(4);
        sys::default_signals();
        sys::unblock_signals();
        let _ = sys::fexecve(program.as_fd(), &argv, &environment);
        127
    };
    let child = sys::vfork(0, Some(cgroup.as_fd()), &Stack::new()?, &mut body)?;
    let process = start_time(child.pid).map(|start_time| ProcessId { pid: child.pid, start_time });
    Ok((ours, Child { pidfd: Some(child.pidfd), process }))
}

pub(super) fn null() -> Result<File> {
    let path = Path::new("/dev/null");
    OpenOptions::new().read(true).write(true).open(path).on("open", path)
}

/// What zoneadmd says besides its answers, which is little: it is for whoever looks for a fault.
pub(super) fn log_file(run: &Path) -> Result<File> {
    let path = run.join("zoneadmd.log");
    OpenOptions::new().append(true).create(true).mode(0o600).open(&path).on("open", &path)
}

impl Child {
    /// Which process it is; none where somebody else started it.
    pub fn process(&self) -> Option<ProcessId> {
        self.process
    }

    /// Whether it still runs; true also of one that somebody else started.
    pub fn lives(&self) -> bool {
        let Some(pidfd) = &self.pidfd else { return true };
        matches!(rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&NOW)), Ok(0))
    }

    /// Kills it, if this one started it: also one that is stopped or frozen ends by it.
    pub fn kill(&self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }

    /// Waits for its end. False where that is nobody's to wait for here.
    pub fn wait(&mut self) -> bool {
        let own = self.pidfd.is_some();
        self.reap(WaitIdOptions::EXITED);
        own
    }

    fn reap(&mut self, options: WaitIdOptions) {
        if planted("skipped-reap") {
            return;
        }
        if let Some(child) = self.pidfd.take()
            && !matches!(rustix::process::waitid(WaitId::PidFd(child.as_fd()), options), Ok(Some(_)))
        {
            zombies::add(child);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        zombies::reap();
    }
}

/// Children whose connection was given up before they ended.
mod zombies {
    use super::{AsFd, OwnedFd, WaitId, WaitIdOptions};
    use std::sync::Mutex;

    static LEFT: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

    pub fn add(child: OwnedFd) {
        if let Ok(mut left) = LEFT.lock() {
            left.push(child);
        }
    }

    pub fn reap() {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Ok(mut left) = LEFT.lock() {
            left.retain(|child| matches!(rustix::process::waitid(WaitId::PidFd(child.as_fd()), options), Ok(None)));
        }
    }
}
