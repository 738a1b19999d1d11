//! The `reeve` command in the build with planted faults (see `planted.rs`), by a name of its own, so that it takes nobody's
//! place.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().collect())
}
