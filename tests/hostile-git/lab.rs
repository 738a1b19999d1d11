//! What all cases share and none changes: the keys of everybody, the files that say whom to trust, and the repository
//! that each case begins with.

use crate::harness::git::{Files, Repo, Signer, commit, fed, now};
use crate::harness::manifest;
use std::path::{Path, PathBuf};

/// Keys, lists of whom to trust, and the repository that is copied.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    /// May sign everything.
    pub alice: Signer,
    /// May sign too; where there are owners, only what is below `zones/bob`, of zones named `bob-*`.
    pub bob: Signer,
    /// May sign, with an RSA key.
    pub rsa: Signer,
    /// Is not known.
    pub mallory: Signer,
    /// Might sign until the year 2021.
    pub expired: Signer,
    /// May sign until tomorrow.
    pub expiring: Signer,
    /// May sign from the year 2100 on.
    pub early: Signer,
    /// Might sign, but the key is revoked.
    pub revoked: Signer,
    /// May sign files, but no commits.
    pub filer: Signer,
    /// May sign, with an ECDSA key.
    pub ecdsa: Signer,
    /// May sign, by a certificate; and one who might until 2021, and one whose authority nobody knows.
    pub certified: Signer,
    pub certified_once: Signer,
    pub certified_by_mallory: Signer,
    /// The authority that certifies.
    authority: Signer,
    /// OpenPGP keys: a good one, one that is not known, one of 2020 for a year, one that is revoked.
    pub gpg: Signer,
    pub gpg_unknown: Signer,
    pub gpg_expired: Signer,
    pub gpg_revoked: Signer,
    /// The repository, with the two commits below.
    pub repo: Repo,
    /// The first commit.
    pub first: String,
    /// The second, which is accepted before anything hostile is shown.
    pub good: String,
}

/// The zones that the good commit wants.
pub const GOOD_ZONES: [&str; 2] = ["bob-1", "good"];

/// The manifest of a zone that costs little.
pub fn zone(name: &str) -> String {
    manifest(name, "installed", "")
}

/// The files of the good commit.
pub fn files() -> Files {
    Files::default()
        .with("README", "zones of a fleet\n")
        .with("zones/good.yaml", zone("good"))
        .with("zones/bob/bob-1.yaml", zone("bob-1"))
}

impl Lab {
    /// Makes it in an empty folder.
    pub fn new(folder: &Path) -> Self {
        let key = |name: &str| Signer::ssh(folder, name, "ed25519");
        let alice = key("alice");
        let repo = Repo::new(&folder.join("template.git"));
        let tree = repo.write(&files().without("zones/bob"));
        let first = commit(&tree, &[], "alice", now() - 7200, "The first zones");
        let first = repo.object("commit", alice.signed(&first).as_bytes());
        let second = commit(&repo.write(&files()), &[&first], "alice", now() - 3600, "A zone for Bob");
        let good = repo.object("commit", alice.signed(&second).as_bytes());
        repo.set("refs/heads/main", &good);
        let (authority, mallory) = (key("authority"), key("mallory"));
        let by = |name: &str, authority: &Signer, validity| {
            key(name).certified(authority, &format!("{name}@fleet.example"), validity)
        };
        let gpg = |name: &str, at, expires| Signer::gpg(&folder.join(format!("gpg-{name}")), name, at, expires);
        let lab = Self {
            alice,
            bob: key("bob"),
            rsa: Signer::ssh(folder, "rsa", "rsa"),
            ecdsa: Signer::ssh(folder, "ecdsa", "ecdsa"),
            certified: by("certified", &authority, "-1d:+1d"),
            certified_once: by("certified-once", &authority, "20200101:20210101"),
            certified_by_mallory: by("certified-otherwise", &mallory, "-1d:+1d"),
            authority,
            mallory,
            expired: key("expired"),
            expiring: key("expiring"),
            early: key("early"),
            revoked: key("revoked"),
            filer: key("filer"),
            gpg: gpg("good", None, "never"),
            gpg_unknown: gpg("unknown", None, "never"),
            gpg_expired: gpg("expired", Some("20200101T000000"), "1y"),
            gpg_revoked: gpg("revoked", None, "never"),
            repo,
            first,
            good,
            folder: folder.to_owned(),
        };
        lab.write_trust();
        lab
    }

    fn write_trust(&self) {
        let git = "namespaces=\"git\"";
        let day = |seconds: i64| {
            let date =
                std::process::Command::new("date").args(["-u", "+%Y%m%dZ", "-d", &format!("@{seconds}")]).output();
            String::from_utf8_lossy(&date.expect("date").stdout).trim().to_owned()
        };
        let until_tomorrow = format!("{git},valid-before=\"{}\"", day(now() + 2 * 86_400));
        let lines = [
            self.alice.allowed("alice@fleet.example", git),
            self.bob.allowed("bob@fleet.example", git),
            self.rsa.allowed("rsa@fleet.example", git),
            self.ecdsa.allowed("ecdsa@fleet.example", git),
            self.authority.allowed("*@fleet.example", &format!("cert-authority,{git}")),
            self.expired.allowed("expired@fleet.example", &format!("{git},valid-before=\"20210101Z\"")),
            self.expiring.allowed("expiring@fleet.example", &until_tomorrow),
            self.early.allowed("early@fleet.example", &format!("{git},valid-after=\"21000101Z\"")),
            self.revoked.allowed("revoked@fleet.example", git),
            self.filer.allowed("filer@fleet.example", "namespaces=\"file\""),
        ];
        std::fs::write(self.allowed_signers(), lines.concat()).expect("allowed signers");
        std::fs::write(self.revoked_keys(), self.revoked.public() + "\n").expect("revoked keys");
        let mut keyring = Vec::new();
        for signer in [&self.gpg, &self.gpg_expired] {
            keyring.extend(signer.gpg_command().arg("--export").output().expect("gpg").stdout);
        }
        keyring.extend(self.revocation());
        std::fs::write(self.keyring(), keyring).expect("keyring");
    }

    /// The revoked key with its revocation. In its own home it is not revoked, for gpg would not sign with it any more.
    fn revocation(&self) -> Vec<u8> {
        let Signer::Gpg { home, .. } = &self.gpg_revoked else { return Vec::new() };
        let folder = std::fs::read_dir(home.join("openpgp-revocs.d")).expect("certificates of revocation");
        let file = folder.flatten().next().expect("gpg makes a certificate with each key").path();
        let text = std::fs::read_to_string(file).expect("a certificate");
        // A colon before the armour keeps it from being taken in by mistake.
        let certificate = text.replace(":-----BEGIN", "-----BEGIN");
        let key = self.gpg_revoked.gpg_command().arg("--export").output().expect("gpg").stdout;
        let home = self.folder.join("gpg-public");
        let other = Signer::gpg(&home, "nobody", None, "never");
        fed(other.gpg_command().arg("--import"), &key);
        fed(other.gpg_command().arg("--import"), certificate.as_bytes());
        let exported = other.gpg_command().args(["--export", "revoked"]).output().expect("gpg").stdout;
        other.end_agent();
        exported
    }

    /// The allowed signers file.
    pub fn allowed_signers(&self) -> PathBuf {
        self.folder.join("allowed_signers")
    }

    /// The file of keys that may not sign any more.
    pub fn revoked_keys(&self) -> PathBuf {
        self.folder.join("revoked_keys")
    }

    /// The OpenPGP keys: good, expired and revoked.
    pub fn keyring(&self) -> PathBuf {
        self.folder.join("keyring.gpg")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for signer in [&self.gpg, &self.gpg_unknown, &self.gpg_expired, &self.gpg_revoked] {
            signer.end_agent();
        }
    }
}
