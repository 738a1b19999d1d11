//! Fetching: asking whether something changed, and bringing it into the store. The other side is not trusted: protocols,
//! sizes, times and objects are bounded and checked, and what goes wrong is told by kind.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use reeve_schema::configuration::SourceConfiguration;
use reeve_state::source::FetchReason;

use super::address::Address;
use super::store::{HEAD, Store};
use crate::bounded::{self, Bounds, Ended};
use crate::error::{Error, OnFile, Result};
use crate::store::files::{self, Durability};

/// The most bytes of memory that a program of git's may have while it fetches. What the other side says of its references
/// is all in memory at once; objects are streamed.
const MEMORY_MAX: u64 = 384 << 20;

/// Why nothing was fetched.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub reason: FetchReason,
    /// In words.
    pub error: String,
}

/// Local trouble: a file that cannot be written, a program that is missing.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { reason: FetchReason::Local, error: error.to_string() }
    }
}

/// The other side, and how it is reached.
#[derive(Debug)]
pub struct Remote {
    address: Address,
    source: SourceConfiguration,
}

impl Remote {
    /// What the configuration says.
    ///
    /// # Errors
    /// [`Error::Refused`] for an address that is not followed.
    pub fn new(source: &SourceConfiguration) -> Result<Self> {
        Ok(Self { address: Address::parse(&source.url)?, source: source.clone() })
    }

    /// The address as git takes it.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// What is followed, as the status says it.
    pub fn reference(&self) -> String {
        let SourceConfiguration { branch, tag, commit, .. } = &self.source;
        match (branch, tag, commit) {
            (Some(branch), ..) => format!("branch {branch}"),
            (_, Some(tag), _) => format!("tag {tag}"),
            (.., Some(commit)) => format!("commit {commit}"),
            _ => "HEAD".into(),
        }
    }

    /// What is followed, as git takes it.
    fn refspec(&self) -> String {
        let SourceConfiguration { branch, tag, commit, .. } = &self.source;
        match (branch, tag, commit) {
            (Some(branch), ..) => format!("refs/heads/{branch}"),
            (_, Some(tag), _) => format!("refs/tags/{tag}"),
            (.., Some(commit)) => commit.clone(),
            _ => "HEAD".into(),
        }
    }

    /// Whether the other side has another object than `known` by now. Where it is one commit that is followed, it has not.
    ///
    /// # Errors
    /// As [`Remote::fetch`].
    pub fn has_moved(&self, store: &Store, known: Option<&str>) -> std::result::Result<bool, Failure> {
        let Some(known) = known else { return Ok(true) };
        if let Some(commit) = &self.source.commit {
            return Ok(commit != known);
        }
        let name = self.refspec();
        let mut git = self.git(store, "ls-remote")?;
        git.args(["--exit-code", "--"]).arg(self.url()).arg(&name);
        let ended = bounded::run(&mut git, b"", &self.bounds())?;
        if !ended.good() {
            return Err(self.failure(&ended));
        }
        let text = ended.text();
        let found = text.lines().filter_map(|line| line.split_once('\t')).find(|(_, found)| *found == name);
        Ok(found.is_none_or(|(object, _)| object != known))
    }

    /// Brings what is followed into the store, under [`HEAD`].
    ///
    /// # Errors
    /// Why not. What was in the store before still is.
    pub fn fetch(&self, store: &Store) -> std::result::Result<(), Failure> {
        let mut git = self.git(store, "fetch")?;
        git.args([
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
        ]);
        git.args(["--force", "--refmap=", "--no-recurse-submodules", "--"]);
        git.arg(self.url()).arg(format!("+{}:{HEAD}", self.refspec()));
        let ended = bounded::run(&mut git, b"", &self.bounds())?;
        // git leaves the ref as it was, and calls that a success.
        let cut_short = ended.said.contains("shallow roots are not allowed");
        if ended.good() && !cut_short { Ok(()) } else { Err(self.failure(&ended)) }
    }

    fn bounds(&self) -> Bounds {
        let time = std::time::Duration::from_millis(u64::from(self.source.timeout.millis()));
        Bounds { time, file: self.source.max_size.bytes(), output: 1 << 20, memory: MEMORY_MAX }
    }

    /// git's `verb` with all that it needs to reach the other side, and nothing else.
    fn git(&self, store: &Store, verb: &str) -> Result<Command> {
        store.configure(&self.settings(store)?)?;
        let mut git = store.git();
        git.env("GIT_ALLOW_PROTOCOL", self.address.protocol());
        if let Address::Ssh(_) = self.address {
            // ssh's own choice of key and known hosts is root's.
            git.env("HOME", "/root").env("GIT_SSH_COMMAND", self.ssh());
        }
        git.arg(verb);
        if let Address::Local(path) = &self.address {
            git.args(upload_pack(path)?);
        }
        Ok(git)
    }

    /// Settings that are only of this repository: certificates, and the token, which is in no argument that others could see.
    fn settings(&self, store: &Store) -> Result<String> {
        let (Address::Https(url), https) = (&self.address, &self.source.https) else { return Ok(String::new()) };
        let mut text = String::new();
        if let Some(file) = &https.ca_file {
            text.push_str(&format!("[http]\n\tsslCAInfo = {}\n", quoted(file)));
        }
        if let Some(file) = &https.token_file {
            let token = std::fs::read_to_string(file).on("read", Path::new(file))?;
            let user = https.username.as_deref().unwrap_or("git");
            let host = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
            let path = store.run_folder().join("credentials");
            let line = format!("https://{}:{}@{host}\n", percent(user), percent(token.trim_end_matches(['\n', '\r'])));
            files::replace(&path, line.as_bytes(), Durability::Volatile)?;
            let helper = format!("store --file '{}'", path.display());
            text.push_str(&format!("[credential]\n\thelper = {}\n", quoted(&helper)));
        }
        Ok(text)
    }

    /// How ssh is started: without questions, with a key that must be known.
    fn ssh(&self) -> String {
        let mut words = vec!["ssh".to_owned(), "-oBatchMode=yes".into(), "-oStrictHostKeyChecking=yes".into()];
        words.extend(["-oConnectTimeout=10", "-oServerAliveInterval=10", "-oServerAliveCountMax=3"].map(str::to_owned));
        words.extend(["-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oForwardAgent=no"].map(str::to_owned));
        if let Some(file) = &self.source.ssh.identity_file {
            words.extend(["-oIdentitiesOnly=yes".to_owned(), "-i".into(), shell(file)]);
        }
        if let Some(file) = &self.source.ssh.known_hosts_file {
            words.push(format!("-oUserKnownHostsFile={}", shell(file)));
            words.push("-oGlobalKnownHostsFile=/dev/null".into());
        }
        words.join(" ")
    }

    fn failure(&self, ended: &Ended) -> Failure {
        let reason = reason(ended);
        let said = ended.said.lines().filter(|line| !line.trim().is_empty()).take(4).collect::<Vec<_>>().join("; ");
        let error = match reason {
            FetchReason::TimedOut => format!("no answer within {} (source.timeout)", self.source.timeout),
            FetchReason::TooLarge => {
                let most = self.source.max_size.bytes();
                format!(
                    "it sent more than {most} bytes at once (source.maxSize), or more references than fit into memory"
                )
            }
            FetchReason::ReferenceMissing => format!("it has no {}", self.reference()),
            _ if said.is_empty() => format!("git: {}", ended.status),
            _ => plain(&said),
        };
        Failure { reason, error }
    }
}

/// What kind of trouble it was, by what git says (with LC_ALL=C).
fn reason(ended: &Ended) -> FetchReason {
    let said = ended.said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if ended.late {
        FetchReason::TimedOut
    } else if says(&["file too large", "signal 25", "out of memory", "maximum allowed size", "exceeds maximum"]) {
        FetchReason::TooLarge
    } else if says(&["no space left", "disk quota", "read-only file system"]) {
        FetchReason::Local
    } else if ended.status.code() == Some(2)
        || says(&["couldn't find remote ref", "not our ref", "unadvertised object"])
    {
        FetchReason::ReferenceMissing
    } else if says(&[
        "does not appear to be a git repository",
        "not a git repository",
        "dubious ownership",
        "not found",
    ]) {
        FetchReason::NotARepository
    } else if says(&[
        "fsck",
        "invalid index-pack",
        "index-pack",
        "bad object",
        "bad pack",
        "corrupt",
        "did not send all",
        "missing",
        "unpack",
        "shallow",
        "mismatch",
        "inflate",
        "sha1",
        "in pack",
    ]) {
        FetchReason::ObjectsRefused
    } else {
        FetchReason::Unreachable
    }
}

/// A repository of somebody else on this host is read as that somebody: what its settings make git do, its owner does.
fn upload_pack(path: &Path) -> Result<Vec<String>> {
    let inner = path.join(".git");
    let inside = if inner.exists() { &inner } else { path };
    // git says of what is not there, or is no repository, that it is none.
    let Ok(owner) = std::fs::symlink_metadata(inside) else { return Ok(Vec::new()) };
    if owner.uid() == rustix::process::geteuid().as_raw() {
        return Ok(Vec::new());
    }
    let (uid, gid) = (owner.uid(), owner.gid());
    let become_owner = format!("setpriv --reuid={uid} --regid={gid} --clear-groups --no-new-privs");
    Ok(vec![format!("--upload-pack={become_owner} env GIT_CONFIG_GLOBAL=/dev/null git-upload-pack")])
}

/// A value as git's configuration takes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word as a shell takes it.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Text as a part of an address (RFC 3986).
fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// What the other side made git say, as one line that moves no cursor.
fn plain(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
