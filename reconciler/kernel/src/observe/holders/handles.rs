//! Handles of a zone's namespaces: what proves later that they died. A handle holds nothing; the kernel never gives its
//! number to another namespace, as it does with inode numbers.

use crate::error::{Context, Error, Result};
use crate::observe::Fact;
use crate::observe::process::Proc;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fmt;
use std::str::FromStr;

/// The namespaces that handles are taken of: those that zsched is in.
const KINDS: [(&str, &std::ffi::CStr); 6] = [
    ("net", c"ns/net"),
    ("pid", c"ns/pid"),
    ("mnt", c"ns/mnt"),
    ("uts", c"ns/uts"),
    ("ipc", c"ns/ipc"),
    ("cgroup", c"ns/cgroup"),
];

/// A file handle of a namespace (name_to_handle_at(2) on nsfs, Linux 6.18). As text, for a journal: `net:f1:0300...`,
/// the kind of namespace, then type and bytes of the handle in hexadecimal. It is good for the boot that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceHandle {
    /// `net`, `pid`, `mnt`, `uts`, `ipc` or `cgroup`.
    pub kind: String,
    handle_type: i32,
    bytes: Vec<u8>,
}

impl fmt::Display for NamespaceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:x}:", self.kind, self.handle_type)?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for NamespaceHandle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let read = || {
            let mut parts = text.splitn(3, ':');
            let (kind, handle_type, bytes) = (parts.next()?, parts.next()?, parts.next()?.as_bytes());
            let handle_type = i32::from_str_radix(handle_type, 16).ok()?;
            let whole = bytes.len().is_multiple_of(2) && !bytes.is_empty() && bytes.len() <= 256;
            let bytes = bytes.chunks(2).map(byte).collect::<Option<Vec<u8>>>().filter(|_| whole)?;
            Some(Self { kind: kind.to_owned(), handle_type, bytes })
        };
        read().ok_or_else(|| Error::new("parse", text, "not a namespace handle, as `net:f1:03000000`"))
    }
}

/// Handles of those namespaces of these kinds that are the zone's alone: those that zsched is in and the caller is not. None where
/// the kernel has no such handles (before Linux 6.18).
///
/// # Errors
/// ENOENT or ESRCH when zsched is gone, else the errno of the call that failed.
pub fn namespace_handles(zsched: i32, kinds: &[&str]) -> Result<Option<Vec<NamespaceHandle>>> {
    let proc = Proc::open()?;
    let dir = proc.process(zsched).at("openat", format!("/proc/{zsched}"))?;
    let own = proc.own().at("openat", "/proc/thread-self")?;
    let mut handles = Vec::new();
    for (kind, link) in KINDS.into_iter().filter(|(kind, _)| kinds.contains(kind)) {
        let path = format!("ns/{kind}");
        let number = dir.namespace(&path).at("readlinkat", format!("/proc/{zsched}/{path}"))?;
        if own.namespace(&path).at("readlinkat", format!("/proc/thread-self/{path}"))? == number {
            continue;
        }
        match sys::name_to_handle(dir.as_fd(), link) {
            Ok((handle_type, bytes)) => handles.push(NamespaceHandle { kind: kind.to_owned(), handle_type, bytes }),
            Err(Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(Error::os("name_to_handle_at", format!("/proc/{zsched}/{path}"), errno)),
        }
    }
    Ok(Some(handles))
}

/// The user namespace that owns the network namespace of a process; none where it is above the caller's.
pub(super) fn user_namespace(dir: &crate::observe::process::ProcDir) -> rustix::io::Result<Option<(u64, OwnedFd)>> {
    let net = openat(dir.as_fd(), "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    match sys::owning_user_namespace(net.as_fd()) {
        Ok(file) => Ok(Some((rustix::fs::fstat(&file)?.st_ino, file))),
        Err(Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Where handles of namespaces are looked up.
#[derive(Debug)]
pub struct Nsfs(rustix::io::Result<OwnedFd>);

impl Nsfs {
    /// Opens it. What fails is told by what is asked then.
    pub fn open() -> Self {
        // Any file of the same file system tells where to look.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Self(openat(rustix::fs::CWD, "/proc/thread-self/ns/mnt", flags, Mode::empty()))
    }

    /// Whether the namespace of a handle is gone. Known in a boot later than the handle's means nothing: compare boot ids.
    ///
    /// A namespace lives as long as a process, a descriptor, a mounted file, a socket or a pidfd holds it, and its cleaning
    /// up takes the kernel a while; the caller's own descriptors count.
    pub fn is_gone(&self, handle: &NamespaceHandle) -> Fact<bool> {
        let at = self.0.as_ref().map_err(|errno| *errno);
        match at.and_then(|at| sys::open_by_handle(at.as_fd(), handle.handle_type, &handle.bytes)) {
            Ok(_) => Fact::Known(false),
            Err(Errno::STALE) => Fact::Known(true),
            Err(errno) => Fact::Unknown(format!("open_by_handle_at({handle}): {}", std::io::Error::from(errno))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_as_text() {
        let handle = NamespaceHandle { kind: "net".to_owned(), handle_type: 0xf1, bytes: vec![3, 0, 255] };
        assert_eq!(handle.to_string(), "net:f1:0300ff");
        assert_eq!("net:f1:0300ff".parse::<NamespaceHandle>(), Ok(handle));
        for wrong in ["", "net", "net:f1", "net:f1:", "net:f1:030", "net:xx:03", "net:f1:0g"] {
            assert!(wrong.parse::<NamespaceHandle>().is_err(), "{wrong}");
        }
    }
}
