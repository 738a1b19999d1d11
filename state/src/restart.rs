//! What follows the end of init: the restart policy as a pure decision over recorded ends.

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

/// One end of init, as zsched's wait saw it.
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

/// `init.restart` of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Whatever the end was.
    #[default]
    Always,
    /// Only after a nonzero exit or a signal.
    OnFailure,
    /// Never.
    Never,
}

/// What is kept of a zone's starts and ends, in the run folder: it ends with the host's boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartHistory {
    /// When the newest environment was started.
    pub started_at: Option<Timestamp>,
    /// Digest of the manifest it was started from.
    pub digest: Option<String>,
    /// Ends in a row that came before [`RESET_AFTER_MS`] of running.
    pub short_ends: u32,
    /// Ends since the manifest changed or the last retry, for status.
    pub restarts: u32,
    /// The end that the policy has still to answer; a start clears it.
    pub pending: Option<ExitReport>,
    /// The newest end, for status; a start keeps it.
    pub last_exit: Option<ExitReport>,
}

/// An environment that ran for this long clears the count of short ends.
pub const RESET_AFTER_MS: u64 = 60_000;

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

/// What to do after the end of init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
