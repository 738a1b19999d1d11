//! A restart: stop and boot as one request to zoneadmd (SEED T2b), so that between the end of the old init and the start of
//! the new one nobody waits for the controller.

use std::time::Instant;

use reeve_kernel::wire::{Request, StepName};
use reeve_state::journal::Phase;
use reeve_state::status::HistoryEntry;
use reeve_state::{Transition, ZoneState};

use super::stage::Stage;
use super::up::Steps;
use super::{Walk, micros};
use crate::error::{Error, Result};

impl Walk<'_> {
    /// Walks the stages `stop` and `boot`, tells of a failure, and puts both transitions into the history.
    pub(super) fn restart(&mut self, stop: &Stage, boot: &Stage) -> Result<()> {
        let (begun, started) = (crate::store::now(), Instant::now());
        let mut stopped_after = None;
        let restarted = self.restart_as_one(stop, boot, &mut stopped_after);
        let whole = micros(started);
        let entry = |transition, from, to, took_us: u64, outcome: String| HistoryEntry {
            to,
            outcome,
            took_ms: took_us / 1000,
            ..HistoryEntry::new(begun, transition, from)
        };
        let failed = restarted.as_ref().err().map(ToString::to_string);
        let (running, ready, now) = (Some(ZoneState::Running), Some(ZoneState::Ready), self.state());
        match stopped_after {
            None => {
                let outcome = failed.unwrap_or_else(|| "done".to_owned());
                self.outcome.walked.push(entry(Transition::Stop, running, now, whole, outcome));
            }
            Some(took) => {
                self.outcome.walked.push(entry(Transition::Stop, running, ready, took, "done".to_owned()));
                let outcome = failed.unwrap_or_else(|| "done".to_owned());
                let rest = whole.saturating_sub(took);
                self.outcome.walked.push(entry(Transition::Boot, ready, now, rest, outcome));
            }
        }
        if let Err(error) = &restarted {
            self.failed(if stopped_after.is_some() { boot } else { stop }, error);
        }
        restarted
    }

    /// `stopped_after` is set, in microseconds, once the old environment is gone.
    fn restart_as_one(&mut self, stop: &Stage, boot: &Stage, stopped_after: &mut Option<u64>) -> Result<()> {
        let (signal, millis, timeout) = self.ending();
        let init = self.init()?;
        self.write_journal(stop, stop.first(), Phase::Intent)?;
        let mut steps = Steps::begin_all(self, &[stop, boot]);
        self.reach()?;
        // From here on its end is asked for, and none that the restart policy has to answer.
        self.memory.environment = None;
        let asked = self.ask_noting(&Request::Restart(signal, millis, init), timeout, &mut steps, &mut |step, took| {
            if *step == StepName::StopInit {
                *stopped_after = Some(u64::from(took));
            }
        });
        match asked {
            Ok(snapshot) => self.booted(boot, &snapshot),
            Err(error) if stopped_after.is_none() && !matches!(error, Error::Zoneadmd { .. }) => {
                self.halt_instead(&error)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}
