//! The files of one zone: in the state folder what outlives a boot of the host, in the run folder what ends with it.

use std::path::PathBuf;
use std::sync::Arc;

use reeve_schema::Zone;
use reeve_state::difference::Recorded;
use reeve_state::halt::HaltStatus;
use reeve_state::journal;
use reeve_state::plan::ZonePolicy;
use reeve_state::status::ZoneStatus;
use reeve_state::suspension::Suspension;
use reeve_state::{Timestamp, ZoneState, wanted};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{self, Content, Durability};
use super::ids::IdRange;
use super::lock::ZoneLock;
use super::suspension;
use crate::error::{Error, OnFile, Result};
use crate::places::Places;

/// The version of `zone.json` and `installed.json` that this program writes and reads.
const VERSION: u32 = 1;

/// `zone.json`: the configuration as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    /// Version of the format.
    pub version: u32,
    /// The zone.
    pub name: String,
    /// Digest of the manifest that it came from.
    pub digest: String,
    /// Where that came from.
    pub source: Option<String>,
    /// The host's boot in which it was written.
    pub boot_id: String,
    /// When.
    pub at: Timestamp,
    /// The manifest, with its defaults filled in.
    pub manifest: Value,
}

impl Configured {
    /// A configuration made now.
    pub fn new(name: &str, digest: &str, source: Option<&str>, boot_id: &str, manifest: Value) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            digest: digest.to_owned(),
            source: source.map(str::to_owned),
            boot_id: boot_id.to_owned(),
            at: super::now(),
            manifest,
        }
    }

    /// The configuration as a manifest.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not one that this version knows.
    pub fn zone(&self) -> Result<Zone> {
        typed(&self.name, &self.manifest)
    }
}

/// A recorded manifest as its type.
///
/// # Errors
/// [`Error::Refused`] when it is not one that this version knows.
pub fn typed(name: &str, manifest: &Value) -> Result<Zone> {
    wanted::typed(manifest)
        .map_err(|error| Error::refused(format!("zone {name}: the recorded configuration is not usable: {error}")))
}

/// `installed.json`: what was put where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Version of the format.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// The zone's folder.
    pub zonepath: String,
    /// What the root was made from, as the manifest writes it.
    pub root: Value,
    /// The IDs that the zone's files have.
    pub ids: IdRange,
}

impl Installed {
    /// An installation made now.
    pub fn new(zonepath: &str, root: Value, ids: IdRange) -> Self {
        Self { version: VERSION, at: super::now(), zonepath: zonepath.to_owned(), root, ids }
    }
}

/// `memory.json` in the run folder: what earlier walks left for later ones, in this boot of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The host's boot that this is of.
    pub boot_id: String,
    /// R: what was seen after the last finished step.
    pub recorded: Option<Recorded>,
    /// Starts and ends of init, and what people said.
    pub policy: ZonePolicy,
    /// N of the environment that was started last and is not known to have ended.
    pub environment: Option<u32>,
    /// A halt that could not finish.
    pub halt: Option<HaltStatus>,
    /// The journal as this process wrote it last, byte for byte; in no file.
    #[serde(skip)]
    pub written: Option<Arc<[u8]>>,
}

impl Memory {
    /// Whether no walk has written anything down since the other one.
    pub fn is_of_the_same_walks(&self, other: &Self) -> bool {
        (&self.recorded, self.environment, &self.policy.restarts)
            == (&other.recorded, other.environment, &other.policy.restarts)
    }
}

/// The files of one zone.
#[derive(Clone, Debug)]
pub struct ZoneFiles {
    name: String,
    state: PathBuf,
    run: PathBuf,
}

impl ZoneFiles {
    /// The files of zone `name`.
    pub fn new(places: &Places, name: &str) -> Self {
        Self { name: name.to_owned(), state: places.zone_state(name), run: places.zone_run(name) }
    }

    /// The zone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone's folder in the run folder.
    pub fn run(&self) -> &std::path::Path {
        &self.run
    }

    /// Takes the zone's lock, waiting for whoever has it; makes the run folder if need be.
    ///
    /// # Errors
    /// The file that could not be made or locked.
    pub fn lock(&self) -> Result<ZoneLock> {
        loop {
            match ZoneLock::take(&self.run.join("lock")) {
                // It has no folder yet, or was unconfigured, its folder and all, while this waited for it.
                Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    files::private_folder(&self.run)?;
                }
                taken => return taken,
            }
        }
    }

    /// Takes the zone's lock where nobody has it; none also for a zone that has gone.
    ///
    /// # Errors
    /// The file that could not be opened or locked.
    pub fn lock_if_free(&self) -> Result<Option<ZoneLock>> {
        if self.run.is_dir() { ZoneLock::take_free(&self.run.join("lock")) } else { Ok(None) }
    }

    /// Waits until nobody has the lock; not for a zone that has gone.
    pub fn wait_free(&self) {
        if self.run.is_dir() {
            drop(ZoneLock::take(&self.run.join("lock")));
        }
    }

    /// `zone.json`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn configured(&self) -> Result<Content<Configured>> {
        let path = self.state.join("zone.json");
        Ok(match files::read_json::<Configured>(&path)? {
            Content::Value(found) if found.version != VERSION => {
                Content::Bad(format!("{}: version {} is not known", path.display(), found.version))
            }
            Content::Value(found) if found.name != self.name => {
                Content::Bad(format!("{}: it is of zone {}", path.display(), found.name))
            }
            other => other,
        })
    }

    /// Writes `zone.json`, synced.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn configure(&self, configured: &Configured) -> Result<()> {
        if !self.state.is_dir() {
            files::private_folder(&self.state)?;
            if let Some(parent) = self.state.parent() {
                files::sync_folder(parent)?;
            }
        }
        files::replace_json(&self.state.join("zone.json"), configured, Durability::Synced)
    }

    /// Removes `zone.json` and the folders of the zone.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn unconfigure(&self) -> Result<()> {
        // The configuration goes last: without it nobody would come back for the rest.
        crate::install::tree::remove(&self.run)?;
        files::remove(&self.state.join("zone.json"))?;
        crate::install::tree::remove(&self.state)?;
        match self.state.parent() {
            Some(parent) => files::sync_folder(parent),
            None => Ok(()),
        }
    }

    /// `installed.json`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn installed(&self) -> Result<Content<Installed>> {
        let path = self.state.join("installed.json");
        Ok(match files::read_json::<Installed>(&path)? {
            Content::Value(found) if found.version != VERSION => {
                Content::Bad(format!("{}: version {} is not known", path.display(), found.version))
            }
            other => other,
        })
    }

    /// Writes `installed.json`, synced.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn set_installed(&self, installed: &Installed) -> Result<()> {
        files::replace_json(&self.state.join("installed.json"), installed, Durability::Synced)
    }

    /// Removes `installed.json`, synced.
    ///
    /// # Errors
    /// The file that could not be removed.
    pub fn set_uninstalled(&self) -> Result<()> {
        files::remove(&self.state.join("installed.json"))?;
        files::sync_folder(&self.state)
    }

    /// What earlier walks left. A file that is not usable is as good as none: the kernel is looked at anyway.
    pub fn memory(&self, boot_id: &str) -> Memory {
        let mut memory = match files::read_json::<Memory>(&self.run.join("memory.json")) {
            Ok(Content::Value(memory)) => memory,
            _ => Memory::default(),
        };
        if memory.boot_id != boot_id {
            // A run folder that outlived the boot: what it says of processes is about others.
            memory = Memory { boot_id: boot_id.to_owned(), recorded: memory.recorded, ..Memory::default() };
        }
        memory.policy.suspended = self.suspension();
        memory
    }

    /// Who suspended the zone, if anybody did. It may be over.
    pub fn suspension(&self) -> Option<Suspension> {
        suspension::read(&self.state)
    }

    /// Suspends the zone, or with none resumes it. Outlives a boot of the host.
    ///
    /// # Errors
    /// The file that could not be written or removed.
    pub fn suspend(&self, suspended: Option<&Suspension>) -> Result<()> {
        match suspended {
            Some(suspended) => suspension::write(&self.state, suspended),
            None => suspension::remove(&self.state),
        }
    }

    /// Keeps it for later ones.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn remember(&self, memory: &Memory) -> Result<()> {
        files::replace_json(&self.run.join("memory.json"), memory, Durability::Volatile)
    }

    /// The same, for who has the zone's lock.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn remember_locked(&self, memory: &Memory) -> Result<()> {
        let path = self.run.join("memory.json");
        let mut bytes = serde_json::to_vec(memory).map_err(std::io::Error::other).on("encode", &path)?;
        bytes.push(b'\n');
        files::swap(&path, &bytes)
    }

    /// Changes what is remembered, from what is on disk now: other programs walk zones as well, and what they wrote down counts.
    /// `change` says whether there is something to be kept. None where somebody walks the zone, or it has gone.
    ///
    /// # Errors
    /// The file that could not be locked or written.
    pub fn amend(&self, boot_id: &str, change: impl FnOnce(&mut Memory) -> bool) -> Result<Option<Memory>> {
        let Some(_lock) = self.lock_if_free()? else { return Ok(None) };
        let mut memory = self.memory(boot_id);
        if change(&mut memory) {
            self.remember_locked(&memory)?;
        }
        Ok(Some(memory))
    }

    /// R: from this boot's memory, or else from a configuration of an earlier boot. A configuration of this boot without a
    /// memory is a lost memory: then there is no R.
    pub fn recorded(&self, memory: &Memory, configured: Option<&Configured>, boot_id: &str) -> Option<Recorded> {
        memory.recorded.clone().or_else(|| {
            let configured = configured.filter(|configured| configured.boot_id != boot_id)?;
            Some(Recorded {
                manifest: configured.manifest.clone().into(),
                state: wanted::goal(&configured.manifest).max(ZoneState::Installed),
                boot_id: configured.boot_id.clone(),
                zone_id: None,
                digest: configured.digest.clone(),
                at: configured.at,
                platform: None,
            })
        })
    }

    /// The newest entry of the journal; none when there is none or it cannot be relied on (torn, of another boot).
    pub fn journal(&self, boot_id: &str) -> Option<journal::Entry> {
        let bytes = files::read(&self.run.join("journal.json")).ok()??;
        match journal::parse(&bytes, boot_id) {
            Ok(entry) => Some(entry),
            Err(why) => {
                tracing::warn!("zone {}: {why}; it is not used", self.name);
                None
            }
        }
    }

    /// Whether the journal says that a halt was begun and not seen to finish.
    pub fn is_halting(&self, boot_id: &str) -> bool {
        self.journal(boot_id).is_some_and(|entry| entry.halt_intent())
    }

    /// Whether the newest entry of the journal is still `expected` (none: that there is none to rely on). Where it is what this
    /// process wrote, as it mostly is, nothing has to be parsed to see it.
    pub fn journal_is(&self, expected: Option<&journal::Entry>, written: Option<&[u8]>, boot_id: &str) -> bool {
        let is = |bytes: &[u8]| files::is(&self.run.join("journal.json"), bytes);
        let unchanged = |entry: &journal::Entry| written.map_or_else(|| is(&entry.encode()), is);
        expected.is_some_and(unchanged) || self.journal(boot_id).as_ref() == expected
    }

    /// Writes the journal's newest entry, and returns what is in the file now. Only for who has the zone's lock.
    ///
    /// # Errors
    /// The file that could not be written; the effect must not follow then.
    pub fn write_journal(&self, entry: &journal::Entry) -> Result<Arc<[u8]>> {
        let bytes = entry.encode();
        files::swap(&self.run.join("journal.json"), &bytes)?;
        Ok(bytes.into())
    }

    /// What was last told of the zone.
    pub fn status(&self) -> Option<ZoneStatus> {
        match files::read_json(&self.run.join("status.json")) {
            Ok(Content::Value(status)) => Some(status),
            _ => None,
        }
    }

    /// Keeps what is told of the zone.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn write_status(&self, status: &ZoneStatus) -> Result<()> {
        files::replace_json(&self.run.join("status.json"), status, Durability::Volatile)
    }

    /// Puts a `zone.json` or `installed.json` that is not usable out of the way; says what it did.
    ///
    /// # Errors
    /// When a file can be neither read nor renamed.
    pub fn set_bad_aside(&self) -> Result<Vec<String>> {
        let mut said = Vec::new();
        let mut bad = |name: &str, why: Option<String>| -> Result<()> {
            if let Some(why) = why {
                let aside = files::set_aside(&self.state.join(name))?;
                said.push(format!("{why}; it is kept as {}", aside.display()));
            }
            Ok(())
        };
        let why = if let Content::Bad(why) = self.configured()? { Some(why) } else { None };
        bad("zone.json", why)?;
        let why = if let Content::Bad(why) = self.installed()? { Some(why) } else { None };
        bad("installed.json", why)?;
        Ok(said)
    }
}
