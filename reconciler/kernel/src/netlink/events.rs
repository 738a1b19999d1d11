//! Links and addresses that change, as they change: a non-blocking socket joined to the kernel's multicast groups.

use super::address::{Address, read_address};
use super::link::{Link, read_link};
use super::message::{Messages, n};
use super::{open_socket, receive_datagram};
use crate::error::{Context, Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::collections::BTreeSet;

/// `RTMGRP_LINK` and `RTMGRP_IPV4_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE`.
const ALL_GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// `NETLINK_LISTEN_ALL_NSID`.
const LISTEN_ALL_NSID: i32 = 8;

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

/// That something of links, addresses or routes changed in another network namespace: one of those that have a number in this one,
/// as that of the other end of a veth has. No namespace is kept by it.
#[derive(Debug)]
pub struct NamespaceEvents {
    socket: OwnedFd,
}

impl NamespaceEvents {
    /// Listens in the network namespace of the calling thread to all that have a number there. Takes CAP_NET_BROADCAST over them.
    ///
    /// # Errors
    /// What socket(2), bind(2) or setsockopt(2) say.
    pub fn open() -> Result<Self> {
        let socket = open_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, ALL_GROUPS)?;
        crate::sys::netlink_option(socket.as_fd(), LISTEN_ALL_NSID)?;
        // Without more room than the kernel's default, more is lost, and seen to be.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        Ok(Self { socket })
    }

    /// The numbers of the namespaces in which something changed since the last call; none where events were lost. What changed in
    /// the listener's own is passed over.
    pub fn drain(&mut self) -> Option<BTreeSet<i32>> {
        let mut numbers = BTreeSet::new();
        for _ in 0..DRAIN_MAX {
            match crate::sys::receive_namespace(self.socket.as_fd()) {
                Ok(number) => numbers.extend(number),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return None,
            }
        }
        Some(numbers)
    }
}

impl AsFd for NamespaceEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
