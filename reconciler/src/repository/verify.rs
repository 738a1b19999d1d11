//! Whether a new commit may take the place of the accepted one: it comes after it, and every commit between the two that
//! must be is signed by somebody who may change what it changes.
//!
//! The time at which a key must be valid is the committer's, which whoever signs writes himself. So it counts as no earlier
//! than that of any commit that it was made from: who has a key that expired cannot put a commit of today back into its
//! time. And it may not be later than now.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use reeve_schema::configuration::{Trust, VerifyMode};
use reeve_state::source::{RejectedReason, short};

use super::changes::{self, Against};
use super::commit::{COMMIT_MAX, Commit};
use super::owners::not_allowed;
use super::signature::Signers;
use super::store::Store;
use super::{Refusal, Stop};
use crate::error::Error;
use crate::git::objects::{Found, Objects};

/// The name of a tree without entries, which git knows without having it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
/// How far another host's clock may be ahead, in seconds.
const AHEAD: i64 = 300;

/// What comes before a commit that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The commit in force.
    pub accepted: Option<&'a str>,
    /// The commit to which somebody on this host said yes, whatever comes before it.
    pub allowed: Option<&'a str>,
    /// What is followed was chosen anew on this host (another branch, a commit by its name), so that it need not come after
    /// what was accepted.
    pub chosen: bool,
}

/// The judge. Remembers what it found good, as long as the files that it judges by stay as they are.
#[derive(Debug)]
pub struct Judge {
    trust: Trust,
    signers: Option<Signers>,
    good: BTreeMap<String, Vec<String>>,
    marks: Vec<(PathBuf, Option<(SystemTime, u64)>)>,
}

impl Judge {
    /// A judge by this configuration.
    pub fn new(trust: &Trust, scratch: &std::path::Path) -> Self {
        let signers = Signers::new(trust, scratch);
        Self { trust: trust.clone(), signers, good: BTreeMap::new(), marks: Vec::new() }
    }

    /// Whether signatures are asked for.
    pub fn verifies(&self) -> bool {
        self.signers.is_some()
    }

    /// Judges a commit. Returns who signed it; none where nobody's signature is asked for.
    ///
    /// # Errors
    /// [`Stop::Refusal`] with what is wrong with it, or with a commit before it; [`Stop::Trouble`] where that cannot be told.
    pub fn judge(&mut self, store: &Store, head: &str, before: Before<'_>) -> Result<Option<String>, Stop> {
        let from = self.place(store, head, before)?;
        let mut commits = Commits { objects: store.objects()?, read: BTreeMap::new(), times: BTreeMap::new() };
        let newest = commits.read(head)?;
        in_time(&newest)?;
        if self.signers.is_none() {
            return Ok(None);
        }
        self.forget_if_changed();
        let mut all = match (self.trust.verify, from.as_deref()) {
            (VerifyMode::Head, _) | (_, None) => vec![head.to_owned()],
            (mode, Some(from)) => store.range(Some(from), head, mode == VerifyMode::FirstParent)?,
        };
        // An older one that somebody said yes to is between nothing.
        if all.last().is_none_or(|last| last != head) {
            all.push(head.to_owned());
        }
        let mut newest_signers = Vec::new();
        for id in &all {
            let (commit, at) = (commits.read(id)?, commits.time(id)?);
            in_time(&commit)?;
            newest_signers = self.signers_of(&commit, at).map_err(|stop| stop.about(id, head))?;
            self.owns(store, &commit, from.as_deref(), head, &newest_signers).map_err(|stop| stop.about(id, head))?;
        }
        Ok(Some(newest_signers.join(", ")))
    }

    /// Whether a commit comes after what it must come after. Returns the commit from which on is judged.
    fn place(&self, store: &Store, head: &str, before: Before<'_>) -> Result<Option<String>, Stop> {
        if let Some(accepted) = before.accepted.filter(|accepted| store.commit(accepted).is_some()) {
            let follows = store.is_ancestor(accepted, head)?;
            if follows || before.chosen || before.allowed == Some(head) {
                return Ok(Some(accepted.to_owned()));
            }
            let (reason, what) = if store.is_ancestor(head, accepted)? {
                (RejectedReason::OlderCommit, "is older than it: somebody put the branch back")
            } else {
                (RejectedReason::HistoryRewritten, "does not come after it: somebody rewrote the history of the branch")
            };
            let id = short(accepted);
            let todo = format!("revert instead (git revert), or allow it: reeve approve source {head}");
            return Err(Refusal::new(reason, format!("commit {id} was accepted, and this one {what}; {todo}")).into());
        }
        if let Some(accepted) = before.accepted {
            // The store was lost, and the repository has the accepted commit no more.
            if !before.chosen && before.allowed != Some(head) {
                let what = "was accepted, and is not in the repository any more; to go on all the same:";
                let message = format!("commit {} {what} reeve approve source {head}", short(accepted));
                return Err(Refusal::new(RejectedReason::HistoryRewritten, message).into());
            }
        }
        let Some(from) = &self.trust.from else { return Ok(None) };
        if store.commit(from).is_some() && store.is_ancestor(from, head)? {
            return Ok(Some(from.clone()));
        }
        let message = format!("it does not come after commit {}, with which trust begins (trust.from)", short(from));
        Err(Refusal::new(RejectedReason::NotFromTrusted, message).into())
    }

    fn signers_of(&mut self, commit: &Commit, at: i64) -> Result<Vec<String>, Stop> {
        if let Some(names) = self.good.get(&commit.id) {
            return Ok(names.clone());
        }
        let Some(signers) = &self.signers else { return Ok(Vec::new()) };
        let names = signers.verify(commit, at)?;
        self.good.insert(commit.id.clone(), names.clone());
        Ok(names)
    }

    /// Whether the signers of a commit may change what it changes.
    fn owns(
        &self,
        store: &Store,
        commit: &Commit,
        from: Option<&str>,
        head: &str,
        signers: &[String],
    ) -> Result<(), Stop> {
        let owners = &self.trust.owners;
        if owners.is_empty() {
            return Ok(());
        }
        // The first of all is compared with nothing: who signed it answers for all that is in it, whoever wrote it.
        let Some(from) = from else {
            for change in changes::changes(store, commit, Against::Commit(EMPTY_TREE))? {
                if let Some(what) = not_allowed(owners, signers, &change) {
                    let todo = "the first commit that a host sees must be signed by somebody who may change all that is in it, \
                        or trust.from must name one that is trusted as it is";
                    let message = format!("{} may not change {what} (trust.owners); {todo}", signers.join(", "));
                    return Err(Refusal::new(RejectedReason::NotOwner, message).into());
                }
            }
            return Ok(());
        };
        let against = match self.trust.verify {
            VerifyMode::All => Against::Parents,
            VerifyMode::FirstParent => Against::Commit(commit.parents.first().map_or(from, String::as_str)),
            VerifyMode::Head => Against::Commit(from),
        };
        if commit.id == from {
            return Ok(());
        }
        for change in changes::changes(store, commit, against)? {
            if let Some(what) = not_allowed(owners, signers, &change) {
                let who = signers.join(", ");
                let here = if commit.id == head { "" } else { " there" };
                let message = format!("{who} may not change {what}{here} (trust.owners)");
                return Err(Refusal::new(RejectedReason::NotOwner, message).into());
            }
        }
        Ok(())
    }

    fn forget_if_changed(&mut self) {
        let mark = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        let files = self.signers.iter().flat_map(Signers::files);
        let marks: Vec<_> = files.map(|path| (path.clone(), mark(path))).collect();
        if marks != self.marks {
            self.good.clear();
            self.marks = marks;
        }
    }
}

fn in_time(commit: &Commit) -> Result<(), Stop> {
    let now = i64::try_from(crate::store::now().0 / 1000).unwrap_or(i64::MAX);
    if commit.time <= now + AHEAD {
        return Ok(());
    }
    let message = "it says that it was committed in the future; are the clocks right?";
    Err(Refusal::new(RejectedReason::FromFuture, message).into())
}

/// Commits out of the store, each read once.
struct Commits {
    objects: Objects,
    read: BTreeMap<String, Commit>,
    times: BTreeMap<String, i64>,
}

impl Commits {
    fn read(&mut self, id: &str) -> Result<Commit, Stop> {
        if let Some(commit) = self.read.get(id) {
            return Ok(commit.clone());
        }
        let commit = read_commit(&mut self.objects, id)?;
        self.read.insert(id.to_owned(), commit.clone());
        Ok(commit)
    }

    /// The time of a commit for its signature: its own, or that of the newest that it was made from. Those that were judged
    /// before it are known; of older ones their own time is taken.
    fn time(&mut self, id: &str) -> Result<i64, Stop> {
        let commit = self.read(id)?;
        let mut time = commit.time;
        for parent in &commit.parents {
            let known = self.times.get(parent).copied();
            time = time.max(match known {
                Some(time) => time,
                None => self.read(parent)?.time,
            });
        }
        self.times.insert(id.to_owned(), time);
        Ok(time)
    }
}

/// A commit out of the store.
///
/// # Errors
/// Where it is not there whole, or is one that no git makes.
pub fn read_commit(objects: &mut Objects, id: &str) -> Result<Commit, Stop> {
    let missing =
        |said: String| Stop::from(Refusal::new(RejectedReason::ObjectMissing, format!("commit {id}: {said}")));
    match objects.read(id, "commit", COMMIT_MAX)? {
        Found::Bytes(bytes) => Commit::parse(id, &bytes)
            .map_err(|error: Error| Refusal::new(RejectedReason::UnusualCommit, error.to_string()).into()),
        Found::TooLarge(size) => Err(Refusal::new(
            RejectedReason::UnusualCommit,
            format!("commit {id} has {size} bytes of headers and message, {COMMIT_MAX} is the most"),
        )
        .into()),
        Found::Not(said) | Found::Ended(said) => Err(missing(said)),
    }
}
