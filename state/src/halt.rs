//! A halt that cannot finish, as it is told: which step, what holds it, since when, when it is tried again, and what the
//! operator can do (`status.halt`). The reason and the commands are decided here, from evidence, and nowhere else.

mod commands;
mod reason;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

pub use commands::{commands, quoted};
pub use reason::{object, reason, safe_to_reboot_host};

/// The most entries of evidence that are told.
pub const EVIDENCE: usize = 64;
/// How long a halt that could not finish is left alone, in milliseconds; then twice as long each time.
pub const RETRY_FIRST_MS: u64 = 1_000;
/// The longest that it is left alone, in milliseconds.
pub const RETRY_MAX_MS: u64 = 300_000;

/// Why a halt cannot finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HaltBlockedReason {
    /// A mount cannot be taken away, or a file system of the zone is still in use.
    MountBusy,
    /// A process does not end although it was killed: it is in an uninterruptible sleep, or frozen.
    TaskUninterruptible,
    /// Something outside holds a namespace.
    NamespaceReferenced,
    /// A device is in use.
    DeviceBusy,
    /// A network link does not go away.
    NetdevBusy,
    /// The cgroup cannot be removed.
    CgroupBusy,
    /// A mount was detached by force and is still in use.
    DetachedNotFreed,
}

/// How a thing of the zone's is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EvidenceKind {
    /// A process works in a folder of the zone's.
    Cwd,
    /// A process has its root there.
    Root,
    /// A process runs a program from there.
    Executable,
    /// A process has a file open.
    OpenFile,
    /// A process has a file mapped.
    MappedFile,
    /// The file system is mounted, in the mount namespace of the holder.
    Mount,
    /// A process is in a namespace of the zone's.
    NamespaceMember,
    /// A process has a namespace open.
    NamespaceDescriptor,
    /// A namespace is bound to a file.
    NamespaceFile,
    /// A process of the zone is in an uninterruptible sleep.
    Process,
    /// A process of the zone is frozen, in the cgroup at `path`.
    Frozen,
    /// A loop device has a file of the zone's for its medium.
    LoopDevice,
    /// A file of the zone's is swapped to.
    Swap,
    /// A FUSE connection does not answer.
    Fuse,
    /// A link is still there.
    Link,
    /// A cgroup is still populated.
    Cgroup,
}

/// A process that holds something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its PID in the global zone.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks since the host's boot.
    pub start_time: u64,
    /// Its name, as the process itself may have set it.
    pub comm: String,
    /// The zone that it is in: `global`, or another zone's name.
    pub zone: String,
}

/// One thing that is held, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// How.
    pub kind: EvidenceKind,
    /// What, such as `net:[4026532573]` or `/dev/loop3`.
    pub object: String,
    /// The path that matters, where there is one.
    pub path: Option<String>,
    /// By whom; null where that is not known. It is never guessed.
    pub holder: Option<Holder>,
}

/// The step that failed, as zoneadmd says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedStep {
    /// The step, by its name in the plan.
    pub step: String,
    /// The call.
    pub call: String,
    /// Its arguments.
    pub args: String,
    /// The errno; 0: none.
    pub errno: i32,
    /// The reason in words.
    pub reason: String,
}

/// What was found when a halt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The zone.
    pub zone: String,
    /// What failed.
    pub failed: FailedStep,
    /// Steps that were done in this try.
    pub completed: Vec<String>,
    /// What holds it.
    pub evidence: Vec<Evidence>,
    /// What could not be read.
    pub unread: Vec<String>,
    /// Mounts that were detached by force.
    pub detached: Vec<String>,
}

/// `status.halt`: a halt that cannot finish. It is there until the halt is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HaltStatus {
    /// Why, the reason of the condition `HaltBlocked`.
    pub reason: HaltBlockedReason,
    /// The step that cannot be done.
    pub step: String,
    /// What the step is about, such as `mount /data`.
    pub object: String,
    /// The errno that the kernel answered; null where it answered none.
    pub errno: Option<i32>,
    /// The call, its arguments and the answer, in words.
    pub error: String,
    /// The path in question, as the zone sees it; null where there is none.
    pub path: Option<String>,
    /// When it failed first.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again without anything happening; null where no controller runs.
    pub next_retry: Option<Timestamp>,
    /// Whether a reboot of the host would lose nothing of the zone's.
    pub safe_to_reboot_host: bool,
    /// What would help, ready to paste. Empty where nothing is known that would.
    pub commands: Vec<String>,
    /// What holds it. Empty where that is not known.
    pub evidence: Vec<Evidence>,
    /// What could not be read, so that evidence may be missing.
    pub unread: Vec<String>,
    /// Steps of the halt that are done.
    pub completed: Vec<String>,
    /// Steps that are still to be done.
    pub remaining: Vec<String>,
    /// Mounts that were detached by force (`reeve halt --force-detach`).
    pub detached: Vec<String>,
}

impl HaltStatus {
    /// What is to be told of a halt that failed `now`, after `previous` failed tries.
    pub fn new(found: Findings, previous: Option<&HaltStatus>, now: Timestamp) -> Self {
        let Findings { zone, failed, completed, mut evidence, unread, mut detached } = found;
        evidence.truncate(EVIDENCE);
        if let Some(previous) = previous {
            let added = previous.detached.iter().filter(|path| !detached.contains(path)).cloned().collect::<Vec<_>>();
            detached.extend(added);
        }
        let (object, path) = object(&failed);
        let is_done = |step: &&&str| completed.iter().any(|done| done == **step);
        let steps = crate::plan::step_name::HALT;
        HaltStatus {
            reason: reason(&failed, &evidence, !detached.is_empty()),
            object,
            path,
            errno: (failed.errno != 0).then_some(failed.errno),
            error: format!("{}({}): {}", failed.call, failed.args, failed.reason),
            since: previous.map_or(now, |previous| previous.since),
            attempts: previous.map_or(0, |previous| previous.attempts).saturating_add(1),
            next_retry: None,
            safe_to_reboot_host: safe_to_reboot_host(&failed, &evidence),
            commands: commands(&zone, &evidence),
            completed: steps.iter().filter(is_done).map(|step| (*step).to_owned()).collect(),
            remaining: steps.iter().filter(|step| !is_done(step)).map(|step| (*step).to_owned()).collect(),
            step: failed.step,
            evidence,
            unread,
            detached,
        }
    }

    /// How long until the next try, in milliseconds: a second, then twice as long each time, at most five minutes; up to a
    /// fifth less, by `random`, so that zones that one cause holds are not all tried at once.
    pub fn retry_after_ms(&self, random: u64) -> u64 {
        let doubled = RETRY_FIRST_MS << (self.attempts.max(1) - 1).min(16);
        let most = doubled.min(RETRY_MAX_MS);
        most - random % (most / 5 + 1)
    }

    /// The sentence of the condition. It holds nothing that changes from try to try.
    pub fn message(&self) -> String {
        let Self { step, object, error, .. } = self;
        let held = match self.evidence.iter().find_map(|found| found.holder.as_ref()) {
            Some(Holder { pid, comm, zone, .. }) => format!("held by process {pid} ({comm}) of zone {zone}"),
            None if self.evidence.is_empty() => "by whom is not known".to_owned(),
            None => format!("held by {}", self.evidence[0].object),
        };
        format!("{step}: {object}: {error}; {held}. It is tried again by itself; `reeve describe` says what helps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(completed: &[&str]) -> Findings {
        let failed = FailedStep {
            step: "unmount".into(),
            call: "umount2".into(),
            args: "/data".into(),
            errno: 16,
            reason: "busy".into(),
        };
        let completed = completed.iter().map(|step| (*step).to_owned()).collect();
        Findings { zone: "web".into(), failed, completed, ..Findings::default() }
    }

    #[test]
    fn a_further_try_counts_and_keeps_since_when_and_what_was_detached() {
        let first = HaltStatus::new(Findings { detached: vec!["/data".into()], ..failed(&[]) }, None, Timestamp(10));
        let second = HaltStatus::new(failed(&["unplumb", "killProcesses"]), Some(&first), Timestamp(20));
        assert_eq!((second.since, second.attempts), (Timestamp(10), 2));
        assert_eq!(second.detached, ["/data"]);
        assert_eq!(second.reason, HaltBlockedReason::DetachedNotFreed);
        assert_eq!(second.completed, ["killProcesses", "unplumb"]);
        assert_eq!(second.remaining, ["unconfigureDevices", "unmount", "destroy"]);
        assert_eq!(first.message(), second.message(), "a condition does not change from try to try");
    }

    #[test]
    fn retries_come_after_one_second_to_five_minutes_and_not_all_at_once() {
        let after = |attempts, random| {
            HaltStatus { attempts, ..HaltStatus::new(failed(&[]), None, Timestamp(0)) }.retry_after_ms(random)
        };
        assert_eq!((after(1, 0), after(2, 0), after(3, 0)), (1_000, 2_000, 4_000));
        assert_eq!((after(10, 0), after(u32::MAX, 0)), (RETRY_MAX_MS, RETRY_MAX_MS));
        for random in [1, 77, 4_711, u64::MAX] {
            let spread = after(5, random);
            assert!((12_800..=16_000).contains(&spread), "{spread}");
        }
    }

    #[test]
    fn evidence_is_bounded() {
        let one = Evidence { kind: EvidenceKind::Cwd, object: "it".into(), path: None, holder: None };
        let found = Findings { evidence: vec![one; EVIDENCE + 1], ..failed(&[]) };
        assert_eq!(HaltStatus::new(found, None, Timestamp(0)).evidence.len(), EVIDENCE);
    }
}
