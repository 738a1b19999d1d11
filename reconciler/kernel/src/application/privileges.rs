//! What zone root does not get: capabilities outside the default limit set, and system calls that reach past every
//! namespace. Both are given up in the zone's user namespace, before anything of the zone is executed.

use crate::application::seccomp;
use crate::error::{Context, Error, Result};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Capabilities that zone root keeps, all of them over the zone's own user namespace only. Numbers are of
/// `linux/capability.h`.
const KEPT: [u32; 27] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    2,  // DAC_READ_SEARCH
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    9,  // LINUX_IMMUTABLE
    10, // NET_BIND_SERVICE
    11, // NET_BROADCAST
    12, // NET_ADMIN: the zone's links are its own
    13, // NET_RAW
    14, // IPC_LOCK
    15, // IPC_OWNER
    18, // SYS_CHROOT
    19, // SYS_PTRACE
    21, // SYS_ADMIN: systemd mounts
    22, // SYS_BOOT: reboot(2) ends this environment's init
    23, // SYS_NICE
    24, // SYS_RESOURCE
    26, // SYS_TTY_CONFIG
    27, // MKNOD
    28, // LEASE
    29, // AUDIT_WRITE
    31, // SETFCAP
];

/// Highest capability number any kernel may have.
const LAST: u32 = 63;

/// Soft and hard limit of open files; a lower hard limit of the host stays.
const OPEN_FILES: (u64, u64) = (1024, 20_000);

/// Loads the part of the seccomp filter that holds for zsched as well, from which all processes of the zone have it: to
/// load it costs 50 us, which no start of an environment has to wait for then.
///
/// # Errors
/// As [`sys::set_seccomp_filter`].
pub fn prepare() -> Result<()> {
    // Built here, once: a child that has this memory may leave nothing in it.
    seccomp::of_environment();
    sys::set_seccomp_filter(seccomp::of_zone())
}

/// Takes everything but [`KEPT`] out of the bounding set, so that exec cannot give it, sets the limits every process of
/// a zone starts with, and loads the part of the seccomp filter that [`prepare`] leaves out. Returns where the calls are
/// heard that the filter hands over.
///
/// # Errors
/// The call that failed.
pub fn give_up() -> Result<OwnedFd> {
    for capability in 0..=LAST {
        if KEPT.contains(&capability) {
            continue;
        }
        match sys::drop_bounding(capability) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Error::os("prctl", format!("PR_CAPBSET_DROP, {capability}"), errno)),
        }
    }
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let hard = allowed.min(OPEN_FILES.1);
    let limit = Rlimit { current: Some(OPEN_FILES.0.min(hard)), maximum: Some(hard) };
    setrlimit(Resource::Nofile, limit).at("setrlimit", format!("RLIMIT_NOFILE, {hard}"))?;
    sys::set_seccomp_listener(seccomp::of_environment())
}
