//! Files: what is on disk is intent (written before the effect) and evidence (how to recognise what was made), never the
//! answer to "is it running?". What outlives a boot of the host is in the state folder and synced; what dies with the
//! kernel is in the run folder, on tmpfs.

pub mod approvals;
pub mod events;
pub mod files;
pub mod ids;
pub mod lock;
pub mod suspension;
pub mod zone;

use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use reeve_state::Timestamp;

pub use events::HostEvent;
pub use lock::{Holder, Lock};
pub use zone::ZoneFiles;

use crate::error::{OnFile, Result};
use crate::places::Places;

/// Milliseconds since 1970: the clock that all timestamps come from.
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// The zones that have a folder in this state (or run) folder, sorted.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn zone_names(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("zones");
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.on("readdir", &path)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.on("readdir", &path)?.file_name();
        // What cannot be a zone's name is somebody else's.
        if let Some(name) = name.to_str().filter(|name| name.parse::<reeve_schema::ZoneName>().is_ok()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes half-written files of processes that were killed, from both folders and those of the zones in them.
///
/// # Errors
/// A folder that cannot be read, or a file that cannot be removed.
pub fn sweep(places: &Places) -> Result<()> {
    for folder in [places.state(), places.run()] {
        files::sweep(folder)?;
        for zone in zone_names(folder)? {
            files::sweep(&folder.join("zones").join(zone))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod formats;
#[cfg(test)]
mod tests;
