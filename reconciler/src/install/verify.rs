//! Whether a zone can be installed and brought up safely (seed [0073], [0077]; SEED C5, C6): each thing that is not as it
//! must be is said together with what to do about it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reeve_kernel::netlink::Rtnl;
use reeve_schema::Zone;
use reeve_schema::manifest::{FsType, Root};

use super::skeleton;
use crate::places::Places;

/// A failed check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.todo)
    }
}

/// Collects failed checks.
#[derive(Debug, Default)]
struct Checks(Vec<Refusal>);

impl Checks {
    fn refuse(&mut self, what: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Refusal { what: what.into(), todo: todo.into() });
    }
}

/// Whether a zonepath is below Reeve's own folder of zonepaths, which is made when it is missing.
pub(super) fn is_default(places: &Places, zonepath: &str) -> bool {
    Path::new(zonepath).parent() == Some(Path::new(&places.zonepaths()))
}

/// Every check that fails; empty: the zone can be installed and brought up.
pub fn verify(places: &Places, zone: &Zone) -> Vec<Refusal> {
    let mut checks = Checks::default();
    if zone.name().as_str() == "bridge" {
        checks.refuse("a zone cannot be named `bridge`: Reeve marks its bridges so", "name it otherwise");
    }
    let zonepath = zone.zonepath(&places.zonepaths());
    check_zonepath(&mut checks, Path::new(&zonepath), !is_default(places, &zonepath));
    check_root_source(&mut checks, zone);
    check_file_systems(&mut checks, zone);
    check_bridges(&mut checks, zone);
    check_limits(&mut checks, places, zone);
    checks.0
}

/// What is checked again each time that a zone is brought up: its folders, what it shares, its limits.
pub fn verify_platform(places: &Places, zone: &Zone) -> Vec<Refusal> {
    let mut checks = Checks::default();
    let zonepath = zone.zonepath(&places.zonepaths());
    check_zonepath(&mut checks, Path::new(&zonepath), !is_default(places, &zonepath));
    check_file_systems(&mut checks, zone);
    check_limits(&mut checks, places, zone);
    checks.0
}

/// The zonepath alone, as each install and bring-up checks it.
pub fn verify_zonepath(zonepath: &Path, named: bool) -> Vec<Refusal> {
    let mut checks = Checks::default();
    check_zonepath(&mut checks, zonepath, named);
    checks.0
}

fn check_zonepath(checks: &mut Checks, zonepath: &Path, named: bool) {
    let mut above: Vec<&Path> = zonepath.ancestors().skip(1).collect();
    above.reverse();
    for folder in above {
        match fs::symlink_metadata(folder) {
            Ok(found) => check_parent(checks, folder, &found),
            // What is missing above a zonepath that the manifest names is not made: it may be a disk that is not mounted.
            Err(_) if named => {
                let shown = folder.display();
                return checks
                    .refuse(format!("{shown}, above the zonepath, is not there"), format!("mkdir -p {shown}"));
            }
            Err(_) => return,
        }
    }
    check_id_maps(checks, zonepath);
    let shown = zonepath.display();
    match fs::symlink_metadata(zonepath) {
        Ok(found) if found.is_symlink() => checks.refuse(
            format!("the zonepath {shown} is a symbolic link"),
            "name the folder itself in spec.zonepath".to_string(),
        ),
        Ok(found) if !found.is_dir() => {
            checks.refuse(format!("the zonepath {shown} is no folder"), format!("rm {shown}"))
        }
        Ok(found) => {
            check_owner_and_mode(checks, "zonepath", zonepath, &found, 0o700);
            let root = zonepath.join("root");
            if let Ok(found) = fs::symlink_metadata(&root) {
                check_owner_and_mode(checks, "root", &root, &found, 0o755);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => checks.refuse(format!("the zonepath {shown}: {error}"), "make it accessible to root"),
    }
}

/// `f_type` of file systems that cannot map IDs on any kernel so far (statfs(2), linux/magic.h), with their names.
const WITHOUT_ID_MAPS: [(u64, &str); 5] =
    [(0x794c_7630, "overlay"), (0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9p")];

/// The zone's root is mounted with its IDs mapped, which the file system of the zonepath must be able to do.
fn check_id_maps(checks: &mut Checks, zonepath: &Path) {
    let Some(there) = zonepath.ancestors().find(|folder| folder.exists()) else { return };
    let Ok(found) = rustix::fs::statfs(there) else { return };
    let kind = found.f_type as u64 & 0xffff_ffff;
    if let Some((_, name)) = WITHOUT_ID_MAPS.iter().find(|(magic, _)| *magic == kind) {
        checks.refuse(
            format!("the zonepath {} is on {name}, a file system that cannot map IDs", zonepath.display()),
            "use ext4, xfs or btrfs (tmpfs since Linux 6.3): spec.zonepath or REEVE_STATE_DIR says where",
        );
    }
}

/// Whoever may write to a folder above the zonepath could put another tree in its place.
fn check_parent(checks: &mut Checks, folder: &Path, found: &fs::Metadata) {
    let shown = folder.display();
    if found.is_symlink() {
        checks.refuse(
            format!("{shown}, above the zonepath, is a symbolic link"),
            "name the folder itself in spec.zonepath (or in REEVE_STATE_DIR)",
        );
    } else if found.uid() != 0 {
        checks.refuse(
            format!("{shown}, above the zonepath, belongs to user {}, not to root", found.uid()),
            format!("chown root {shown}"),
        );
    } else if found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 {
        checks.refuse(
            format!(
                "{shown}, above the zonepath, has mode {:o}: others than root may write to it",
                found.mode() & 0o7777
            ),
            format!("chmod go-w {shown}"),
        );
    }
}

fn check_owner_and_mode(checks: &mut Checks, what: &str, path: &Path, found: &fs::Metadata, mode: u32) {
    let shown = path.display();
    if found.is_symlink() {
        checks.refuse(format!("the {what} {shown} is a symbolic link"), format!("rm {shown}"));
        return;
    }
    if found.uid() != 0 || found.gid() != 0 {
        checks.refuse(
            format!("the {what} {shown} belongs to {}:{}, not to root", found.uid(), found.gid()),
            format!("chown root:root {shown}"),
        );
    }
    let has = found.mode() & 0o7777;
    if has != mode {
        checks.refuse(format!("the {what} {shown} has mode {has:o}, not {mode:o}"), format!("chmod {mode:o} {shown}"));
    }
}

fn check_root_source(checks: &mut Checks, zone: &Zone) {
    match &zone.spec.root {
        Root::HostUsr(_) => {
            for name in ["bin", "sbin", "lib"] {
                let path = Path::new("/").join(name);
                if path.exists() && !path.is_symlink() {
                    checks.refuse(skeleton::not_merged(name), "see usrmerge(1)");
                }
            }
        }
        Root::Directory(directory) => match fs::metadata(&directory.path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => checks.refuse(
                format!("root.directory.path {} is no folder", directory.path),
                "name the top folder of a root file system",
            ),
            Err(error) => checks.refuse(
                format!("root.directory.path {}: {error}", directory.path),
                "name the top folder of a root file system",
            ),
        },
    }
}

fn check_file_systems(checks: &mut Checks, zone: &Zone) {
    for fs in zone.spec.fs.iter().filter(|fs| fs.fs_type == FsType::Loopback) {
        let special = fs.special.as_deref().unwrap_or_default();
        if let Err(error) = fs::symlink_metadata(special) {
            checks.refuse(format!("fs {}: special {special}: {error}", fs.dir), format!("mkdir -p {special}"));
        }
    }
}

fn check_bridges(checks: &mut Checks, zone: &Zone) {
    if zone.spec.net.is_empty() {
        return;
    }
    let Ok(mut rtnl) = Rtnl::open() else { return };
    for net in &zone.spec.net {
        let name = net.physical.as_str();
        if let Ok(Some(link)) = rtnl.link_by_name(name)
            && link.kind.as_deref() != Some("bridge")
        {
            checks.refuse(
                format!("net.physical {name} is a link of this host, but no bridge"),
                "name a bridge, or a name that is free: the bridge is made then",
            );
        }
    }
}

/// A limit that is written in a manifest and that the host cannot enforce would be a promise that is not kept.
fn check_limits(checks: &mut Checks, places: &Places, zone: &Zone) {
    let spec = &zone.spec;
    let needs = [
        ("cappedMemory", spec.capped_memory.is_some(), "memory"),
        ("maxProcesses", spec.max_processes.is_some(), "pids"),
        ("cappedCpu", spec.capped_cpu.is_some(), "cpu"),
        ("cpuShares", spec.cpu_shares.is_some(), "cpu"),
    ];
    if !needs.iter().any(|(_, written, _)| *written) {
        return;
    }
    let offered = crate::cgroup::offered(places);
    for (field, written, controller) in needs {
        if !written || offered.controllers.iter().any(|name| name == controller) {
            continue;
        }
        match &offered.blocked {
            Some(blocked) if blocked.what.contains(controller) => {
                checks.refuse(
                    format!("spec.{field} needs the controller `{controller}`: {}", blocked.what),
                    &blocked.todo,
                );
            }
            _ => checks.refuse(
                format!("spec.{field} needs the cgroup v2 controller `{controller}`, which this host does not offer"),
                format!(
                    "boot with systemd.unified_cgroup_hierarchy=1 (or free the controller from cgroup v1), \
                     or take spec.{field} out"
                ),
            ),
        }
    }
}
