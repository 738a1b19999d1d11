//! The `reeve` command, which is `zoneadm`, `zlogin` and `zonecfg` as well when it is called so: arguments and dispatch.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().collect())
}
