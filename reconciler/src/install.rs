//! Files of zones: `install` puts them under the zonepath, `uninstall` takes them away (seed [0044], [0064], [0076]).
//!
//! A zonepath has `root` (what install put there, with the IDs of the host, never written again), `upper` and `work` (what
//! the zone writes, with the IDs of its range), and `.reeve.json`, which says whose they are.

mod skeleton;
pub mod tree;
mod verify;

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use reeve_schema::Zone;
use reeve_schema::manifest::Root;
use reeve_state::wanted;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, OnFile, Result};
use crate::places::Places;
use crate::store::files::{self, Content, Durability};
use crate::store::ids::{IdRange, IdRanges};
use crate::store::zone::{Installed, ZoneFiles};

pub use verify::{Refusal, verify, verify_platform, verify_zonepath};

/// The parts of a zonepath, in the order in which install puts them in place: `root` is the last.
const PARTS: [&str; 4] = [MARK, "upper", "work", "root"];
/// Says whose a zonepath is.
const MARK: &str = ".reeve.json";
/// Where a root is built.
const BUILDING: &str = ".installing";

/// `.reeve.json` in a zonepath: what is needed to take the files over when the state folder was lost.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    version: u32,
    zone: String,
    ids: IdRange,
}

/// Installs a zone that is configured. Nothing of it is visible before all of it is there; when it fails, the zone is
/// still configured. Files that this zone left here before (the state folder was lost) are taken over as they are.
///
/// # Errors
/// [`Error::Refused`] with every failed check; a file that could not be made.
pub fn install(places: &Places, zone: &Zone) -> Result<()> {
    let refusals = verify(places, zone);
    if !refusals.is_empty() {
        return Err(refused(&refusals));
    }
    let name = zone.name().as_str();
    let zonepath = PathBuf::from(zone.zonepath(&places.zonepaths()));
    if verify::is_default(places, &zonepath.display().to_string()) {
        files::private_folder(Path::new(&places.zonepaths()))?;
    }
    if !zonepath.is_dir() {
        files::private_folder(&zonepath)?;
    }
    let ids = match mark_of(&zonepath)? {
        Some(mark) if mark.zone == name && PARTS.iter().all(|part| zonepath.join(part).exists()) => {
            tracing::info!("zone {name}: takes over the files in {}", zonepath.display());
            IdRanges::new(places.state()).keep(name, mark.ids)?;
            mark.ids
        }
        _ => {
            refuse_strangers(&zonepath)?;
            let ids = IdRanges::new(places.state()).give(name)?;
            build(&zonepath, zone, ids)?;
            ids
        }
    };
    let root = serde_json::to_value(&zone.spec.root).map_err(std::io::Error::other).on("encode", &zonepath)?;
    ZoneFiles::new(places, name).set_installed(&Installed::new(&zonepath.display().to_string(), root, ids))
}

/// Writes `installed.json` anew where it was lost and the zonepath of this manifest says that all its files are there and
/// are this zone's. False where it does not.
///
/// # Errors
/// What could not be read or written; [`Error::Refused`] when the files' IDs are another zone's.
pub fn restore(places: &Places, name: &str, manifest: &Value) -> Result<bool> {
    let Some(zonepath) = wanted::zonepath(manifest).map(Path::new) else { return Ok(false) };
    match mark_of(zonepath)? {
        Some(mark) if mark.zone == name && PARTS.iter().all(|part| zonepath.join(part).exists()) => {
            IdRanges::new(places.state()).keep(name, mark.ids)?;
            let root = manifest["spec"]["root"].clone();
            let installed = Installed::new(&zonepath.display().to_string(), root, mark.ids);
            ZoneFiles::new(places, name).set_installed(&installed)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn refused(refusals: &[Refusal]) -> Error {
    Error::refused(refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n"))
}

fn mark_of(zonepath: &Path) -> Result<Option<Mark>> {
    Ok(match files::read_json::<Mark>(&zonepath.join(MARK))? {
        Content::Value(mark) if mark.version == 1 => Some(mark),
        _ => None,
    })
}

/// Files that no installation of this zone put here are somebody's: they are neither used nor removed.
fn refuse_strangers(zonepath: &Path) -> Result<()> {
    let ours = |name: &std::ffi::OsStr| name == BUILDING || name == "lost+found";
    let unfinished = mark_of(zonepath)?.is_some() && !zonepath.join("root").exists();
    for entry in fs::read_dir(zonepath).on("readdir", zonepath)? {
        let name = entry.on("readdir", zonepath)?.file_name();
        let left_over = unfinished && PARTS.iter().any(|part| name == *part);
        if !ours(&name) && !left_over {
            return Err(Error::refused(format!(
                "the zonepath {} has files that this zone did not put there ({}); move them away",
                zonepath.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

/// Builds everything in a folder inside the zonepath, which nobody else can enter, makes it durable, then moves the parts
/// into place.
fn build(zonepath: &Path, zone: &Zone, ids: IdRange) -> Result<()> {
    let building = zonepath.join(BUILDING);
    tree::remove(&building)?;
    let built = (|| -> Result<()> {
        files::private_folder(&building)?;
        let root = folder(&building.join("root"), 0o755, None)?;
        match &zone.spec.root {
            Root::HostUsr(_) => skeleton::build(&root, zone.hostname())?,
            Root::Directory(directory) => tree::copy(Path::new(&directory.path), &root)?,
        }
        // The attributes of `upper` are those of the zone's / as the zone sees it.
        folder(&building.join("upper"), 0o755, Some(ids.base))?;
        folder(&building.join("work"), 0o700, Some(ids.base))?;
        let mark = Mark { version: 1, zone: zone.name().to_string(), ids };
        files::replace_json(&building.join(MARK), &mark, Durability::Volatile)?;
        sync_file_system(&building)?;
        for part in PARTS {
            let target = zonepath.join(part);
            tree::remove(&target)?;
            fs::rename(building.join(part), &target).on("rename", &target)?;
        }
        Ok(())
    })();
    let removed = tree::remove(&building);
    built?;
    removed?;
    files::sync_folder(zonepath)
}

fn folder(path: &Path, mode: u32, owner: Option<u32>) -> Result<PathBuf> {
    fs::create_dir(path).on("mkdir", path)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).on("chmod", path)?;
    if let Some(owner) = owner {
        chown(path, Some(owner), Some(owner)).on("chown", path)?;
    }
    Ok(path.to_owned())
}

/// One call for a whole tree instead of one for each file in it.
fn sync_file_system(path: &Path) -> Result<()> {
    let folder = fs::File::open(path).on("open", path)?;
    rustix::fs::syncfs(&folder).on("syncfs", path)
}

/// Removes what the overlay of a zone that is down left in `work`. The kernel would do it when the zone is brought up the next time,
/// while somebody waits for it: a third of a millisecond where the disk is told of every block that is freed (`discard`). What is not
/// empty is left to the kernel. The caller has the zone's lock, so that no overlay is made of it meanwhile.
///
/// # Errors
/// `installed.json` or the folder, when it cannot be read or removed.
pub fn clear_work(places: &Places, name: &str) -> Result<()> {
    let Content::Value(installed) = ZoneFiles::new(places, name).installed()? else { return Ok(()) };
    let left = Path::new(&installed.zonepath).join("work/work");
    match fs::remove_dir(&left) {
        Err(error) if ![ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty].contains(&error.kind()) => {
            Err(error).on("rmdir", &left)
        }
        _ => Ok(()),
    }
}

/// Uninstalls a zone that is not active: its files are gone, its configuration stays. The zonepath itself stays where the
/// manifest names it, as it was made by somebody else.
///
/// # Errors
/// [`Error::Refused`] when something is mounted there; a file that could not be removed.
pub fn uninstall(places: &Places, name: &str) -> Result<()> {
    let zone_files = ZoneFiles::new(places, name);
    let zonepath = match zone_files.installed()? {
        Content::Value(installed) => PathBuf::from(installed.zonepath),
        Content::Absent => return Ok(()),
        Content::Bad(why) => return Err(Error::refused(format!("{why}; what to remove is not known"))),
    };
    if let Some(mark) = mark_of(&zonepath)?
        && mark.zone != name
    {
        let shown = zonepath.display();
        return Err(Error::refused(format!("the zonepath {shown} has the files of zone {}; they stay", mark.zone)));
    }
    refuse_mounts(&zonepath)?;
    // `root` goes first: from then on the zone is not installed, whatever else is still there.
    for part in ["root", "upper", "work", BUILDING, MARK] {
        tree::remove(&zonepath.join(part))?;
    }
    if verify::is_default(places, &zonepath.display().to_string()) {
        match fs::remove_dir(&zonepath) {
            Err(error) if ![ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty].contains(&error.kind()) => {
                return Err(error).on("rmdir", &zonepath);
            }
            // What somebody else put there is left to him.
            _ => {}
        }
    }
    zone_files.set_uninstalled()
}

/// Anything mounted in a zonepath is somebody's, and what is on it does not belong to the zone.
fn refuse_mounts(zonepath: &Path) -> Result<()> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).on("read", path)?;
    let inside = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut inside = inside.filter(|point| Path::new(point).starts_with(zonepath) && Path::new(point) != zonepath);
    match inside.next() {
        Some(point) => Err(Error::refused(format!("{point} is mounted in the zonepath; do: umount {point}"))),
        None => Ok(()),
    }
}

/// Undoes the octal escapes of proc_pid_mountinfo(5).
fn unescape(point: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(point.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Whether a zone is installed: `installed.json` is there, and so is the root that it names. Whose the root is and what mode it
/// has is looked at when the zone comes up, and is drift until then.
///
/// # Errors
/// What could not be read: then it is not known.
pub fn installed(places: &Places, name: &str) -> Result<Option<Installed>> {
    match ZoneFiles::new(places, name).installed()? {
        Content::Value(installed) => {
            let root = Path::new(&installed.zonepath).join("root");
            match fs::symlink_metadata(&root) {
                Ok(found) if found.is_dir() => Ok(Some(installed)),
                Ok(_) => Err(Error::refused(format!("{} is not a folder", root.display()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).on("stat", &root),
            }
        }
        Content::Absent => Ok(None),
        Content::Bad(why) => Err(Error::refused(why)),
    }
}

#[cfg(test)]
mod tests;
