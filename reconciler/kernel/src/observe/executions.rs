//! Being told of every program that is executed on the host (proc connector, Documentation/driver-api/connector.rst), so that a
//! process that entered a zone from outside is seen at once: whoever enters to do something executes something there. The kernel
//! filters by kind of event since Linux 6.6; before that, and without CONFIG_PROC_EVENTS, there are no such events.

use crate::error::{Context, Result};
use crate::platform::namespaces::in_netns;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const PROC: u32 = 1;
/// `PROC_EVENT_EXEC`.
const EXEC: u32 = 2;
/// Bytes of `struct nlmsghdr` and `struct cn_msg` before the event.
const BEFORE: usize = 16 + 20;
/// Most events that are read in one go.
const DRAIN_MAX: usize = 512;

/// The events of the host.
#[derive(Debug)]
pub struct Executions {
    socket: OwnedFd,
}

impl Executions {
    /// Listens from now on. The kernel tells them in its first network namespace only, where its own threads are: the calling thread
    /// goes there and comes back.
    ///
    /// # Errors
    /// EPROTONOSUPPORT or ECONNREFUSED where the kernel has no such events, EPERM without CAP_NET_ADMIN.
    pub fn open() -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let first = rustix::fs::open("/proc/2/ns/net", flags, Mode::empty()).at("open", "/proc/2/ns/net")?;
        let socket = in_netns(first.as_fd(), || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))
        })?
        .at("socket", "AF_NETLINK, NETLINK_CONNECTOR")?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, PROC)).at("bind", "AF_NETLINK, CN_IDX_PROC")?;
        rustix::net::send(&socket, &listen(), SendFlags::empty()).at("send", "PROC_CN_MCAST_LISTEN")?;
        Ok(Self { socket })
    }

    /// The processes that executed something since the last call; none where some were lost, so that all have to be looked at.
    pub fn drain(&mut self) -> Option<Vec<i32>> {
        let mut pids = Vec::new();
        for _ in 0..DRAIN_MAX {
            let mut event = [0u8; 256];
            match rustix::net::recv(&self.socket, &mut event, RecvFlags::DONTWAIT) {
                Ok((read, _)) => pids.extend(executed(&event[..read.min(event.len())])),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return None,
            }
        }
        pids.sort_unstable();
        pids.dedup();
        Some(pids)
    }
}

impl AsFd for Executions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `struct nlmsghdr`, `struct cn_msg` and `struct proc_input`: listen to EXEC.
fn listen() -> Vec<u8> {
    let mut out = Vec::new();
    let own =
        [44u32.to_ne_bytes(), u32::from(3u16).to_ne_bytes(), 0u32.to_ne_bytes(), std::process::id().to_ne_bytes()];
    own.iter().for_each(|word| out.extend(word));
    [PROC, PROC, 0, 0].iter().for_each(|word| out.extend(word.to_ne_bytes()));
    out.extend(8u16.to_ne_bytes());
    out.extend(0u16.to_ne_bytes());
    // PROC_CN_MCAST_LISTEN, and the kind.
    out.extend(1u32.to_ne_bytes());
    out.extend(EXEC.to_ne_bytes());
    out
}

/// The process of an EXEC event.
fn executed(message: &[u8]) -> Option<i32> {
    let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    // what, cpu, 64 bits of time, then the thread and its process.
    if word(BEFORE)? != EXEC {
        return None;
    }
    word(BEFORE + 20)?.try_into().ok()
}
