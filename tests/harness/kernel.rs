//! What the kernel shows of a test's zones, read without any code of Reeve's, so that it can bear witness against it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup_mount() -> PathBuf {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let line = mountinfo.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 mount");
    PathBuf::from(line.split_whitespace().nth(4).expect("mount point"))
}

/// Every process in the cgroup and below it, by its ID on the host.
pub fn processes(cgroup: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = std::fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for child in children(cgroup) {
        pids.extend(processes(&child));
    }
    pids
}

/// The same of a zone's cgroup, without the process of Reeve's that waits there to become the next init: like zsched it has
/// executed nothing (PF_FORKNOEXEC, field 9 of proc_pid_stat(5)), and it is not in zsched's leaf.
pub fn at_work(zone: &Path) -> Vec<i32> {
    let zscheds = processes(&zone.join("zsched"));
    processes(zone).into_iter().filter(|pid| zscheds.contains(pid) || has_executed(*pid)).collect()
}

/// The process of Reeve's that waits in a zone's cgroup to become the next init.
pub fn waiting(zone: &Path) -> Option<i32> {
    let at_work = at_work(zone);
    processes(zone).into_iter().find(|pid| !at_work.contains(pid))
}

fn has_executed(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & 0x40 == 0)
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The namespaces of the zones in a cgroup that are not this process's own. The zoneadmd are in those of the controller.
pub fn namespaces_of(cgroup: &Path) -> BTreeSet<String> {
    let own = namespaces(std::process::id() as i32);
    let zoneadmds = processes(&cgroup.join("zoneadmd"));
    let of_zones = processes(cgroup).into_iter().filter(|pid| !zoneadmds.contains(pid));
    of_zones.flat_map(namespaces).filter(|namespace| !own.contains(namespace)).collect()
}

/// The namespaces of one process, such as `net:[4026531840]`.
pub fn namespaces(pid: i32) -> BTreeSet<String> {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"];
    let links = kinds.iter().filter_map(|kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// What a test left behind.
#[derive(Debug, Default)]
pub struct Left {
    pub problems: Vec<String>,
}

/// Looks for processes, cgroups, links, mounts and namespaces of the test, and for its files. The network namespace is
/// the test's own, so every link but the loopback is left over.
pub fn left_over(cgroup: &Path, folder: &Path, namespaces: &BTreeSet<String>) -> Left {
    let mut left = Left::default();
    for pid in processes(cgroup) {
        left.problems.push(format!("process {pid}: {}", command_line(pid)));
    }
    if cgroup.exists() {
        left.problems.push(format!("cgroup {}", describe(cgroup)));
    }
    for line in std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default().lines().skip(2) {
        let name = line.split(':').next().unwrap_or_default().trim();
        if name != "lo" {
            left.problems.push(format!("link {name}"));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = folder.to_string_lossy().into_owned();
    left.problems.extend(mounts.lines().filter(|line| line.contains(&below)).map(|line| format!("mount {line}")));
    left.problems.extend(namespaces_alive(namespaces, cgroup));
    for place in ["state/zonepaths", "state/zones", "run/zones"] {
        let entries = std::fs::read_dir(folder.join(place)).into_iter().flatten().flatten();
        left.problems.extend(entries.map(|entry| format!("file {}", entry.path().display())));
    }
    left
}

/// The given namespaces that some process still is in. Their numbers are used again, so that the zones of other tests do
/// not count. The kernel takes network namespaces down a little after their
/// last process, so that what is seen first is looked at again.
fn namespaces_alive(namespaces: &BTreeSet<String>, cgroup: &Path) -> Vec<String> {
    let own = cgroup.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of_another_test = |pid: i32| {
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroups.contains("/reeve-") && !cgroups.contains(&own)
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                let shared: Vec<String> = self::namespaces(pid).intersection(namespaces).cloned().collect();
                if !shared.is_empty() && !of_another_test(pid) {
                    found.push(format!("namespaces {shared:?} of process {pid}: {}", command_line(pid)));
                }
            }
        }
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process's command line.
pub fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Whether a process is there and no zombie.
pub fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Asks until it holds, at most so long. Whether it does.
pub fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Field 22 of /proc/PID/stat, which tells a process from a later one with its number.
pub fn start_time(pid: i32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

/// The cgroups below one, with their processes, for a message.
pub fn describe(cgroup: &Path) -> String {
    let mut text = format!("{}: ", cgroup.display());
    for pid in std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default().lines() {
        text.push_str(&format!("{pid} ({}) ", command_line(pid.parse().unwrap_or(0))));
    }
    for child in children(cgroup) {
        text.push('\n');
        text.push_str(&describe(&child));
    }
    text
}

/// Kills what lives in the cgroup and removes it.
pub fn destroy_cgroup(cgroup: &Path) {
    let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
    for _ in 0..500 {
        remove(cgroup);
        if !cgroup.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    eprintln!("could not remove {}", describe(cgroup));
}

fn remove(cgroup: &Path) {
    children(cgroup).iter().for_each(|child| remove(child));
    let _ = std::fs::remove_dir(cgroup);
}
