//! The commands that would help a halt that cannot finish: exact, one line each, ready to paste into a shell of root's.

use super::{Evidence, EvidenceKind, Holder};

/// What to do about the evidence, in its order and without repeating itself; at the end, how to try again at once. Empty
/// where nothing is known that would help.
pub fn commands(zone: &str, evidence: &[Evidence]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    // A mount namespace that has one of the zone's file systems as its root goes with its processes, not by umount.
    let lives_in = |found: &Evidence| {
        let root = |other: &&Evidence| other.kind == EvidenceKind::Mount && other.path.as_deref() == Some("/");
        let pid = |found: &Evidence| found.holder.as_ref().map(|holder| holder.pid);
        pid(found).is_some() && evidence.iter().filter(root).any(|other| pid(other) == pid(found))
    };
    let by_kill = |found: &Evidence| found.kind == EvidenceKind::Mount && lives_in(found);
    // Of mounts, those on which nothing can be mounted any more come first.
    let mut ordered: Vec<&Evidence> = evidence.iter().collect();
    ordered.sort_by_key(|found| match (found.kind, &found.path) {
        (EvidenceKind::Mount, Some(path)) => (1, usize::MAX - path.len()),
        _ => (0, 0),
    });
    let one = |found: &Evidence| {
        if by_kill(found) { found.holder.as_ref().and_then(kill) } else { command(found) }
    };
    for command in ordered.into_iter().filter_map(one) {
        if !out.contains(&command) {
            out.push(command);
        }
    }
    if !out.is_empty() {
        out.push(format!("reeve retry {}", quoted(zone)));
    }
    out
}

/// What ends one hold, if a command does.
fn command(found: &Evidence) -> Option<String> {
    use EvidenceKind::{
        Cgroup, Cwd, Executable, Frozen, Fuse, Link, LoopDevice, MappedFile, Mount, NamespaceDescriptor, NamespaceFile,
        NamespaceMember, OpenFile, Process, Root, Swap,
    };
    let path = found.path.as_deref();
    match found.kind {
        Cwd | Root | Executable | OpenFile | MappedFile | NamespaceDescriptor | NamespaceMember => {
            found.holder.as_ref().and_then(kill)
        }
        Mount | NamespaceFile => path.map(|path| unmount(path, found.holder.as_ref())),
        Frozen => path.map(thaw),
        Fuse => Some(format!("echo 1 > {}", quoted(&format!("{}/abort", found.object)))),
        LoopDevice => Some(format!("losetup -d {}", quoted(&found.object))),
        Swap => path.map(|path| format!("swapoff {}", quoted(path))),
        Link => Some(format!("ip link delete {}", quoted(found.object.trim_start_matches("link ")))),
        // A process of the zone's own: it was killed already, and no signal reaches it.
        Process | Cgroup => None,
    }
}

/// Nobody is told to kill the host's own init.
fn kill(holder: &Holder) -> Option<String> {
    (holder.pid > 1).then(|| format!("kill {}", holder.pid))
}

/// In the mount namespace of the holder where there is one, else in the host's own.
fn unmount(path: &str, holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("nsenter --target {} --mount umount {}", holder.pid, quoted(path)),
        None => format!("umount {}", quoted(path)),
    }
}

/// `cgroup` is the folder of the frozen cgroup: of the version 1 freezer hierarchy, or of version 2.
fn thaw(cgroup: &str) -> String {
    if cgroup.split('/').any(|part| part == "freezer") {
        format!("echo THAWED > {}", quoted(&format!("{cgroup}/freezer.state")))
    } else {
        format!("echo 0 > {}", quoted(&format!("{cgroup}/cgroup.freeze")))
    }
}

/// A word as a shell takes it: as it is where nothing in it means anything to the shell, else in quotes. What would act
/// on a terminal is written by its number (`$'\x1b'`, as bash, ksh and zsh read it).
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for byte in word.bytes() {
        match byte {
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: EvidenceKind, object: &str, path: Option<&str>, pid: Option<i32>) -> Evidence {
        let holder = |pid| Holder { pid, start_time: 1, comm: "x".into(), zone: "global".into() };
        Evidence { kind, object: object.into(), path: path.map(str::to_owned), holder: pid.map(holder) }
    }

    fn one(kind: EvidenceKind, object: &str, path: Option<&str>, pid: Option<i32>) -> String {
        commands("web", &[found(kind, object, path, pid)]).first().cloned().unwrap_or_default()
    }

    #[test]
    fn each_hold_has_the_command_that_ends_it() {
        use EvidenceKind::*;
        assert_eq!(one(Cwd, "mount 0:57 /", Some("/data"), Some(4711)), "kill 4711");
        assert_eq!(one(Mount, "mount 0:57 /", Some("/mnt/a b"), None), "umount '/mnt/a b'");
        assert_eq!(one(Mount, "mount 0:57 /", Some("/mnt"), Some(7)), "nsenter --target 7 --mount umount /mnt");
        assert_eq!(one(NamespaceFile, "net:[1]", Some("/run/netns/x"), None), "umount /run/netns/x");
        assert_eq!(one(LoopDevice, "/dev/loop3", Some("/img"), None), "losetup -d /dev/loop3");
        assert_eq!(
            one(Frozen, "pid 7", Some("/sys/fs/cgroup/freezer/x"), Some(7)),
            "echo THAWED > /sys/fs/cgroup/freezer/x/freezer.state"
        );
        assert_eq!(one(Frozen, "pid 7", Some("/sys/fs/cgroup/x"), Some(7)), "echo 0 > /sys/fs/cgroup/x/cgroup.freeze");
        assert_eq!(
            one(Fuse, "/sys/fs/fuse/connections/61", Some("/data"), None),
            "echo 1 > /sys/fs/fuse/connections/61/abort"
        );
        assert_eq!(one(Link, "link rvabcd-7.0", None, None), "ip link delete rvabcd-7.0");
        assert_eq!(one(Swap, "swap", Some("/swap"), None), "swapoff /swap");
    }

    #[test]
    fn of_nested_mounts_the_innermost_comes_first_and_a_root_goes_with_its_process() {
        use EvidenceKind::Mount;
        let nested =
            [found(Mount, "mount 0:57 /", Some("/mnt"), None), found(Mount, "mount 0:58 /", Some("/mnt/dev"), None)];
        assert_eq!(commands("web", &nested), ["umount /mnt/dev", "umount /mnt", "reeve retry web"]);
        let root =
            [found(Mount, "mount 0:57 /", Some("/"), Some(9)), found(Mount, "mount 0:58 /", Some("/dev"), Some(9))];
        assert_eq!(commands("web", &root), ["kill 9", "reeve retry web"]);
    }

    #[test]
    fn nothing_is_said_where_nothing_would_help() {
        assert!(commands("web", &[found(EvidenceKind::Process, "pid 7", None, Some(7))]).is_empty());
        assert!(commands("web", &[found(EvidenceKind::Cwd, "mount", None, Some(1))]).is_empty());
        assert!(commands("web", &[]).is_empty());
    }

    #[test]
    fn nothing_is_said_twice_and_the_retry_comes_last() {
        use EvidenceKind::{Cwd, OpenFile};
        let twice =
            [found(Cwd, "m", None, Some(7)), found(OpenFile, "m", None, Some(7)), found(Cwd, "m", None, Some(8))];
        assert_eq!(commands("web", &twice), ["kill 7", "kill 8", "reeve retry web"]);
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("/a/b-c_d.e"), "/a/b-c_d.e");
        assert_eq!(quoted("it's; rm -rf /"), r"'it'\''s; rm -rf /'");
        assert_eq!(quoted("a\x1b[2J'\\ä"), r"$'a\x1b[2J\'\\\xc3\xa4'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~root"), "'~root'");
    }
}
