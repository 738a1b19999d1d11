//! Signals by name, as `init.haltSignal` writes them.

use std::fmt;
use std::str::FromStr;

use crate::text::{TextError, text_type};

/// Names and numbers (signal(7), x86 and Arm) of the signals that may ask an init to end. SIGKILL and SIGSTOP cannot
/// be handled, and faults (SIGSEGV and so on) are no request.
const NAMES: [(&str, u8); 10] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
    ("SIGWINCH", 28),
    ("SIGPWR", 30),
];

/// SIGRTMIN as glibc and systemd count it: the C library keeps the kernel's 32 and 33 for itself.
const RT_MIN: u8 = 34;
/// SIGRTMAX, signal(7).
const RT_MAX: u8 = 64;

/// A signal that can ask a program to end: SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT,
/// SIGWINCH, SIGPWR, or SIGRTMIN+0 to SIGRTMIN+30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

impl Signal {
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGRTMIN+3: systemd(1) halts when it gets it.
    pub const SYSTEMD_HALT: Self = Self(RT_MIN + 3);

    /// The number that kill(2) takes.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "a name such as `SIGTERM`, `SIGINT` or `SIGRTMIN+3`";
        if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*number));
        }
        if let Some(offset) = text.strip_prefix("SIGRTMIN") {
            let offset = if offset.is_empty() { Some(0) } else { offset.strip_prefix('+').and_then(digits) };
            return match offset {
                Some(offset) if offset <= RT_MAX - RT_MIN => Ok(Self(RT_MIN + offset)),
                _ => Err(TextError::new(format!("`{text}` is no real-time signal"), "`SIGRTMIN+0` to `SIGRTMIN+30`")),
            };
        }
        if matches!(text, "SIGKILL" | "SIGSTOP") {
            return Err(TextError::new(format!("`{text}` cannot be handled, so it asks nothing"), RULE));
        }
        let with_sig = format!("SIG{}", text.to_ascii_uppercase().trim_start_matches("SIG"));
        let help = match NAMES.iter().find(|(name, _)| *name == with_sig) {
            Some((name, _)) => format!("`{name}`"),
            None => RULE.to_owned(),
        };
        Err(TextError::new(format!("`{text}` is no signal that can ask an init to end"), help))
    }
}

/// A number of one or two digits, without a sign.
fn digits(text: &str) -> Option<u8> {
    ((1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "SIGRTMIN+{}", self.0 - RT_MIN),
        }
    }
}

text_type!(
    Signal,
    "Signal",
    r"^SIG(HUP|INT|QUIT|USR1|USR2|ALRM|TERM|CONT|WINCH|PWR|RTMIN(\+[0-9]{1,2})?)$",
    "A signal by name, such as `SIGTERM` or `SIGRTMIN+3`."
);
