//! What a case's folders hold before and after a hostile commit was shown: nothing may have come but what Reeve tells.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What stands for a file: what it is, and what would change if it were written.
pub type Listing = BTreeMap<PathBuf, String>;

/// Where a path that leaves its folder could lead.
const SPOTS: [&str; 8] = ["/", "/etc", "/etc/cron.d", "/root", "/tmp", "/var/tmp", "/var/lib", "/run"];

/// Files that a controller writes to tell of a source or of a zone that is as it was, below a host's folder.
fn is_told(path: &Path) -> bool {
    let told = ["run/source.json", "state/events.jsonl", "state/events.jsonl.1", "controller.log"];
    let of_a_zone = path.starts_with("run/zones") && path.file_name().is_some_and(|name| name == "status.json");
    told.iter().any(|file| path == Path::new(file)) || of_a_zone
}

/// Lists what is below a folder, without the store that fetches write to (and what git is told for that), and without what
/// tells.
pub fn list(folder: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let path = entry.path();
            let below = path.strip_prefix(folder).expect("below the folder").to_owned();
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            if ["state/source", "run/source"].iter().any(|store| below == Path::new(store)) || is_told(&below) {
                continue;
            }
            let what = if found.is_dir() {
                open.push(path);
                "folder".to_owned()
            } else if found.is_symlink() {
                format!("link to {}", std::fs::read_link(&path).unwrap_or_default().display())
            } else {
                format!("{} bytes, inode {}, {}.{}", found.len(), found.ino(), found.mtime(), found.mtime_nsec())
            };
            listing.insert(below, what);
        }
    }
    listing
}

/// What came, went or changed.
pub fn changes(before: &Listing, after: &Listing) -> Vec<String> {
    let came = after.iter().filter(|(path, what)| before.get(*path) != Some(what));
    let went = before.keys().filter(|path| !after.contains_key(*path));
    let came = came.map(|(path, what)| format!("{}: {what}", path.display()));
    came.chain(went.map(|path| format!("{}: gone", path.display()))).collect()
}

/// Files anywhere that bear the mark of a case.
pub fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for spot in SPOTS {
        for entry in std::fs::read_dir(spot).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().windows(mark.len()).any(|part| part == mark.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}
