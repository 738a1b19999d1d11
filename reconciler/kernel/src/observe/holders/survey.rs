//! Which threads there are, and in which mount namespaces: the list that the closer looks go through. It only reads
//! folders and links of /proc, none of which waits for the process.

use crate::observe::process::Proc;
use crate::observe::read::{is_gone, number, open_dir, subdirectories};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Threads of one process that are looked at; each can have its own namespaces and current folder.
const THREADS_MAX: usize = 32_768;

/// A thread of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread {
    pub pid: i32,
    pub tid: i32,
}

/// The threads of the host.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Every process, with its threads.
    pub processes: Vec<(i32, Vec<i32>)>,
    /// Mount namespaces by inode number, with the threads that are in them.
    pub mount_namespaces: BTreeMap<u64, Vec<Thread>>,
    /// Processes whose namespaces the kernel does not tell, as they may do more than the caller. Their mounts it does.
    pub closed: Vec<i32>,
}

/// Lists all threads. What could not be read is in `unread`.
pub(super) fn survey(proc: &Proc, unread: &mut Vec<String>) -> Survey {
    let mut found = Survey::default();
    let mut pids = Vec::new();
    // A copy of the descriptor would go on reading the folder where an earlier reading of the original stopped.
    let listed = openat(proc.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|root| subdirectories(root.as_fd(), |name| pids.extend(name.and_then(whole_number))));
    if let Err(errno) = listed {
        unread.push(format!("getdents64(/proc): {}", std::io::Error::from(errno)));
    }
    for pid in pids {
        match add(proc, pid, &mut found, unread) {
            Err(Errno::ACCESS | Errno::PERM) => found.closed.push(pid),
            Err(errno) if !is_gone(errno) => {
                unread.push(format!("readlinkat(/proc/{pid}/ns/mnt): {}", std::io::Error::from(errno)));
            }
            _ => {}
        }
    }
    found
}

fn whole_number(name: &str) -> Option<i32> {
    name.bytes().all(|b| b.is_ascii_digit()).then(|| number(name.as_bytes())).flatten()
}

fn add(proc: &Proc, pid: i32, found: &mut Survey, unread: &mut Vec<String>) -> rustix::io::Result<()> {
    let dir = proc.process(pid)?;
    let mut tids = Vec::new();
    let tasks: OwnedFd = open_dir(dir.as_fd(), "task")?;
    subdirectories(tasks.as_fd(), |name| tids.extend(name.and_then(whole_number)))?;
    if tids.len() > THREADS_MAX {
        unread.push(format!("/proc/{pid}/task: more than {THREADS_MAX} threads"));
        tids.truncate(THREADS_MAX);
    }
    found.processes.push((pid, tids.clone()));
    for &tid in &tids {
        match dir.namespace(&format!("task/{tid}/ns/mnt")) {
            Ok(number) => found.mount_namespaces.entry(number).or_default().push(Thread { pid, tid }),
            // A thread that is ending has none, and the others go on.
            Err(errno) if is_gone(errno) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
