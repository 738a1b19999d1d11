//! Decodes `root` and `fs`.

use std::collections::BTreeSet;

use super::{Facts, absolute, at_most};
use crate::manifest::{DirectoryRoot, Fs, FsOption, FsType, HostUsrRoot, Root};
use crate::node::{Node, Value};
use crate::path;
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};

pub(super) const ROOT: Shape = Shape {
    name: "Root",
    what: "a root",
    fields: &[may("hostUsr", "{}"), may("directory", "{path: /srv/images/debian}")],
    later: &["image", "tarball", "oci"],
    foreign: &[("path", "`directory: {path: ...}`")],
};

pub(super) const HOST_USR: Shape =
    Shape { name: "HostUsrRoot", what: "`hostUsr`", fields: &[], later: &[], foreign: &[] };

pub(super) const DIRECTORY: Shape = Shape {
    name: "DirectoryRoot",
    what: "a root from a directory",
    fields: &[must("path", "/srv/images/debian")],
    later: &[],
    foreign: &[],
};

pub(super) const FS: Shape = Shape {
    name: "Fs",
    what: "a file system",
    fields: &[
        must("dir", "/data"),
        must("type", "loopback"),
        may("special", "/export/data"),
        may("options", "[rw, nosuid]"),
    ],
    later: &[],
    foreign: &[("source", "`special:`"), ("path", "`dir:` (in the zone) or `special:` (on the host)")],
};

/// The kinds of file systems.
pub(super) const TYPES: [(&str, FsType); 2] = [("loopback", FsType::Loopback), ("tmpfs", FsType::Tmpfs)];

/// Whether the root is the host's /usr, as far as one can see.
pub(super) fn is_host_usr(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|(key, _)| key.text == "hostUsr"))
}

/// Decodes `root`: exactly one of its fields.
pub(super) fn root(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<Root> {
    let map = r.object(node, &ROOT)?;
    if let (Some(_), Some(second)) = (map.key("hostUsr"), map.key("directory")) {
        r.problem(second, "`hostUsr` and `directory` contradict each other", "one of the two");
        return None;
    }
    let host_usr =
        map.optional(r, "hostUsr", |r, node| r.object(node, &HOST_USR).map(|_| Root::HostUsr(HostUsrRoot {})));
    let directory = map.optional(r, "directory", |r, node| directory(r, node, facts));
    match (host_usr?, directory?) {
        (Some(root), _) | (_, Some(root)) => Some(root),
        (None, None) => {
            if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
                let help = "`hostUsr: {}`, or `directory: {path: /srv/images/debian}`";
                r.problem(node.place, "the root does not say what it is made of", help);
            }
            None
        }
    }
}

/// Decodes `root.directory`.
fn directory(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<Root> {
    let map = r.object(node, &DIRECTORY)?;
    let path = map.required(r, "path", |r, node| host_directory(r, node, facts))?;
    Some(Root::Directory(DirectoryRoot { path }))
}

/// A directory of the host that becomes visible in a zone.
fn host_directory(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<String> {
    let path = absolute(r, node)?;
    if let Some(place) = ["/proc", "/sys", "/dev"].iter().find(|place| path::overlap(&path, place)) {
        let message = format!("`{path}` holds or lies in the host's `{place}`, which no zone may see");
        r.problem(node.place, message, "another directory of the host");
        return None;
    }
    facts.host_directories.push((path.clone(), r.spot(node.place)));
    Some(path)
}

/// Decodes `fs`, and compares the directories with each other.
pub(super) fn file_systems(r: &mut Reader, node: &Node, host_usr: bool, facts: &mut Facts) -> Option<Vec<Fs>> {
    at_most(r, node, Fs::MAX)?;
    let mut dirs: Vec<String> = Vec::new();
    r.list(node, |r, node| {
        let map = r.object(node, &FS)?;
        let dir = map.required(r, "dir", |r, node| dir(r, node, host_usr, &mut dirs));
        let fs_type = map.required(r, "type", |r, node| r.choice(node, "type of file system", &TYPES));
        let special = map.optional(r, "special", |r, node| host_directory(r, node, facts));
        let options = map.or_default(r, "options", |r, node| options(r, node, fs_type));
        special_fits(r, node, &map, fs_type)?;
        Some(Fs { dir: dir?, fs_type: fs_type?, special: special?, options: options? })
    })
}

/// Directories that the platform mounts itself.
const PLATFORM: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// What is the host's in a zone whose root is the host's /usr: it and the links into it.
const USR: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Decodes `fs[].dir` and compares it with what is mounted besides.
fn dir(r: &mut Reader, node: &Node, host_usr: bool, dirs: &mut Vec<String>) -> Option<String> {
    let dir = absolute(r, node)?;
    if dir == "/" {
        r.problem(node.place, "`/` is the root itself", "a directory below it; `root:` says what is at `/`");
        return None;
    }
    if let Some(reserved) = PLATFORM.iter().find(|reserved| path::within(&dir, reserved)) {
        r.problem(node.place, format!("`{reserved}` is the platform's own"), "another directory of the zone");
        return None;
    }
    if let Some(reserved) = USR.iter().find(|reserved| host_usr && path::within(&dir, reserved)) {
        let message = format!("with `root.hostUsr`, `{reserved}` is the host's and nothing can be mounted in it");
        r.problem(node.place, message, "another directory of the zone, such as `/opt` or `/srv`");
        return None;
    }
    for other in dirs.iter() {
        let message = match (*other == dir, path::within(other, &dir)) {
            (true, _) => format!("`{dir}` is mounted twice"),
            (_, true) => format!("`{dir}` would hide `{other}`, which is mounted before it"),
            _ => continue,
        };
        let help = if *other == dir { "one of the two" } else { "the outer directory first" };
        r.problem(node.place, message, help);
        return None;
    }
    dirs.push(dir.clone());
    Some(dir)
}

/// `special` is there with a loopback, and only then.
fn special_fits(r: &mut Reader, node: &Node, map: &Object, fs_type: Option<FsType>) -> Option<()> {
    match (fs_type?, map.key("special")) {
        (FsType::Loopback, None) => {
            let help = "`special:` with the directory of the host to share";
            r.at("special", |r| r.problem(node.place, "a loopback needs the field `special`", help));
            None
        }
        (FsType::Tmpfs, Some(place)) => {
            r.at("special", |r| r.problem(place, "a tmpfs has no `special`: it begins empty", "leave it out"));
            None
        }
        _ => Some(()),
    }
}

/// Decodes `fs[].options`.
fn options(r: &mut Reader, node: &Node, fs_type: Option<FsType>) -> Option<Vec<FsOption>> {
    let mut seen = BTreeSet::new();
    r.list(node, |r, node| {
        let option: FsOption = r.parsed(node)?;
        let key = option.key();
        if matches!(option, FsOption::Size(_) | FsOption::Mode(_)) && fs_type == Some(FsType::Loopback) {
            r.problem(node.place, format!("a loopback has no option `{key}`"), "leave it out; it belongs to tmpfs");
            return None;
        }
        if !seen.insert(key) {
            r.problem(node.place, format!("the option `{key}` is there twice"), "once");
            return None;
        }
        if (key == "ro" && seen.contains("rw")) || (key == "rw" && seen.contains("ro")) {
            r.problem(node.place, "`ro` and `rw` contradict each other", "one of the two");
            return None;
        }
        Some(option)
    })
}
