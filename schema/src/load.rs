//! From files to the checked set of zones of one host, and the bounds on what is read.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, HostSelf};
use crate::decode::AgeUse;
use crate::manifest::Zone;
use crate::name::ZoneName;
use crate::problem::Problem;
use crate::schedule::ChangeDigest;
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
    /// The manifest as this host gets it: patched, and without `hosts`.
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
    /// Digests of changes that somebody approved, each with whether data may be lost by it.
    pub approvals: BTreeMap<ChangeDigest, bool>,
}

/// Reads a set of files for one host. `zonepaths` is the folder of the zonepaths that no manifest names.
///
/// Files are read in the order of their names. Empty documents and files are fine, and no file gives an empty set.
///
/// # Errors
/// Every problem of every file, and of this host's part, sorted by place. Nothing of a set that has one may be applied.
pub fn load(
    files: &[SourceFile],
    host: &HostSelf,
    zonepaths: &str,
    limits: &Limits,
) -> Result<ManifestSet, Vec<Problem>> {
    Catalog::read(files, limits).for_host(host, zonepaths)
}

/// A file that is to be read, with the place that names it.
pub(crate) fn age_file(report: &Report, used: AgeUse) -> AgeFile {
    let place = report.problem(used.spot, "", "");
    AgeFile { variable: used.variable, path: used.path, place, ciphertext: Vec::new() }
}

/// Whether a file may be read, `bytes` being the size of all files up to and with it. Notes why not.
pub(crate) fn small_enough(
    index: usize,
    file: &SourceFile,
    bytes: usize,
    limits: &Limits,
    report: &mut Report,
) -> bool {
    let (message, help) = if file.text.len() > limits.file_bytes {
        let message = format!("the file has {} bytes, {} is the most", file.text.len(), limits.file_bytes);
        (message, "several smaller files")
    } else if bytes > limits.set_bytes {
        (format!("the files up to this one have {bytes} bytes, {} is the most", limits.set_bytes), "fewer manifests")
    } else {
        return true;
    };
    report.add(Spot { place: Place::start(index), field: String::new() }, message, help);
    false
}
