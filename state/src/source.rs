//! The status of a git repository that is followed: what is in force, what came last and why it is not, how fetching goes;
//! and the two conditions that every zone from it has.

use reeve_schema::Problem;
use serde::{Deserialize, Serialize};

use crate::condition::{Claim, Condition, ConditionStatus, ConditionType};
use crate::time::Timestamp;

/// A commit, as people know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitInfo {
    /// Its name, 40 or 64 hexadecimal digits.
    pub commit: String,
    /// `NAME <EMAIL>`, as the author says.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was committed, as the committer says.
    pub committed_at: Timestamp,
}

impl CommitInfo {
    /// The beginning of its name, as people write it.
    pub fn short(&self) -> &str {
        short(&self.commit)
    }
}

/// The beginning of a commit's name, as people write it: 12 digits.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// The commit in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Which.
    #[serde(flatten)]
    pub info: CommitInfo,
    /// When it was accepted here.
    pub accepted_at: Timestamp,
    /// Who signed it; null where nobody's signature is asked for.
    pub signer: Option<String>,
}

/// Why a commit is not applied. The first group is about who may say what, the second about what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejectedReason {
    /// It, or one between it and the accepted one, has no signature.
    Unsigned,
    /// Signed with a key that nobody trusted has.
    UnknownSigner,
    /// The signature is not one of this commit.
    SignatureInvalid,
    /// The signer's key was not valid at that time: no more, or not yet.
    SignerExpired,
    /// The signer's key was revoked.
    SignerRevoked,
    /// The signer may not change what it changes.
    NotOwner,
    /// It says that it was committed in the future.
    FromFuture,
    /// It is older than the accepted one.
    OlderCommit,
    /// It does not descend from the accepted one.
    HistoryRewritten,
    /// It does not descend from the commit that trust begins with.
    NotFromTrusted,
    /// No git makes such a commit by itself.
    UnusualCommit,
    /// A symbolic link in the folder of manifests.
    SymbolicLink,
    /// A submodule in the folder of manifests.
    Submodule,
    /// Files that git would change on their way to a working tree.
    Filter,
    /// A file, or all together, are larger than manifests may be.
    TooLarge,
    /// More files than a set may have.
    TooManyFiles,
    /// Folders nest too deep.
    TooDeep,
    /// A file, or the name of one, is no UTF-8 text.
    NotText,
    /// The folder of manifests is not there.
    PathMissing,
    /// There is no manifest any more.
    Empty,
    /// Most of the zones would lose their manifests.
    TooManyRemoved,
    /// The manifests have problems.
    ManifestInvalid,
    /// The commit, or something in it, is not in the repository whole.
    ObjectMissing,
}

impl RejectedReason {
    /// Whether it is about who may say what.
    pub fn is_about_trust(self) -> bool {
        use RejectedReason::{
            FromFuture, HistoryRewritten, NotFromTrusted, NotOwner, OlderCommit, SignatureInvalid, SignerExpired,
            SignerRevoked, UnknownSigner, Unsigned, UnusualCommit,
        };
        matches!(
            self,
            Unsigned
                | UnknownSigner
                | SignatureInvalid
                | SignerExpired
                | SignerRevoked
                | NotOwner
                | FromFuture
                | OlderCommit
                | HistoryRewritten
                | NotFromTrusted
                | UnusualCommit
        )
    }
}

/// A commit that is not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Which: the newest one of the branch.
    #[serde(flatten)]
    pub info: CommitInfo,
    /// Why, as one CamelCase word.
    pub reason: RejectedReason,
    /// Why, for people, and what to do.
    pub message: String,
    /// What is wrong in its manifests.
    pub problems: Vec<Problem>,
    /// When it was rejected first.
    pub at: Timestamp,
}

/// Why nothing could be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FetchReason {
    /// No answer, or one that refuses.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// There is no repository.
    NotARepository,
    /// It has no such branch, tag or commit.
    ReferenceMissing,
    /// It sent objects that are malformed, or not all.
    ObjectsRefused,
    /// It sent more than may be.
    TooLarge,
    /// Something on this host is in the way: git is missing, the disk is full.
    Local,
}

/// How fetching goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchStatus {
    /// When it was tried last; null before the first time.
    pub last_attempt: Option<Timestamp>,
    /// When it succeeded last.
    pub last_success: Option<Timestamp>,
    /// How often in a row it failed.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// Why, as one CamelCase word.
    pub reason: Option<FetchReason>,
    /// Why, for people.
    pub error: Option<String>,
}

/// The status of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// `"1"`.
    pub format_version: String,
    /// Where the repository is.
    pub url: String,
    /// What is followed: `branch NAME`, `tag NAME`, `commit ID`, `HEAD`.
    pub reference: String,
    /// The folder of manifests in it; null: all of it.
    pub path: Option<String>,
    /// Whether signatures are asked for.
    pub verified: bool,
    /// What is in force; null: nothing yet.
    pub accepted: Option<Accepted>,
    /// The newest commit that was fetched.
    pub head: Option<CommitInfo>,
    /// Why the newest commit is not in force; null where it is.
    pub rejected: Option<Rejected>,
    /// How fetching goes.
    pub fetch: FetchStatus,
    /// [`SourceStatus::claims`], and since when each is so.
    pub conditions: Vec<Condition>,
}

impl SourceStatus {
    /// What is to be said of the source, and of every zone from it.
    pub fn claims(&self) -> Vec<Claim> {
        vec![self.is_verified(), self.is_fresh()]
    }

    fn is_verified(&self) -> Claim {
        let kind = ConditionType::SourceVerified;
        let unknown = |reason: &str, message: String| Claim {
            status: ConditionStatus::Unknown,
            ..Claim::is_false(kind, reason, message)
        };
        if let Some(rejected) = self.rejected.as_ref().filter(|rejected| rejected.reason.is_about_trust()) {
            let message = format!("commit {} of {}: {}", rejected.info.short(), rejected.info.author, rejected.message);
            return Claim::is_false(kind, format!("{:?}", rejected.reason), message);
        }
        if !self.verified {
            return unknown(
                "NotConfigured",
                "no signers are configured (trust.allowedSigners), so nobody's signature is asked for".into(),
            );
        }
        match &self.accepted {
            // Nothing that is another with each commit: every zone has this condition.
            Some(Accepted { signer: Some(_), .. }) => {
                Claim::is_true(kind, "Signed", "what is in force is signed by somebody trusted")
            }
            Some(Accepted { info, .. }) => {
                unknown("NotChecked", format!("commit {} was accepted before signers were configured", info.short()))
            }
            None => unknown("NothingAccepted", "no commit was accepted yet".into()),
        }
    }

    fn is_fresh(&self) -> Claim {
        let kind = ConditionType::SourceFresh;
        let force = match &self.accepted {
            Some(accepted) => format!("commit {} stays in force", accepted.info.short()),
            None => "no commit is in force yet".into(),
        };
        if let Some(rejected) = &self.rejected {
            let message = format!(
                "commit {} of {} is not applied ({:?}): {}; {force}",
                rejected.info.short(),
                rejected.info.author,
                rejected.reason,
                rejected.message
            );
            return Claim::is_false(kind, "CommitRejected", message);
        }
        if let (Some(reason), Some(error)) = (self.fetch.reason, &self.fetch.error) {
            let since = self.fetch.failing_since.map_or_else(String::new, |since| format!(" since {}", since.utc()));
            return Claim::is_false(
                kind,
                format!("{reason:?}"),
                format!("{} cannot be fetched{since}: {error}; {force}", self.url),
            );
        }
        match &self.accepted {
            Some(_) => Claim::is_true(kind, "Current", format!("the newest commit of {} is in force", self.reference)),
            None => Claim {
                status: ConditionStatus::Unknown,
                ..Claim::is_false(kind, "NotFetched", "nothing was fetched yet")
            },
        }
    }

    /// Brings the conditions in step with the rest. Times stay where nothing changed.
    pub fn settle(&mut self, now: Timestamp) {
        let digest = self.accepted.as_ref().map(|accepted| accepted.info.commit.clone());
        for claim in self.claims() {
            crate::condition::set(&mut self.conditions, claim, digest.as_deref(), now);
        }
    }
}
