//! Decodes `init`.

use super::absolute;
use super::secret::{self, AgeUse};
use crate::manifest::{CrashLoop, Init, Restart};
use crate::node::{Node, Value};
use crate::path;
use crate::quantity::TimeSpan;
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may};
use crate::source::shown;
use crate::text::TextError;

pub(super) const INIT: Shape = Shape {
    name: "Init",
    what: "`init`",
    fields: &[
        may("command", "[/usr/bin/sleep, infinity]"),
        may("program", "/sbin/init"),
        may("args", "[--log-level, debug]"),
        may("env", "{LANG: C.UTF-8}"),
        may("restart", "on-failure"),
        may("crashLoop", "{giveUpAfter: 5}"),
        may("haltSignal", "SIGTERM"),
        may("haltTimeout", "10s"),
    ],
    later: &[],
    foreign: &[("restartPolicy", "`restart:`"), ("stopSignal", "`haltSignal:`"), ("timeout", "`haltTimeout:`")],
};

pub(super) const CRASH_LOOP: Shape = Shape {
    name: "CrashLoop",
    what: "`crashLoop`",
    fields: &[may("giveUpAfter", "5"), may("backoff", "100ms"), may("maxBackoff", "10s"), may("resetAfter", "1m")],
    later: &[],
    foreign: &[
        ("limit", "`giveUpAfter:`"),
        ("retries", "`giveUpAfter:`"),
        ("burst", "`giveUpAfter:`"),
        ("interval", "`resetAfter:`"),
        ("delay", "`backoff:`"),
        ("maxDelay", "`maxBackoff:`"),
    ],
};

/// When init is started again.
pub(super) const RESTARTS: [(&str, Restart); 3] =
    [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];

/// Decodes `init`; files beside the manifest that it names go into `files`.
pub(super) fn init(r: &mut Reader, node: &Node, files: &mut Vec<AgeUse>) -> Option<Init> {
    let map = r.object(node, &INIT)?;
    let command = map.or_default(r, "command", command);
    let program = map.optional(r, "program", program);
    let args = map.or_default(r, "args", |r, node| r.list(node, |r, node| r.text(node).map(str::to_owned)));
    let env = map.or_default(r, "env", |r, node| {
        r.map_of(node, "a map of variables to values", variable, |r, name, node| secret::value(r, node, name, files))
    });
    let restart = map.or_default(r, "restart", |r, node| r.choice(node, "restart policy", &RESTARTS));
    let crash_loop = map.or_default(r, "crashLoop", crash_loop);
    let halt_signal = map.optional(r, "haltSignal", |r, node| r.parsed(node));
    let halt_timeout = map.optional(r, "haltTimeout", |r, node| r.parsed(node));
    fits_together(r, &map)?;
    let init = Init {
        command: command?,
        program: program?,
        args: args?,
        env: env?,
        restart: restart?,
        crash_loop: crash_loop?,
        halt_signal: halt_signal?,
        halt_timeout: halt_timeout?.unwrap_or_else(Init::default_halt_timeout),
    };
    if init.bytes() > Init::MAX_BYTES {
        let message = format!("`command`, `args` and `env` have {} bytes together", init.bytes());
        r.problem(node.place, message, format!("at most {}; a file in the zone can hold more", Init::MAX_BYTES));
        return None;
    }
    Some(init)
}

/// Decodes `init.crashLoop`.
fn crash_loop(r: &mut Reader, node: &Node) -> Option<CrashLoop> {
    let map = r.object(node, &CRASH_LOOP)?;
    let default = CrashLoop::default();
    let give_up_after =
        map.optional(r, "giveUpAfter", |r, node| r.integer(node, 0, u64::from(CrashLoop::GIVE_UP_AFTER_MAX)));
    let mut time = |name: &'static str, at_least: u32| map.optional(r, name, |r, node| span(r, node, at_least));
    let backoff = time("backoff", CrashLoop::BACKOFF_MIN_MILLIS);
    let max_backoff = time("maxBackoff", CrashLoop::BACKOFF_MIN_MILLIS);
    let reset_after = time("resetAfter", CrashLoop::RESET_AFTER_MIN_MILLIS);
    let give_up_after = give_up_after?.and_then(|n| u32::try_from(n).ok()).unwrap_or(default.give_up_after);
    let (backoff, max_backoff) = (backoff?.unwrap_or(default.backoff), max_backoff?.unwrap_or(default.max_backoff));
    if backoff > max_backoff {
        let message = format!("`backoff` ({backoff}) is longer than `maxBackoff` ({max_backoff})");
        r.problem(node.place, message, "a `maxBackoff` of at least `backoff`");
        return None;
    }
    Some(CrashLoop { give_up_after, backoff, max_backoff, reset_after: reset_after?.unwrap_or(default.reset_after) })
}

/// A length of time of at least so many milliseconds.
fn span(r: &mut Reader, node: &Node, at_least: u32) -> Option<TimeSpan> {
    let span: TimeSpan = r.parsed(node)?;
    if span.millis() < at_least {
        let least = TimeSpan::from_millis(at_least);
        r.problem(node.place, format!("`{span}` is too short"), format!("from {least} to 1h"));
        return None;
    }
    Some(span)
}

/// `program` contradicts `command`, and `args` belong to `program`.
fn fits_together(r: &mut Reader, map: &Object) -> Option<()> {
    let filled = |key| map.node(key).is_some_and(|node| node.value != Value::List(Vec::new()));
    if filled("command")
        && let Some(place) = map.key("program")
    {
        let help = "`command` for Reeve's own init, or `program` for one of the root";
        r.at("program", |r| r.problem(place, "`program` and `command` contradict each other", help));
        return None;
    }
    if filled("args")
        && map.key("program").is_none()
        && let Some(place) = map.key("args")
    {
        let help = "the arguments in `command`, after the program";
        r.at("args", |r| r.problem(place, "`args` are the arguments of `program`, which is not there", help));
        return None;
    }
    Some(())
}

/// Decodes `init.command`: the program first, then its arguments, which may be anything.
pub(super) fn command(r: &mut Reader, node: &Node) -> Option<Vec<String>> {
    if let Value::Text(text) = &node.value {
        let parts: Vec<String> = text.split_whitespace().map(|part| format!("{part:?}")).collect();
        let help = format!("a list, such as [{}]", shown(&parts.join(", ")));
        r.problem(node.place, "found text, expected a list: no shell takes it apart", help);
        return None;
    }
    let mut first = true;
    r.list(node, |r, node| {
        if std::mem::take(&mut first) {
            return program(r, node);
        }
        r.text(node).map(str::to_owned)
    })
}

/// The path of a program in the zone.
fn program(r: &mut Reader, node: &Node) -> Option<String> {
    let path = absolute(r, node)?;
    if path::parts(&path).next().is_none() {
        r.problem(node.place, "`/` is no program", "the absolute path of a program in the zone");
        return None;
    }
    Some(path)
}

/// The rule for names of environment variables.
fn variable(name: &str) -> Result<(), TextError> {
    let good = !name.is_empty() && !name.contains('=') && !name.chars().any(char::is_control);
    let error =
        || TextError::new("this cannot name a variable of the environment", "a name without `=`, such as `LANG`");
    if good { Ok(()) } else { Err(error()) }
}
