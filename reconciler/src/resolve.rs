//! From a manifest to what zoneadmd is told: everything looked up and spelled out, so that it parses no text.

use std::collections::BTreeMap;
use std::time::Duration;

use reeve_kernel::sys::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use reeve_kernel::wire::{Control, FileSystem, FileSystemKind, Hidden, InitSpec, Link, PlatformSpec, Program};
use reeve_schema::Zone;
use reeve_schema::manifest::{EnvValue, Fs, FsType, Init, Net, Root};
use reeve_state::limits::{FIELDS, Limits};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::places::Places;
use crate::store::ids::IdRange;

/// Size limit of each tmpfs that the platform makes for a zone (/dev/shm, /run).
const TMPFS_BYTES: u64 = 64 << 20;
/// Size limit of a configured tmpfs that has none: a zone must not be able to fill the host's memory by accident.
const FS_TMPFS_BYTES: u64 = 256 << 20;

/// The platform of a zone.
///
/// # Errors
/// [`crate::Error::Unsupported`] where no cgroup v2 is mounted.
pub fn platform(places: &Places, zone: &Zone, manifest: &Value, zone_id: u32, ids: IdRange) -> Result<PlatformSpec> {
    let name = zone.name().as_str();
    Ok(PlatformSpec {
        zone: name.to_owned(),
        zone_id,
        run_folder: places.zone_run(name).display().to_string(),
        cgroup: places.zone_cgroup(name)?.display().to_string(),
        zonepath: zone.zonepath(&places.zonepaths()),
        host_usr: matches!(zone.spec.root, Root::HostUsr(_)),
        id_base: ids.base,
        id_count: ids.count,
        hostname: zone.hostname().to_owned(),
        alias: places.link_alias(name),
        file_systems: zone.spec.fs.iter().map(file_system).collect(),
        links: zone.spec.net.iter().enumerate().map(|(index, net)| link(places, name, zone_id, index, net)).collect(),
        controls: controls(places, manifest, false),
        tmpfs_bytes: TMPFS_BYTES,
    })
}

fn file_system(fs: &Fs) -> FileSystem {
    let flags = [
        (!fs.writable(), MOUNT_ATTR_RDONLY),
        (fs.nosuid(), MOUNT_ATTR_NOSUID),
        (fs.nodev(), MOUNT_ATTR_NODEV),
        (fs.noexec(), MOUNT_ATTR_NOEXEC),
    ];
    let kind = match fs.fs_type {
        FsType::Loopback => FileSystemKind::Loopback(fs.special.clone().unwrap_or_default()),
        FsType::Tmpfs => FileSystemKind::Tmpfs(fs.size().unwrap_or(FS_TMPFS_BYTES), fs.mode().unwrap_or(0o1777)),
    };
    let attributes = flags.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).sum();
    FileSystem { dir: fs.dir.clone(), kind, attributes }
}

/// One interface of a zone.
pub fn link(places: &Places, zone: &str, zone_id: u32, index: usize, net: &Net) -> Link {
    let address = net.address.map(|cidr| (cidr.address().to_string(), cidr.prefix()));
    // A bridge that Reeve makes is the router of its zones, where a manifest names one in the zone's own network.
    let bridge_address = match (net.address, net.defrouter) {
        (Some(cidr), Some(router)) if cidr.contains(router) => Some((router.to_string(), cidr.prefix())),
        _ => None,
    };
    Link {
        bridge: net.physical.as_str().to_owned(),
        bridge_alias: places.bridge_alias(),
        bridge_address,
        host_name: places.link_name(zone_id, index),
        zone_name: format!("net{index}"),
        mac: net.mac.map_or_else(|| mac(places, zone, index), |mac| mac.octets().to_vec()),
        address,
        router: net.defrouter.map(|router| router.to_string()),
    }
}

/// The hardware address of an interface for which no manifest names one: the same each time the zone comes up, so that
/// neighbours' tables stay right. Locally administered, unicast.
fn mac(places: &Places, zone: &str, index: usize) -> Vec<u8> {
    let digest = Sha256::digest(format!("{}/{zone}/{index}", places.state().display()));
    let mut mac = digest[..6].to_vec();
    mac[0] = (mac[0] & 0xfc) | 0x02;
    mac
}

/// The limits of a manifest that this host can enforce. A fresh cgroup has the kernel's defaults, so that only what
/// differs is written into it; `all` writes the defaults as well, which takes limits back that a manifest no longer has.
pub fn controls(places: &Places, manifest: &Value, all: bool) -> Vec<Control> {
    let limits = Limits::of(manifest);
    let defaults = Limits::of(&Value::Null);
    let wanted: Vec<_> = FIELDS
        .iter()
        .filter_map(|(field, file)| Some((*file, limits.of_field(field)?, defaults.of_field(field)?)))
        .filter(|(_, value, default)| all || value != default)
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let offered = crate::cgroup::handed_down(places);
    let enforced = |file: &str| {
        offered.iter().any(|name| file.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
    };
    wanted
        .into_iter()
        .filter(|(file, ..)| enforced(file))
        .map(|(file, value, _)| Control { file: file.to_owned(), value: value.to_owned() })
        .collect()
}

/// What runs as the zone's init, with the values of its secrets by variable.
pub fn init(init: &Init, secrets: &BTreeMap<String, String>) -> InitSpec {
    let mut environment = vec![
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME", "/root".to_owned()),
        ("TERM", "linux".to_owned()),
    ];
    // How systemd and others know that they are in a container.
    environment.push(("container", "reeve".to_owned()));
    environment.retain(|(name, _)| !init.env.contains_key(*name));
    let value =
        |name: &String, value: &EnvValue| value.text().map(str::to_owned).or_else(|| secrets.get(name).cloned());
    let given = init.env.iter().filter_map(|(name, from)| Some(format!("{name}={}", value(name, from)?)));
    let environment = environment.into_iter().map(|(name, value)| format!("{name}={value}")).chain(given).collect();
    let program = match &init.program {
        Some(program) => Program::Init(std::iter::once(program.clone()).chain(init.args.iter().cloned()).collect()),
        None => Program::Command(init.command.clone()),
    };
    InitSpec { program, environment: Hidden(environment) }
}

/// How init is asked to end: the signal, and how long it may take before it is killed.
pub fn ending(init: &Init) -> (i32, Duration) {
    (i32::from(init.signal().number()), init.halt_timeout.duration())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SIGTERM: i32 = 15;
    /// What systemd as PID 1 takes as a wish to halt.
    const SIGRTMIN_3: i32 = 37;

    fn zone(spec: Value) -> (Zone, Value) {
        let manifest =
            json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "Zone", "metadata": {"name": "web"}, "spec": spec});
        (reeve_state::wanted::typed(&manifest).expect("a manifest"), manifest)
    }

    #[test]
    fn a_bridge_that_is_made_is_the_router() {
        let places = Places::new(Some("/srv/reeve".as_ref()), Some("/run/r".as_ref()), None);
        let (zone, _) = zone(json!({"root": {"hostUsr": {}},
            "net": [{"physical": "br0", "address": "10.0.0.5/24", "defrouter": "10.0.0.1"}]}));
        let link = link(&places, "web", 7, 0, &zone.spec.net[0]);
        assert_eq!(link.bridge_address, Some(("10.0.0.1".into(), 24)));
        assert_eq!(link.address, Some(("10.0.0.5".into(), 24)));
        assert_eq!((link.mac.len(), link.mac[0] & 3), (6, 2));
        assert!(link.host_name.ends_with("-7.0"));
    }

    #[test]
    fn init_is_asked_to_end_in_its_own_way() {
        let (tiny, _) = zone(json!({"root": {"hostUsr": {}}, "init": {"command": ["/bin/x"], "env": {"HOME": "/"}}}));
        assert_eq!(ending(&tiny.spec.init), (SIGTERM, Duration::from_secs(10)));
        assert_eq!(
            init(&tiny.spec.init, &BTreeMap::new())
                .environment
                .0
                .iter()
                .filter(|entry| entry.starts_with("HOME="))
                .count(),
            1
        );
        let (systemd, _) = zone(json!({"root": {"hostUsr": {}}, "init": {"program": "/sbin/init"}}));
        assert_eq!(ending(&systemd.spec.init).0, SIGRTMIN_3);
        assert_eq!(init(&systemd.spec.init, &BTreeMap::new()).program, Program::Init(vec!["/sbin/init".into()]));
    }

    #[test]
    fn secrets_are_in_the_environment_and_nothing_shows_them() {
        let env = json!({"A": {"fromFile": "/a"}, "B": {"fromAge": "b.age"}, "C": "text"});
        let (zone, _) = zone(json!({"root": {"hostUsr": {}}, "init": {"env": env}}));
        let values = [("A", "hunter2"), ("B", "hunter3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let spec = init(&zone.spec.init, &values.into());
        for entry in ["A=hunter2", "B=hunter3", "C=text"] {
            assert!(spec.environment.0.iter().any(|one| one == entry), "{entry}");
        }
        let shown = format!("{:?}", reeve_kernel::wire::Request::Boot(spec));
        assert!(shown.contains("Boot") && !shown.contains("hunter"), "{shown}");
    }
}
