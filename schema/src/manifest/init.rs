//! What runs as the zone's init.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EnvValue;
use crate::quantity::TimeSpan;
use crate::signal::Signal;

/// The zone's init: Reeve's own tiny one that runs `command`, or `program`, any init of the root. With neither, the
/// tiny one runs alone and only reaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Init {
    /// The program (an absolute path in the zone) and its arguments that the tiny init runs. Its end is the end of init.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// An init of the root, an absolute path in the zone such as `/sbin/init`; contradicts `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub program: Option<String>,
    /// Arguments of `program`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment, over PATH, HOME and TERM that are always there: texts and secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Whether init is started again after its end.
    #[serde(default)]
    pub restart: Restart,
    /// When ends in a row are too many, and how long is waited before each start.
    #[serde(default, skip_serializing_if = "CrashLoop::is_default")]
    pub crash_loop: CrashLoop,
    /// The signal that asks init to end, such as SIGINT; none: SIGRTMIN+3 if `program` is called `init` or `systemd`
    /// (systemd's own for a clean halt), else SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt_signal: Option<Signal>,
    /// How long init may take after that signal before it is killed: 0 to 1h, default 10s.
    #[serde(default = "Init::default_halt_timeout")]
    pub halt_timeout: TimeSpan,
}

impl Init {
    /// The `haltTimeout` of a manifest that has none.
    #[must_use]
    pub fn default_halt_timeout() -> TimeSpan {
        TimeSpan::from_millis(10_000)
    }

    /// The signal that asks init to end (as podman-run(1) chooses it with `--systemd=true`).
    #[must_use]
    pub fn signal(&self) -> Signal {
        let systemd = self.program.as_deref().and_then(|path| path.rsplit('/').next());
        match (self.halt_signal, systemd) {
            (Some(signal), _) => signal,
            (None, Some("init" | "systemd")) => Signal::SYSTEMD_HALT,
            (None, _) => Signal::TERM,
        }
    }

    /// The most bytes of [`Init::bytes`]: what is sent to zoneadmd in one message.
    pub const MAX_BYTES: usize = 64 << 10;

    /// The bytes of program, command, arguments and environment as execve(2) takes them, ending zeros included. Values
    /// of secrets do not count: they are not known here.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let words = self.command.iter().chain(&self.program).chain(&self.args).map(|word| word.len() + 1);
        let env = self.env.iter().map(|(name, value)| name.len() + value.text().map_or(0, str::len) + 2);
        words.chain(env).sum()
    }
}

impl Default for Init {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            program: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            restart: Restart::default(),
            crash_loop: CrashLoop::default(),
            halt_signal: None,
            halt_timeout: Self::default_halt_timeout(),
        }
    }
}

/// When init is started again after it ended by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// After every end.
    #[default]
    Always,
    /// After an exit code other than 0 or a signal.
    OnFailure,
    /// Never: the zone stays Ready.
    Never,
}

/// What is done about an init that ends again and again (compare StartLimitBurst=, RestartSec= and RestartMaxDelaySec= of
/// systemd.unit(5) and systemd.service(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CrashLoop {
    /// So many ends in a row, each sooner than `resetAfter`, and it is started no more: 0 to 1000, default 10; 0: it is always
    /// started again.
    #[schemars(range(max = 1000))]
    pub give_up_after: u32,
    /// The wait before the start that follows the second end in a row (the first is answered at once); twice that before each
    /// further one: 10ms to 1h, default 100ms.
    pub backoff: TimeSpan,
    /// The longest wait: from `backoff` to 1h, default 10s.
    pub max_backoff: TimeSpan,
    /// An init that ran for this long clears the count: 1s to 1h, default 1m.
    pub reset_after: TimeSpan,
}

impl CrashLoop {
    /// The largest `giveUpAfter`.
    pub const GIVE_UP_AFTER_MAX: u32 = 1000;
    /// The shortest `backoff`, in milliseconds.
    pub const BACKOFF_MIN_MILLIS: u32 = 10;
    /// The shortest `resetAfter`, in milliseconds.
    pub const RESET_AFTER_MIN_MILLIS: u32 = 1000;

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for CrashLoop {
    fn default() -> Self {
        Self {
            give_up_after: 10,
            backoff: TimeSpan::from_millis(100),
            max_backoff: TimeSpan::from_millis(10_000),
            reset_after: TimeSpan::from_millis(60_000),
        }
    }
}
