//! Exit codes, and why a command could not be done: said once, at the top, with what to do.

use reeve::host::{Outcome, ZoneResult};
use reeve::source::LoadError;

use super::{output, safe_text};

/// What exit codes mean.
pub mod exit {
    /// Done; nothing differs; converged.
    pub const DONE: u8 = 0;
    /// An error, a wrong use of the command, a problem in a manifest.
    pub const ERROR: u8 = 1;
    /// `diff`: something differs.
    pub const DIFFERS: u8 = 1;
    /// `plan --detailed-exitcode`: there is something to do.
    pub const TO_DO: u8 = 2;
    /// `diff`: an error.
    pub const DIFF_ERROR: u8 = 2;
    /// `zoneadm`: a wrong use of the command.
    pub const ZONEADM_USAGE: u8 = 2;
    /// `apply`: a zone is blocked or was given up.
    pub const BLOCKED: u8 = 3;
    /// `apply`: a zone waits.
    pub const WAITING: u8 = 4;
}

/// Why a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What went wrong; lines as they are.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the message is complete as it is, so that no `error:` goes before it.
    pub plain: bool,
}

impl Failure {
    /// An error in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: exit::ERROR, message: message.into(), help: None, plain: false }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// With the name of what it is about before the message.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        let message = if self.plain { self.message } else { format!("{what}: {}", self.message) };
        Self { message, ..self }
    }

    /// Says it on standard error in the name of another command.
    pub fn print_as(&self, command: &str) {
        let help = self.help.as_ref().map(|help| format!("\n  do: {help}")).unwrap_or_default();
        output::complain(&format!("{command}: {}{help}", safe_text::lines(&self.message, "  ")));
    }

    /// Says it on standard error.
    pub fn print(&self) {
        if self.plain {
            output::complain(&output::paint_problems(&self.message));
        } else {
            let message = safe_text::lines(&self.message, "  ");
            output::complain(&format!("{}error:{} {message}", output::RED, output::PLAIN));
        }
        if let Some(help) = &self.help {
            output::complain(&format!(" {}help:{} {help}", output::BOLD, output::PLAIN));
        }
    }
}

impl From<reeve::Error> for Failure {
    /// Errors of the library name their causes themselves.
    fn from(error: reeve::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read(error) => error.into(),
            LoadError::Problems(problems) => Self { plain: true, ..Self::new(problems.to_string()) },
        }
    }
}

/// The exit code of what became of zones: an error before what needs a person before what will go on by itself.
pub fn code_of(outcome: &Outcome) -> u8 {
    let codes = outcome.zones.iter().map(|zone| match zone.result {
        ZoneResult::Converged => exit::DONE,
        ZoneResult::Waiting(_) => exit::WAITING,
        ZoneResult::Blocked(_) => exit::BLOCKED,
        ZoneResult::Failed(_) => exit::ERROR,
    });
    let order = [exit::ERROR, exit::BLOCKED, exit::WAITING];
    let codes: Vec<u8> = codes.collect();
    order.into_iter().find(|code| codes.contains(code)).unwrap_or(exit::DONE)
}

#[cfg(test)]
mod tests {
    use reeve::host::ZoneOutcome;

    use super::*;

    #[test]
    fn the_worst_result_decides() {
        let outcome = |results: &[ZoneResult]| {
            let zone = |result: &ZoneResult| ZoneOutcome { zone: "a".into(), state: None, result: result.clone() };
            code_of(&Outcome { zones: results.iter().map(zone).collect() })
        };
        let (waiting, blocked) = (ZoneResult::Waiting(String::new()), ZoneResult::Blocked(String::new()));
        let failed = ZoneResult::Failed(String::new());
        assert_eq!(outcome(&[]), 0);
        assert_eq!(outcome(&[ZoneResult::Converged, waiting.clone()]), 4);
        assert_eq!(outcome(&[waiting.clone(), blocked.clone()]), 3);
        assert_eq!(outcome(&[blocked, failed, waiting]), 1);
    }
}
