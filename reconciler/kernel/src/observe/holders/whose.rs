//! Whose a process is: its number, start time and name, and the zone that its cgroup belongs to.

use super::Holder;
use super::mounts::Mount;
use crate::observe::cgroup::Part;
use crate::observe::process::ProcDir;
use crate::observe::read::{record, whole};
use rustix::fd::AsFd;
use std::path::Path;

/// The most that is passed on of a process's name.
const COMM_MAX: usize = 64;

/// Tells the zone of a process from its cgroup.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// The parent of all zones' cgroups as /proc/PID/cgroup names it. Without, a zone's cgroup is known by its layout.
    root: Option<String>,
}

impl Whose {
    /// Finds the path in the hierarchy of the folder `cgroup_root`, by the version 2 mount that it is below.
    pub fn new(cgroup_root: &Path, mounts: &[Mount]) -> Self {
        let folder = std::fs::canonicalize(cgroup_root).unwrap_or_else(|_| cgroup_root.to_owned());
        let below = |mount: &Mount| {
            let rest = folder.strip_prefix(&mount.point).ok()?.to_str()?;
            Some((mount.point.len(), join(&mount.root, rest)))
        };
        let found = mounts.iter().filter(|mount| mount.kind == "cgroup2").filter_map(below);
        Self { root: found.max_by_key(|(length, _)| *length).map(|(_, path)| path) }
    }

    /// The zone of a cgroup, by the path that /proc/PID/cgroup gives it.
    fn zone(&self, path: &str) -> Option<String> {
        let Some(root) = &self.root else { return by_layout(path) };
        let below = path.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?;
        name(below.split('/').next()?)
    }

    /// Whether the process behind `dir` is of another zone than `zone`: of this instance of Reeve or of another.
    pub fn is_other_zones(&self, buffer: &mut Vec<u8>, dir: &ProcDir, zone: &str) -> bool {
        let path = whole(buffer, dir.as_fd(), "cgroup").ok().and_then(version_2);
        path.is_some_and(|path| match self.zone(&path) {
            Some(name) => name != zone,
            None => by_layout(&path).is_some(),
        })
    }

    /// The process behind `dir`, as a holder.
    ///
    /// # Errors
    /// ESRCH and the like when it has ended.
    pub fn holder(&self, buffer: &mut Vec<u8>, dir: &ProcDir) -> rustix::io::Result<Holder> {
        let process = dir.identity(buffer)?;
        let comm = comm(record(buffer, dir.as_fd(), "stat")?);
        let zone = version_2(whole(buffer, dir.as_fd(), "cgroup")?).and_then(|path| self.zone(&path));
        Ok(Holder { pid: process.pid, start_time: process.start_time, comm, zone })
    }
}

fn name(part: &str) -> Option<String> {
    part.strip_prefix("zone.").filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The zone of a cgroup that is laid out as a zone's, wherever the zones' parent is.
fn by_layout(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let layout = |leaf: &str| !matches!(Part::of(leaf), Part::Other(_));
    parts.windows(2).find(|pair| layout(pair[1])).and_then(|pair| name(pair[0]))
}

/// A path below a mount, as the file system itself names it.
pub(super) fn join(root: &str, rest: &str) -> String {
    match (root.trim_end_matches('/'), rest.trim_matches('/')) {
        ("", "") => "/".to_owned(),
        (root, "") => root.to_owned(),
        (root, rest) => format!("{root}/{rest}"),
    }
}

/// The name in brackets of `stat`, which may hold brackets itself.
fn comm(stat: &[u8]) -> String {
    let begin = stat.iter().position(|&b| b == b'(').map_or(0, |at| at + 1);
    let end = stat.iter().rposition(|&b| b == b')').unwrap_or(begin).max(begin);
    String::from_utf8_lossy(&stat[begin..end.min(begin + COMM_MAX)]).into_owned()
}

/// The path of the version 2 cgroup in the text of /proc/PID/cgroup.
pub(super) fn version_2(text: &[u8]) -> Option<String> {
    let line = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(String::from_utf8_lossy(line).into_owned())
}

/// The path of the cgroup in the version 1 hierarchy that has `controller`.
pub(super) fn version_1(text: &[u8], controller: &str) -> Option<String> {
    text.split(|&b| b == b'\n').find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.splitn(3, ':').skip(1);
        let of = fields.next()?.split(',').any(|name| name == controller);
        fields.next().filter(|_| of).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::holders::mounts::parse;

    #[test]
    fn the_zone_of_a_cgroup() {
        let table = parse(b"30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let whose = Whose::new(Path::new("/sys/fs/cgroup/unified/no-such/reeve"), &table);
        assert_eq!(whose.root.as_deref(), Some("/no-such/reeve"));
        assert_eq!(whose.zone("/no-such/reeve/zone.web/env.1/x").as_deref(), Some("web"));
        assert_eq!(whose.zone("/no-such/reeve/zoneadmd"), None);
        assert_eq!(whose.zone("/no-such/reeve2/zone.web/env.1"), None);
        let guess = Whose::default();
        assert_eq!(guess.zone("/a/b/zone.web/env.1").as_deref(), Some("web"));
        assert_eq!(guess.zone("/a/b/zone.web/other"), None);
    }

    #[test]
    fn names_and_cgroups() {
        assert_eq!(comm(b"42 (a (b) c) S 1"), "a (b) c");
        assert_eq!(comm(b""), "");
        let text = b"7:cpu,freezer:/x:y\n0::/z\n";
        assert_eq!((version_1(text, "freezer").as_deref(), version_2(text).as_deref()), (Some("/x:y"), Some("/z")));
        assert_eq!(version_1(text, "pids"), None);
    }
}
