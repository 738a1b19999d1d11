//! The memory of the controller and of what it starts, watched while a case runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most that the controller and its children may have at once, in KiB.
pub const MAX: u64 = 512 << 10;

/// A thread that looks every few milliseconds.
#[derive(Debug)]
pub struct Watch {
    pid: Arc<AtomicI32>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    /// Begins to watch nothing.
    pub fn start() -> Self {
        let (pid, ended) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicBool::new(false)));
        let (of, until) = (pid.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !until.load(Ordering::Relaxed) {
                most = most.max(now(of.load(Ordering::Relaxed)));
                std::thread::sleep(Duration::from_millis(4));
            }
            most
        });
        Self { pid, ended, thread }
    }

    /// Watches a process and those below it.
    pub fn process(&self, pid: i32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// The most that was seen, in KiB.
    pub fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread that watches")
    }
}

/// What a process and those below it have now in memory; what several of them map counts for each.
fn now(pid: i32) -> u64 {
    if pid == 0 {
        return 0;
    }
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let (mut sum, mut open) = (0, vec![pid]);
    while let Some(pid) = open.pop() {
        sum += resident(pid);
        open.extend(children.get(&pid).into_iter().flatten());
    }
    sum
}

fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
