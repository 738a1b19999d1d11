//! Manifests out of git, as a plan compares them: those of a commit, or of the index, of the repository at the current
//! folder. Read by the `git` program from its objects; nothing is checked out, fetched, or run (hooks, filters, fsmonitor).
//! What a person typed reaches git on its standard input only, where it cannot be taken for an option.

pub mod objects;

use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reeve_schema::{AgeFile, Checked, HostSelf, Limits, ManifestSet, Problems, SourceFile};

use crate::error::{Error, OnFile, Result};
use crate::secrets;
use crate::source::{LoadError, Reader, check_depth, is_hidden, is_manifest};
use objects::{Found, Objects};

/// How much is read of a list of files, in bytes.
const LIST_MAX: u64 = 64 << 20;

/// Manifests out of git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// The commit, in any of git's ways to name one; none: the index.
    revision: Option<String>,
    /// A file or folder from the top of the repository on; none: all of it.
    path: Option<String>,
}

/// A file as a tree or the index has it.
struct Entry {
    mode: String,
    object: String,
    path: String,
}

impl GitSource {
    /// What `git:REV`, `git:REV:PATH` or `index` names; none for what is no source out of git.
    ///
    /// # Errors
    /// [`Error::Refused`] where a part is missing or cannot be one.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text == "index" {
            return Ok(Some(Self { revision: None, path: None }));
        }
        let Some(rest) = text.strip_prefix("git:") else { return Ok(None) };
        // A date in braces may have colons of its own.
        let braces = rest.find('}').filter(|_| rest.find('{').is_some_and(|open| open < rest.find(':').unwrap_or(0)));
        let from = braces.unwrap_or(0);
        let (revision, path) = match rest[from..].find(':') {
            Some(colon) => (&rest[..from + colon], Some(&rest[from + colon + 1..])),
            None => (rest, None),
        };
        if revision.is_empty() || revision.chars().any(char::is_control) {
            let what = "names no commit; write git:REV or git:REV:PATH, such as git:HEAD~1:zones";
            return Err(Error::refused(format!("{text:?} {what}")));
        }
        let path = path.map(|path| inside(Path::new(path))).transpose()?.filter(|path| !path.is_empty());
        Ok(Some(Self { revision: Some(revision.to_owned()), path }))
    }

    /// Whether it names a path.
    pub fn has_path(&self) -> bool {
        self.path.is_some()
    }

    /// Narrows it to a file or folder, as it is named in the working tree.
    ///
    /// # Errors
    /// [`Error::Refused`] where it has a path already, or the path is not in the repository.
    pub fn below(self, path: &Path) -> Result<Self> {
        if self.path.is_some() {
            return Err(Error::refused(format!("{self} names a path already; leave {} out", path.display())));
        }
        let top = top()?;
        let absolute = crate::source::absolute(path);
        let below = absolute
            .strip_prefix(&top)
            .map_err(|_| Error::refused(format!("{} is not in the repository {}", path.display(), top.display())))?;
        Ok(Self { path: Some(inside(below)?).filter(|path| !path.is_empty()), ..self })
    }

    /// Reads the manifests and the encrypted files that they name, and gives what `host` gets of them. `zonepaths` is
    /// [`crate::Places::zonepaths`]. Problems name files as git does (`REV:PATH`); the zones' origins are the files of the
    /// working tree.
    ///
    /// # Errors
    /// As [`crate::source::load`]; and what git says where there is no such commit, path or repository.
    pub fn load(&self, host: &HostSelf, zonepaths: &str) -> std::result::Result<ManifestSet, LoadError> {
        let (top, files) = (top()?, self.read()?);
        let prefix = self.prefix();
        let mut set = reeve_schema::load(&files, host, zonepaths, &Limits::default())
            .map_err(|problems| LoadError::Problems(Problems(problems)))?;
        self.take_in(&mut set)?;
        for zone in set.zones.values_mut() {
            if let Some(path) = zone.origin.file.strip_prefix(&prefix) {
                zone.origin.file = top.join(path).display().to_string();
            }
        }
        Ok(set)
    }

    /// Checks the manifests for every host, as [`crate::source::check`] does.
    ///
    /// # Errors
    /// As [`GitSource::load`].
    pub fn check(&self, zonepaths: &str) -> std::result::Result<Checked, LoadError> {
        crate::source::check_files(&self.read()?, zonepaths, &mut |set| self.take_in(set))
    }

    /// Reads the encrypted files that the zones of a set name.
    ///
    /// # Errors
    /// [`LoadError`], with those that are not there.
    pub fn take_in(&self, set: &mut ManifestSet) -> std::result::Result<(), LoadError> {
        if set.zones.values().all(|zone| zone.age_files.is_empty()) {
            return Ok(());
        }
        let mut objects = open()?;
        secrets::take_in(set, &mut |file| self.encrypted(&mut objects, file))
    }

    /// An encrypted file that a manifest names; none where it is not there.
    fn encrypted(&self, objects: &mut Objects, file: &AgeFile) -> Result<Option<Vec<u8>>> {
        let revision = self.revision.as_deref().unwrap_or_default();
        named(objects, &format!("{revision}:{}", file.in_source(&self.prefix())), &file.path)
    }

    /// The file or folder of the working tree that this is an earlier or later state of.
    ///
    /// # Errors
    /// [`Error::Refused`] with git's words where there is no repository.
    pub fn place(&self) -> Result<PathBuf> {
        let top = top()?;
        Ok(self.path.as_ref().map_or_else(|| top.clone(), |path| top.join(path)))
    }

    /// The commit that it is from; none for the index.
    ///
    /// # Errors
    /// What git says where there is no such commit or repository.
    pub fn commit(&self) -> Result<Option<String>> {
        self.revision.as_deref().map(|revision| commit(&mut open()?, revision)).transpose()
    }

    fn prefix(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{revision}:"),
            None => "index:".into(),
        }
    }

    /// Reads the manifests; their names are as git has them (`REV:PATH`).
    ///
    /// # Errors
    /// As [`crate::source::read`]; and what git says where there is no such commit, path or repository.
    pub fn read(&self) -> Result<Vec<SourceFile>> {
        let entries = self.entries()?;
        let links: Vec<&Entry> = entries.iter().filter(|entry| entry.mode == "120000").collect();
        let mut objects = open()?;
        for link in links {
            self.refuse_link(link, &entries, &mut objects)?;
        }
        let mut reader = Reader::default();
        for entry in entries.iter().filter(|entry| entry.mode != "120000" && is_manifest(Path::new(&entry.path))) {
            let shown = format!("{}{}", self.prefix(), entry.path);
            let bytes = blob(&mut objects, &entry.object, &shown, reader.file_max())?;
            reader.add(bytes, &shown)?;
        }
        Ok(reader.files())
    }

    /// The files that count, in the order of their paths.
    fn entries(&self) -> Result<Vec<Entry>> {
        let mut git = match &self.revision {
            Some(revision) => {
                let commit = commit(&mut open()?, revision)?;
                let mut git = git();
                git.args(["ls-tree", "-r", "-z", "--full-tree", &commit]);
                git
            }
            None => {
                let mut git = git();
                git.args(["ls-files", "--stage", "-z"]).current_dir(top()?);
                git
            }
        };
        let list = read_all(&mut git)?;
        let mut entries = Vec::new();
        for line in list.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let entry = self.entry(&String::from_utf8_lossy(line))?;
            let below = match &self.path {
                None => Some(entry.path.as_str()),
                Some(path) if entry.path == *path => Some(""),
                Some(path) => entry.path.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix('/')),
            };
            let Some(below) = below.filter(|below| !is_hidden(Path::new(below))) else { continue };
            check_depth(Path::new(below), &entry.path)?;
            if entry.mode == "160000" {
                let what =
                    "is a submodule, whose files are in another repository; plan there, or name a path beside it";
                return Err(Error::refused(format!("{}{} {what}", self.prefix(), entry.path)));
            }
            entries.push(entry);
        }
        match (&self.path, entries.is_empty()) {
            (Some(path), true) => {
                let what = "is not there; paths are written from the top of the repository on";
                Err(Error::refused(format!("{}{path} {what}", self.prefix())))
            }
            _ => Ok(entries),
        }
    }

    /// A line of ls-tree (`MODE TYPE OBJECT\tPATH`) or of ls-files (`MODE OBJECT STAGE\tPATH`).
    fn entry(&self, line: &str) -> Result<Entry> {
        let odd = || Error::refused(format!("git listed what is not understood: {line:?}"));
        let (words, path) = line.split_once('\t').ok_or_else(odd)?;
        let words: Vec<&str> = words.split(' ').collect();
        let [mode, second, third] = words.as_slice() else { return Err(odd()) };
        if self.revision.is_none() && *third != "0" {
            return Err(Error::refused(format!("index:{path} is not merged; merge it, then: git add {path}")));
        }
        let object = if self.revision.is_none() { second } else { third };
        Ok(Entry { mode: (*mode).to_owned(), object: (*object).to_owned(), path: path.to_owned() })
    }

    /// A link that would be a manifest, or a folder of them, is refused as in a folder.
    fn refuse_link(&self, link: &Entry, entries: &[Entry], objects: &mut Objects) -> Result<()> {
        let shown = format!("{}{}", self.prefix(), link.path);
        let target = blob(objects, &link.object, &shown, 4096)?;
        let target = String::from_utf8_lossy(&target).into_owned();
        let folder = Path::new(&link.path).parent().unwrap_or(Path::new(""));
        let to = lexical(&folder.join(&target));
        let is_folder =
            entries.iter().any(|entry| Path::new(&entry.path).starts_with(&to) && Path::new(&entry.path) != to);
        if is_manifest(Path::new(&link.path)) || is_folder {
            let what = "is a symbolic link, which is not followed; commit the file itself in its place";
            return Err(Error::refused(format!("{shown} {what}")));
        }
        Ok(())
    }
}

impl std::fmt::Display for GitSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.revision, &self.path) {
            (Some(revision), Some(path)) => write!(f, "git:{revision}:{path}"),
            (Some(revision), None) => write!(f, "git:{revision}"),
            (None, Some(path)) => write!(f, "index ({path})"),
            (None, None) => write!(f, "index"),
        }
    }
}

/// A path without `.` and without a slash at its end, which must not leave the repository.
fn inside(path: &Path) -> Result<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match (part, part.as_os_str().to_str()) {
            (Component::CurDir, _) => {}
            (Component::Normal(_), Some(name)) if !name.chars().any(char::is_control) => parts.push(name),
            _ => {
                let what = "is no path in a repository; write it from the repository's top on, without ..";
                return Err(Error::refused(format!("{} {what}", path.display())));
            }
        }
    }
    Ok(parts.join("/"))
}

/// What a relative path means, by its text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// git, in the current folder, made to run nothing else and to change nothing.
fn git() -> Command {
    let mut git = Command::new("git");
    git.args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"]);
    for setting in ["core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never", "core.quotePath=false"]
    {
        git.args(["-c", setting]);
    }
    git.envs([("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("LC_ALL", "C")]);
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    git
}

fn start(git: &mut Command) -> Result<Child> {
    git.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::refused("manifests out of git are read by git, which is not there: apt-get install git")
        }
        _ => Error::refused(format!("git could not be started: {error}")),
    })
}

/// What git prints, which must succeed.
fn read_all(git: &mut Command) -> Result<Vec<u8>> {
    let mut child = start(git)?;
    let mut bytes = Vec::new();
    let stdout = child.stdout.take().map(|stdout| stdout.take(LIST_MAX).read_to_end(&mut bytes));
    stdout.transpose().on("read", Path::new("git"))?;
    finish(child)?;
    Ok(bytes)
}

/// Waits for git, and tells what it said where it failed.
fn finish(mut child: Child) -> Result<()> {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    match child.wait().on("wait", Path::new("git"))? {
        status if status.success() => Ok(()),
        status if said.trim().is_empty() => Err(Error::refused(format!("git: {status}"))),
        _ => Err(Error::refused(words(&said))),
    }
}

/// What git said, as a message of Reeve's.
fn words(said: &str) -> String {
    let said = said.trim().replace('\t', "  ");
    let todo = if said.contains("not a git repository") { "; run it in a folder of the repository" } else { "" };
    format!("git: {said}{todo}")
}

/// The top of the working tree, without symbolic links; of a repository without one, the repository itself.
fn top() -> Result<PathBuf> {
    let ask = |what: &str| read_all(git().args(["rev-parse", what]));
    let bytes = ask("--show-toplevel")
        .or_else(|error| ask("--is-inside-git-dir").and(ask("--absolute-git-dir")).map_err(|_| error))?;
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes.strip_suffix(b"\n").unwrap_or(&bytes)));
    std::fs::canonicalize(path).on("realpath", path)
}

/// The objects of the repository at the current folder.
fn open() -> Result<Objects> {
    Objects::open(start(git().args(["cat-file", "--batch"]).stdin(Stdio::piped()))?)
}

/// The commit that a person named.
fn commit(objects: &mut Objects, revision: &str) -> Result<String> {
    let line = objects.ask(&format!("{revision}^{{commit}}"))?.ok_or_else(|| refused(&objects.said()))?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        [object, "commit", _] => Ok((*object).to_owned()),
        [.., "ambiguous"] => Err(Error::refused(format!("{revision} names several commits; write more of it"))),
        _ => {
            let what = "is no commit of this repository; git log and git branch show which there are";
            Err(Error::refused(format!("{revision} {what}")))
        }
    }
}

/// A file's bytes, by its place in a commit or the index, which it may not have.
fn named(objects: &mut Objects, place: &str, shown: &str) -> Result<Option<Vec<u8>>> {
    let max = secrets::BYTES_MAX;
    match objects.read(place, "blob", max)? {
        Found::Not(line) if line.ends_with(" missing") => Ok(None),
        found => bytes(found, shown, max).map(Some),
    }
}

/// A file's bytes.
fn blob(objects: &mut Objects, object: &str, shown: &str, max: usize) -> Result<Vec<u8>> {
    bytes(objects.read(object, "blob", max)?, shown, max)
}

fn bytes(found: Found, shown: &str, max: usize) -> Result<Vec<u8>> {
    match found {
        Found::Bytes(bytes) => Ok(bytes),
        Found::TooLarge(_) => Err(Error::refused(format!("{shown}: is larger than {max} bytes"))),
        Found::Not(line) => {
            Err(Error::refused(format!("{shown} is not in this clone ({line}); get it first, as with git fetch")))
        }
        Found::Ended(said) => Err(refused(&said)),
    }
}

fn refused(said: &str) -> Error {
    Error::refused(words(if said.is_empty() { "it ended" } else { said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let parsed = |text: &str| GitSource::parse(text).map(|source| source.map(|source| source.to_string()));
        for (text, is) in [
            ("index", Some("index")),
            ("git:HEAD", Some("git:HEAD")),
            ("git:HEAD:", Some("git:HEAD")),
            ("git:v1.0:zones/", Some("git:v1.0:zones")),
            ("git:main@{2026-01-01 10:00:00}:zones", Some("git:main@{2026-01-01 10:00:00}:zones")),
            ("git:--output=x:a.yaml", Some("git:--output=x:a.yaml")),
            ("zones", None),
            ("host", None),
        ] {
            assert_eq!(parsed(text).expect(text).as_deref(), is, "{text}");
        }
        for wrong in ["git:", "git::zones", "git:HEAD:../x", "git:HEAD:/etc", "git:a\nb"] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
