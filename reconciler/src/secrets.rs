//! Secrets: values of `init.env` that are in no manifest. A value is read where it is used and nowhere kept: what is
//! recorded, compared and shown is a digest of it, with a key that only this host has. Kept on the disk are that key and
//! encrypted files as they came with the manifests, so that a zone can be booted when these are out of reach.

mod age;
mod file;
mod kept;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reeve_schema::manifest::{EnvValue, Init};
use reeve_schema::{AgeFile, LoadedZone, ManifestSet, Problems, Zone};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::places::Places;
use crate::source::LoadError;
use crate::store::files::{self, Content};
use crate::store::{ZoneFiles, zone_names};
use age::{Closed, Identity};
use kept::Kept;
use key::Key;
pub use key::hmac_sha256;

/// The most bytes of a secret, and of a file that one is encrypted in.
pub const BYTES_MAX: usize = 64 << 10;
/// The folder of encrypted files, in the state folder; each has its SHA-256 for a name.
pub const FOLDER: &str = "secrets";
/// The host's key, in the state folder.
pub const KEY: &str = "secret.key";
/// The most bytes of program, command, arguments and environment with the secrets in it. Less than [`Init::MAX_BYTES`], so
/// that it fits into one message with what goes along.
const INIT_MAX: usize = Init::MAX_BYTES - 4096;
/// How long no other file is opened after age did not answer for one: else each zone would wait for it in turn, and all
/// zones for each.
const AFTER_LATE: Duration = Duration::from_secs(30);

/// The secrets of one host.
#[derive(Debug)]
pub struct Secrets {
    state: PathBuf,
    identity: Option<PathBuf>,
    kept: Kept,
    /// Digests and lengths of what was opened, by the encrypted file and the identities that opened it. One file has one content, so
    /// that a thousand zones are not a thousand runs of age each minute.
    opened: Mutex<HashMap<(String, Identity), (String, usize)>>,
    /// A value was not what it was planned to be.
    doubt: AtomicBool,
    /// When age was last given up because it did not answer.
    late: Mutex<Option<Instant>>,
}

impl Secrets {
    /// Those of these places.
    pub fn new(places: &Places) -> Self {
        Self {
            state: places.state().to_owned(),
            identity: places.age_identity().map(Path::to_owned),
            kept: Kept(places.state().join(FOLDER)),
            opened: Mutex::default(),
            doubt: AtomicBool::new(false),
            late: Mutex::new(None),
        }
    }

    /// The zone with the digests of its secrets filled in, and which of them could not be had, why, and what to do. Keeps
    /// the encrypted files.
    pub fn resolve(&self, loaded: &LoadedZone) -> (Zone, Option<String>) {
        let mut zone = fill_in(loaded);
        let mut missing = Vec::new();
        let mut bytes = zone.spec.init.bytes();
        for (name, variable) in &mut zone.spec.init.env {
            if variable.text().is_some() {
                continue;
            }
            let file = loaded.age_files.iter().find(|file| file.variable == *name);
            match self.digest(variable, file) {
                Ok((digest, length)) => {
                    bytes += length;
                    set_value(variable, digest);
                }
                Err(why) => missing.push(format!("init.env.{name}: {why}")),
            }
        }
        if missing.is_empty() && bytes > INIT_MAX && has_secrets(&zone.spec.init) {
            missing.push(format!(
                "`command`, `args` and `env` have {bytes} bytes together with the secrets; {INIT_MAX} are the most: a file \
                 in the zone can hold more"
            ));
        }
        (zone, (!missing.is_empty()).then(|| missing.join("; ")))
    }

    /// The values of an init's secrets by variable, read anew, as long as they are those that were planned with.
    ///
    /// # Errors
    /// [`Error::Refused`]: a value cannot be had, or it changed meanwhile.
    pub fn environment(&self, init: &Init) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        for (name, variable) in &init.env {
            let (what, planned) = match variable {
                EnvValue::Text(_) => continue,
                EnvValue::FromFile(secret) => (self.file(&secret.from_file), &secret.value),
                EnvValue::FromAge(secret) => (self.kept(secret.ciphertext.as_deref()), &secret.value),
            };
            let checked = what.and_then(|value| match planned {
                Some(planned) if self.key()?.digest(value.as_bytes()) == *planned => Ok(value),
                Some(_) => Err("its value changed meanwhile; it is planned with the new one".to_owned()),
                None => Err("its value was not known when this was planned; apply the manifest again".to_owned()),
            });
            let value = checked.map_err(|why| {
                self.doubt.store(true, Ordering::Relaxed);
                Error::refused(format!("init.env.{name}: {why}"))
            })?;
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    /// Whether, since this was asked last, a value was not what it was planned to be, so that it is time to read them anew.
    pub fn take_doubt(&self) -> bool {
        self.doubt.swap(false, Ordering::Relaxed)
    }

    /// The digest of a secret's value, and how many bytes the value has.
    fn digest(&self, variable: &EnvValue, file: Option<&AgeFile>) -> std::result::Result<(String, usize), String> {
        let key = self.key()?;
        let of = |value: String| (key.digest(value.as_bytes()), value.len());
        match variable {
            EnvValue::Text(text) => Ok((key.digest(text.as_bytes()), text.len())),
            EnvValue::FromFile(secret) => self.file(&secret.from_file).map(of),
            EnvValue::FromAge(_) => {
                let file = file.ok_or("its file was not read with the manifest")?;
                let name = sha256(&file.ciphertext);
                self.kept.put(&name, &file.ciphertext).map_err(|error| error.to_string())?;
                let identity = age::identity(self.identity.as_deref())?;
                let known = self.opened.lock().ok().and_then(|opened| opened.get(&(name.clone(), identity)).cloned());
                if let Some(known) = known {
                    return Ok(known);
                }
                let found = of(self.open(&file.path, &file.ciphertext)?);
                if let Ok(mut opened) = self.opened.lock() {
                    opened.insert((name, identity), found.clone());
                }
                Ok(found)
            }
        }
    }

    /// The value in a file of the host.
    fn file(&self, path: &str) -> std::result::Result<String, String> {
        value(path, file::read(Path::new(path))?)
    }

    /// The value in an encrypted file that was kept.
    fn kept(&self, name: Option<&str>) -> std::result::Result<String, String> {
        self.open("its encrypted file", &self.kept.get(name)?)
    }

    fn open(&self, shown: &str, ciphertext: &[u8]) -> std::result::Result<String, String> {
        age::identity(self.identity.as_deref())?;
        let identity = self.identity.as_deref().unwrap_or(Path::new(""));
        let lately = |late: &Option<Instant>| late.is_some_and(|since| since.elapsed() < AFTER_LATE);
        if self.late.lock().is_ok_and(|late| lately(&late)) {
            return Err("age did not answer for another secret, so that it was not asked to open this one".into());
        }
        match age::open(identity, shown, ciphertext) {
            Ok(bytes) => value(shown, bytes),
            Err(Closed::Late(why)) => {
                if let Ok(mut late) = self.late.lock() {
                    *late = Some(Instant::now());
                }
                Err(why)
            }
            Err(Closed::Failed(why)) => Err(why),
        }
    }

    fn key(&self) -> std::result::Result<Key, String> {
        Key::of(&self.state.join(KEY)).map_err(|error| error.to_string())
    }

    /// Removes encrypted files that no zone was made from, when they have been there for a day. For whoever has the state
    /// lock.
    ///
    /// # Errors
    /// What could not be read or removed; where a zone's configuration cannot be read, nothing is.
    pub fn prune(&self, places: &Places, boot_id: &str) -> Result<()> {
        if !self.kept.0.is_dir() {
            return Ok(());
        }
        let mut used = BTreeSet::new();
        for zone in zone_names(places.state())? {
            let files = ZoneFiles::new(places, &zone);
            match files.configured()? {
                Content::Value(configured) => used.extend(kept::names_in(&configured.manifest)),
                Content::Absent => {}
                Content::Bad(why) => return Err(Error::refused(why)),
            }
            used.extend(files.memory(boot_id).recorded.iter().flat_map(|recorded| kept::names_in(&recorded.manifest)));
        }
        self.kept.prune(&used)
    }

    /// Removes the key and the encrypted files, when no zone is left that they are for.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(state: &Path) -> Result<()> {
        crate::install::tree::remove(&state.join(FOLDER))?;
        files::remove(&state.join(KEY))
    }
}

/// Whether any variable is a secret.
pub fn has_secrets(init: &Init) -> bool {
    init.env.values().any(|variable| variable.text().is_none())
}

/// The zone as it is known from its files alone: with the digests of its encrypted files, and without those of values.
pub fn fill_in(loaded: &LoadedZone) -> Zone {
    let mut zone = loaded.zone.clone();
    for (name, variable) in &mut zone.spec.init.env {
        if let EnvValue::FromAge(secret) = variable {
            let file = loaded.age_files.iter().find(|file| file.variable == *name);
            secret.ciphertext = file.map(|file| sha256(&file.ciphertext));
        }
    }
    zone
}

fn set_value(variable: &mut EnvValue, digest: String) {
    match variable {
        EnvValue::Text(_) => {}
        EnvValue::FromFile(secret) => secret.value = Some(digest),
        EnvValue::FromAge(secret) => secret.value = Some(digest),
    }
}

/// Reads the encrypted files of a set: `read` gives what is in one, or none where it is not there. Where a file is in a
/// source says [`AgeFile::in_source`].
///
/// # Errors
/// [`LoadError::Problems`] with every file that is missing, or is none that age wrote, where the manifest names it.
pub fn take_in(
    set: &mut ManifestSet,
    read: &mut dyn FnMut(&AgeFile) -> Result<Option<Vec<u8>>>,
) -> std::result::Result<(), LoadError> {
    let mut problems = Vec::new();
    for file in set.zones.values_mut().flat_map(|zone| &mut zone.age_files) {
        let path = &file.path;
        let (message, help) = match read(file) {
            Ok(Some(bytes)) if bytes.len() > BYTES_MAX => {
                (format!("`{path}` is larger than {BYTES_MAX} bytes"), "a smaller secret".to_owned())
            }
            Ok(Some(bytes)) if age::is_encrypted(&bytes) => {
                file.ciphertext = bytes;
                continue;
            }
            Ok(Some(_)) => (
                format!("`{path}` is no file that age encrypted; if the secret was ever in it, replace the secret"),
                format!("what this writes: age --encrypt --recipients-file RECIPIENTS --output {path}"),
            ),
            Ok(None) => (
                format!("there is no file `{path}` in the folder of this manifest"),
                format!("what this writes: age --encrypt --recipients-file RECIPIENTS --output {path}"),
            ),
            Err(error) => (error.to_string(), "a file that age encrypted".to_owned()),
        };
        problems.push(reeve_schema::Problem { message, help, ..file.place.clone() });
    }
    problems.sort();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::Problems(Problems(problems))) }
}

/// What a variable can have of what was read: text, without the line end that editors put there.
fn value(shown: &str, mut bytes: Vec<u8>) -> std::result::Result<String, String> {
    if bytes.len() > BYTES_MAX {
        return Err(format!("what is in {shown} is larger than {BYTES_MAX} bytes"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.contains(&0) {
        return Err(format!("what is in {shown} has a zero byte in it, which no variable can have"));
    }
    // The error has the bytes in it, which are nobody's business.
    String::from_utf8(bytes).map_err(|_| format!("what is in {shown} is not UTF-8 text"))
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
