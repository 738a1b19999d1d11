//! `approvals/`: changes that somebody approved on this host, a file each, by digest. They are of one change alone and do
//! nothing after it, so that old ones are harmless; they are removed after [`KEPT_MS`] all the same.

use std::path::PathBuf;

use reeve_state::Timestamp;
use reeve_state::approval::Approvals;
use serde::{Deserialize, Serialize};

use super::files::{self, Content, Durability};
use crate::error::Result;
use crate::places::Places;

/// The version of the files that this program writes and reads.
const VERSION: u32 = 1;
/// How long one is kept: 90 days.
const KEPT_MS: u64 = 90 * 86_400_000;

/// A change that somebody approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// Version of the format.
    version: u32,
    /// The digest of the change.
    pub digest: String,
    /// The zone, for people.
    pub zone: String,
    /// Whether data may be lost by it.
    pub data_loss: bool,
    /// Who said so, as far as that is known.
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Approved {
    /// Said now.
    pub fn new(digest: &str, zone: &str, data_loss: bool, by: Option<String>) -> Self {
        let (digest, zone) = (digest.to_owned(), zone.to_owned());
        Self { version: VERSION, digest, zone, data_loss, by, at: super::now() }
    }
}

fn folder(places: &Places) -> PathBuf {
    places.state().join("approvals")
}

/// Keeps one: synced when this returns. Removes those that are too old.
///
/// # Errors
/// The file that could not be written.
pub fn keep(places: &Places, approved: &Approved) -> Result<()> {
    let folder = folder(places);
    if !folder.is_dir() {
        files::private_folder(&folder)?;
        files::sync_folder(places.state())?;
    }
    files::replace_json(&folder.join(file_name(&approved.digest)), approved, Durability::Synced)?;
    let mut old = read(places).into_iter().filter(|(_, one)| approved.at.since(one.at) > KEPT_MS);
    old.try_for_each(|(path, _)| files::remove(&path))
}

/// Removes one, after what it was said of is done: the same drift is asked for anew when it comes back. What is in a repository
/// stays, as whoever committed it can see.
///
/// # Errors
/// The file that could not be removed.
pub fn spend(places: &Places, digest: &str) -> Result<()> {
    files::remove(&folder(places).join(file_name(digest)))
}

fn file_name(digest: &str) -> String {
    format!("{}.json", digest.trim_start_matches("sha256:"))
}

/// All of them. A file that cannot be used approves nothing.
pub fn all(places: &Places) -> Approvals {
    read(places).into_iter().map(|(_, one)| (one.digest, one.data_loss)).collect()
}

fn read(places: &Places) -> Vec<(PathBuf, Approved)> {
    let Ok(entries) = std::fs::read_dir(folder(places)) else { return Vec::new() };
    let one = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        match files::read_json::<Approved>(&path) {
            Ok(Content::Value(one)) if one.version == VERSION => Some((path, one)),
            _ => None,
        }
    };
    entries.filter_map(one).collect()
}
