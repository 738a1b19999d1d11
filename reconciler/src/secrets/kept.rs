//! Encrypted files as they came with the manifests, each under its SHA-256: a zone can be started from them while the
//! manifests are out of reach.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::sha256;
use crate::error::{OnFile, Result};
use crate::store::files::{self, Durability};

/// How long a file stays that no zone was made from: a saved plan may need it.
const UNUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of them.
#[derive(Debug)]
pub(super) struct Kept(pub PathBuf);

impl Kept {
    /// Keeps a file; one that is there stays.
    ///
    /// # Errors
    /// What could not be written.
    pub fn put(&self, name: &str, ciphertext: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        if files::read(&path)?.is_some_and(|found| found == ciphertext) {
            return Ok(());
        }
        files::private_folder(&self.0)?;
        files::replace(&path, ciphertext, Durability::Synced)
    }

    /// A file that was kept.
    ///
    /// # Errors
    /// Why it cannot be had, and what to do.
    pub fn get(&self, name: Option<&str>) -> std::result::Result<Vec<u8>, String> {
        let gone = || "its encrypted file is not kept on this host; apply the manifest again".to_owned();
        let name = name.ok_or_else(gone)?;
        let path = self.0.join(name);
        let ciphertext = files::read(&path).map_err(|error| error.to_string())?.ok_or_else(gone)?;
        if sha256(&ciphertext) != name {
            return Err(format!("{} is damaged; remove it and apply the manifest again", path.display()));
        }
        Ok(ciphertext)
    }

    /// Removes the files that are not `used` and have been there for a while, and what half-written ones were left.
    ///
    /// # Errors
    /// What could not be read or removed.
    pub fn prune(&self, used: &BTreeSet<String>) -> Result<()> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.on("readdir", &self.0)?,
        };
        files::sweep(&self.0)?;
        for entry in entries {
            let entry = entry.on("readdir", &self.0)?;
            let is_used = entry.file_name().to_str().is_some_and(|name| used.contains(name));
            // Swept just now, perhaps.
            let Ok(found) = entry.metadata() else { continue };
            let age = found.modified().ok().and_then(|since| SystemTime::now().duration_since(since).ok());
            if !is_used && age.is_some_and(|age| age > UNUSED) {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// The names of the files that a recorded manifest was made from.
pub(super) fn names_in(manifest: &Value) -> impl Iterator<Item = String> {
    let variables = manifest.pointer("/spec/init/env").and_then(Value::as_object).into_iter().flatten();
    variables.filter_map(|(_, variable)| variable.get("ciphertext")?.as_str().map(str::to_owned))
}
