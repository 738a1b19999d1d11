//! Links and addresses that change, as they change: a non-blocking socket joined to the kernel's multicast groups.

use super::address::{Address, read_address};
use super::link::{Link, read_link};
use super::message::{Messages, n};
use super::{open_socket, receive_datagram};
use crate::error::{Context, Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::SocketFlags;

/// `RTMGRP_LINK` and `RTMGRP_IPV4_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10;

/// Room for what comes while nobody reads: some thousand links. It is only taken while something waits.
const RECEIVE_BUFFER: usize = 4 << 20;

/// At most this many datagrams in one [`LinkEvents::drain`], so that a storm does not hold its reader.
const DRAIN_MAX: usize = 4096;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link is new, or something of it changed: this is how it is now.
    Changed(Link),
    /// A link is gone (from this namespace); this is how it was.
    Gone(Link),
    /// A link has this address now.
    AddressAdded(Address),
    /// A link lost this address.
    AddressGone(Address),
}

/// What [`LinkEvents::drain`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drained {
    /// The events, in the kernel's order.
    pub events: Vec<LinkEvent>,
    /// Events were lost: only a full reading tells what is.
    pub overrun: bool,
}

/// The events of the network namespace in which it was opened.
#[derive(Debug)]
pub struct LinkEvents {
    socket: OwnedFd,
    input: Vec<u8>,
}

impl LinkEvents {
    /// Listens in the network namespace of the calling thread. What happens from now on is seen.
    ///
    /// # Errors
    /// What socket(2) or bind(2) say.
    pub fn open() -> Result<Self> {
        let socket = open_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, GROUPS)?;
        // More than net.core.rmem_max takes CAP_NET_ADMIN; without it the kernel's default has to do.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER).at("setsockopt", "SO_RCVBUF")?;
        }
        Ok(Self { socket, input: Vec::new() })
    }

    /// Reads what has come, without waiting. After 4096 datagrams it returns early; the descriptor stays readable.
    ///
    /// # Errors
    /// What recv(2) says, other than that nothing is there (`EAGAIN`) or that something was lost (`ENOBUFS`).
    pub fn drain(&mut self) -> Result<Drained> {
        let mut drained = Drained::default();
        for _ in 0..DRAIN_MAX {
            match receive_datagram(self.socket.as_fd(), &mut self.input) {
                Ok(()) => self.collect(&mut drained),
                Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS | Errno::MSGSIZE) => drained.overrun = true,
                Err(errno) => return Err(Error::os("recv", "AF_NETLINK, link events", errno)),
            }
        }
        Ok(drained)
    }

    fn collect(&self, drained: &mut Drained) {
        for message in Messages(&self.input) {
            let event = match message.kind {
                n::RTM_NEWLINK => read_link(&message).map(LinkEvent::Changed),
                n::RTM_DELLINK => read_link(&message).map(LinkEvent::Gone),
                n::RTM_NEWADDR => read_address(&message).map(LinkEvent::AddressAdded),
                n::RTM_DELADDR => read_address(&message).map(LinkEvent::AddressGone),
                n::NLMSG_OVERRUN => {
                    drained.overrun = true;
                    None
                }
                _ => None,
            };
            drained.events.extend(event);
        }
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
