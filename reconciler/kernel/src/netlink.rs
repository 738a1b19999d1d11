//! Links, addresses and routes by rtnetlink(7): one blocking socket, written by hand so that zoneadmd stays small.
//! The kernel answers a request before `send` returns, so a call costs two system calls and no waiting.
//!
//! What the figures say and this module follows (reference/perf.md, 3d): a veth's peer is born in its namespace and
//! never moved; a link is left to the death of its namespace; several deletions are one message.

pub mod address;
pub mod events;
pub mod link;
mod message;

pub use address::{Address, Route};
pub use events::{Drained, LinkEvent, LinkEvents, NamespaceEvents};
pub use link::{HOST_NAME_MAX, Link, Veth};

use crate::error::{Context, Error, Result};
use crate::platform::namespaces::in_netns;
use message::{HEADER, Message, Messages, Requests, n, text, u32_at};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink};
use std::time::Duration;

/// The kernel fills at most 32 KiB per datagram of a dump.
const DATAGRAM: usize = 32 * 1024;

/// How often a dump is begun again when links changed under it.
const DUMP_TRIES: usize = 16;

/// A NETLINK_ROUTE socket. It acts in the network namespace in which it was opened, wherever the thread goes later.
#[derive(Debug)]
pub struct Rtnl {
    socket: OwnedFd,
    seq: u32,
    out: Requests,
    first: u32,
    input: Vec<u8>,
}

impl Rtnl {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What socket(2), bind(2) or connect(2) say.
    pub fn open() -> Result<Self> {
        let socket = open_socket(SocketFlags::CLOEXEC, 0)?;
        // Connected to the kernel (port 0), the socket takes unicast from nobody else.
        rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0)).at("connect", "AF_NETLINK, kernel")?;
        // Never reached while the kernel keeps its word; a lost answer must not hold zoneadmd for ever.
        let timeout = Some(Duration::from_secs(10));
        rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, timeout)
            .at("setsockopt", "SO_RCVTIMEO")?;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            // A kernel without them says less, and works.
            let _ = crate::sys::netlink_option(socket.as_fd(), option);
        }
        Ok(Self { socket, seq: 0, out: Requests::default(), first: 1, input: Vec::new() })
    }

    /// Opens a socket inside another network namespace: the calling thread goes in, opens it and comes back
    /// (38 us). The thread needs CAP_SYS_ADMIN over both namespaces.
    ///
    /// # Errors
    /// What open(2) of `/proc/thread-self/ns/net`, setns(2) or [`Rtnl::open`] say.
    ///
    /// # Panics
    /// When the way back is refused: the thread would act in the zone's network from then on.
    pub fn open_in(netns: BorrowedFd<'_>) -> Result<Self> {
        in_netns(netns, Self::open)?
    }

    /// Has the kernel take what is asked to the letter (`NETLINK_GET_STRICT_CHK`), which questions about other namespaces need.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn strict(self) -> Result<Self> {
        crate::sys::netlink_option(self.socket.as_fd(), libc::NETLINK_GET_STRICT_CHK)?;
        Ok(self)
    }

    /// Begins a datagram of requests.
    pub(crate) fn begin(&mut self) {
        self.out.clear();
        self.first = self.seq.wrapping_add(1);
    }

    /// Adds a request to the datagram: `fill` writes its attributes.
    pub(crate) fn request(&mut self, kind: u16, flags: u16, body: &[u8], fill: impl FnOnce(&mut Requests)) {
        self.add(kind, flags | n::NLM_F_REQUEST | n::NLM_F_ACK, body, fill);
    }

    fn add(&mut self, kind: u16, flags: u16, body: &[u8], fill: impl FnOnce(&mut Requests)) {
        self.seq = self.seq.wrapping_add(1);
        self.out.begin(kind, flags, self.seq, body);
        fill(&mut self.out);
        self.out.finish();
    }

    /// Asks for one object. The answer is all that comes: nothing acknowledges it besides.
    pub(crate) fn ask(
        &mut self,
        call: &'static str,
        (kind, body): (u16, &[u8]),
        fill: impl FnOnce(&mut Requests),
        args: impl Fn() -> String,
        mut seen: impl FnMut(&Message<'_>),
    ) -> Result<()> {
        self.begin();
        self.add(kind, n::NLM_F_REQUEST, body, fill);
        self.transmit(call, &args)?;
        let (mut answered, mut refused) = (false, None);
        while !answered {
            self.receive(call, &args, |message| {
                answered = true;
                match message.kind {
                    n::NLMSG_ERROR => refused = refusal(message, call, &args),
                    _ => seen(message),
                }
            })?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends the datagram and reads until each of its requests is answered; the first refusal is the error.
    pub(crate) fn send(
        &mut self,
        call: &'static str,
        args: impl Fn() -> String,
        mut seen: impl FnMut(&Message<'_>),
    ) -> Result<()> {
        let expected = self.seq.wrapping_sub(self.first).wrapping_add(1);
        self.transmit(call, &args)?;
        let mut answered = 0;
        let mut refused = None;
        while answered < expected {
            self.receive(call, &args, |message| match message.kind {
                n::NLMSG_ERROR => {
                    answered += 1;
                    if let Some(error) = refusal(message, call, &args) {
                        refused.get_or_insert(error);
                    }
                }
                _ => seen(message),
            })?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Asks for a dump. `seen` gets every message of it; `restart` is called when links changed under the dump, so
    /// that what was collected is thrown away.
    pub(crate) fn dump<T>(
        &mut self,
        call: &'static str,
        (kind, body): (u16, &[u8]),
        fill: impl Fn(&mut Requests),
        mut seen: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T>
    where
        T: Default,
    {
        let args = || "dump".to_owned();
        for _ in 0..DUMP_TRIES {
            let mut collected = T::default();
            self.begin();
            self.request(kind, n::NLM_F_DUMP, body, &fill);
            self.transmit(call, &args)?;
            let (mut done, mut changed, mut refused) = (false, false, None);
            while !done {
                self.receive(call, &args, |message| {
                    changed |= message.flags & n::NLM_F_DUMP_INTR != 0;
                    match message.kind {
                        n::NLMSG_ERROR | n::NLMSG_DONE => {
                            done = true;
                            refused = refusal(message, call, &args);
                        }
                        _ => seen(&mut collected, message),
                    }
                })?;
            }
            match refused {
                Some(error) if error.errno() == Some(Errno::INTR) => {}
                Some(error) => return Err(error),
                None if !changed => return Ok(collected),
                None => {}
            }
        }
        Err(Error::new(call, args(), format!("changed under the reading {DUMP_TRIES} times")))
    }

    fn transmit(&mut self, call: &'static str, args: &impl Fn() -> String) -> Result<()> {
        let Some(bytes) = self.out.bytes() else {
            return Err(Error::new(call, args(), "an attribute is longer than 65531 bytes"));
        };
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::empty()))
            .map(drop)
            .map_err(|errno| Error::os(call, args(), errno))
    }

    /// Reads one datagram; messages that answer an earlier, given up request are passed over.
    fn receive(
        &mut self,
        call: &'static str,
        args: &impl Fn() -> String,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<()> {
        receive_datagram(self.socket.as_fd(), &mut self.input).map_err(|errno| Error::os(call, args(), errno))?;
        let span = self.seq.wrapping_sub(self.first);
        let mut count = 0;
        for message in Messages(&self.input) {
            count += 1;
            if message.kind == n::NLMSG_OVERRUN {
                return Err(Error::new(call, args(), "the kernel lost a part of its answer (NLMSG_OVERRUN)"));
            }
            if message.seq.wrapping_sub(self.first) <= span {
                each(&message);
            }
        }
        if count == 0 {
            return Err(Error::new(call, args(), "an answer that is no netlink message"));
        }
        Ok(())
    }
}

impl AsFd for Rtnl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_socket(flags: SocketFlags, groups: u32) -> Result<OwnedFd> {
    // No protocol means protocol 0, which is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
        .at("socket", "AF_NETLINK, NETLINK_ROUTE")?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))
        .at("bind", format!("AF_NETLINK, groups {groups:#x}"))?;
    Ok(socket)
}

/// Reads one datagram into `input`. A datagram that does not fit is `EMSGSIZE`; the kernel makes none.
fn receive_datagram(socket: BorrowedFd<'_>, input: &mut Vec<u8>) -> rustix::io::Result<()> {
    input.clear();
    // Reserved, not filled: pages that no answer reaches never count as memory of zoneadmd.
    input.reserve(DATAGRAM);
    let (_, len) = rustix::io::retry_on_intr(|| {
        rustix::net::recv(socket, rustix::buffer::spare_capacity(input), RecvFlags::TRUNC)
    })?;
    if len > input.len() { Err(Errno::MSGSIZE) } else { Ok(()) }
}

/// The error in an `NLMSG_ERROR` or the end of a dump; none when it says 0.
fn refusal(message: &Message<'_>, call: &'static str, args: &impl Fn() -> String) -> Option<Error> {
    let code = u32_at(message.payload, 0)?.cast_signed();
    if code == 0 {
        return None;
    }
    let errno = Errno::from_raw_os_error(code.wrapping_neg());
    Some(match extack(message) {
        Some(why) => Error::os(call, format!("{}; kernel: {why}", args()), errno),
        None => Error::os(call, args(), errno),
    })
}

/// The kernel's own words about a refusal (NETLINK_EXT_ACK), where it gave any.
fn extack(message: &Message<'_>) -> Option<String> {
    if message.flags & n::NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let behind = match message.kind {
        n::NLMSG_DONE => 4,
        _ if message.flags & n::NLM_F_CAPPED != 0 => 4 + HEADER,
        // Not capped: the whole request is repeated before the text.
        _ => 4 + u32_at(message.payload, 4)? as usize,
    };
    message::Attributes::behind(message.payload, behind)
        .find(|(kind, _)| *kind == n::NLMSGERR_ATTR_MSG)
        .map(|(_, why)| text(why))
}
