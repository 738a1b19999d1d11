//! The bare store in the state folder into which the followed repository is fetched. Nothing is ever checked out of it. It is
//! made and cleaned so that a kill at any moment leaves what the next start can go on with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bounded::{self, Bounds, Ended};
use crate::error::{Error, OnFile, Result};
use crate::git::objects::Objects;
use crate::places::Places;
use crate::store::files::{self, Durability};

/// The ref that keeps the commit in force.
pub const ACCEPTED: &str = "refs/reeve/accepted";
/// The ref that keeps the commit that was fetched last.
pub const HEAD: &str = "refs/reeve/head";
/// The most commits between the accepted one and a new one.
pub const COMMITS_MAX: usize = 50_000;
/// So many packs are made one.
const PACKS_MAX: usize = 40;

/// What git is told in each call. Objects above a MiB are streamed, never held in memory; packs are mapped in small
/// pieces; nothing that the other side sends is believed unchecked.
const SETTINGS: &str = "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tbigFileThreshold = 1m\n\
    \tpackedGitWindowSize = 16m\n\tpackedGitLimit = 128m\n\tlogAllRefUpdates = false\n\tfsync = committed,reference\n\
    [fetch]\n\tfsckObjects = true\n\tunpackLimit = 1\n\twriteCommitGraph = false\n\trecurseSubmodules = false\n\
    [transfer]\n\tfsckObjects = true\n\tbundleURI = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
    [pack]\n\tthreads = 1\n\twindowMemory = 64m\n[index]\n\tthreads = 1\n[ssh]\n\tvariant = ssh\n\
    [http]\n\tsslVerify = true\n\tlowSpeedLimit = 100\n\tlowSpeedTime = 30\n[merge]\n\trenames = false\n[diff]\n\trenames = false\n";

/// The store.
#[derive(Debug)]
pub struct Store {
    git_dir: PathBuf,
    settings: PathBuf,
}

impl Store {
    /// Opens the store, makes it where there is none, and clears away what a kill left. Only the holder of the state lock may.
    ///
    /// # Errors
    /// A file or folder that is in the way, or a git that is not there.
    pub fn open(places: &Places) -> Result<Self> {
        let (state, run) = (places.state().join("source"), places.run().join("source"));
        files::private_folder(&state)?;
        files::private_folder(&run)?;
        files::sweep(&state)?;
        let store = Self { git_dir: state.join("store.git"), settings: run.join("gitconfig") };
        store.configure("")?;
        if !store.git_dir.join("HEAD").is_file() {
            store.make(&state)?;
        }
        store.clean()?;
        Ok(store)
    }

    /// Makes an empty one beside its place, and puts it there in one step.
    #[expect(clippy::disallowed_methods, reason = "the folder is Reeve's own, and no zone writes in it")]
    fn make(&self, state: &Path) -> Result<()> {
        let new = state.join("store.new");
        for left in [&new, &self.git_dir] {
            match fs::remove_dir_all(left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).on("remove", left),
                _ => {}
            }
        }
        let mut git = self.bare();
        git.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=none"]).arg(&new);
        good(bounded::run(&mut git, b"", &Bounds::default())?)?;
        fs::rename(&new, &self.git_dir).on("rename", &self.git_dir)?;
        files::sync_folder(state)
    }

    /// Puts a store whose objects are not whole out of the way, and makes another.
    ///
    /// # Errors
    /// When it cannot be renamed, or a new one not made.
    pub fn renew(&self) -> Result<PathBuf> {
        let aside = files::set_aside(&self.git_dir)?;
        let state = self.git_dir.parent().unwrap_or(Path::new("/"));
        self.make(state)?;
        Ok(aside)
    }

    /// Removes what git leaves when it is killed: locks, which nobody holds any more, and packs that are not finished.
    fn clean(&self) -> Result<()> {
        let mut open = vec![self.git_dir.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).on("readdir", &folder)? {
                let entry = entry.on("readdir", &folder)?;
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                if entry.file_type().on("stat", &path)?.is_dir() {
                    open.push(path);
                } else if is_left_over(&path, &name) {
                    files::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Writes git's settings, with `more` after those that are always there.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn configure(&self, more: &str) -> Result<()> {
        files::replace(&self.settings, format!("{SETTINGS}{more}").as_bytes(), Durability::Volatile)
    }

    /// The folder for what git needs beside its settings.
    pub fn run_folder(&self) -> &Path {
        self.settings.parent().unwrap_or(Path::new("/"))
    }

    fn bare(&self) -> Command {
        let mut git = bounded::command("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", &self.settings);
        git.envs([
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ADVICE", "0"),
            // No protocol at all, where no command says one.
            ("GIT_ALLOW_PROTOCOL", ""),
        ]);
        git
    }

    /// git on the store.
    pub fn git(&self) -> Command {
        let mut git = self.bare();
        git.env("GIT_DIR", &self.git_dir).arg("--literal-pathspecs");
        git
    }

    /// Runs git on the store and takes its answer.
    ///
    /// # Errors
    /// [`Error::Refused`] with git's words where it fails.
    pub fn ask(&self, arguments: &[&str], output: usize) -> Result<Vec<u8>> {
        let bounds = Bounds { output, time: std::time::Duration::from_secs(60), ..Bounds::default() };
        Ok(good(bounded::run(self.git().args(arguments), b"", &bounds)?)?.output)
    }

    /// The objects of the store.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn objects(&self) -> Result<Objects> {
        let mut git = self.git();
        reeve_kernel::sys::bind_child(&mut git, 0, 1 << 30);
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Objects::open(git.spawn().on("start", Path::new("git"))?)
    }

    /// The commit that a ref or name means; none where there is none.
    pub fn commit(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        let output = self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name], 200).ok()?;
        Some(String::from_utf8_lossy(&output).trim().to_owned()).filter(|commit| !commit.is_empty())
    }

    /// The object that a ref names, which may be a tag; none where there is none.
    pub fn object(&self, name: &str) -> Option<String> {
        let output = self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", name], 200).ok()?;
        Some(String::from_utf8_lossy(&output).trim().to_owned()).filter(|object| !object.is_empty())
    }

    /// Whether all that a commit consists of is there, its history and its files.
    pub fn is_whole(&self, commit: &str) -> bool {
        self.ask(&["rev-list", "--objects", "--quiet", "--no-object-names", commit], 1 << 20).is_ok()
    }

    /// Whether a commit is `other`, or comes before it.
    ///
    /// # Errors
    /// When git cannot tell.
    pub fn is_ancestor(&self, commit: &str, other: &str) -> Result<bool> {
        let mut git = self.git();
        git.args(["merge-base", "--is-ancestor", commit, other]);
        let ended = bounded::run(&mut git, b"", &Bounds::default())?;
        match ended.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(failed(&ended)),
        }
    }

    /// The commits that can be reached from `to` and not from `from`, each after those that it was made from.
    ///
    /// # Errors
    /// When there are more than [`COMMITS_MAX`], or git cannot tell.
    pub fn range(&self, from: Option<&str>, to: &str, first_parent: bool) -> Result<Vec<String>> {
        let most = format!("--max-count={}", COMMITS_MAX + 1);
        let mut arguments = vec!["rev-list", "--topo-order", "--reverse", &most];
        if first_parent {
            arguments.push("--first-parent");
        }
        arguments.push(to);
        let not = from.map(|from| format!("^{from}"));
        arguments.extend(not.as_deref());
        let output = self.ask(&arguments, (COMMITS_MAX + 1) * 66)?;
        let commits: Vec<String> = String::from_utf8_lossy(&output).lines().map(str::to_owned).collect();
        if commits.len() > COMMITS_MAX {
            let what = "commits would have to be verified; name one that is trusted as it is (trust.from)";
            return Err(Error::refused(format!("more than {COMMITS_MAX} {what}")));
        }
        Ok(commits)
    }

    /// Lets a ref keep a commit.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, name: &str, commit: &str) -> Result<()> {
        self.ask(&["update-ref", "--no-deref", name, commit], 200).map(drop)
    }

    /// Makes one pack of many, without what no ref keeps. Long, and only now and then.
    pub fn tidy(&self) {
        let packs = fs::read_dir(self.git_dir.join("objects/pack")).into_iter().flatten().flatten();
        if packs.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "pack")).count() <= PACKS_MAX {
            return;
        }
        let bounds = Bounds { time: std::time::Duration::from_secs(300), file: u64::MAX, ..Bounds::default() };
        let mut git = self.git();
        git.args(["-c", "core.bigFileThreshold=1m", "repack", "-a", "-d", "--quiet", "--window=0"]);
        match bounded::run(&mut git, b"", &bounds).and_then(good) {
            Ok(_) => {}
            Err(error) => tracing::warn!("the store {} cannot be tidied: {error}", self.git_dir.display()),
        }
    }
}

/// Whether git leaves such a file only when it is killed.
fn is_left_over(path: &Path, name: &str) -> bool {
    let in_objects = path.components().any(|part| part.as_os_str() == "objects");
    let unfinished = name.starts_with("tmp_") || name.starts_with(".tmp-") || name.ends_with(".keep");
    let no_index = name.ends_with(".pack") && !path.with_extension("idx").is_file();
    name.ends_with(".lock") || (in_objects && (unfinished || no_index))
}

/// What git answered, which must have succeeded.
///
/// # Errors
/// [`Error::Refused`] with its words.
pub fn good(ended: Ended) -> Result<Ended> {
    if ended.good() { Ok(ended) } else { Err(failed(&ended)) }
}

fn failed(ended: &Ended) -> Error {
    let said = ended.said.replace('\t', "  ");
    Error::refused(match (ended.late, ended.much, said.is_empty()) {
        (true, ..) => "git took too long".into(),
        (_, true, _) => "git answered more than it may".into(),
        (.., true) => format!("git: {}", ended.status),
        _ => format!("git: {said}"),
    })
}
