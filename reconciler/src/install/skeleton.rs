//! The root of a zone that shares the host's /usr: everything but /usr, small and the zone's own. Written with the IDs of
//! the host (root); the zone sees them through its map.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use crate::error::{Error, OnFile, Result};

/// Folders and their modes. /dev, /proc, /run and /sys are where the platform mounts.
const FOLDERS: [(&str, u32); 30] = [
    ("usr", 0o755),
    ("dev", 0o755),
    ("proc", 0o755),
    ("sys", 0o755),
    ("run", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("home", 0o755),
    ("srv", 0o755),
    ("opt", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("etc", 0o755),
    ("etc/profile.d", 0o755),
    ("etc/ssl", 0o755),
    ("etc/cron.d", 0o755),
    ("etc/default", 0o755),
    ("etc/skel", 0o755),
    ("etc/opt", 0o755),
    ("var", 0o755),
    ("var/backups", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/lib/misc", 0o755),
    ("var/local", 0o2775),
    ("var/log", 0o755),
    ("var/mail", 0o2775),
    ("var/opt", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// Files of /etc and their modes; `{hostname}` stands for the zone's host name.
const FILES: [(&str, u32, &str); 16] = [
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         bin:x:2:2:bin:/bin:/usr/sbin/nologin\n\
         sys:x:3:3:sys:/dev:/usr/sbin/nologin\n\
         mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
         www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        0o644,
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nwww-data:x:33:\n\
         shadow:x:42:\nutmp:x:43:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n",
    ),
    (
        "etc/shadow",
        0o640,
        "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\nsys:*:19000:0:99999:7:::\n\
         mail:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
    ),
    (
        "etc/gshadow",
        0o640,
        "root:*::\ndaemon:*::\nbin:*::\nsys:*::\nadm:*::\ntty:*::\ndisk:*::\nmail:*::\nwww-data:*::\nshadow:*::\n\
         utmp:*::\nstaff:*::\nusers:*::\nnogroup:*::\n",
    ),
    ("etc/hosts", 0o644, "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    ("etc/hostname", 0o644, "{hostname}\n"),
    ("etc/resolv.conf", 0o644, "# Name servers of this zone: nameserver ADDRESS\n"),
    (
        "etc/nsswitch.conf",
        0o644,
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
    ),
    (
        "etc/profile",
        0o644,
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n\
         if [ \"$(id -u)\" -eq 0 ]; then PS1='\\h# '; else PS1='\\h$ '; fi\n\
         for file in /etc/profile.d/*.sh; do\n    if [ -r \"$file\" ]; then . \"$file\"; fi\ndone\nunset file\n",
    ),
    ("etc/machine-id", 0o444, ""),
    ("etc/fstab", 0o644, "# The file systems of a zone are configured in its manifest.\n"),
    ("etc/shells", 0o644, "/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n"),
    ("etc/networks", 0o644, "loopback 127.0.0.0\n"),
    ("etc/host.conf", 0o644, "multi on\n"),
    ("etc/environment", 0o644, ""),
    ("var/lib/misc/.keep", 0o644, ""),
];

/// Group `shadow`, whose the password files are.
const SHADOW: u32 = 42;
/// Group `staff`.
const STAFF: u32 = 50;
/// Group `mail`.
const MAIL: u32 = 8;

/// What programs of /usr expect in /etc and what has no secrets, copied from the host if it is there.
const COPIED: [&str; 8] = [
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/protocols",
    "etc/services",
    "etc/debian_version",
    "etc/bash.bashrc",
    "etc/inputrc",
    "etc/mime.types",
];

/// Builds the root below the empty folder `root`.
///
/// # Errors
/// What could not be made; [`Error::Refused`] when the host's programs are not all below /usr.
pub fn build(root: &Path, hostname: &str) -> Result<()> {
    merged_usr(root)?;
    for (name, mode) in FOLDERS {
        let path = root.join(name);
        fs::DirBuilder::new().mode(mode).create(&path).on("mkdir", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).on("chmod", &path)?;
    }
    for (name, mode, text) in FILES {
        write(&root.join(name), mode, text.replace("{hostname}", hostname).as_bytes())?;
    }
    let groups = [("etc/shadow", SHADOW), ("etc/gshadow", SHADOW), ("var/local", STAFF), ("var/mail", MAIL)];
    for (name, group) in groups {
        let path = root.join(name);
        let mode = fs::metadata(&path).on("stat", &path)?.permissions();
        std::os::unix::fs::chown(&path, None, Some(group)).on("chown", &path)?;
        // Changing the owner takes the set-group-ID bit of a file away.
        fs::set_permissions(&path, mode).on("chmod", &path)?;
    }
    for (name, target) in [
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
        ("etc/mtab", "../proc/self/mounts"),
        ("etc/os-release", "../usr/lib/os-release"),
    ] {
        symlink(target, root.join(name)).on("symlink", &root.join(name))?;
    }
    copy_from_host(root)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).on("open", path)?;
    file.write_all(bytes).on("write", path)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).on("chmod", path)
}

/// /bin, /sbin and the /lib folders as the host has them: symbolic links into /usr.
fn merged_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let host = Path::new("/").join(name);
        match fs::read_link(&host) {
            Ok(target) => symlink(&target, root.join(name)).on("symlink", &host)?,
            Err(_) if !host.exists() => {}
            Err(_) => return Err(Error::refused(not_merged(name))),
        }
    }
    Ok(())
}

/// Why this host's /usr cannot be shared.
pub(super) fn not_merged(name: &str) -> String {
    format!(
        "root.hostUsr shares the host's /usr alone, but this host has a /{name} that is not in it; \
         merge it (package usrmerge) or use root.directory"
    )
}

fn copy_from_host(root: &Path) -> Result<()> {
    for name in COPIED {
        let host = Path::new("/").join(name);
        if fs::symlink_metadata(&host).is_ok_and(|found| found.is_file()) {
            write(&root.join(name), 0o644, &fs::read(&host).on("read", &host)?)?;
        }
    }
    // Debian's alternatives: links from /usr/bin through here and back into /usr.
    let (host, into) = (Path::new("/etc/alternatives"), root.join("etc/alternatives"));
    if host.is_dir() {
        fs::create_dir(&into).on("mkdir", &into)?;
        for entry in fs::read_dir(host).on("readdir", host)? {
            let entry = entry.on("readdir", host)?;
            if let Ok(target) = fs::read_link(entry.path()) {
                symlink(target, into.join(entry.file_name())).on("symlink", &into)?;
            }
        }
    }
    if let Ok(target) = fs::read_link("/etc/localtime") {
        symlink(target, root.join("etc/localtime")).on("symlink", root)?;
    }
    Ok(())
}
