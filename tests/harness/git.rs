//! Git repositories made object by object, also as git itself would never write them, and keys that sign their commits.
//! Needs git, ssh-keygen (openssh-client) and, for OpenPGP, gpg (gnupg).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Modes of tree entries.
pub const FILE: &str = "100644";
pub const LINK: &str = "120000";
pub const FOLDER: &str = "40000";
pub const GITLINK: &str = "160000";

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Runs a program with this input, which must succeed; its standard output without the newline at its end.
pub fn fed(command: &mut Command, input: &[u8]) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that does not read everything has its reasons; its exit status says whether it succeeded.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("wait");
    writer.join().expect("the writer");
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, super::shown(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A bare repository.
#[derive(Clone, Debug)]
pub struct Repo(PathBuf);

/// An entry of a tree: mode, name, object.
pub type Entry<'e> = (&'e str, &'e [u8], &'e str);

impl Repo {
    /// An empty one whose HEAD names `main`.
    pub fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let repo = Self(path.to_owned());
        repo.git(&["init", "-q", "--bare", "-b", "main"]);
        repo
    }

    /// One that is there.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A copy of all its files.
    pub fn copy(&self, to: &Path) -> Self {
        fed(Command::new("cp").arg("-a").args([&self.0, to]), b"");
        Self(to.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        // Nothing that a hostile repository is given to run is run here.
        git.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
        git.args(arguments).current_dir(&self.0).env("GIT_DIR", &self.0);
        git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C")]);
        git
    }

    /// git in the repository, which must succeed.
    pub fn git(&self, arguments: &[&str]) -> String {
        fed(&mut self.command(arguments), b"")
    }

    /// git with this input, which must succeed.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> String {
        fed(&mut self.command(arguments), input)
    }

    /// Whether git succeeds.
    pub fn succeeds(&self, arguments: &[&str]) -> bool {
        let mut git = self.command(arguments);
        git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        git.status().expect("git").success()
    }

    /// Stores an object as it is, also a wrong one.
    pub fn object(&self, kind: &str, bytes: &[u8]) -> String {
        self.fed(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], bytes)
    }

    /// A file's content.
    pub fn blob(&self, bytes: impl AsRef<[u8]>) -> String {
        self.object("blob", bytes.as_ref())
    }

    /// A tree of exactly these entries, in this order.
    pub fn tree(&self, entries: &[Entry]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, object) in entries {
            bytes.extend(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend(*name);
            bytes.push(0);
            bytes.extend(binary(object));
        }
        self.object("tree", &bytes)
    }

    /// The tree of these files.
    pub fn write(&self, files: &Files) -> String {
        self.folder(&files.0.iter().map(|(path, node)| (path.as_str(), node)).collect::<Vec<_>>())
    }

    fn folder(&self, files: &[(&str, &Node)]) -> String {
        // git sorts a folder as if its name ended in a slash.
        let mut entries: BTreeMap<String, (&str, String, String)> = BTreeMap::new();
        let mut folders: BTreeMap<&str, Vec<(&str, &Node)>> = BTreeMap::new();
        for (path, node) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, node)),
                None => {
                    let (mode, object) = match node {
                        Node::Bytes(mode, bytes) => (*mode, self.blob(bytes)),
                        Node::Object(mode, object) => (*mode, object.clone()),
                    };
                    let slash = if mode == FOLDER { "/" } else { "" };
                    entries.insert(format!("{path}{slash}"), (mode, (*path).to_owned(), object));
                }
            }
        }
        for (name, below) in folders {
            entries.insert(format!("{name}/"), (FOLDER, name.to_owned(), self.folder(&below)));
        }
        let entries: Vec<Entry> = entries.values().map(|(mode, name, id)| (*mode, name.as_bytes(), &**id)).collect();
        self.tree(&entries)
    }

    /// Lets a reference name an object.
    pub fn set(&self, reference: &str, object: &str) {
        self.git(&["update-ref", reference, object]);
    }

    /// The commit that `main` names.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "refs/heads/main"])
    }
}

/// The bytes of an object's name.
fn binary(object: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&object[at..at + 2], 16).expect("hexadecimal");
    (0..object.len()).step_by(2).map(digits).collect()
}

#[derive(Clone, Debug)]
enum Node {
    Bytes(&'static str, Vec<u8>),
    Object(&'static str, String),
}

/// Files of a commit, by their paths from the top of the repository on.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, Node>);

impl Files {
    /// With a file of this content.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.insert(path.to_owned(), Node::Bytes(FILE, content.as_ref().to_vec()));
        self
    }

    /// With a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(path.to_owned(), Node::Bytes(LINK, target.into()));
        self
    }

    /// With an object that is there, or is not.
    #[must_use]
    pub fn object(mut self, path: &str, mode: &'static str, object: &str) -> Self {
        self.0.insert(path.to_owned(), Node::Object(mode, object.to_owned()));
        self
    }

    /// Without a file, or all files below a folder.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let folder = format!("{path}/");
        self.0.retain(|file, _| file != path && !file.starts_with(&folder));
        self
    }
}

/// The text of a commit that nobody signed.
pub fn commit(tree: &str, parents: &[&str], who: &str, date: i64, message: &str) -> String {
    let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let who = format!("{who} <{who}@fleet.example> {date} +0000");
    format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n")
}

/// The text of a commit with a further header behind the others.
pub fn with_header(commit: &str, name: &str, value: &str) -> String {
    let (headers, message) = commit.split_once("\n\n").expect("a commit has a message");
    format!("{headers}\n{name} {}\n\n{message}", value.trim_end().replace('\n', "\n "))
}

/// Somebody who signs.
#[derive(Clone, Debug)]
pub enum Signer {
    /// With an SSH key, in a namespace.
    Ssh { key: PathBuf, namespace: &'static str },
    /// With an OpenPGP key of a home, at a time of gpg's own (`20260101T000000`).
    Gpg { home: PathBuf, user: String, at: Option<&'static str> },
}

impl Signer {
    /// Makes an SSH key of a type of ssh-keygen's.
    pub fn ssh(folder: &Path, name: &str, kind: &str) -> Self {
        let key = folder.join(name);
        let mut keygen = Command::new("ssh-keygen");
        fed(keygen.args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(&key), b"");
        Self::Ssh { key, namespace: "git" }
    }

    /// The same key for another use.
    pub fn namespace(&self, namespace: &'static str) -> Self {
        let Self::Ssh { key, .. } = self else { panic!("no SSH key") };
        Self::Ssh { key: key.clone(), namespace }
    }

    /// The public SSH key, a line.
    pub fn public(&self) -> String {
        let Self::Ssh { key, .. } = self else { panic!("no SSH key") };
        let text = std::fs::read_to_string(key.with_extension("pub")).expect("the public key");
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// The same key with a certificate of an authority's, for a name and a time (ssh-keygen(1), `-V`).
    pub fn certified(&self, authority: &Self, principal: &str, validity: &str) -> Self {
        let (Self::Ssh { key, .. }, Self::Ssh { key: authority, .. }) = (self, authority) else { panic!("no SSH key") };
        let mut keygen = Command::new("ssh-keygen");
        keygen.arg("-q").arg("-s").arg(authority).args(["-I", principal, "-n", principal, "-V", validity]);
        fed(keygen.arg(key.with_extension("pub")), b"");
        let name = format!("{}-cert.pub", key.file_name().unwrap_or_default().to_string_lossy());
        Self::Ssh { key: key.with_file_name(name), namespace: "git" }
    }

    /// A line of an allowed signers file.
    pub fn allowed(&self, principal: &str, options: &str) -> String {
        format!("{principal} {options} {}\n", self.public())
    }

    /// Makes an OpenPGP key in a home of its own, which gpg's agent serves until [`Signer::end_agent`].
    pub fn gpg(home: &Path, user: &str, at: Option<&'static str>, expires: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(home).expect("a folder");
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        let signer = Self::Gpg { home: home.to_owned(), user: user.to_owned(), at };
        fed(signer.gpg_command().args(["--quick-gen-key", user, "ed25519", "sign", expires]), b"");
        signer
    }

    /// gpg in the signer's home.
    pub fn gpg_command(&self) -> Command {
        let Self::Gpg { home, at, .. } = self else { panic!("no OpenPGP key") };
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--yes", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""]);
        gpg.arg("--homedir").arg(home).args(at.map(|at| format!("--faked-system-time={at}")));
        gpg
    }

    /// Ends the agent that gpg started for the home.
    pub fn end_agent(&self) {
        if let Self::Gpg { home, .. } = self {
            let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status();
        }
    }

    /// A signature over these bytes, in armour.
    pub fn sign(&self, bytes: &[u8]) -> String {
        match self {
            Self::Ssh { key, namespace } => {
                let mut keygen = Command::new("ssh-keygen");
                fed(keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key), bytes)
            }
            Self::Gpg { user, .. } => {
                fed(self.gpg_command().args(["--detach-sign", "--armor", "--local-user", user]), bytes)
            }
        }
    }

    /// The commit with this signer's signature.
    pub fn signed(&self, commit: &str) -> String {
        with_header(commit, "gpgsig", &self.sign(commit.as_bytes()))
    }
}
