//! Local message channels: Unix sockets of type SOCK_SEQPACKET, which keep message boundaries and carry descriptors.

use crate::error::{Context, Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

/// The most bytes that one message may have.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// The most descriptors that one message may carry.
pub const FDS_MAX: usize = 8;
/// How long who connects waits for a place among those who wait for the other side to accept them.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// One end of a connected channel, or a listening socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

fn socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .at("socket", "AF_UNIX, SOCK_SEQPACKET")
}

/// A socket address below an open folder, so that the length of the folder's path does not count.
fn address(folder: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).at("sockaddr_un", name)
}

fn open_folder(folder: &Path) -> Result<OwnedFd> {
    rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at("open", folder.display().to_string())
}

impl Channel {
    /// Takes over a descriptor that is a SOCK_SEQPACKET socket.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Two connected ends.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .at("socketpair", "AF_UNIX, SOCK_SEQPACKET")?;
        Ok((Self(a), Self(b)))
    }

    /// Binds `name` in `folder`, in place of what a dead process left there. Nobody can connect before [`listen`].
    ///
    /// The folder's mode guards the socket: it must be 0700 and root's.
    ///
    /// # Errors
    /// The errno of open(2), unlink(2) or bind(2).
    ///
    /// [`listen`]: Channel::listen
    pub fn bind(folder: &Path, name: &str) -> Result<Self> {
        let folder_fd = open_folder(folder)?;
        match rustix::fs::unlinkat(&folder_fd, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(Error::os("unlink", format!("{}/{name}", folder.display()), errno)),
        }
        let socket = socket()?;
        rustix::net::bind(&socket, &address(folder_fd.as_fd(), name)?)
            .at("bind", format!("{}/{name}", folder.display()))?;
        Ok(Self(socket))
    }

    /// listen(2). The process that calls it is the one that SO_PEERCRED shows to those who connect.
    ///
    /// # Errors
    /// The errno of listen(2).
    pub fn listen(&self) -> Result<()> {
        rustix::net::listen(&self.0, 16).at("listen", "16")
    }

    /// Connects to `name` in `folder`.
    ///
    /// # Errors
    /// ENOENT when nobody bound it, ECONNREFUSED when whoever did is gone, EAGAIN when whoever did has let others wait for so long
    /// that there is no place to wait in.
    pub fn connect(folder: &Path, name: &str) -> Result<Self> {
        let folder_fd = open_folder(folder)?;
        let socket = socket()?;
        let limit = |time| set_socket_timeout(&socket, Timeout::Send, time);
        limit(Some(CONNECT_WITHIN)).at("setsockopt", "SO_SNDTIMEO")?;
        rustix::net::connect(&socket, &address(folder_fd.as_fd(), name)?)
            .at("connect", format!("{}/{name}", folder.display()))?;
        limit(None).at("setsockopt", "SO_SNDTIMEO")?;
        Ok(Self(socket))
    }

    /// Takes the next connection, if it comes from root of the same user namespace; another's is closed.
    ///
    /// # Errors
    /// EPERM for another user, else the errno of accept4(2).
    pub fn accept(&self) -> Result<Self> {
        let socket = rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC).at("accept4", "")?;
        match crate::sys::peer_credentials(socket.as_fd())?.uid {
            0 => Ok(Self(socket)),
            uid => Err(Error::os("accept4", format!("peer is uid {uid}"), rustix::io::Errno::PERM)),
        }
    }

    /// The process ID of the peer as the caller's PID namespace shows it (SO_PEERCRED); 0 when it is not visible there.
    ///
    /// # Errors
    /// The errno of getsockopt(2).
    pub fn peer_pid(&self) -> Result<i32> {
        Ok(crate::sys::peer_credentials(self.0.as_fd())?.pid)
    }

    /// Sends one message with its descriptors, waiting for room.
    ///
    /// # Errors
    /// EPIPE when the peer is gone, EMSGSIZE above [`MESSAGE_MAX`].
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::new("sendmsg", format!("{} descriptors", fds.len()), "too many descriptors"));
        }
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return sent.map(drop).at("sendmsg", format!("{} bytes", bytes.len())),
            }
        }
    }

    /// Waits for the next message; `None` when the peer has closed.
    ///
    /// # Errors
    /// EAGAIN on a non-blocking socket with nothing to read, ECONNRESET, or a message that was cut.
    pub fn receive(&self) -> Result<Option<Message>> {
        // The length is asked first, so that a process that waits for years does not keep a buffer for the largest.
        let waiting = loop {
            match rustix::net::recv(&self.0, &mut [0u8; 0][..], RecvFlags::PEEK | RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                waiting => break waiting.at("recv", "MSG_PEEK")?.1,
            }
        };
        let mut bytes = vec![0; waiting.clamp(1, MESSAGE_MAX)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received.at("recvmsg", "")?,
            }
        };
        let mut fds = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if received.bytes == 0 && fds.is_empty() {
            return Ok(None);
        }
        if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
            return Err(Error::new("recvmsg", "", "the message was cut"));
        }
        bytes.truncate(received.bytes);
        Ok(Some(Message { bytes, fds }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}
