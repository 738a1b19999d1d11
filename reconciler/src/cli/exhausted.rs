//! A host that has no descriptor, thread or memory to spare is told of as the error that it is. Where a thread or the runtime
//! cannot be started, the standard library and tokio know only to panic; no bug of Reeve's is behind it.

use std::panic::{self, PanicHookInfo};

use super::failure::exit;
use super::output;

/// How the panics begin that tell of such a host.
const EXHAUSTED: [&str; 4] =
    ["OS can't spawn worker thread", "failed to spawn thread", "failed to create UnixStream", "failed to clone"];

/// From here on such a panic is an error message and exit code 1; any other stays what it is.
pub fn tell_as_error() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| match text(info) {
        Some(text) if EXHAUSTED.iter().any(|start| text.starts_with(start)) => {
            output::complain(&format!(
                "{}error:{} this host cannot give what is needed: {text}",
                output::RED,
                output::PLAIN
            ));
            end();
        }
        _ => usual(info),
    }));
}

fn text<'i>(info: &'i PanicHookInfo<'_>) -> Option<&'i str> {
    let payload = info.payload();
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

#[allow(clippy::disallowed_methods, reason = "the panic ends the process anyway, by SIGABRT and without destructors")]
fn end() -> ! {
    std::process::exit(i32::from(exit::ERROR))
}
