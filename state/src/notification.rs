//! What somebody is told of without asking: conditions that last, each once, and once more when they are over. Nothing is
//! queued: what is to be told follows from what is so now and what was told already, so that what could not be sent is sent
//! later, in its newest form, and there is never more of it than there are conditions.

mod body;

use std::collections::BTreeMap;

pub use body::{Form, body};
use serde::{Deserialize, Serialize};

use crate::condition::{Condition, ConditionStatus, ConditionType};
use crate::time::Timestamp;

/// The conditions that are told of where nothing else is said: those that need somebody.
pub const USUAL: [ConditionType; 8] = [
    ConditionType::HaltBlocked,
    ConditionType::Drifted,
    ConditionType::Degraded,
    ConditionType::GaveUp,
    ConditionType::DriftReturning,
    ConditionType::AwaitingConfirmation,
    ConditionType::SourceVerified,
    ConditionType::SourceFresh,
];

/// What it is about: a condition of a zone, or of the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The zone; null for the source.
    pub zone: Option<String>,
    /// The condition.
    pub condition: ConditionType,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// What is not as it should be, by what it is about.
pub type Troubles = BTreeMap<Subject, Trouble>;

/// Adds what these conditions, of a zone or of the source, say of trouble, where it is in `on`.
pub fn add(troubles: &mut Troubles, zone: Option<&str>, conditions: &[Condition], on: &[ConditionType]) {
    for condition in conditions.iter().filter(|condition| on.contains(&condition.kind)) {
        let of_source = matches!(condition.kind, ConditionType::SourceVerified | ConditionType::SourceFresh);
        let bad = if condition.kind.only_when_true() { ConditionStatus::True } else { ConditionStatus::False };
        // The source's are on each of its zones as well; once is enough.
        if condition.status != bad || of_source == zone.is_some() {
            continue;
        }
        let subject = Subject { zone: zone.map(str::to_owned), condition: condition.kind };
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        troubles.insert(subject, Trouble { reason, message, since: condition.last_transition_time });
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub subject: Subject,
    /// What is so, or was.
    pub trouble: Trouble,
    /// It is over.
    pub resolved: bool,
}

/// When something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long something must last before it is told, in milliseconds; and be over, before that is.
    pub after_ms: u64,
    /// After how long what still lasts is told again, in milliseconds; for receivers that forget.
    pub again_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    subject: Subject,
    trouble: Trouble,
    /// When it was told last.
    at: Timestamp,
    /// Since when it is over.
    #[serde(default)]
    over: Option<Timestamp>,
}

/// What one receiver was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    told: Vec<Told>,
}

impl Ledger {
    /// Notes what is over, or so again; true where that is news to the ledger.
    pub fn note(&mut self, troubles: &Troubles, now: Timestamp) -> bool {
        let mut changed = false;
        for told in &mut self.told {
            let over = if troubles.contains_key(&told.subject) { None } else { told.over.or(Some(now)) };
            changed |= told.over != over;
            told.over = over;
        }
        changed
    }

    /// What is to be told now.
    pub fn due(&self, troubles: &Troubles, timing: Timing, now: Timestamp) -> Vec<Notification> {
        let mut out: Vec<Notification> = self
            .told
            .iter()
            .filter(|told| told.over.is_some_and(|over| now.since(over) >= timing.after_ms))
            .map(|told| Notification { subject: told.subject.clone(), trouble: told.trouble.clone(), resolved: true })
            .collect();
        for (subject, trouble) in troubles {
            let is_due = match self.told.iter().find(|told| told.subject == *subject) {
                Some(told) => timing.again_ms.is_some_and(|again| now.since(told.at) >= again),
                None => now.since(trouble.since) >= timing.after_ms,
            };
            if is_due {
                out.push(Notification { subject: subject.clone(), trouble: trouble.clone(), resolved: false });
            }
        }
        out
    }

    /// Notes what was told.
    pub fn sent(&mut self, notifications: &[Notification], now: Timestamp) {
        for Notification { subject, trouble, resolved } in notifications {
            self.told.retain(|told| told.subject != *subject);
            if !resolved {
                let (subject, trouble) = (subject.clone(), trouble.clone());
                self.told.push(Told { subject, trouble, at: now, over: None });
            }
        }
    }

    /// The next time at which something may be due without anything having happened.
    pub fn wake(&self, troubles: &Troubles, timing: Timing) -> Option<Timestamp> {
        let over = self.told.iter().filter_map(|told| told.over).map(|over| over.plus(timing.after_ms));
        let again = self.told.iter().filter(|told| told.over.is_none());
        let again = again.filter_map(|told| Some(told.at.plus(timing.again_ms?)));
        let is_new = |subject: &&Subject| !self.told.iter().any(|told| told.subject == **subject);
        let first = troubles.keys().filter(is_new).filter_map(|subject| troubles.get(subject));
        over.chain(again).chain(first.map(|trouble| trouble.since.plus(timing.after_ms))).min()
    }
}
