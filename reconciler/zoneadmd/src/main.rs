//! `zoneadmd NAME`: the one process per active zone that brings its platform up, boots, stops and halts it (seed [0045],
//! [0055], [0070]). It runs in the global zone with one thread, keeps nothing that zsched or the kernel does not keep
//! too, and may be killed at any moment: the next one adopts the zone.
//!
//! The same program is zsched (a fork of zoneadmd that never executes anything) and the default init of a zone.
#![forbid(unsafe_code)]

mod console;
mod environment;
mod halt;
mod logins;
mod ready;
mod serve;
mod steps;
mod supervisor;
mod zsched;

use reeve_kernel::channel::Channel;
use reeve_kernel::error::Result;
use reeve_kernel::{application, sys};
use std::process::ExitCode;

/// zsched has children in its memory.
#[global_allocator]
static ALLOCATOR: sys::Allocator = sys::Allocator;

/// The descriptor on which the controller's channel is handed over.
const CHANNEL: i32 = 3;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    // Executed by descriptor, the kernel names the process after a memory file. The name that pgrep -l shows has room
    // for 15 bytes: the zone's is part of it as far as it goes, and whole in the arguments.
    if name == "init" {
        sys::set_name("init");
        let command: Vec<String> = arguments.collect();
        return ExitCode::from(application::init::run(&command) as u8);
    }
    // One that waits for a zone has blanks there.
    let zone = arguments.next().unwrap_or_default();
    sys::set_name(format!("{name} {zone}").trim_end());
    match run() {
        // The kernel takes everything back by itself, and sooner.
        Ok(()) => sys::exit_now(0),
        Err(error) => {
            eprintln!("zoneadmd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let controller = Channel::from_fd(sys::inherited(CHANNEL)?);
    // Nothing here is written by name without its mode being given, and zsched makes device nodes.
    rustix::process::umask(rustix::fs::Mode::empty());
    sys::set_undumpable();
    serve::serve(controller)
}
