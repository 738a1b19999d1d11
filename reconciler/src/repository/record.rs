//! What is kept of the source: the commit in force, in the state folder, written and synced before it is applied; a word of
//! somebody on this host that another may be, too; and the status, in the run folder.

use std::path::PathBuf;

use reeve_state::Timestamp;
use reeve_state::source::{Accepted, SourceStatus};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::places::Places;
use crate::store::files::{self, Content, Durability};

/// The version of `accepted.json` that this program writes and reads.
const VERSION: u32 = 1;

/// `source/accepted.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the format.
    pub version: u32,
    /// The repository that it was accepted from.
    pub url: String,
    /// What of it was followed.
    pub reference: String,
    /// The folder of manifests in it.
    pub path: Option<String>,
    /// The commit.
    #[serde(flatten)]
    pub accepted: Accepted,
}

/// `source/allowed.json`: a commit that may take the place of the accepted one, whatever comes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// Which.
    pub commit: String,
    /// When that was said.
    pub at: Timestamp,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Records {
    accepted: PathBuf,
    allowed: PathBuf,
    status: PathBuf,
}

impl Records {
    /// Those of a host.
    pub fn new(places: &Places) -> Self {
        let folder = places.state().join("source");
        Self {
            accepted: folder.join("accepted.json"),
            allowed: folder.join("allowed.json"),
            status: places.run().join("source.json"),
        }
    }

    /// The commit in force; none before the first. A file that is torn or of another version is put aside, and said.
    ///
    /// # Errors
    /// When it is there and cannot be read or put aside.
    pub fn accepted(&self) -> Result<Option<Record>> {
        match files::read_json::<Record>(&self.accepted)? {
            Content::Value(record) if record.version == VERSION => Ok(Some(record)),
            Content::Absent => Ok(None),
            Content::Value(_) | Content::Bad(_) => {
                let aside = files::set_aside(&self.accepted)?;
                tracing::warn!("{} was not usable and is now {}", self.accepted.display(), aside.display());
                Ok(None)
            }
        }
    }

    /// Puts a commit in force: synced when this returns.
    ///
    /// # Errors
    /// When it cannot be written; the one before is still in force then.
    pub fn accept(&self, url: &str, reference: &str, path: Option<&str>, accepted: &Accepted) -> Result<()> {
        let record = Record {
            version: VERSION,
            url: url.to_owned(),
            reference: reference.to_owned(),
            path: path.map(str::to_owned),
            accepted: accepted.clone(),
        };
        files::replace_json(&self.accepted, &record, Durability::Synced)?;
        files::remove(&self.allowed)
    }

    /// The commit that somebody on this host allowed.
    pub fn allowed(&self) -> Option<String> {
        match files::read_json::<Allowed>(&self.allowed) {
            Ok(Content::Value(allowed)) => Some(allowed.commit),
            _ => None,
        }
    }

    /// Allows a commit.
    ///
    /// # Errors
    /// When it cannot be written, or nothing was followed here yet.
    pub fn allow(&self, commit: &str) -> Result<()> {
        let allowed = Allowed { commit: commit.to_owned(), at: crate::store::now() };
        if self.allowed.parent().is_some_and(|folder| !folder.is_dir()) {
            return Err(Error::refused("no repository is followed on this host (reeve run --source)"));
        }
        files::replace_json(&self.allowed, &allowed, Durability::Synced)
    }

    /// The status as it was told last; none where there is none in this boot.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn status(&self) -> Result<Option<SourceStatus>> {
        match files::read_json::<SourceStatus>(&self.status)? {
            Content::Value(status) => Ok(Some(status)),
            _ => Ok(None),
        }
    }

    /// Tells the status.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tell(&self, status: &SourceStatus) -> Result<()> {
        files::replace_json(&self.status, status, Durability::Volatile)
    }
}
