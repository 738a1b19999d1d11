//! The cgroup that holds the zones, with a leaf for every zoneadmd in it; which controllers it hands on.

use std::path::Path;

use reeve_kernel::cgroup::Cgroup;

use crate::error::Result;
use crate::places::{self, Places};

/// The controllers that limits of zones use.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Makes the parent of the zones' cgroups, hands the controllers down to it, and makes the leaf of the zoneadmds.
///
/// # Errors
/// A cgroup that could not be made. A controller that cannot be had is no error: a limit that needs it is refused when a
/// manifest has one.
pub fn prepare(places: &Places) -> Result<Cgroup> {
    let mut path = places::cgroup_mount()?;
    enable(&path);
    for name in places.cgroup().split('/') {
        path.push(name);
        Cgroup::create(&path)?;
        enable(&path);
    }
    Ok(Cgroup::create(&path.join("zoneadmd"))?)
}

fn enable(path: &Path) {
    let Ok(cgroup) = Cgroup::open(path) else { return };
    let offered = cgroup.read("cgroup.controllers").unwrap_or_default();
    let enabled = cgroup.read("cgroup.subtree_control").unwrap_or_default();
    for name in CONTROLLERS {
        let has = |list: &str| list.split_ascii_whitespace().any(|item| item == name);
        if has(&offered)
            && !has(&enabled)
            && let Err(error) = cgroup.write("cgroup.subtree_control", &format!("+{name}"))
        {
            tracing::warn!("no {name} limits for zones: {error}");
        }
    }
}

/// The controllers that limits of zones can use on this host.
pub fn controllers(places: &Places) -> Vec<String> {
    let words = |path: &Path, file: &str| -> Vec<String> {
        let text = Cgroup::open(path).and_then(|cgroup| cgroup.read(file)).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let Ok(mount) = places::cgroup_mount() else { return Vec::new() };
    let parent = mount.join(places.cgroup());
    // The leaf of the zoneadmds tells a cgroup that [`prepare`] has been at from one that somebody else made (systemd,
    // say), in which nothing is handed down yet.
    if parent.join("zoneadmd").is_dir() {
        words(&parent, "cgroup.subtree_control")
    } else {
        words(&mount, "cgroup.controllers")
    }
}

/// Removes what [`prepare`] made, and what is empty above it.
///
/// # Errors
/// EBUSY while a zone or a zoneadmd lives there.
pub fn remove(places: &Places) -> Result<()> {
    let mount = places::cgroup_mount()?;
    let parent = mount.join(places.cgroup());
    match Cgroup::open(&parent) {
        Ok(cgroup) => cgroup.remove()?,
        Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // Folders above it that only it was in, such as a slice of its own; the kernel refuses one that is in use.
    let mut above = parent.as_path();
    while let Some(next) = above.parent().filter(|next| *next != mount && next.starts_with(&mount)) {
        if rustix::fs::rmdir(next).is_err() {
            break;
        }
        above = next;
    }
    Ok(())
}
