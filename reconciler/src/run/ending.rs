//! What ends a controller: SIGTERM, and SIGINT unless it was started with that ignored, as a shell does with what it puts into the
//! background of a script: then Ctrl-C is meant for others.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{OnFile, Result};

/// Both signals, as far as they count.
pub(super) struct Ending {
    interrupt: Option<Signal>,
    terminate: Signal,
}

impl Ending {
    /// Takes them over: from here on they end nothing by themselves.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn open() -> Result<Self> {
        let handler = |kind| signal(kind).on("sigaction", Path::new("signal"));
        let ignored = is_ignored(SignalKind::interrupt());
        let interrupt = if ignored { None } else { Some(handler(SignalKind::interrupt())?) };
        Ok(Self { interrupt, terminate: handler(SignalKind::terminate())? })
    }

    /// Waits until the controller is asked to end.
    pub async fn asked(&mut self) {
        match &mut self.interrupt {
            Some(interrupt) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = self.terminate.recv() => {}
                }
            }
            None => drop(self.terminate.recv().await),
        }
    }
}

/// Whether this process ignores the signal: `SigIgn` of proc_pid_status(5), a bit for each signal from 1 on.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    ignored >> (kind.as_raw_value() - 1) & 1 == 1
}
