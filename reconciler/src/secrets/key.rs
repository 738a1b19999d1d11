//! The host's key, and digests of values with it. Without the key a digest tells nothing of the value, also where there are
//! few that it can be; equal values have equal digests, on this host alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::hexadecimal;
use crate::error::{Error, OnFile, Result};
use crate::store::files::{self, Durability};

/// Bytes of a key.
const BYTES: usize = 32;

/// A key.
pub(super) struct Key([u8; BYTES]);

impl Key {
    /// The key in this file; made, and synced, where there is none.
    ///
    /// # Errors
    /// A file that is no key, or that can be neither read nor made.
    pub fn of(path: &Path) -> Result<Self> {
        if let Some(bytes) = files::read(path)? {
            return Self::from(path, &bytes);
        }
        // Beside it and then linked, so that of two who make one at the same time both get the same.
        let mut made = [0; BYTES];
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut made))
            .on("read", Path::new("/dev/urandom"))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".made-{}-{}", std::process::id(), hexadecimal(&Sha256::digest(made)[..4])));
        let beside = Path::new(&beside);
        files::replace(beside, &made, Durability::Synced)?;
        let linked = match fs::hard_link(beside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked.on("link", path),
        };
        files::remove(beside)?;
        linked?;
        if let Some(folder) = path.parent() {
            files::sync_folder(folder)?;
        }
        let bytes = files::read(path)?.unwrap_or_default();
        Self::from(path, &bytes)
    }

    fn from(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = || {
            let path = path.display();
            Error::refused(format!("{path} is not the {BYTES} bytes of a key; move it away, and a new one is made"))
        };
        bytes.try_into().map(Self).map_err(|_| wrong())
    }

    /// HMAC-SHA-256 of a value, in hexadecimal.
    pub fn digest(&self, value: &[u8]) -> String {
        hmac_sha256(&self.0, value)
    }
}

/// HMAC-SHA-256 (RFC 2104) of a value with a key of any length, in hexadecimal.
pub fn hmac_sha256(key: &[u8], value: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(value);
    hexadecimal(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_rfc_4231() {
        let mut key = [0; BYTES];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(Key(key).digest(b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret.key");
        let made = std::thread::scope(|scope| {
            let one = || Key::of(&path).expect("a key").digest(b"x");
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(made.iter().all(|digest| *digest == made[0]), "{made:?}");
        assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 1, "nothing beside it is left");
        fs::write(&path, "short").expect("write");
        assert!(Key::of(&path).err().expect("no key").to_string().contains("move it away"));
    }
}
