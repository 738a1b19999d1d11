//! The system calls and errnos that faults are injected into: by name, as people write and read them.

use libc::*;

macro_rules! table {
    ($name:ident: $($call:ident)*) => {
        /// Numbers and names.
        const $name: &[(i64, &str)] = &[$(($call as i64, stringify!($call))),*];
    };
}

// Every call that fails for reasons of its own. Not there: what cannot fail, what only the runtime's own threads make
// (futex, epoll; poll, at its start), close (its descriptor is gone whatever it answers), memory (a failed malloc aborts by design).
table! { CALLS:
    SYS_read SYS_write SYS_pread64 SYS_open SYS_openat SYS_openat2 SYS_stat SYS_fstat SYS_lstat SYS_newfstatat SYS_statx
    SYS_readlink SYS_readlinkat SYS_getdents64 SYS_lseek SYS_ftruncate SYS_fsync SYS_fdatasync SYS_syncfs SYS_flock
    SYS_rename SYS_renameat SYS_renameat2 SYS_mkdir SYS_mkdirat SYS_rmdir SYS_unlink SYS_unlinkat SYS_symlink SYS_symlinkat
    SYS_mknod SYS_mknodat SYS_chmod SYS_fchmod SYS_fchmodat SYS_chown SYS_fchown SYS_fchownat SYS_lchown SYS_chdir
    SYS_fchdir SYS_pivot_root SYS_mount SYS_umount2 SYS_fsopen SYS_fsconfig SYS_fsmount SYS_move_mount SYS_open_tree
    SYS_mount_setattr SYS_clone3 SYS_execve SYS_execveat SYS_wait4 SYS_waitid SYS_pidfd_open SYS_pidfd_send_signal SYS_kill
    SYS_pipe2 SYS_dup3 SYS_fcntl SYS_ioctl SYS_ppoll SYS_memfd_create SYS_signalfd4
    SYS_socket SYS_socketpair SYS_bind SYS_listen SYS_connect SYS_accept4 SYS_sendmsg SYS_sendto SYS_recvmsg SYS_recvfrom
    SYS_setsockopt SYS_getsockopt SYS_setns SYS_unshare SYS_sethostname SYS_setresuid SYS_setresgid SYS_setgroups
    SYS_capset SYS_seccomp SYS_setsid SYS_prlimit64 SYS_statfs SYS_fstatfs
}

table! { ERRNOS: ENOSPC EIO EMFILE ENFILE ENOMEM EINTR EBUSY EAGAIN EROFS EDQUOT }

/// The name of a call, or its number where the table has no name for it.
pub fn name(number: i64) -> String {
    let found = CALLS.iter().find(|(known, _)| *known == number);
    found.map_or_else(|| number.to_string(), |(_, name)| name["SYS_".len()..].to_owned())
}

/// The number of a call that is named, or given as a number.
pub fn number(name: &str) -> Option<i64> {
    let found = CALLS.iter().find(|(_, known)| known["SYS_".len()..] == *name);
    found.map(|(number, _)| *number).or_else(|| name.parse().ok())
}

/// Whether errnos are injected into this call.
pub fn may_fail(number: i64) -> bool {
    CALLS.iter().any(|(known, _)| *known == number)
}

/// The name of an errno.
pub fn errno_name(errno: i32) -> String {
    let found = ERRNOS.iter().find(|(known, _)| *known == i64::from(errno));
    found.map_or_else(|| errno.to_string(), |(_, name)| (*name).to_owned())
}

/// An errno by its name.
pub fn errno(name: &str) -> Option<i32> {
    ERRNOS.iter().find(|(_, known)| *known == name).map(|(errno, _)| *errno as i32)
}

/// Every errno that is injected.
pub fn errnos() -> impl Iterator<Item = i32> + Clone {
    ERRNOS.iter().map(|(errno, _)| *errno as i32)
}
