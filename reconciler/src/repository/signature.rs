//! Who signed a commit. SSH signatures are judged by ssh-keygen(1), OpenPGP ones by gpgv(1), each with no other keys, settings
//! or agents than the files that the configuration names; none of those is in the repository.
//!
//! A key's validity is judged at a time that whoever signs cannot choose freely: see [`super::verify`].

use std::path::{Path, PathBuf};

use reeve_schema::configuration::Trust;
use reeve_state::Timestamp;
use reeve_state::source::RejectedReason;

use super::commit::Commit;
use super::{Refusal, Stop};
use crate::bounded::{self, Bounds, Ended};
use crate::error::{Error, Result};
use crate::store::files::{self, Durability};

/// The signers that are trusted.
#[derive(Debug)]
pub struct Signers {
    allowed: Option<PathBuf>,
    revoked: Option<PathBuf>,
    keyring: Option<PathBuf>,
    scratch: PathBuf,
}

impl Signers {
    /// Those of the configuration; none where it names none. `scratch` is a folder for a file at a time.
    pub fn new(trust: &Trust, scratch: &Path) -> Option<Self> {
        let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
        let (allowed, keyring) = (path(&trust.allowed_signers), path(&trust.gpg_keyring));
        let any = allowed.is_some() || keyring.is_some();
        any.then(|| Self { allowed, keyring, revoked: path(&trust.revoked_keys), scratch: scratch.to_owned() })
    }

    /// The files that it depends on.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.allowed, &self.revoked, &self.keyring].into_iter().flatten()
    }

    /// The names of who signed a commit, whose key must have been valid `at` (seconds since 1970).
    ///
    /// # Errors
    /// [`Stop::Refusal`] where nobody trusted did; [`Stop::Trouble`] where that cannot be told.
    pub fn verify(&self, commit: &Commit, at: i64) -> std::result::Result<Vec<String>, Stop> {
        if let Some(file) = self.files().find(|file| !file.is_file()) {
            let what = "is not there; without it nobody's signature can be judged (trust)";
            return Err(Error::refused(format!("{} {what}", file.display())).into());
        }
        let Some(signature) = &commit.signature else {
            return refuse(
                RejectedReason::Unsigned,
                "it is not signed; sign it (git commit --amend -S) and push again",
            );
        };
        let file = self.scratch.join("signature");
        files::replace(&file, signature.as_bytes(), Durability::Volatile)?;
        let verdict = match (signature.trim_start(), &self.allowed, &self.keyring) {
            (text, Some(allowed), _) if text.starts_with("-----BEGIN SSH SIGNATURE-----") => {
                Ssh { allowed, revoked: self.revoked.as_deref(), file: &file, payload: &commit.payload, at }.verify()
            }
            (text, _, Some(keyring)) if text.starts_with("-----BEGIN PGP SIGNATURE-----") => {
                self.openpgp(keyring, &file, &commit.payload)
            }
            _ => refuse(
                RejectedReason::UnknownSigner,
                "it has a signature of a kind for which no signers are configured (trust.allowedSigners is for SSH, trust.gpgKeyring for OpenPGP)",
            ),
        };
        files::remove(&file)?;
        verdict
    }

    fn openpgp(&self, keyring: &Path, file: &Path, payload: &[u8]) -> std::result::Result<Vec<String>, Stop> {
        let head = std::fs::read(keyring).map(|bytes| bytes.starts_with(b"-----BEGIN")).unwrap_or(false);
        if head {
            let path = keyring.display();
            return Err(Error::refused(format!(
                "{path} is armoured; gpgv takes it as: gpg --dearmor < {path} > KEYRING"
            ))
            .into());
        }
        let mut gpgv = bounded::command("gpgv");
        gpgv.arg("--homedir").arg(&self.scratch).arg("--keyring").arg(keyring);
        gpgv.args(["--status-fd", "1"]).arg(file).arg("-");
        let ended = bounded::run(&mut gpgv, payload, &Bounds::default())?;
        judge_openpgp(&ended)
    }
}

fn refuse<T>(reason: RejectedReason, message: impl Into<String>) -> std::result::Result<T, Stop> {
    Err(Stop::Refusal(Refusal::new(reason, message)))
}

/// What gpgv's status lines come to (GnuPG's doc/DETAILS). Only one good signature of a valid key will do.
fn judge_openpgp(ended: &Ended) -> std::result::Result<Vec<String>, Stop> {
    let text = ended.text();
    let lines: Vec<Vec<&str>> =
        text.lines().filter_map(|line| Some(line.strip_prefix("[GNUPG:] ")?.split(' ').collect())).collect();
    let find = |word: &str| lines.iter().find(|line| line[0] == word);
    let name = |line: &Vec<&str>| line.get(2..).unwrap_or_default().join(" ");
    for (word, reason, what) in [
        ("BADSIG", RejectedReason::SignatureInvalid, "the signature is not one of this commit; it names"),
        ("REVKEYSIG", RejectedReason::SignerRevoked, "it is signed with a revoked key of"),
        ("EXPKEYSIG", RejectedReason::SignerExpired, "it is signed with an expired key of"),
        ("EXPSIG", RejectedReason::SignerExpired, "it has a signature that expired, of"),
    ] {
        if let Some(line) = find(word) {
            return refuse(reason, format!("{what} {}", name(line)));
        }
    }
    let signatures = lines.iter().filter(|line| line[0] == "NEWSIG").count();
    match (find("GOODSIG"), find("VALIDSIG"), signatures) {
        (Some(good), Some(valid), 0 | 1) if ended.good() => {
            let primary = valid.get(10).or(valid.get(1)).copied().unwrap_or_default();
            let user = name(good);
            let mail = user.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).map(str::to_owned);
            Ok(mail.into_iter().chain([primary.to_owned()]).collect())
        }
        _ => match find("ERRSIG").or(find("NO_PUBKEY")) {
            Some(line) => {
                let key = line.get(1).copied().unwrap_or_default();
                refuse(
                    RejectedReason::UnknownSigner,
                    format!("it is signed with the OpenPGP key {key}, which nobody trusted has"),
                )
            }
            None => refuse(
                RejectedReason::SignatureInvalid,
                format!("its OpenPGP signature cannot be read: {}", ended.said),
            ),
        },
    }
}

/// One SSH signature and what it is judged by.
struct Ssh<'a> {
    allowed: &'a Path,
    revoked: Option<&'a Path>,
    file: &'a Path,
    payload: &'a [u8],
    at: i64,
}

impl Ssh<'_> {
    fn verify(&self) -> std::result::Result<Vec<String>, Stop> {
        let names = self.principals()?;
        let mut good = Vec::new();
        for name in &names {
            if self.is_good(name, self.revoked)? {
                good.push(name.clone());
            }
        }
        if good.is_empty() { self.why_not(&names) } else { Ok(good) }
    }

    fn keygen(&self, action: &str, more: &[&str], input: &[u8]) -> Result<Ended> {
        let mut keygen = bounded::command("ssh-keygen");
        keygen.args(["-Y", action]).args(more).arg("-s").arg(self.file);
        bounded::run(&mut keygen, input, &Bounds::default())
    }

    fn time(&self) -> String {
        let utc = Timestamp(u64::try_from(self.at).unwrap_or(0).saturating_mul(1000)).utc();
        format!("-Overify-time={}", utc.replace(['-', ':', 'T'], ""))
    }

    fn allowed(&self) -> String {
        self.allowed.display().to_string()
    }

    /// Whose key it is, by the file of signers, as it is valid at that time.
    fn principals(&self) -> Result<Vec<String>> {
        let ended = self.keygen("find-principals", &["-f", &self.allowed(), &self.time()], b"")?;
        let names = |text: String| text.lines().flat_map(|line| line.split(',')).map(str::to_owned).collect();
        Ok(if ended.good() { names(ended.text()) } else { Vec::new() })
    }

    fn is_good(&self, name: &str, revoked: Option<&Path>) -> Result<bool> {
        let (allowed, time) = (self.allowed(), self.time());
        let mut more = vec!["-f", &allowed, "-I", name, "-n", "git", &time];
        let revoked = revoked.map(|path| path.display().to_string());
        if let Some(path) = &revoked {
            more.extend(["-r", path]);
        }
        Ok(self.keygen("verify", &more, self.payload)?.good())
    }

    /// Why nobody's name is good for it. Nothing here makes it good.
    fn why_not(&self, names: &[String]) -> std::result::Result<Vec<String>, Stop> {
        let checked = self.keygen("check-novalidate", &["-n", "git"], self.payload)?;
        if !checked.good() {
            let what = "its signature is not one of this commit, or was not made for git";
            return refuse(RejectedReason::SignatureInvalid, format!("{what}: {}", checked.said));
        }
        let text = checked.text();
        let key =
            text.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap_or("of unknown kind").to_owned();
        for name in names {
            if self.revoked.is_some() && self.is_good(name, None)? {
                return refuse(
                    RejectedReason::SignerRevoked,
                    format!("it is signed by {name} with the key {key}, which was revoked"),
                );
            }
        }
        let at = Timestamp(u64::try_from(self.at).unwrap_or(0).saturating_mul(1000)).utc();
        match self.named(&key)? {
            Some(line) if names.is_empty() => {
                let what = format!(
                    "it is signed with the key {key}, which trust.allowedSigners has for {line}, but not at {at}"
                );
                refuse(
                    RejectedReason::SignerExpired,
                    format!("{what} (the commit's time, or that of the commit before it if later)"),
                )
            }
            Some(line) => refuse(
                RejectedReason::UnknownSigner,
                format!("it is signed with the key {key} of {line}, who may not sign for git"),
            ),
            None => refuse(
                RejectedReason::UnknownSigner,
                format!("it is signed with the key {key}, which nobody in trust.allowedSigners has"),
            ),
        }
    }

    /// Whom the file of signers has a key for, at whatever time.
    fn named(&self, fingerprint: &str) -> Result<Option<String>> {
        let text = std::fs::read_to_string(self.allowed).unwrap_or_default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_kind = |word: &&str| ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| word.starts_with(kind));
            let Some(at) = words.iter().skip(1).position(is_kind).map(|at| at + 1) else { continue };
            let Some(key) = words.get(at + 1) else { continue };
            let mut keygen = bounded::command("ssh-keygen");
            let shown = bounded::run(
                keygen.args(["-l", "-f", "-"]),
                format!("{} {key}\n", words[at]).as_bytes(),
                &Bounds::default(),
            )?;
            if shown.text().split_whitespace().any(|word| word == fingerprint) {
                return Ok(words.first().map(|name| (*name).to_owned()));
            }
        }
        Ok(None)
    }
}
