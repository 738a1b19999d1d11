//! What follows the end of init: the restart policy (`init.restart`) as a pure decision over recorded ends.
//!
//! The first end in a row is answered at once, the second after `backoff`, each further one after twice that, up to
//! `maxBackoff`; an environment that ran for `resetAfter` clears the count. Of ends in a row that came sooner the one that
//! `giveUpAfter` says is the last: the policy gives up, until the manifest changes or somebody retries. By default that is
//! the tenth, after about 23 s of waiting in all. `reboot` inside is answered whatever the policy, but by the same count: an
//! init that does nothing but reboot must not spin.

use reeve_schema::manifest::{CrashLoop, Restart};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How init ended. The last two are how the kernel tells reboot(2) and poweroff inside the zone: SIGHUP and SIGINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExitKind {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// reboot(2) inside asked for a reboot.
    RebootInside,
    /// reboot(2) inside asked for a halt or poweroff.
    PoweroffInside,
}

/// One end of init that nobody outside asked for, as zsched's wait saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitReport {
    /// How.
    pub kind: ExitKind,
    /// When.
    pub at: Timestamp,
    /// N of the environment whose init it was.
    pub environment: u32,
}

/// What is kept of a zone's starts and ends, in the run folder: it ends with the host's boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartHistory {
    /// When the newest environment was started.
    pub started_at: Option<Timestamp>,
    /// Digest of the manifest it was started from.
    pub digest: Option<String>,
    /// Ends in a row that came before `resetAfter` of running.
    pub short_ends: u32,
    /// Starts that answered an end, since the manifest changed or the last retry; for status.
    pub restarts: u32,
    /// The end that the policy has still to answer; a start clears it.
    pub pending: Option<ExitReport>,
    /// The newest end, for status; a start keeps it.
    pub last_exit: Option<ExitReport>,
}

impl RestartHistory {
    /// After an application environment was started from the manifest with this digest.
    #[must_use]
    pub fn started(&self, now: Timestamp, digest: &str) -> Self {
        let changed = self.digest.as_deref().is_some_and(|old| old != digest);
        RestartHistory {
            started_at: Some(now),
            digest: Some(digest.to_owned()),
            short_ends: if changed { 0 } else { self.short_ends },
            restarts: if changed { 0 } else { self.restarts + u32::from(self.pending.is_some()) },
            pending: None,
            last_exit: self.last_exit,
        }
    }

    /// After an end of init was reported. The same report again changes nothing.
    #[must_use]
    pub fn noted(&self, exit: ExitReport, limits: CrashLoop) -> Self {
        if self.last_exit == Some(exit) {
            return self.clone();
        }
        // Where the start is not known (lost history) the run counts as short: backing off is the safer mistake.
        let long = self.started_at.is_some_and(|start| exit.at.since(start) >= u64::from(limits.reset_after.millis()));
        let short_ends = if long { 0 } else { self.short_ends.saturating_add(1) };
        RestartHistory { short_ends, pending: Some(exit), last_exit: Some(exit), ..self.clone() }
    }

    /// After somebody asked for a retry: as if nothing had ended.
    #[must_use]
    pub fn retried(&self) -> Self {
        RestartHistory { short_ends: 0, restarts: 0, pending: None, ..self.clone() }
    }

    /// Whether ends that were counted still speak about a manifest with this digest.
    pub fn is_about(&self, digest: &str) -> bool {
        self.digest.as_deref().is_none_or(|own| own == digest)
    }
}

/// Why a zone stays where it is after the end of its init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StayReason {
    /// The policy does not restart after such an end.
    InitExited,
    /// Too many ends in a row.
    GaveUp,
    /// `poweroff` inside, and the policy does not restart after it.
    PoweredOffInside,
}

impl StayReason {
    /// The reason of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            StayReason::InitExited => "InitExited",
            StayReason::GaveUp => "GaveUp",
            StayReason::PoweredOffInside => "PoweredOffInside",
        }
    }
}

/// What to do after the end of init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Decision {
    /// Boot again on the same platform.
    Restart {
        /// Milliseconds from now.
        after_ms: u64,
    },
    /// Halt and come up again with a new ID.
    Reboot {
        /// Milliseconds from now.
        after_ms: u64,
    },
    /// Halt to Installed at once, come up again later.
    HaltThenRestart {
        /// Milliseconds from now until the bring-up.
        after_ms: u64,
    },
    /// Stay, until the manifest changes or somebody retries.
    Stay {
        /// Why.
        reason: StayReason,
        /// Whether the zone stays in Installed (halt first) rather than Ready.
        halted: bool,
    },
}

/// How long after the end the answer comes, in milliseconds, when it was the `short_ends`th in a row.
pub fn backoff_ms(limits: CrashLoop, short_ends: u32) -> u64 {
    let (first, longest) = (u64::from(limits.backoff.millis()), u64::from(limits.max_backoff.millis()));
    match short_ends {
        0 | 1 => 0,
        n => 1_u64.checked_shl(n - 2).and_then(|times| first.checked_mul(times)).map_or(longest, |ms| ms.min(longest)),
    }
}

/// The answer to `exit`, which `history` has noted. `poweroff` inside is an end that `always` answers and the other two
/// do not: it is no failure.
pub fn decide(
    policy: Restart,
    limits: CrashLoop,
    history: &RestartHistory,
    exit: ExitReport,
    now: Timestamp,
) -> Decision {
    use ExitKind::{Exited, PoweroffInside, RebootInside, Signaled};

    let halted = exit.kind == PoweroffInside;
    let again = match (policy, exit.kind) {
        (_, RebootInside) | (Restart::Always, _) => true,
        (Restart::OnFailure, Exited(code)) => code != 0,
        (Restart::OnFailure, Signaled(_)) => true,
        (Restart::OnFailure, PoweroffInside) | (Restart::Never, _) => false,
    };
    if !again {
        let reason = if halted { StayReason::PoweredOffInside } else { StayReason::InitExited };
        return Decision::Stay { reason, halted };
    }
    if limits.give_up_after > 0 && history.short_ends >= limits.give_up_after {
        return Decision::Stay { reason: StayReason::GaveUp, halted };
    }
    let wait = backoff_ms(limits, history.short_ends);
    // A clock that was set back must not make the wait longer than it ever was.
    let after_ms = exit.at.plus(wait).since(now).min(wait);
    match exit.kind {
        RebootInside => Decision::Reboot { after_ms },
        PoweroffInside => Decision::HaltThenRestart { after_ms },
        Exited(_) | Signaled(_) => Decision::Restart { after_ms },
    }
}
