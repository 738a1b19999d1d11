//! From files to a checked set of zones.

use std::collections::BTreeMap;

use crate::check;
use crate::decode::{self, AgeUse, Facts};
use crate::digest::digest;
use crate::manifest::Zone;
use crate::name::ZoneName;
use crate::node::documents;
use crate::problem::Problem;
use crate::source::{Place, Report, Spot};

/// A file of manifests, read by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that problems and origins show.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Bounds on what is read, so that a hostile set is refused in bounded time and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files together.
    pub set_bytes: usize,
    /// How deep lists and maps may nest.
    pub depth: usize,
    /// Keys, values and items in one document.
    pub nodes: usize,
    /// Problems that are reported; what is beyond is counted in one last problem.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 1 << 20, set_bytes: 64 << 20, depth: 32, nodes: 20_000, problems: 1000 }
    }
}

/// Where a zone's document begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as the caller named it.
    pub file: String,
    /// The line of the document's first key, from 1.
    pub line: usize,
}

/// One zone of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedZone {
    /// The manifest.
    pub zone: Zone,
    /// Where it was written.
    pub origin: Origin,
    /// SHA-256, in hexadecimal, of the manifest's canonical JSON: the same for two texts that mean the same.
    pub digest: String,
    /// The encrypted files that it names.
    pub age_files: Vec<AgeFile>,
}

/// An encrypted file that a manifest names, and that whoever reads the manifests has to read as well.
#[derive(Clone, Debug, PartialEq)]
pub struct AgeFile {
    /// The variable of `init.env` whose value is in it.
    pub variable: String,
    /// Its path, from the folder of the manifest ([`Problem::file`] of `place`) on.
    pub path: String,
    /// Where it is named, as a problem that has neither message nor help yet.
    pub place: Problem,
    /// What is in it; empty before it was read.
    pub ciphertext: Vec<u8>,
}

impl AgeFile {
    /// Its path in the source, where the names of the source's files begin with `prefix`.
    #[must_use]
    pub fn in_source(&self, prefix: &str) -> String {
        let manifest = self.place.file.strip_prefix(prefix).unwrap_or(&self.place.file);
        match manifest.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The zones of a set that has no problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestSet {
    /// By name.
    pub zones: BTreeMap<ZoneName, LoadedZone>,
}

/// Reads a set of files. `zonepaths` is the folder of the zonepaths that no manifest names.
///
/// Files are read in the order of their names. Empty documents and files are fine, and no file gives an empty set.
///
/// # Errors
/// Every problem of every file, sorted by place. Nothing of a set that has one may be applied.
pub fn load(files: &[SourceFile], zonepaths: &str, limits: &Limits) -> Result<ManifestSet, Vec<Problem>> {
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by_key(|file| &file.path);
    let mut report = Report::new(&files, limits.problems);
    let mut facts = Facts::default();
    let mut zones = Vec::new();
    let mut bytes = 0;
    for (index, file) in files.iter().enumerate() {
        bytes += file.text.len();
        if !small_enough(index, file, bytes, limits, &mut report) {
            continue;
        }
        for node in documents(index, file, limits, &mut report) {
            let origin = Origin { file: file.path.clone(), line: node.place.line };
            let zone = decode::document(index, &node, &mut report, &mut facts);
            let age_files: Vec<AgeFile> = facts.age_files.drain(..).map(|used| age_file(&report, used)).collect();
            zones.extend(zone.map(|zone| (zone, origin, age_files)));
        }
    }
    check::between_zones(facts, zonepaths, &mut report);
    if !report.is_empty() {
        return Err(report.finish());
    }
    let loaded = zones.into_iter().map(|(zone, origin, age_files)| {
        let digest = digest(&zone);
        (zone.metadata.name.clone(), LoadedZone { zone, origin, digest, age_files })
    });
    Ok(ManifestSet { zones: loaded.collect() })
}

fn age_file(report: &Report, used: AgeUse) -> AgeFile {
    let place = report.problem(used.spot, "", "");
    AgeFile { variable: used.variable, path: used.path, place, ciphertext: Vec::new() }
}

/// Whether a file may be read, `bytes` being the size of all files up to and with it. Notes why not.
fn small_enough(index: usize, file: &SourceFile, bytes: usize, limits: &Limits, report: &mut Report) -> bool {
    let (message, help) = if file.text.len() > limits.file_bytes {
        let message = format!("the file has {} bytes, {} is the most", file.text.len(), limits.file_bytes);
        (message, "several smaller files")
    } else if bytes > limits.set_bytes {
        (format!("the files up to this one have {bytes} bytes, {} is the most", limits.set_bytes), "fewer manifests")
    } else {
        return true;
    };
    report.add(Spot { file: index, place: Place::START, field: String::new() }, message, help);
    false
}
