//! A plan in a file, so that what was read and agreed to is what is carried out.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use reeve::host::Planned;
use reeve_state::HostFacts;
use reeve_state::audit::Finding;
use reeve_state::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;

/// The most bytes that are read of a file that may be a plan.
const BYTES_MAX: u64 = 256 << 20;

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    format_version: String,
    kind: Kind,
    /// The manifests that it was made from, absolute.
    pub source: PathBuf,
    facts: HostFacts,
    plan: Plan,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Plan,
}

impl SavedPlan {
    /// The plan with what it was made from.
    pub fn planned(self) -> Planned {
        Planned { facts: self.facts, plan: self.plan, findings: self.findings }
    }
}

/// Saves a plan. Nobody but its owner may read the file: manifests may hold what is not for everybody.
///
/// # Errors
/// The file that could not be written.
pub fn write(path: &Path, planned: &Planned, source: &Path) -> Result<(), Failure> {
    let saved = SavedPlan {
        format_version: "1".into(),
        kind: Kind::Plan,
        source: source.to_owned(),
        facts: planned.facts.clone(),
        plan: planned.plan.clone(),
        findings: planned.findings.clone(),
    };
    let written = (|| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec_pretty(&saved)?)?;
        file.write_all(b"\n")
    })();
    written.map_err(|error| Failure::new(format!("write {}: {error}", path.display())))
}

/// The plan in a file, if it is one: a JSON document that says so. Anything else is left to whoever reads manifests.
///
/// # Errors
/// A plan that is not of this version.
pub fn read(path: &Path) -> Result<Option<SavedPlan>, Failure> {
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let manifest = reeve::source::is_manifest(path);
    let Some(Ok(file)) = (is_file && !manifest).then(|| File::open(path)) else { return Ok(None) };
    let mut text = Vec::new();
    if file.take(BYTES_MAX).read_to_end(&mut text).is_err() || !text.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| {
        Failure::new(format!("{} is not a plan that this version saved: {error}", path.display()))
            .help("make it anew: reeve plan PATH --out FILE")
    };
    let saved: SavedPlan = serde_json::from_slice(&text).map_err(wrong)?;
    match saved.format_version.as_str() {
        "1" => Ok(Some(saved)),
        other => Err(Failure::new(format!("{} has the format version {other}, not 1", path.display()))),
    }
}
