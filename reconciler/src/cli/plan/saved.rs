//! A plan in a file, so that what was read and agreed to is what is carried out: with what it stands on, which must not
//! have moved meanwhile.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reeve::git::GitSource;
use reeve::host::Planned;
use reeve::store::files::{self, Durability};
use reeve_schema::ManifestSet;
use reeve_state::HostFacts;
use reeve_state::audit::Finding;
use reeve_state::plan::basis::Basis;
use reeve_state::plan::digest::digest;
use reeve_state::plan::{Plan, ZonePlan};
use serde::{Deserialize, Serialize};

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::input::Manifests;

/// The most bytes that are read of a file that may be a plan.
const BYTES_MAX: u64 = 256 << 20;
/// The version of the form.
const FORMAT_VERSION: &str = "2";

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    format_version: String,
    kind: Kind,
    /// The digest of what it stands on.
    pub digest: String,
    /// The file or folder that its manifests are from or of which they are another state, absolute.
    pub source: PathBuf,
    /// Where in git they are, `git:REV[:PATH]` or `index`.
    git: Option<String>,
    basis: Basis,
    facts: HostFacts,
    plan: Plan,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    SavedPlan,
}

/// Only what tells a saved plan from anything else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format_version: String,
    #[serde(default)]
    kind: String,
}

impl SavedPlan {
    /// What a plan is saved as.
    pub fn new(planned: &Planned, source: &Path, git: Option<&GitSource>) -> Self {
        Self {
            format_version: FORMAT_VERSION.into(),
            kind: Kind::SavedPlan,
            digest: planned.basis.digest(&planned.plan),
            source: source.to_owned(),
            git: git.map(ToString::to_string),
            basis: planned.basis.clone(),
            facts: planned.facts.clone(),
            plan: planned.plan.clone(),
            findings: planned.findings.clone(),
        }
    }

    /// Reads the manifests again that it was made from, with the commit that they are from now.
    ///
    /// # Errors
    /// When they are not there any more, or have a problem: the plan cannot be carried out then.
    pub fn load(&self, context: &Context) -> Result<(ManifestSet, Option<String>), Failure> {
        let failed = |failure: Failure| match failure.plain {
            true => failure,
            false => failure.about("the manifests that the plan was made from"),
        };
        let Some(text) = &self.git else {
            let set = Manifests { path: self.source.clone() }.read(context).map_err(failed)?;
            return Ok((set, None));
        };
        let folder = self.source.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        std::env::set_current_dir(folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        let load = || -> Result<(ManifestSet, Option<String>), Failure> {
            let git = GitSource::parse(text)?.ok_or_else(|| Failure::new(format!("{text} is no place in git")))?;
            Ok((git.load(&context.host_self()?, &context.places.zonepaths())?, git.commit()?))
        };
        load().map_err(failed)
    }

    /// The plan, if nothing moved that it stands on. `now` was planned from the same manifests, read again.
    ///
    /// # Errors
    /// What moved, and what to do.
    pub fn unmoved(self, path: &Path, now: &Planned) -> Result<Planned, Failure> {
        let shown = path.display();
        if self.basis.digest(&self.plan) != self.digest {
            let message = format!("{shown} was changed after it was saved: what it stands on has another digest");
            return Err(Failure::new(message).help("make it anew: reeve plan PATH --out FILE"));
        }
        let mut moved = self.basis.moved(&now.basis);
        if moved.is_empty() {
            // A window that closed since, an approval that came, a time to wait that is over.
            let other = |zone: &&ZonePlan| now.plan.zone(&zone.name).map(digest) != Some(digest(zone));
            let line = |zone: &ZonePlan| {
                let reason = now.plan.zone(&zone.name).map_or("there is nothing of it", |now| now.reason.as_str());
                format!("what is to be done with zone {} is something else by now: {reason}", zone.name)
            };
            moved.extend(self.plan.zones.iter().filter(other).map(line));
        }
        if !moved.is_empty() {
            let message = format!("the plan in {shown} is stale, nothing was done:\n{}", moved.join("\n"));
            let from = self.git.as_ref().map_or_else(|| self.source.display().to_string(), |git| format!("--to {git}"));
            return Err(Failure::new(message).help(format!("look at it anew: reeve plan {from} --out {shown}")));
        }
        Ok(Planned { facts: self.facts, plan: self.plan, findings: self.findings, basis: self.basis })
    }
}

/// Saves a plan. Nobody but its owner may read the file: manifests may hold what is not for everybody.
///
/// # Errors
/// The file that could not be written; one that was there is as it was then.
pub fn write(path: &Path, saved: &SavedPlan) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("write {}: {error}", path.display()));
    let mut bytes = serde_json::to_vec_pretty(saved).map_err(|error| failed(&error))?;
    bytes.push(b'\n');
    let absolute = std::path::absolute(path).map_err(|error| failed(&error))?;
    files::replace(&absolute, &bytes, Durability::Synced).map_err(|error| failed(&error))
}

/// The plan in a file, if it is one: a JSON document that says so. Anything else is left to whoever reads manifests.
///
/// # Errors
/// A plan that is torn, or of another version.
pub fn read(path: &Path) -> Result<Option<SavedPlan>, Failure> {
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let manifest = reeve::source::is_manifest(path);
    let Some(Ok(file)) = (is_file && !manifest).then(|| File::open(path)) else { return Ok(None) };
    let mut text = Vec::new();
    if file.take(BYTES_MAX).read_to_end(&mut text).is_err() || !text.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    let shown = path.display();
    let anew = "make it anew: reeve plan PATH --out FILE";
    let wrong = |error: serde_json::Error| {
        let what = if error.is_eof() { "is torn: its end is missing" } else { "is not a plan that this version saved" };
        Failure::new(format!("{shown} {what} ({error})")).help(anew)
    };
    let head: Head = serde_json::from_slice(&text).map_err(wrong)?;
    match (head.kind.as_str(), head.format_version.as_str()) {
        ("SavedPlan", FORMAT_VERSION) => Ok(Some(serde_json::from_slice(&text).map_err(wrong)?)),
        ("SavedPlan", other) => {
            let message = format!("{shown} has the format version {other}, not {FORMAT_VERSION}");
            Err(Failure::new(message).help(anew))
        }
        ("Plan", _) => {
            let message =
                format!("{shown} is a plan to be read (`-o json`, or of an earlier version), not a saved one");
            Err(Failure::new(message).help("save it: reeve plan PATH --out FILE"))
        }
        (kind, _) => Err(Failure::new(format!("{shown} is no plan (its kind is {kind:?})")).help(anew)),
    }
}
