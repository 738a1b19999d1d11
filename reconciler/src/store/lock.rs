//! Locks between processes: one for the state folder, one for each zone. Both are flock(2) on a file, so that they end
//! with whoever holds them, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use reeve_kernel::observe::start_time;
use reeve_state::Timestamp;
use serde::{Deserialize, Serialize};

use super::now;
use crate::error::{Error, OnFile, Result};

/// Who holds the state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Process ID.
    pub pid: i32,
    /// Start time of the process, clock ticks since boot.
    pub start_time: u64,
    /// Its command, such as `reeve run`.
    pub command: String,
    /// The folder of manifests it works on, absolute.
    pub source: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the state folder is in use by `{}` (process {})", self.command, self.pid)?;
        match &self.source {
            Some(source) => write!(f, " for {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Holder {}

/// The state lock, held until dropped or until the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    holder: Holder,
}

impl Lock {
    /// Takes the lock of the state folder.
    ///
    /// # Errors
    /// [`Error::Held`] with who has it.
    pub fn take(state: &Path, command: &str, source: Option<&str>) -> Result<Self> {
        let path = state.join("lock");
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Held(read_holder(&mut file))),
            Err(std::fs::TryLockError::Error(error)) => return Err(error).on("flock", &path),
        }
        let pid = std::process::id() as i32;
        let holder = Holder {
            pid,
            start_time: start_time(pid).unwrap_or(0),
            command: command.to_owned(),
            source: source.map(str::to_owned),
            since: now(),
        };
        let text = serde_json::to_vec(&holder).map_err(std::io::Error::other).on("encode", &path)?;
        file.set_len(0).on("truncate", &path)?;
        file.rewind().on("seek", &path)?;
        file.write_all(&text).on("write", &path)?;
        Ok(Self { _file: file, holder })
    }

    /// What the lock's file says of its holder.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Who holds the lock of the state folder now; none when nobody does.
    ///
    /// # Errors
    /// The lock file that could not be opened.
    pub fn current(state: &Path) -> Result<Option<Holder>> {
        let path = state.join("lock");
        if !path.exists() {
            return Ok(None);
        }
        let mut file = open(&path)?;
        match file.try_lock_shared() {
            Err(std::fs::TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
            Ok(()) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error).on("flock", &path),
        }
    }
}

/// The lock of one zone, around a walk. The file goes with the zone's run folder, so whoever waited for a lock whose file
/// is gone starts over with the new one.
#[derive(Debug)]
pub struct ZoneLock {
    _file: File,
}

impl ZoneLock {
    /// Takes the lock at `path`, waiting for whoever has it.
    ///
    /// # Errors
    /// The file that could not be opened or locked.
    pub fn take(path: &Path) -> Result<Self> {
        loop {
            let file = open(path)?;
            file.lock().on("flock", path)?;
            if is_named(&file, path)? {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Takes the lock at `path` where nobody has it.
    ///
    /// # Errors
    /// The file that could not be opened or locked.
    pub fn take_free(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(is_named(&file, path)?.then_some(Self { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error).on("flock", path),
        }
    }
}

/// Whether the open file still has its name. Nothing renames or links a lock: it is the one at `path` until it is removed.
fn is_named(file: &File, path: &Path) -> Result<bool> {
    Ok(file.metadata().on("fstat", path)?.nlink() > 0)
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).on("open", path)
}

/// The holder may be between taking the lock and writing its name; then only that somebody has it is known.
fn read_holder(file: &mut File) -> Holder {
    let mut text = Vec::new();
    let _ = file.take(64 << 10).read_to_end(&mut text);
    serde_json::from_slice(&text).unwrap_or(Holder {
        pid: 0,
        start_time: 0,
        command: "an unknown command".into(),
        source: None,
        since: Timestamp(0),
    })
}
