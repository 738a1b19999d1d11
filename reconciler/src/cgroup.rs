//! The cgroup that holds the zones, with a leaf for every zoneadmd in it; which controllers it hands on.

use std::path::{Path, PathBuf};

use reeve_kernel::cgroup::Cgroup;

use crate::error::Result;
use crate::places::{self, Places};

/// The controllers that limits of zones use.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// The file that says what a cgroup hands down.
const CONTROL: &str = "cgroup.subtree_control";

/// The most processes that are named where they are in the way.
const NAMED: usize = 3;

/// Why the controllers cannot be handed down to the zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// What is in the way.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

/// The leaf of the zoneadmds, and what keeps the controllers from the zones, if anything does.
pub struct Prepared {
    /// The leaf.
    pub zoneadmds: Cgroup,
    /// None: all controllers that the host has are handed down.
    pub blocked: Option<Blocked>,
}

/// What limits of zones can use on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// The controllers.
    pub controllers: Vec<String>,
    /// Why there are not more, where the host has more.
    pub blocked: Option<Blocked>,
}

/// Makes the parent of the zones' cgroups, hands the controllers down to it, and makes the leaf of the zoneadmds.
///
/// # Errors
/// A cgroup that could not be made. A controller that cannot be had is no error: a limit that needs it is refused when a
/// manifest has one.
pub fn prepare(places: &Places) -> Result<Prepared> {
    let levels = levels(places)?;
    for level in &levels[1..] {
        Cgroup::create(level)?;
    }
    let blocked = hand_down(&levels).err();
    let parent = places.cgroup_parent()?;
    Ok(Prepared { zoneadmds: Cgroup::create(&parent.join("zoneadmd"))?, blocked })
}

/// The cgroups from the mount to the parent of the zones' cgroups.
fn levels(places: &Places) -> Result<Vec<PathBuf>> {
    let mut path = places::cgroup_mount()?.to_owned();
    let mut levels = vec![path.clone()];
    for name in places.cgroup().split('/') {
        path.push(name);
        levels.push(path.clone());
    }
    Ok(levels)
}

/// Hands the controllers down through all levels, or changes none. A part of them would do harm: with `pids` and `cpu`
/// but without `memory` the kernel takes a cgroup that has processes for a threaded one, in which no zone can be born.
fn hand_down(levels: &[PathBuf]) -> std::result::Result<(), Blocked> {
    if let Some(blocked) = blocked(levels) {
        return Err(blocked);
    }
    let mut done: Vec<(Cgroup, Vec<&str>)> = Vec::new();
    for level in levels {
        let handed = Cgroup::open(level).and_then(|cgroup| {
            let missing = missing(levels, &cgroup);
            match missing.is_empty() {
                true => Ok(None),
                // In one write: the kernel takes all of it or nothing.
                false => cgroup.write(CONTROL, &signed('+', &missing)).map(|()| Some((cgroup, missing))),
            }
        });
        match handed {
            Ok(handed) => done.extend(handed),
            Err(error) => {
                for (cgroup, added) in done.iter().rev() {
                    if let Err(error) = cgroup.write(CONTROL, &signed('-', added)) {
                        tracing::warn!("taking back what was handed down: {error}");
                    }
                }
                let todo = "see what uses the cgroup, or name another in REEVE_CGROUP".into();
                return Err(Blocked { what: error.to_string(), todo });
            }
        }
    }
    Ok(())
}

fn signed(sign: char, controllers: &[&str]) -> String {
    controllers.iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>().join(" ")
}

/// The controllers that limits use, that the host has, and that a cgroup does not hand down.
fn missing(levels: &[PathBuf], cgroup: &Cgroup) -> Vec<&'static str> {
    let offered = levels.first().map(|mount| words(mount, "cgroup.controllers")).unwrap_or_default();
    let enabled = cgroup.read(CONTROL).unwrap_or_default();
    let has = |name: &str| enabled.split_ascii_whitespace().any(|item| item == name);
    CONTROLLERS.into_iter().filter(|name| offered.iter().any(|item| item == name) && !has(name)).collect()
}

/// The first level that would have to hand something down and cannot, because processes live in it: the kernel lets only
/// the root of the hierarchy do both, which alone has no `cgroup.type`.
fn blocked(levels: &[PathBuf]) -> Option<Blocked> {
    levels.iter().find_map(|level| {
        let cgroup = Cgroup::open(level).ok()?;
        let missing = missing(levels, &cgroup);
        if missing.is_empty() || cgroup.read("cgroup.type").is_err() {
            return None;
        }
        let text = cgroup.read("cgroup.procs").ok()?;
        let pids: Vec<&str> = text.split_ascii_whitespace().collect();
        let first = pids.first()?;
        let (shown, list) = (level.display(), missing.join(", "));
        Some(Blocked {
            what: format!(
                "the cgroup {shown} cannot hand down {list} (cgroup v2), because it has processes of its own: {}",
                processes(&pids)
            ),
            todo: format!(
                "end them or move them into a cgroup of their own (mkdir {shown}/rest; echo {first} > {shown}/rest/cgroup.procs), \
                 or name another cgroup in REEVE_CGROUP"
            ),
        })
    })
}

/// Processes with their names, the first few of them.
fn processes(pids: &[&str]) -> String {
    let comm = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let named = pids.iter().take(NAMED).map(|pid| match comm(pid).trim_end() {
        "" => (*pid).to_owned(),
        comm => format!("{pid} ({comm})"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match pids.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn words(path: &Path, file: &str) -> Vec<String> {
    let text = Cgroup::open(path).and_then(|cgroup| cgroup.read(file)).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The controllers that the zones' cgroups have now.
pub fn handed_down(places: &Places) -> Vec<String> {
    places.cgroup_parent().map(|parent| words(&parent, CONTROL)).unwrap_or_default()
}

/// What limits of zones can use on this host: what is handed down, or will be when the first zone is brought up.
pub fn offered(places: &Places) -> Offered {
    let Ok(levels) = levels(places) else { return Offered::default() };
    match (blocked(&levels), levels.first(), levels.last()) {
        (Some(blocked), _, Some(parent)) => Offered { controllers: words(parent, CONTROL), blocked: Some(blocked) },
        (_, Some(mount), _) => Offered { controllers: words(mount, "cgroup.controllers"), blocked: None },
        _ => Offered::default(),
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
    while let Some(next) = above.parent().filter(|next| *next != mount && next.starts_with(mount)) {
        if rustix::fs::rmdir(next).is_err() {
            break;
        }
        above = next;
    }
    Ok(())
}
