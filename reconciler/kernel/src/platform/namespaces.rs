//! The namespaces that every process of a zone shares: user, network, UTS and IPC, born together so that the zone's user
//! namespace owns the other three; and visits of one thread to another's.

use crate::error::{Context, Error, Result};
use crate::sys::{self, Child, Fork, flags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The zone's namespaces while they have no zsched yet. A small helper process keeps them until this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    helper: Child,
    /// Its other end is what the helper waits on: it ends when this is closed, by zoneadmd or with it.
    _alive: OwnedFd,
    user: OwnedFd,
    network: OwnedFd,
}

/// The namespaces that zsched joins; it does not join the user namespace.
const JOINED: u64 = flags::NEWNET | flags::NEWUTS | flags::NEWIPC;

impl Namespaces {
    /// Makes them, with IDs 0 to `id_count` of the zone mapped to `id_base` and up of the host.
    ///
    /// # Errors
    /// ENOSPC above a limit of /proc/sys/user, EPERM in a chroot, else the errno of the failed call.
    pub fn create(id_base: u32, id_count: u32) -> Result<Self> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).at("pipe2", "")?;
        let helper = match sys::fork(flags::NEWUSER | JOINED, None)? {
            Fork::Child => {
                // The read ends when the other end is closed: by drop below, or by the death of zoneadmd.
                drop(theirs);
                let _ = rustix::io::read(&ours, &mut [0u8; 1]);
                sys::exit_now(0)
            }
            Fork::Parent(child) => child,
        };
        drop(ours);
        let map = format!("0 {id_base} {id_count}");
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{file}", helper.pid);
            std::fs::write(&path, &map).at("write", format!("{path}, {map:?}"))?;
        }
        let user = open_namespace(helper.pid, "user")?;
        let network = open_namespace(helper.pid, "net")?;
        Ok(Self { helper, _alive: theirs, user, network })
    }

    /// The user namespace.
    pub fn user(&self) -> &OwnedFd {
        &self.user
    }

    /// The network namespace.
    pub fn network(&self) -> &OwnedFd {
        &self.network
    }

    /// Moves the caller into the network, UTS and IPC namespaces.
    ///
    /// # Errors
    /// The errno of setns(2).
    pub fn join(&self) -> Result<()> {
        sys::setns(self.helper.pidfd.as_fd(), JOINED)
    }

    /// Ends the helper; the namespaces live on in who joined them and in the descriptors given out. It is waited for when
    /// what this returns is dropped, so that its end costs nobody any time.
    pub fn release(self) -> Ending {
        let _ = sys::pidfd_send_signal(self.helper.pidfd.as_fd(), libc::SIGKILL);
        Ending(self.helper)
    }
}

/// A helper that was ended and is still to be waited for.
#[derive(Debug)]
pub struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let id = rustix::process::WaitId::PidFd(self.0.pidfd.as_fd());
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
}

/// Opens one namespace of a process (O_PATH would not do for setns).
///
/// # Errors
/// ENOENT when the process is gone, else the errno of open(2).
pub fn open_namespace(pid: i32, kind: &str) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{kind}");
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::os("open", path, errno))
}

/// Runs `f` in another network namespace: the calling thread goes in and comes back.
///
/// # Errors
/// What open(2) of `/proc/thread-self/ns/net` or setns(2) say; `f` has not run then.
///
/// # Panics
/// When the way back is refused: the thread would act in the zone's network from then on.
pub fn in_netns<T>(netns: BorrowedFd<'_>, f: impl FnOnce() -> T) -> Result<T> {
    visit(netns, "net", LinkNameSpaceType::Network, f)
}

/// Runs `f` in another UTS namespace: the calling thread goes in and comes back.
///
/// # Errors
/// What open(2) of `/proc/thread-self/ns/uts` or setns(2) say; `f` has not run then.
///
/// # Panics
/// When the way back is refused: the thread would keep the zone's namespace from ending.
pub fn in_uts<T>(uts: BorrowedFd<'_>, f: impl FnOnce() -> T) -> Result<T> {
    visit(uts, "uts", LinkNameSpaceType::HostNameAndNISDomainName, f)
}

/// The way back is tried first: it needs CAP_SYS_ADMIN in the user namespace that owns the caller's own namespace (setns(2)), which
/// who may go in does not have everywhere.
fn visit<T>(there: BorrowedFd<'_>, name: &str, kind: LinkNameSpaceType, f: impl FnOnce() -> T) -> Result<T> {
    let own = format!("/proc/thread-self/ns/{name}");
    let home = rustix::fs::open(&own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at("open", &own)?;
    move_into_link_name_space(home.as_fd(), Some(kind)).at("setns", &own)?;
    move_into_link_name_space(there, Some(kind)).at("setns", format!("another {name} namespace"))?;
    let result = f();
    move_into_link_name_space(home.as_fd(), Some(kind)).expect("back to the own namespace");
    Ok(result)
}
