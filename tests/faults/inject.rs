//! One fault in one system call of one of Reeve's processes: which, and what `inject.c` says of it.

use crate::Result;
use crate::calls;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long a command may take with a fault in it, before it is said to hang: longer than zoneadmd's own waits (10 s).
pub const LIMIT: Duration = Duration::from_secs(25);

/// Whose system calls are counted, and who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The `reeve` command, with all its threads.
    Controller,
    /// zoneadmd, from its birth in the controller's vfork, with its helper that holds new namespaces.
    Zoneadmd,
    /// zsched.
    Zsched,
    /// What zsched clones, until it executes something.
    Init,
}

impl Role {
    /// As `inject.c` names it.
    pub fn name(self) -> &'static str {
        ["controller", "zoneadmd", "zsched", "init"][self as usize]
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let roles = [Self::Controller, Self::Zoneadmd, Self::Zsched, Self::Init];
        roles.into_iter().find(|role| role.name() == text).ok_or_else(|| format!("no role {text}"))
    }
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// SIGKILL for the process whose call it is, before or after the call.
    KillOne {
        /// After it.
        after: bool,
    },
    /// SIGKILL for controller, zoneadmd and zsched at once.
    KillAll {
        /// After it.
        after: bool,
    },
    /// It is not made and answers with this errno.
    Errno(i32),
}

/// One fault. As text `ROLE/CALL/NTH/EFFECT`, which is how it is replayed: `controller/renameat2/3/kill-after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose call.
    pub role: Role,
    /// Its number; none for any.
    pub call: Option<i64>,
    /// Which one, from 1.
    pub nth: u32,
    /// What becomes of it.
    pub effect: Effect,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call.map_or_else(|| "any".to_owned(), calls::name);
        write!(f, "{}/{call}/{}/", self.role.name(), self.nth)?;
        match self.effect {
            Effect::KillOne { after } => write!(f, "kill-{}", moment(after)),
            Effect::KillAll { after } => write!(f, "kill-all-{}", moment(after)),
            Effect::Errno(errno) => f.write_str(&calls::errno_name(errno)),
        }
    }
}

fn moment(after: bool) -> &'static str {
    if after { "after" } else { "before" }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text}: not ROLE/CALL/NTH/EFFECT");
        let [role, call, nth, effect] = text.split('/').collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
        let call = if call == "any" { None } else { Some(calls::number(call).ok_or_else(wrong)?) };
        let effect = match effect {
            "kill-before" => Effect::KillOne { after: false },
            "kill-after" => Effect::KillOne { after: true },
            "kill-all-before" => Effect::KillAll { after: false },
            "kill-all-after" => Effect::KillAll { after: true },
            errno => Effect::Errno(calls::errno(errno).ok_or_else(wrong)?),
        };
        Ok(Self { role: role.parse()?, call, nth: nth.parse().map_err(|_| wrong())?, effect })
    }
}

/// A system call that was made, as the log has it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Whose.
    pub role: Role,
    /// Its number.
    pub call: i64,
    /// Which of its number, from 1.
    pub nth: u32,
    /// The path that it is about, where it is about one.
    pub path: String,
}

/// What came of a command that ran with a fault.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status as a shell has it.
    pub status: i32,
    /// The call that had the fault; none: no such call was made.
    pub hit: Option<String>,
    /// It did not end within [`LIMIT`].
    pub hung: bool,
    /// Both its streams.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// The programs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `inject.c`, compiled.
    pub inject: PathBuf,
    /// The `reeve` that is tested.
    pub program: PathBuf,
    /// The fault that is planted in it, where it is a build with some.
    pub planted: Option<String>,
}

impl Tools {
    /// Compiles `inject.c` into `folder`.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn new(folder: &Path, program: &Path) -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/faults/inject.c");
        let inject = folder.join("inject");
        let compiled = Command::new("cc").args(["-O2", "-Wall", "-Werror", "-o"]).arg(&inject).arg(&source).output();
        let compiled = compiled.map_err(|error| format!("cc: {error}"))?;
        if !compiled.status.success() {
            return Err(format!("cc {}: {}", source.display(), String::from_utf8_lossy(&compiled.stderr)));
        }
        Ok(Self { inject, program: program.to_owned(), planted: None })
    }

    /// The same arguments, environment and all, for the program that is tested.
    pub fn retarget(&self, command: &Command) -> Command {
        let mut own = Command::new(&self.program);
        self.dress(&mut own, command);
        own
    }

    fn dress(&self, own: &mut Command, like: &Command) {
        own.args(like.get_args()).stdin(std::process::Stdio::null());
        own.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(planted) = &self.planted {
            own.env("REEVE_PLANTED_FAULT", planted);
        }
    }

    /// Runs `command` with a fault, or with a log of every system call where there is none. `attached` are the processes
    /// of the zone that already run.
    ///
    /// # Errors
    /// When the injector itself does not work.
    pub fn run(
        &self,
        folder: &Path,
        command: &Command,
        fault: Option<&Fault>,
        attached: &[(i32, Role)],
    ) -> Result<(Ran, Vec<Logged>)> {
        let (report, log) = (folder.join("inject.report"), folder.join("inject.log"));
        let mut inject = Command::new(&self.inject);
        for (pid, role) in attached {
            inject.args(["--attach", &format!("{pid}:{}", role.name())]);
        }
        match fault {
            Some(fault) => add_fault(&mut inject, fault),
            None => drop(inject.arg("--log").arg(&log)),
        }
        inject.arg("--report").arg(&report).args(["--limit", &LIMIT.as_millis().to_string(), "--"]).arg(&self.program);
        self.dress(&mut inject, command);
        let started = Instant::now();
        let output = inject.output().map_err(|error| format!("{}: {error}", self.inject.display()))?;
        let took = started.elapsed();
        let status = output.status.code().unwrap_or(-1);
        let shown = crate::harness::shown(&output);
        if status == 125 || status < 0 {
            return Err(format!("the injector failed ({}): {shown}", output.status));
        }
        let report = std::fs::read_to_string(&report).map_err(|error| format!("the report: {error}"))?;
        let hit = report.lines().find_map(|line| line.strip_prefix("hit ")).map(str::to_owned);
        let hung = report.lines().any(|line| line == "hang");
        let logged = if fault.is_none() { read_log(&log) } else { Vec::new() };
        Ok((Ran { status, hit, hung, output: shown, took }, logged))
    }
}

fn add_fault(inject: &mut Command, fault: &Fault) {
    let call = fault.call.unwrap_or(-1).to_string();
    inject.args(["--role", fault.role.name(), "--call", &call, "--nth", &fault.nth.to_string()]);
    let (kill, after) = match fault.effect {
        Effect::Errno(errno) => {
            inject.args(["--errno", &errno.to_string()]);
            return;
        }
        Effect::KillOne { after } => (fault.role.name(), after),
        Effect::KillAll { after } => ("controller,zoneadmd,zsched", after),
    };
    inject.args(["--kill", kill, "--at", if after { "exit" } else { "entry" }]);
}

fn read_log(path: &Path) -> Vec<Logged> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let role = fields.next()?.parse().ok()?;
        let (call, nth) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let path = fields.nth(1).unwrap_or_default().to_owned();
        Some(Logged { role, call, nth, path })
    };
    text.lines().filter_map(line).collect()
}
