//! Decodes `init`.

use super::absolute;
use super::secret::{self, AgeUse};
use crate::manifest::{Init, Restart};
use crate::node::{Node, Value};
use crate::path;
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
        may("haltSignal", "SIGTERM"),
        may("haltTimeout", "10s"),
    ],
    later: &[],
    foreign: &[("restartPolicy", "`restart:`"), ("stopSignal", "`haltSignal:`"), ("timeout", "`haltTimeout:`")],
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
    let halt_signal = map.optional(r, "haltSignal", |r, node| r.parsed(node));
    let halt_timeout = map.optional(r, "haltTimeout", |r, node| r.parsed(node));
    fits_together(r, &map)?;
    let init = Init {
        command: command?,
        program: program?,
        args: args?,
        env: env?,
        restart: restart?,
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
