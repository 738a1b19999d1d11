//! A git repository as the source of manifests: fetched into a bare store of Reeve's own ([`store`], [`fetch`]), each new
//! commit judged ([`verify`]: what it comes after, who signed it, who may change what), its manifests read from objects
//! ([`tree`]), and only then put in force ([`record`]). What fails anywhere changes nothing: the last good commit stays.
//!
//! Everything here blocks, and is used by one task at a time, that of [`crate::run`].

pub mod address;
pub mod changes;
pub mod commit;
pub mod fetch;
pub mod owners;
pub mod record;
pub mod signature;
pub mod store;
pub mod tree;
pub mod verify;

use std::collections::BTreeSet;

use reeve_schema::configuration::{Configuration, SourceConfiguration};
use reeve_schema::{HostSelf, Limits, ManifestSet, Problem, Problems};
use reeve_state::Timestamp;
use reeve_state::removal;
use reeve_state::source::{Accepted, CommitInfo, FetchReason, Rejected, RejectedReason, SourceStatus, short};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::secrets;
use crate::source::LoadError;
use commit::Commit;
use fetch::{Failure, Remote};
use record::{Record, Records};
use store::{ACCEPTED, HEAD, Store};
use verify::{Before, Judge, read_commit};

/// Why a commit is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As one word.
    pub reason: RejectedReason,
    /// In words, with what to do.
    pub message: String,
    /// What is wrong in its manifests.
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// A refusal that is not about manifests.
    pub fn new(reason: RejectedReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), problems: Vec::new() }
    }
}

/// Why a commit is not in force.
#[derive(Debug)]
pub enum Stop {
    /// It may not be.
    Refusal(Refusal),
    /// That cannot be told now.
    Trouble(Error),
}

impl Stop {
    /// The same, of a commit that is not the newest.
    fn about(self, commit: &str, head: &str) -> Self {
        match self {
            Self::Refusal(refusal) if commit != head => {
                let message = format!("commit {}, which comes before it: {}", short(commit), refusal.message);
                Self::Refusal(Refusal { message, ..refusal })
            }
            stop => stop,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Trouble(error)
    }
}

/// What a look at the repository came to.
#[derive(Debug)]
pub enum Look {
    /// What was in force before still is; why is in the status.
    Same,
    /// Another commit is in force now.
    New(Box<InForce>),
}

/// A commit with the manifests that this host gets of it.
#[derive(Debug)]
pub struct InForce {
    /// The commit.
    pub accepted: Accepted,
    /// The manifests, their origins by the repository's address.
    pub set: ManifestSet,
}

/// The repository that is followed.
#[derive(Debug)]
pub struct Repository {
    remote: Remote,
    source: SourceConfiguration,
    me: HostSelf,
    zonepaths: String,
    store: Store,
    judge: Judge,
    records: Records,
    status: SourceStatus,
    record: Option<Record>,
    /// The object that [`HEAD`] was, so that it need not be asked for again.
    known: Option<String>,
    /// The zones that this host had of the commit in force, where that was read.
    had: Option<BTreeSet<String>>,
}

impl Repository {
    /// Opens the store of a host whose state lock is held, for the source of its configuration.
    ///
    /// # Errors
    /// A source that is refused by rule, files that cannot be written, a git that is not there.
    pub fn open(host: &Host, configuration: &Configuration, me: &HostSelf) -> Result<Self> {
        let source = configuration.source.clone().ok_or_else(|| {
            Error::refused(
                "the configuration names no source (spec.source), and neither does the command line (--source)",
            )
        })?;
        let places = host.places();
        let (remote, store, records) = (Remote::new(&source)?, Store::open(places)?, Records::new(places));
        let judge = Judge::new(&configuration.trust, store.run_folder());
        let record = records.accepted()?;
        let kept = records.status()?.unwrap_or_default();
        let mut status = SourceStatus {
            format_version: "1".into(),
            url: remote.url(),
            reference: remote.reference(),
            path: source.path.clone(),
            verified: judge.verifies(),
            accepted: record.as_ref().map(|record| record.accepted.clone()),
            ..SourceStatus::default()
        };
        // What was said of another repository is not so of this one.
        if (&kept.url, &kept.reference, &kept.path) == (&status.url, &status.reference, &status.path) {
            status = SourceStatus {
                head: kept.head,
                fetch: kept.fetch,
                rejected: kept.rejected,
                conditions: kept.conditions,
                ..status
            };
        }
        let zonepaths = places.zonepaths();
        let me = me.clone();
        let mut repository =
            Self { remote, source, me, zonepaths, store, judge, records, status, record, known: None, had: None };
        repository.recover()?;
        repository.tell();
        Ok(repository)
    }

    /// Brings the ref and the record of what is in force together, where a kill came between the two, or one is lost.
    fn recover(&mut self) -> Result<()> {
        match (&self.record, self.store.commit(ACCEPTED)) {
            (Some(record), kept) if kept.as_ref() != Some(&record.accepted.info.commit) => {
                let commit = record.accepted.info.commit.clone();
                if self.store.commit(&commit).is_some() {
                    self.store.keep(ACCEPTED, &commit)?;
                }
            }
            // The file was lost and the store was not: no older commit may come in by that.
            (None, Some(commit)) => {
                let info = self.info(&commit).unwrap_or_else(|_| CommitInfo { commit, ..CommitInfo::default() });
                let accepted = Accepted { info, accepted_at: crate::store::now(), signer: None };
                self.put_in_force(&accepted)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The name of the source, of which the names of the files in it go on.
    pub fn name(&self) -> String {
        match &self.source.path {
            Some(path) => format!("{}/{path}", self.remote.url()),
            None => self.remote.url(),
        }
    }

    /// The status.
    pub fn status(&self) -> &SourceStatus {
        &self.status
    }

    /// What was accepted before, out of the store; none where nothing was.
    ///
    /// # Errors
    /// When it cannot be read any more, or has problems that it had not: what is configured then stays as it is.
    pub fn in_force(&mut self) -> Result<Option<InForce>> {
        let Some(record) = self.record.clone() else { return Ok(None) };
        let commit = record.accepted.info.commit.clone();
        match self.load(&commit) {
            Ok(set) => {
                self.had = Some(names(&set));
                Ok(Some(InForce { accepted: record.accepted, set }))
            }
            Err(Stop::Refusal(refusal))
                if refusal.reason == RejectedReason::ObjectMissing || !self.store.is_whole(&commit) =>
            {
                let aside = self.store.renew()?;
                let what = "was not whole and is put aside as";
                Err(Error::refused(format!("the store {what} {}; everything is fetched again", aside.display())))
            }
            Err(Stop::Refusal(refusal)) => {
                let commit = record.accepted.info.short();
                Err(Error::refused(format!("commit {commit} in force is not usable any more: {}", told(&refusal))))
            }
            Err(Stop::Trouble(error)) => Err(error),
        }
    }

    /// Looks whether there is a new commit, and puts it in force if it may be. `hinted`: somebody said that there is one.
    pub fn look(&mut self, hinted: bool) -> Look {
        let now = crate::store::now();
        self.status.fetch.last_attempt = Some(now);
        let look = match self.bring(hinted) {
            Err(failure) => {
                self.failed(failure, now);
                Look::Same
            }
            Ok(()) => self.examine(now),
        };
        self.tell();
        self.store.tidy();
        look
    }

    /// Fetches, where there is something new.
    fn bring(&mut self, hinted: bool) -> std::result::Result<(), Failure> {
        // Asking first costs less where there is nothing; where there is, it would be asked twice.
        if hinted || self.remote.has_moved(&self.store, self.known.as_deref())? {
            self.remote.fetch(&self.store)?;
            self.known = self.store.object(HEAD);
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure, now: Timestamp) {
        let fetch = &mut self.status.fetch;
        fetch.failures = fetch.failures.saturating_add(1);
        fetch.failing_since.get_or_insert(now);
        (fetch.reason, fetch.error) = (Some(failure.reason), Some(failure.error));
    }

    /// Judges what was fetched.
    fn examine(&mut self, now: Timestamp) -> Look {
        match self.take(now) {
            Ok(look) => {
                let fetch = &mut self.status.fetch;
                (fetch.last_success, fetch.failures, fetch.failing_since) = (Some(now), 0, None);
                (fetch.reason, fetch.error) = (None, None);
                look
            }
            // It is not known what to think of the commit: that is as if it had not come.
            Err(failure) => {
                self.failed(failure, now);
                Look::Same
            }
        }
    }

    fn take(&mut self, now: Timestamp) -> std::result::Result<Look, Failure> {
        let Some(head) = self.store.commit(HEAD) else {
            let error = format!("its {} is no commit", self.remote.reference());
            return Err(Failure { reason: FetchReason::ReferenceMissing, error });
        };
        let info = self.info(&head).unwrap_or_else(|_| CommitInfo { commit: head.clone(), ..CommitInfo::default() });
        self.status.head = Some(info.clone());
        let in_force = self.record.as_ref().is_some_and(|record| {
            record.accepted.info.commit == head && record.path == self.source.path && record.url == self.remote.url()
        });
        if in_force {
            self.status.rejected = None;
            return Ok(Look::Same);
        }
        match self.judge_and_load(&head) {
            Ok((signer, set)) => {
                let accepted = Accepted { info, accepted_at: now, signer };
                self.put_in_force(&accepted)?;
                self.status.rejected = None;
                self.had = Some(names(&set));
                Ok(Look::New(Box::new(InForce { accepted, set })))
            }
            Err(Stop::Refusal(refusal)) => {
                self.reject(info, refusal, now);
                Ok(Look::Same)
            }
            Err(Stop::Trouble(error)) => Err(error.into()),
        }
    }

    fn reject(&mut self, info: CommitInfo, refusal: Refusal, now: Timestamp) {
        let same = |old: &Rejected| old.info.commit == info.commit && old.reason == refusal.reason;
        let at = self.status.rejected.as_ref().filter(|old| same(old)).map_or(now, |old| old.at);
        let Refusal { reason, message, problems } = refusal;
        self.status.rejected = Some(Rejected { info, reason, message, problems, at });
    }

    fn judge_and_load(&mut self, head: &str) -> std::result::Result<(Option<String>, ManifestSet), Stop> {
        let allowed = self.records.allowed();
        let record = self.record.as_ref();
        let same_place =
            |record: &Record| record.url == self.remote.url() && record.reference == self.remote.reference();
        let before = Before {
            accepted: record.map(|record| record.accepted.info.commit.as_str()),
            allowed: allowed.as_deref(),
            chosen: self.source.commit.is_some() || record.is_some_and(|record| !same_place(record)),
        };
        let signer = self.judge.judge(&self.store, head, before)?;
        let set = self.load(head)?;
        let had_some = || match &self.record {
            Some(record) => self.load(&record.accepted.info.commit).is_ok_and(|set| !set.zones.is_empty()),
            None => false,
        };
        if set.zones.is_empty() && !self.source.allow_empty && before.allowed != Some(head) && had_some() {
            let message = "this host would get no zone any more, so that all would be halted; if that is meant: \
                reeve approve source COMMIT, or spec.source.allowEmpty";
            return Err(Refusal::new(RejectedReason::Empty, message).into());
        }
        if before.allowed != Some(head) {
            self.check_removals(&set)?;
        }
        Ok((signer, set))
    }

    /// Refuses a commit by which most of the zones of this host would lose their manifests.
    fn check_removals(&mut self, set: &ManifestSet) -> std::result::Result<(), Stop> {
        let (Some(record), false) = (&self.record, set.zones.is_empty()) else { return Ok(()) };
        if self.had.is_none() {
            let commit = record.accepted.info.commit.clone();
            self.had = self.load(&commit).ok().map(|set| names(&set));
        }
        let now = set.zones.keys().map(|name| name.as_str()).collect();
        let Some(had) = &self.had else { return Ok(()) };
        let Some(removal) = removal::too_many(had.iter().map(String::as_str), &now) else { return Ok(()) };
        let message = format!("{}; if that is meant: reeve approve source COMMIT", removal.message());
        Err(Refusal::new(RejectedReason::TooManyRemoved, message).into())
    }

    /// Writes down that a commit is in force; the ref first, so that its objects stay whatever comes between.
    fn put_in_force(&mut self, accepted: &Accepted) -> Result<()> {
        self.store.keep(ACCEPTED, &accepted.info.commit)?;
        let (url, reference) = (self.remote.url(), self.remote.reference());
        self.records.accept(&url, &reference, self.source.path.as_deref(), accepted)?;
        self.record = self.records.accepted()?;
        self.status.accepted = Some(accepted.clone());
        Ok(())
    }

    /// The manifests that this host gets of a commit.
    fn load(&self, commit: &str) -> std::result::Result<ManifestSet, Stop> {
        let files = tree::manifests(&self.store, commit, self.source.path.as_deref())?;
        let invalid = |problems: Vec<Problem>| {
            let count = problems.len();
            let first = problems.first().map(|p| format!("{}:{}:{}: {}", p.file, p.line, p.column, p.message));
            let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            let message = format!("{}{more}", first.unwrap_or_default());
            Stop::from(Refusal { reason: RejectedReason::ManifestInvalid, message, problems })
        };
        let mut set = reeve_schema::load(&files, &self.me, &self.zonepaths, &Limits::default()).map_err(invalid)?;
        let mut trouble = None;
        let taken = secrets::take_in(&mut set, &mut |file| {
            let path = file.in_source("");
            match tree::file(&self.store, commit, &path, secrets::BYTES_MAX) {
                Ok(bytes) => Ok(bytes),
                Err(Stop::Refusal(refusal)) => Err(Error::refused(refusal.message)),
                Err(Stop::Trouble(error)) => {
                    let text = error.to_string();
                    trouble = Some(error);
                    Err(Error::refused(text))
                }
            }
        });
        if let Some(error) = trouble {
            return Err(error.into());
        }
        match taken {
            Ok(()) => {}
            Err(LoadError::Problems(Problems(problems))) => return Err(invalid(problems)),
            Err(LoadError::Read(error)) => return Err(error.into()),
        }
        let url = self.remote.url();
        for zone in set.zones.values_mut() {
            zone.origin.file = format!("{url}/{}", zone.origin.file);
        }
        Ok(set)
    }

    fn info(&self, commit: &str) -> Result<CommitInfo> {
        let mut objects = self.store.objects()?;
        match read_commit(&mut objects, commit) {
            Ok(commit) => Ok(info(&commit)),
            Err(Stop::Refusal(refusal)) => Err(Error::refused(refusal.message)),
            Err(Stop::Trouble(error)) => Err(error),
        }
    }

    fn tell(&mut self) {
        self.status.settle(crate::store::now());
        if let Err(error) = self.records.tell(&self.status) {
            tracing::warn!("the status of the source cannot be told: {error}");
        }
    }
}

/// The zones of a set.
fn names(set: &ManifestSet) -> BTreeSet<String> {
    set.zones.keys().map(ToString::to_string).collect()
}

/// A refusal with the problems of the manifests.
fn told(refusal: &Refusal) -> String {
    match refusal.problems.as_slice() {
        [] => refusal.message.clone(),
        problems => Problems(problems.to_vec()).to_string(),
    }
}

fn info(commit: &Commit) -> CommitInfo {
    let seconds = u64::try_from(commit.time).unwrap_or(0);
    CommitInfo {
        commit: commit.id.clone(),
        author: commit.author.clone(),
        subject: commit.subject.clone(),
        committed_at: Timestamp(seconds.saturating_mul(1000)),
    }
}
