//! The manifests of a commit, out of the store, and what a repository may not have where manifests are: whatever would make
//! a file mean one thing to who reads it and another to who applies it, or lead out of the repository.

use std::path::Path;

use reeve_schema::{Limits, SourceFile};
use reeve_state::source::RejectedReason;

use super::store::Store;
use super::{Refusal, Stop};
use crate::bounded::{self, Bounds};
use crate::git::objects::{Found, Objects};
use crate::source::{DEPTH_MAX, FILES_MAX, is_hidden, is_manifest};

/// How much is read of a list of files, in bytes.
const LIST_MAX: usize = 64 << 20;
/// What git's attributes may not say of a manifest: what git does to it on its way to a working tree (gitattributes(5)).
const ATTRIBUTES: [&str; 3] = ["filter", "ident", "working-tree-encoding"];
/// How a file begins that Git LFS keeps elsewhere.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A file as a tree has it.
#[derive(Debug)]
struct Entry {
    mode: String,
    object: String,
    path: Vec<u8>,
}

impl Entry {
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

fn refuse<T>(reason: RejectedReason, message: String) -> Result<T, Stop> {
    Err(Refusal::new(reason, message).into())
}

/// The files of manifests below `path` (or of all the commit), by their paths from the top of the repository on.
///
/// # Errors
/// [`Stop::Refusal`] for what may not be there.
pub fn manifests(store: &Store, commit: &str, path: Option<&str>) -> Result<Vec<SourceFile>, Stop> {
    let entries = list(store, commit, path)?;
    let mut manifests = Vec::new();
    for entry in &entries {
        match entry.mode.as_str() {
            "120000" => {
                let what = "is a symbolic link, which is not followed; commit the file itself in its place";
                return refuse(RejectedReason::SymbolicLink, format!("{} {what}", entry.shown()));
            }
            "160000" => {
                let what =
                    "is a submodule, whose files are in another repository; commit the files themselves in its place";
                return refuse(RejectedReason::Submodule, format!("{} {what}", entry.shown()));
            }
            _ => {}
        }
        if let Some(path) = manifest_path(entry, path)? {
            manifests.push((path, entry));
        }
    }
    if manifests.len() > FILES_MAX {
        let count = manifests.len();
        return refuse(
            RejectedReason::TooManyFiles,
            format!("there are {count} files of manifests, {FILES_MAX} is the most"),
        );
    }
    attributes(store, commit, &manifests)?;
    read(&mut store.objects()?, &manifests)
}

/// One file out of a commit, such as an encrypted secret; none where it is not there or is no plain file.
///
/// # Errors
/// Where it is larger than `max` bytes, or is not in the store.
pub fn file(store: &Store, commit: &str, path: &str, max: usize) -> Result<Option<Vec<u8>>, Stop> {
    let entries = list(store, commit, Some(path)).or_else(|stop| match stop {
        Stop::Refusal(Refusal { reason: RejectedReason::PathMissing, .. }) => Ok(Vec::new()),
        stop => Err(stop),
    })?;
    let Some(entry) = entries.iter().find(|entry| entry.path == path.as_bytes() && entry.mode.starts_with("100"))
    else {
        return Ok(None);
    };
    blob(&mut store.objects()?, path, &entry.object, max).map(Some)
}

fn list(store: &Store, commit: &str, path: Option<&str>) -> Result<Vec<Entry>, Stop> {
    let mut git = store.git();
    git.args(["ls-tree", "-r", "-z", "--full-tree", commit]);
    if let Some(path) = path {
        git.args(["--", path]);
    }
    let bounds = Bounds { output: LIST_MAX, time: std::time::Duration::from_secs(60), ..Bounds::default() };
    let ended = bounded::run(&mut git, b"", &bounds)?;
    if ended.much || ended.late {
        return refuse(RejectedReason::TooManyFiles, "it has more files than can be listed".into());
    }
    if !ended.good() {
        // A tree that nests so deep that git itself ends, or one that is not there.
        let (reason, what) = match ended.status.code() {
            None => (RejectedReason::TooDeep, format!("git ended while it listed the files ({})", ended.status)),
            Some(_) if ended.said.contains("maximum allowed depth") => (RejectedReason::TooDeep, ended.said.clone()),
            Some(_) => (RejectedReason::ObjectMissing, ended.said.clone()),
        };
        return refuse(reason, what);
    }
    let mut entries = Vec::new();
    for line in ended.output.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let facts = String::from_utf8_lossy(&line[..tab]).into_owned();
        let words: Vec<&str> = facts.split(' ').collect();
        if let [mode, _, object] = words.as_slice() {
            entries.push(Entry { mode: (*mode).into(), object: (*object).into(), path: line[tab + 1..].to_vec() });
        }
    }
    match path {
        Some(path) if entries.is_empty() => {
            refuse(RejectedReason::PathMissing, format!("it has no folder {path} (source.path)"))
        }
        _ => Ok(entries),
    }
}

/// The path of a file that is one of manifests.
fn manifest_path(entry: &Entry, folder: Option<&str>) -> Result<Option<String>, Stop> {
    let lossy = String::from_utf8_lossy(&entry.path).into_owned();
    let below =
        folder.and_then(|folder| lossy.strip_prefix(folder)).unwrap_or(&lossy).trim_start_matches('/').to_owned();
    if is_hidden(Path::new(&below)) || !is_manifest(Path::new(&lossy)) {
        return Ok(None);
    }
    if lossy.as_bytes() != entry.path || lossy.chars().any(char::is_control) {
        let what = "has a name that is no plain text (UTF-8 without control characters)";
        return refuse(RejectedReason::NotText, format!("{} {what}", entry.shown()));
    }
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if lossy.split('/').any(odd) {
        return refuse(RejectedReason::UnusualCommit, format!("{lossy} is no path of a file"));
    }
    // The last part is the file itself.
    if below.split('/').count() > DEPTH_MAX + 1 {
        return refuse(RejectedReason::TooDeep, format!("{lossy}: folders nest deeper than {DEPTH_MAX}"));
    }
    Ok(Some(lossy))
}

/// Refuses manifests that git changes on their way to a working tree: people would read something else than is applied.
fn attributes(store: &Store, commit: &str, manifests: &[(String, &Entry)]) -> Result<(), Stop> {
    let has_attributes = {
        let output = store.ask(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit], LIST_MAX)?;
        output.split(|byte| *byte == 0).any(|path| path == b".gitattributes" || path.ends_with(b"/.gitattributes"))
    };
    if !has_attributes {
        return Ok(());
    }
    let index = store.run_folder().join("index");
    let bounds = Bounds { file: 256 << 20, output: LIST_MAX, ..Bounds::default() };
    let ask = |arguments: &[&str], input: &[u8]| {
        let mut git = store.git();
        git.env("GIT_INDEX_FILE", &index).args(arguments);
        super::store::good(bounded::run(&mut git, input, &bounds)?)
    };
    let looked = ask(&["read-tree", commit], b"").and_then(|_| {
        let paths: Vec<u8> = manifests.iter().flat_map(|(path, _)| [path.as_bytes(), b"\0"].concat()).collect();
        let arguments = [&["check-attr", "--cached", "--stdin", "-z"][..], &ATTRIBUTES].concat();
        ask(&arguments, &paths)
    });
    crate::store::files::remove(&index)?;
    let output = looked?.output;
    let mut words = output.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    while let (Some(path), Some(attribute), Some(value)) = (words.next(), words.next(), words.next()) {
        if !matches!(&*value, "unspecified" | "unset") {
            let what = format!(
                "has the attribute {attribute}={value}, by which git makes it another file in a working tree than the one that is applied"
            );
            return refuse(RejectedReason::Filter, format!("{path} {what}; take that out of .gitattributes"));
        }
    }
    Ok(())
}

fn read(objects: &mut Objects, manifests: &[(String, &Entry)]) -> Result<Vec<SourceFile>, Stop> {
    let (limits, mut total, mut files) = (Limits::default(), 0, Vec::new());
    for (path, entry) in manifests {
        let bytes = blob(objects, path, &entry.object, limits.file_bytes)?;
        total += bytes.len();
        if total > limits.set_bytes {
            let most = limits.set_bytes;
            return refuse(RejectedReason::TooLarge, format!("all manifests together have more than {most} bytes"));
        }
        if bytes.starts_with(LFS) {
            let what = "is kept in Git LFS, and only points there; commit the file itself (git lfs untrack)";
            return refuse(RejectedReason::Filter, format!("{path} {what}"));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text,
            Ok(_) => return refuse(RejectedReason::NotText, format!("{path} has a zero byte, so it is no text")),
            Err(error) => {
                let place = error.utf8_error().valid_up_to();
                return refuse(RejectedReason::NotText, format!("{path} is not UTF-8 text (byte {place})"));
            }
        };
        files.push(SourceFile { path: path.clone(), text });
    }
    Ok(files)
}

fn blob(objects: &mut Objects, path: &str, object: &str, max: usize) -> Result<Vec<u8>, Stop> {
    match objects.read(object, "blob", max)? {
        Found::Bytes(bytes) => Ok(bytes),
        Found::TooLarge(size) => {
            refuse(RejectedReason::TooLarge, format!("{path} has {size} bytes, {max} is the most"))
        }
        Found::Not(said) | Found::Ended(said) => refuse(RejectedReason::ObjectMissing, format!("{path}: {said}")),
    }
}
