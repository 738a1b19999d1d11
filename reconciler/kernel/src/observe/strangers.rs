//! Processes that are at work in a zone and were not started there: in its namespaces, or put into its cgroup.

use super::read::{self, numbers, value};
use std::collections::BTreeMap;

/// A process that is in namespaces of a zone, or in its cgroup, and was not started there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its PID.
    pub pid: i32,
    /// Field 22 of its `stat`.
    pub start_time: u64,
    /// Its name.
    pub comm: String,
    /// Its effective user.
    pub uid: u32,
    /// The user that logged in.
    pub login_uid: Option<u32>,
    /// What it is in.
    pub inside: Vec<String>,
}

/// A zone as strangers are looked for: its cgroup's name (`zone.NAME`) and its namespaces by kind.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// The namespaces: `mnt`, `net`, `pid`, with their inodes.
    pub namespaces: Vec<(&'static str, u64)>,
    /// Processes in its cgroup.
    pub members: Vec<i32>,
}

/// The number of a namespace of a process.
pub fn namespace_number(pid: &str, kind: &str) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    let link = link.to_str()?;
    link.split_once('[')?.1.trim_end_matches(']').parse().ok()
}

/// Looks through all processes of the host for those that are at work in a zone and not of it. `parent` is the cgroup of all
/// zones below the version 2 mount, with a `/` at both ends.
pub fn strangers(homes: &BTreeMap<String, Home>, parent: &str) -> BTreeMap<String, Vec<Stranger>> {
    let mut by_inode: BTreeMap<u64, (String, &'static str)> = BTreeMap::new();
    for (zone, home) in homes {
        by_inode.extend(home.namespaces.iter().map(|(kind, inode)| (*inode, (zone.clone(), *kind))));
    }
    let mut out: BTreeMap<String, Vec<Stranger>> = BTreeMap::new();
    let own = std::process::id() as i32;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == own {
            continue;
        }
        if let Some((zone, inside)) = entered(pid, &by_inode, parent) {
            out.entry(zone).or_default().extend(describe(pid, inside));
        }
    }
    for (zone, home) in homes {
        let found = intruders(&home.members);
        if !found.is_empty() {
            out.entry(zone.clone()).or_default().extend(found);
        }
    }
    out
}

/// The zone whose namespaces a process is in without being of it, and which of them (`mnt`, `net`, `pid`). `namespaces` has those of
/// all zones by inode; `parent` is as for [`strangers`].
pub fn entered(
    pid: i32,
    namespaces: &BTreeMap<u64, (String, &'static str)>,
    parent: &str,
) -> Option<(String, Vec<String>)> {
    let name = pid.to_string();
    let of = |kind: &str| namespaces.get(&namespace_number(&name, kind)?);
    let found: Vec<&(String, &str)> = ["mnt", "net", "pid"].into_iter().filter_map(of).collect();
    let (zone, _) = found.first()?;
    if is_below(&name, parent) {
        return None;
    }
    let inside = found.iter().filter(|(of, _)| of == zone).map(|(_, kind)| (*kind).to_owned()).collect();
    Some((zone.clone(), inside))
}

/// Most members of a cgroup that are asked after.
const MEMBERS_MAX: usize = 256;

/// Those of a cgroup's processes that were put into it from the host: no process of a zone is in the host's PID namespace.
pub fn intruders(members: &[i32]) -> Vec<Stranger> {
    let Some(host) = namespace_number("self", "pid") else { return Vec::new() };
    let from_host = |pid: &&i32| namespace_number(&pid.to_string(), "pid") == Some(host);
    let found = members.iter().take(MEMBERS_MAX).filter(from_host);
    found.filter_map(|pid| describe(*pid, vec!["cgroup".to_owned()])).collect()
}

/// Whether a process is in a cgroup below `parent`, or cannot be told.
pub fn is_below(pid: &str, parent: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return true };
    text.lines().filter_map(|line| line.strip_prefix("0::")).any(|path| format!("{path}/").contains(parent))
}

/// Who a process is; none when it is gone, or is one of the kernel's.
pub fn describe(pid: i32, inside: Vec<String>) -> Option<Stranger> {
    let file = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    let (status, stat) = (file("status")?, file("stat")?);
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let start_time = stat[end + 1..].split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(19);
    let comm = value(&status, "Name:").map(|name| String::from_utf8_lossy(name).into_owned());
    // Real, effective, saved and file system user.
    let uid = numbers_u32(value(&status, "Uid:")?).nth(1)?;
    let login = file("loginuid").and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok());
    Some(Stranger {
        pid,
        start_time: read::number(start_time?)?,
        comm: comm.unwrap_or_default(),
        uid,
        login_uid: login.filter(|uid| *uid != u32::MAX),
        inside,
    })
}

fn numbers_u32(text: &[u8]) -> impl Iterator<Item = u32> {
    text.split(u8::is_ascii_whitespace).filter_map(read::number)
}

/// The processes that a file of a cgroup lists.
pub fn members(path: &str) -> Vec<i32> {
    read::file(path).map(|text| numbers(&text).collect()).unwrap_or_default()
}
