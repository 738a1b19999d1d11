//! Making an application environment: one clone3(2) by zsched, and in the child, before it execs, the last mounts, the
//! step into the zone's user namespace and the loss of everything the zone's root must not have.
//!
//! The order settles what zone root can undo. proc, its masks, /run and the cgroup file system are mounted in a copy of
//! zsched's mount namespace that the host still owns; the next copy is made by unshare(2) inside the zone's user
//! namespace, so that all mounts and flags arrive locked as one piece (mount_namespaces(7)): no umount(2), no remount
//! and no look beneath a mask works on them from inside. proc can be mounted because this copy is the host's; in the
//! zone's own it would be refused beside the masks.

use crate::application::privileges;
use crate::channel::Channel;
use crate::error::{Context, Error, Result};
use crate::mount::{self, Shape};
use crate::platform::file_systems::{EMPTY_FILE, EMPTY_FOLDER, tmpfs};
use crate::sys::{self, CStrings, Child, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, Stack, flags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::Path;

/// Files of proc that tell of the host or act on it, and are masked. Their own permissions refuse zone root already;
/// this holds where a permission is forgotten.
const MASKED_FILES: [&str; 4] = ["kcore", "keys", "sysrq-trigger", "timer_list"];
/// Folders likewise.
const MASKED_FOLDERS: [&str; 2] = ["acpi", "scsi"];

/// What every process started in a zone needs to know of its platform.
#[derive(Debug, Clone, Copy)]
pub struct Platform<'a> {
    /// The zone's user namespace.
    pub user_ns: BorrowedFd<'a>,
    /// First host ID of the zone's range.
    pub id_base: u32,
    /// Size limit in bytes of /run.
    pub tmpfs_bytes: u64,
    /// Reeve's own program, which is also the default init.
    pub program: BorrowedFd<'a>,
}

/// What is executed.
pub enum Executable {
    /// Reeve's own program, by descriptor: the zone's root need not have it.
    Own,
    /// A program of the zone.
    Path(CString),
}

/// What to execute, prepared before the clone so that the child allocates nothing that would outlive its exec.
pub struct Command {
    /// What.
    pub executable: Executable,
    /// Arguments, the program's name first.
    pub argv: CStrings,
    /// Environment.
    pub environment: CStrings,
}

/// Standard input, output and error of what is started.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    /// The three descriptors.
    pub fds: [BorrowedFd<'a>; 3],
    /// Whether the first is a terminal that becomes the controlling one.
    pub terminal: bool,
}

/// What has been started.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub child: Child,
    /// Where the system calls are heard that its filter hands over: reboot(2).
    pub listener: OwnedFd,
    /// The mount namespace in which its mounts were made, which nobody lives in any more. The kernel waits for every
    /// processor when it ends, so that it is dropped when nobody waits for the answer.
    pub scaffold: Option<OwnedFd>,
}

/// What children are started with, kept so that it is made once: their stack, and the channel on which they hand over
/// what they leave.
pub struct Cradle {
    stack: Stack,
    ours: Channel,
    theirs: Channel,
}

impl Cradle {
    /// A new one.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub fn new() -> Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        // A child has handed over before it execs, and this end is read only then: one that was killed on the way has sent
        // nothing, and is not waited for.
        rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK).at("fcntl", "F_SETFL, O_NONBLOCK")?;
        Ok(Self { stack: Stack::new(), ours, theirs })
    }
}

/// What an application environment needs and is the same for whatever is started in it: made before it is asked for, it
/// costs the start no time. It is attached nowhere, and gone when it is dropped.
#[derive(Debug)]
pub struct Prepared {
    run: OwnedFd,
}

impl Prepared {
    /// Makes it.
    ///
    /// # Errors
    /// The errno of the failed call.
    pub fn make(platform: Platform<'_>) -> Result<Self> {
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        Ok(Self { run: tmpfs(platform.tmpfs_bytes, 0o755, platform.id_base, attributes)? })
    }
}

/// Starts the command as the first process of a new application environment, in `cgroup`, a fresh one of this
/// environment's own. When this returns the command has been executed.
///
/// # Errors
/// The call that failed in the child; ENOENT or EACCES of execve(2) name the program. Nothing is left running.
pub fn start(
    cradle: &mut Cradle,
    cgroup: BorrowedFd<'_>,
    platform: Platform<'_>,
    prepared: Prepared,
    command: &Command,
    streams: Streams<'_>,
) -> Result<Started> {
    spawn(cradle, flags::NEWPID | flags::NEWNS, cgroup, |listen| {
        mount_environment(platform, &prepared)?;
        let scaffold = own_mount_namespace()?;
        sys::setns(platform.user_ns, flags::NEWUSER)?;
        sys::unshare(flags::NEWNS)?;
        execute(platform, command, streams, listen, Some(scaffold))
    })
}

/// The mount namespace of the calling process.
fn own_mount_namespace() -> Result<OwnedFd> {
    let this = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    if let Ok(namespace) = this.and_then(|this| sys::pidfd_mount_namespace(this.as_fd())) {
        return Ok(namespace);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/ns/mnt", flags, Mode::empty()).at("open", "/proc/self/ns/mnt")
}

/// Runs `body` in a vforked child and turns what it left behind into the result.
pub(super) fn spawn(
    cradle: &mut Cradle,
    flags: u64,
    cgroup: BorrowedFd<'_>,
    mut body: impl FnMut(&Channel) -> Result<()>,
) -> Result<Started> {
    let Cradle { stack, ours, theirs } = cradle;
    // Written by the child in the memory it shares; it stays as it is when the child execs.
    let mut failed: Option<Error> = None;
    let child = sys::vfork(flags, Some(cgroup), stack, &mut || {
        failed = body(theirs).err();
        127
    })?;
    let started = match failed {
        None => ours.receive().and_then(|message| {
            let mut fds = message.map(|message| message.fds).unwrap_or_default().into_iter();
            let listener = fds.next().ok_or_else(|| Error::new("seccomp", "", "no listener came"))?;
            Ok((listener, fds.next()))
        }),
        Some(error) => Err(error),
    };
    match started {
        Ok((listener, scaffold)) => Ok(Started { child, listener, scaffold }),
        Err(error) => {
            // What it may have handed over is not the next one's.
            while matches!(ours.receive(), Ok(Some(_))) {}
            // It may have been executed already: without its listener nothing is left of it either.
            let _ = sys::pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL);
            let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
            let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// The mounts that belong to this environment alone. The caller's root is the zone's tree already.
fn mount_environment(platform: Platform<'_>, prepared: &Prepared) -> Result<()> {
    let zone = mount::open_folder(Path::new("/"))?;
    let masks = Masks::open(zone.as_fd())?;
    let quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let proc = mount::create("proc", &[], quiet)?;
    let target = mount::mount_point(zone.as_fd(), "/proc", Shape::Folder, platform.id_base)?;
    mount::attach(proc.as_fd(), target.as_fd(), "/proc")?;
    masks.cover(proc.as_fd())?;

    let target = mount::mount_point(zone.as_fd(), "/run", Shape::Folder, platform.id_base)?;
    mount::attach(prepared.run.as_fd(), target.as_fd(), "/run")?;

    // The child was born in its cgroup, so that this is what it sees as the root of the hierarchy.
    sys::unshare(flags::NEWCGROUP)?;
    let cgroups = mount::create("cgroup2", &[], quiet)?;
    // sysfs has this folder wherever the kernel has control groups.
    let target = mount::open_in(zone.as_fd(), "/sys/fs/cgroup")?;
    mount::attach(cgroups.as_fd(), target.as_fd(), "/sys/fs/cgroup")
}

/// The empty file and the empty folder that masks are copies of, opened before the new proc covers them.
struct Masks {
    file: OwnedFd,
    folder: OwnedFd,
}

impl Masks {
    fn open(zone: BorrowedFd<'_>) -> Result<Self> {
        Ok(Self { file: mount::open_in(zone, EMPTY_FILE)?, folder: mount::open_in(zone, EMPTY_FOLDER)? })
    }

    fn cover(&self, proc: BorrowedFd<'_>) -> Result<()> {
        for (names, empty) in [(&MASKED_FILES[..], &self.file), (&MASKED_FOLDERS[..], &self.folder)] {
            for name in names {
                let target = match mount::open_in(proc, name) {
                    Ok(target) => target,
                    // Not every kernel has every one of them.
                    Err(error) if error.errno() == Some(Errno::NOENT) => continue,
                    Err(error) => return Err(error),
                };
                // A copy keeps the flags of the mount it is of, which is read-only.
                let cover = mount::copy(empty.as_fd(), "")?;
                mount::attach(cover.as_fd(), target.as_fd(), name)?;
            }
        }
        Ok(())
    }
}

/// From here on the child is inside the zone's user and mount namespace. Takes on the zone's root, its streams and its
/// limits, and executes the command. Returns only if it failed.
pub(super) fn execute(
    platform: Platform<'_>,
    command: &Command,
    streams: Streams<'_>,
    listen: &Channel,
    scaffold: Option<OwnedFd>,
) -> Result<()> {
    for (fd, number) in streams.fds.iter().zip(0..) {
        sys::dup_onto(*fd, number).at("dup3", number.to_string())?;
    }
    sys::become_root_of_namespace()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").at("chdir", "/")?;
    let listener = privileges::give_up()?;
    let both = [listener.as_fd(), scaffold.as_ref().unwrap_or(&listener).as_fd()];
    listen.send(b"l", &both[..1 + usize::from(scaffold.is_some())])?;
    // As late as it can be: a new session is a new group for the scheduler, which makes the caller wait for its turn.
    let _ = rustix::process::setsid();
    if streams.terminal {
        rustix::process::ioctl_tiocsctty(streams.fds[0]).at("TIOCSCTTY", "terminal")?;
    }
    sys::cloexec_from(3);
    let (errno, name) = match &command.executable {
        // Our own init starts with every signal blocked: the kernel drops what reaches the first process of a PID
        // namespace before it is ready, unless it is blocked.
        Executable::Own => {
            (sys::fexecve(platform.program, &command.argv, &command.environment), "init of Reeve".into())
        }
        Executable::Path(path) => {
            sys::unblock_signals();
            (sys::execve(path, &command.argv, &command.environment), path.to_string_lossy().into_owned())
        }
    };
    Err(Error::os("execve", name, errno))
}
