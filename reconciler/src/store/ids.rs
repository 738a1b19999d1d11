//! Numbers that zones are given: the range of user and group IDs that a zone keeps for as long as it is configured, and
//! the zone ID that it has while it is active.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{self, Content, Durability};
use crate::error::{Error, OnFile, Result};

/// How many IDs a zone's range has.
pub const RANGE: u32 = 65536;
/// The first range begins here: above what distributions give to users and to systemd (0x7fffffff is their end).
const FIRST_BASE: u32 = 0x2000_0000;
/// No range begins here or above.
const END_BASE: u32 = 0x6000_0000;
/// The highest zone ID; after it comes 1 again.
pub const ZONE_ID_MAX: u32 = 9999;

/// A range of user and group IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// The first ID on the host: the zone's 0.
    pub base: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    fn overlaps(&self, first: u64, count: u64) -> bool {
        u64::from(self.base) < first + count && first < u64::from(self.base) + u64::from(self.count)
    }
}

/// `idmap.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdMap {
    version: u32,
    /// Where the search for the next free range starts, so that a range is not given again at once.
    next: u32,
    ranges: BTreeMap<String, IdRange>,
}

/// The ranges of user and group IDs of one state folder.
#[derive(Debug)]
pub struct IdRanges<'a> {
    state: &'a Path,
}

impl<'a> IdRanges<'a> {
    /// The ranges of this state folder.
    pub fn new(state: &'a Path) -> Self {
        Self { state }
    }

    fn path(&self) -> PathBuf {
        self.state.join("idmap.json")
    }

    fn locked(&self) -> Result<File> {
        let path = self.state.join("idmap.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.on("open", &path)?;
        file.lock().on("flock", &path)?;
        Ok(file)
    }

    /// A map that was lost is made again from what each installed zone says of itself: its files carry these IDs.
    fn load(&self) -> Result<IdMap> {
        match files::read_json::<IdMap>(&self.path())? {
            Content::Value(map) if map.version == 1 => return Ok(map),
            Content::Absent => {}
            Content::Value(_) | Content::Bad(_) => {
                let aside = files::set_aside(&self.path())?;
                tracing::warn!("{} is not usable and is kept as {}", self.path().display(), aside.display());
            }
        }
        let mut map = IdMap { version: 1, next: FIRST_BASE, ranges: BTreeMap::new() };
        for zone in super::zone_names(self.state)? {
            let path = self.state.join("zones").join(&zone).join("installed.json");
            if let Content::Value(installed) = files::read_json::<super::zone::Installed>(&path)? {
                map.next = map.next.max(installed.ids.base.saturating_add(RANGE));
                map.ranges.insert(zone, installed.ids);
            }
        }
        Ok(map)
    }

    /// The zone's range, given now if it has none, and recorded before it is returned.
    ///
    /// # Errors
    /// When `idmap.json` cannot be written, or no range is free.
    pub fn give(&self, zone: &str) -> Result<IdRange> {
        let _lock = self.locked()?;
        let mut map = self.load()?;
        if let Some(range) = map.ranges.get(zone) {
            return Ok(*range);
        }
        let taken = subordinate_ranges();
        let free = |base: u32| {
            let range = IdRange { base, count: RANGE };
            !map.ranges.values().any(|other| other.overlaps(u64::from(base), u64::from(RANGE)))
                && !taken.iter().any(|(first, count)| range.overlaps(*first, *count))
        };
        let start = if (FIRST_BASE..END_BASE).contains(&map.next) { map.next } else { FIRST_BASE };
        let base = (start..END_BASE).step_by(RANGE as usize).chain((FIRST_BASE..start).step_by(RANGE as usize));
        let base = base.into_iter().find(|base| free(*base)).ok_or_else(|| {
            Error::refused("no range of user IDs is free; unconfigure zones that are not needed (reeve down --purge)")
        })?;
        let range = IdRange { base, count: RANGE };
        map.next = base.saturating_add(RANGE);
        map.ranges.insert(zone.to_owned(), range);
        files::replace_json(&self.path(), &map, Durability::Synced)?;
        Ok(range)
    }

    /// Records that the zone has this range, because its files have these IDs already.
    ///
    /// # Errors
    /// [`Error::Refused`] when a part of it is another zone's; when `idmap.json` cannot be written.
    pub fn keep(&self, zone: &str, range: IdRange) -> Result<()> {
        let _lock = self.locked()?;
        let mut map = self.load()?;
        if map.ranges.get(zone) == Some(&range) {
            return Ok(());
        }
        let overlaps = |other: &IdRange| other.overlaps(u64::from(range.base), u64::from(range.count));
        if let Some((owner, _)) = map.ranges.iter().find(|(owner, other)| *owner != zone && overlaps(other)) {
            return Err(Error::refused(format!(
                "the files of zone {zone} have the user IDs {} and up, which zone {owner} has; remove one of the two",
                range.base
            )));
        }
        map.ranges.insert(zone.to_owned(), range);
        files::replace_json(&self.path(), &map, Durability::Synced)
    }

    /// Gives a range back, with the zone's configuration.
    ///
    /// # Errors
    /// When `idmap.json` cannot be written.
    pub fn release(&self, zone: &str) -> Result<()> {
        let _lock = self.locked()?;
        let mut map = self.load()?;
        if map.ranges.remove(zone).is_some() {
            files::replace_json(&self.path(), &map, Durability::Synced)?;
        }
        Ok(())
    }
}

/// What /etc/subuid and /etc/subgid (subuid(5)) give to users: first ID and count.
fn subordinate_ranges() -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    for path in ["/etc/subuid", "/etc/subgid"] {
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u64>());
            if let (Some(Ok(first)), Some(Ok(count))) = (fields.next(), fields.next()) {
                ranges.push((first, count));
            }
        }
    }
    ranges
}

/// Zone IDs: `<run>/ids/<ID>` is a symbolic link that says whose the ID is, so that taking one is a single step which
/// only one process can win; `<run>/next-zone-id` keeps an ID from being given again at once (SEED Z8).
#[derive(Debug)]
pub struct ZoneIds<'a> {
    run: &'a Path,
}

impl<'a> ZoneIds<'a> {
    /// The IDs of this run folder.
    pub fn new(run: &'a Path) -> Self {
        Self { run }
    }

    /// A new ID for the zone.
    ///
    /// # Errors
    /// When the run folder cannot be written, or every ID is in use.
    pub fn give(&self, zone: &str) -> Result<u32> {
        let (marks, counter) = (self.run.join("ids"), self.run.join("next-zone-id"));
        // Of two that are given at the same time the lower one could else be noted last, and the higher one be given again at once.
        let lock = File::open(&marks).on("open", &marks)?;
        lock.lock().on("flock", &marks)?;
        let start = files::read(&counter)?.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
        let start = start.filter(|id| (1..=ZONE_ID_MAX).contains(id)).unwrap_or(1);
        for id in (start..=ZONE_ID_MAX).chain(1..start) {
            let mark = self.mark(id);
            match symlink(zone, &mark) {
                Ok(()) => {
                    files::swap(&counter, format!("{}\n", id % ZONE_ID_MAX + 1).as_bytes())?;
                    return Ok(id);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).on("symlink", &mark),
            }
        }
        Err(Error::refused("every zone ID is in use"))
    }

    /// Gives an ID back, if it is this zone's.
    ///
    /// # Errors
    /// When the mark cannot be removed.
    pub fn release(&self, zone: &str, id: u32) -> Result<()> {
        let mark = self.mark(id);
        match fs::read_link(&mark) {
            Ok(owner) if owner == Path::new(zone) => files::remove(&mark),
            _ => Ok(()),
        }
    }

    fn mark(&self, id: u32) -> PathBuf {
        self.run.join("ids").join(id.to_string())
    }
}
