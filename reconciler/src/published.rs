//! What this host publishes of itself, and plans that are made from what hosts published: offline, without any of them. A
//! published file is one JSON document with the snapshot as text and an SSH signature over exactly that text, made and
//! verified by ssh-keygen(1).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use reeve_schema::{Catalog, Deletion, HostSelf, ManifestSet};
use reeve_state::Timestamp;
use reeve_state::approval::Approvals;
use reeve_state::audit::{Permissions, audit};
use reeve_state::plan::basis::Basis;
use reeve_state::plan::{self, Hold, Input};
use reeve_state::snapshot::{FORMAT_VERSION, Snapshot};
use reeve_state::wanted::{self, Wanted};
use serde::{Deserialize, Serialize};

use crate::bounded::{self, Bounds};
use crate::desired;
use crate::error::{Error, OnFile, Result};
use crate::host::Planned;
use crate::secrets;
use crate::source::LoadError;
use crate::store::files::{self, Durability};

/// What signatures are for (ssh-keygen(1), `-n`): one that was made for git is none of a snapshot.
pub const NAMESPACE: &str = "reeve-observed";
/// The most bytes of a published file: about 4 KiB for each zone.
const BYTES_MAX: u64 = 256 << 20;

/// A published file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    format_version: String,
    kind: String,
    /// The host and the time once more, for people who look into the file; what counts is signed.
    host: String,
    at: String,
    /// The snapshot, as it was signed.
    observed: String,
    /// The SSH signature.
    signature: String,
}

/// The kind of a published file.
const KIND: &str = "SignedObservedState";

/// A snapshot that was read.
#[derive(Clone, Debug)]
pub struct Published {
    /// What the host said.
    pub snapshot: Snapshot,
    /// Whether its signature was verified.
    pub verified: bool,
}

/// Signs a snapshot and puts it into `path`, in one step, mode 0640: in a folder whose group is inherited (setgid), whoever
/// collects it need not be root.
///
/// # Errors
/// What ssh-keygen says; the file that could not be written.
pub fn publish(snapshot: &Snapshot, key: &Path, path: &Path) -> Result<()> {
    let observed = serde_json::to_string(snapshot)
        .map_err(|error| Error::refused(format!("the snapshot is no document: {error}")))?;
    let mut keygen = bounded::command("ssh-keygen");
    keygen.args(["-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    let ended = bounded::run(&mut keygen, observed.as_bytes(), &Bounds::default())?;
    if !ended.good() {
        let said = ended.said.trim();
        return Err(Error::refused(format!("ssh-keygen could not sign with {} (spec.publish): {said}", key.display())));
    }
    let envelope = Envelope {
        format_version: FORMAT_VERSION.into(),
        kind: KIND.into(),
        host: snapshot.host.clone(),
        at: snapshot.at.utc(),
        observed,
        signature: ended.text(),
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope)
        .map_err(|error| Error::refused(format!("the snapshot is no document: {error}")))?;
    bytes.push(b'\n');
    files::replace_with_mode(path, &bytes, Durability::Volatile, 0o640)
}

/// Reads a published file, and with `signers` (ssh-keygen(1), ALLOWED SIGNERS) verifies that the host signed it: the file of
/// signers has the host's name as the principal.
///
/// # Errors
/// A file that is torn, foreign, of another version, or signed by nobody who may speak for that host.
pub fn read(path: &Path, signers: Option<&Path>) -> Result<Published> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).on("read", path)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Error::refused(format!("{shown} is larger than {BYTES_MAX} bytes")));
    }
    let wrong = |error: serde_json::Error| {
        let what = if error.is_eof() { "is torn: its end is missing" } else { "is nothing that a host published" };
        Error::refused(format!("{shown} {what} ({error})"))
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(wrong)?;
    if value["kind"] != KIND {
        let what = "is nothing that a host published; such a file is written as spec.publish of its configuration says";
        return Err(Error::refused(format!("{shown} {what}")));
    }
    if value["formatVersion"] != FORMAT_VERSION {
        let version = &value["formatVersion"];
        return Err(Error::refused(format!("{shown} has the format version {version}, not {FORMAT_VERSION:?}")));
    }
    let envelope: Envelope = serde_json::from_value(value).map_err(wrong)?;
    let snapshot: Snapshot = serde_json::from_str(&envelope.observed).map_err(wrong)?;
    if let Some(signers) = signers {
        verify(&envelope, &snapshot.host, signers).map_err(|why| Error::refused(format!("{shown}: {why}")))?;
    }
    Ok(Published { snapshot, verified: signers.is_some() })
}

/// Whether the host signed it; the error says why not.
fn verify(envelope: &Envelope, host: &str, signers: &Path) -> std::result::Result<(), String> {
    if !signers.is_file() {
        return Err(format!("{} is not there; without it nobody's signature can be judged", signers.display()));
    }
    let signature = tempfile_with(envelope.signature.as_bytes()).map_err(|error| error.to_string())?;
    let mut keygen = bounded::command("ssh-keygen");
    let signers = std::path::absolute(signers).map_err(|error| error.to_string())?;
    keygen.args(["-Y", "verify", "-n", NAMESPACE, "-I", host, "-f"]).arg(&signers).arg("-s").arg(signature.path());
    let ended = bounded::run(&mut keygen, envelope.observed.as_bytes(), &Bounds::default())
        .map_err(|error| error.to_string())?;
    if ended.good() {
        return Ok(());
    }
    let mut check = bounded::command("ssh-keygen");
    check.args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"]).arg(signature.path());
    let good = bounded::run(&mut check, envelope.observed.as_bytes(), &Bounds::default())
        .map_err(|error| error.to_string())?
        .good();
    Err(match good {
        true => format!(
            "it is signed with a key that {} does not have for the host {host}; add the host's public key there, or do not \
             trust the file",
            signers.display()
        ),
        false => "its signature is not one of what is in it: the file was changed after the host signed it".to_owned(),
    })
}

/// A file that is gone when it is dropped.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who plans need not be root, and has no folder of Reeve's; the file is new and 0600"
)]
fn tempfile_with(bytes: &[u8]) -> Result<Temporary> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("reeve-signature-{}-{serial}", std::process::id()));
    // Never into a file that somebody else put there.
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).on("open", &path)?;
    let temporary = Temporary(path);
    file.write_all(bytes).on("write", temporary.path())?;
    Ok(temporary)
}

/// What a set wants of the host that published a snapshot.
///
/// # Errors
/// Every problem of the set for that host.
pub fn set_for(catalog: &Catalog<'_>, snapshot: &Snapshot) -> std::result::Result<ManifestSet, LoadError> {
    let host = HostSelf { name: snapshot.host.clone(), labels: snapshot.labels.clone() };
    let problems = |problems| LoadError::Problems(reeve_schema::Problems(problems));
    catalog.for_host(&host, &snapshot.zonepaths).map_err(problems)
}

/// What would be done on the host that published a snapshot. That the manifests are in another place here than there is no
/// difference; values of secrets are not known here, so that a change of one is not seen.
pub fn plan(snapshot: &Snapshot, set: &ManifestSet, commit: Option<String>, now: Timestamp) -> Planned {
    let facts = &snapshot.facts;
    let wanted: BTreeMap<String, Wanted> = set
        .zones
        .iter()
        .map(|(name, loaded)| {
            let name = name.to_string();
            let place = facts.zones.get(&name).and_then(|seen| seen.configured.known()?.source.clone());
            let source = place.unwrap_or_else(|| format!("{}:{}", loaded.origin.file, loaded.origin.line));
            let filled_in = secrets::fill_in(loaded);
            let mut wanted = Wanted::new(&filled_in, &loaded.digest, Some(source), &snapshot.zonepaths);
            if secrets::has_secrets(&filled_in.spec.init)
                && let Some(recorded) = snapshot.recorded.get(&name).filter(|one| one.manifest == wanted.manifest)
            {
                // The digest there has the secret's value in it.
                wanted.digest.clone_from(&recorded.digest);
            }
            (name, wanted)
        })
        .collect();
    let mut approvals = desired::approvals(set);
    approvals.extend(&snapshot.approvals);
    let input = Input {
        wanted: &wanted,
        source: Some(&snapshot.source),
        facts,
        recorded: &snapshot.recorded,
        policies: &snapshot.policies,
        approvals: &approvals,
        now,
    };
    let mut plan = plan::plan(&input);
    plan.zones.retain(|zone| !matches!(zone.hold, Some(Hold::OtherSource { .. })));
    let findings = audit(&plan, facts, &permissions(snapshot, &wanted, &approvals));
    let zones = plan.zones.iter().map(|zone| zone.name.clone()).collect();
    let basis = Basis::new(commit, &wanted, facts, &snapshot.recorded, &snapshot.policies, &zones);
    Planned { facts: facts.clone(), plan, findings, basis }
}

/// Whose data may be destroyed, by the same words as on the host itself.
fn permissions(snapshot: &Snapshot, wanted: &BTreeMap<String, Wanted>, approvals: &Approvals) -> Permissions {
    let gone = snapshot.recorded.iter().filter(|(name, recorded)| {
        let deletes = || wanted::deletion(&recorded.manifest) == Deletion::Delete;
        !wanted.contains_key(*name) && (deletes() || approvals.data_may_go(name, Some(recorded), None))
    });
    let confirmed = wanted.iter().filter(|(name, wanted)| {
        let confirmed = snapshot.policies.get(*name).and_then(|policy| policy.confirmed.as_ref());
        confirmed == Some(&wanted.digest) || approvals.data_may_go(name, snapshot.recorded.get(*name), Some(wanted))
    });
    Permissions { destroy: gone.map(|(name, _)| name).chain(confirmed.map(|(name, _)| name)).cloned().collect() }
}
