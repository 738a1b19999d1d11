//! `login` and `zlogin`: a shell or a command in a zone that is ready or running.

mod escape;
mod session;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use clap::Parser;
use reeve::Host;
use reeve_kernel::wire::{EndOfInit, LoginSpec};
use reeve_state::lifecycle::state_name;
use reeve_state::observed::derive_state;
use reeve_state::{Fact, ZoneState};

use super::failure::{Failure, exit};
use super::{Context, Done, Global, progress, zones};
use session::{Session, Started};

/// The search path in a zone.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `login` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The zone
    zone: String,
    /// The command and its arguments; none: root's shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Enter a zone that is ready or running.
#[derive(Debug, Parser)]
#[command(name = "zlogin", max_term_width = 100, disable_version_flag = true)]
struct Zlogin {
    #[command(flatten)]
    global: Global,
    /// Safe: /bin/sh without the files of a login
    #[arg(short = 'S')]
    safe: bool,
    /// No escape: ~. is sent like anything else
    #[arg(short = 'E')]
    no_escape: bool,
    /// The zone
    zone: String,
    /// A command for the zone's shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Carries out `reeve login`; the exit code is that of the command.
pub fn login(context: &Context, arguments: &Arguments) -> Done {
    let commands = match arguments.command.as_slice() {
        [] => login_shells(),
        command => vec![direct(command)?],
    };
    enter(context, &arguments.zone, commands, true)
}

/// Carries out `zlogin`.
pub fn zlogin(global: &Global, words: Vec<OsString>) -> u8 {
    let words = std::iter::once(OsString::from("zlogin")).chain(words);
    let arguments = match Zlogin::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::ERROR } else { exit::DONE };
        }
    };
    let global = arguments.global.or(global);
    let context = Context::new(&global);
    progress::start_logging(&context);
    let words = |command: &[OsString]| command.iter().map(text).collect::<Result<Vec<_>, _>>();
    let done = words(&arguments.command).and_then(|command| {
        let commands = match (command.as_slice(), arguments.safe) {
            ([], false) => login_shells(),
            ([], true) => vec![vec!["/bin/sh".into()]],
            (command, _) => vec![vec!["/bin/sh".into(), "-c".into(), command.join(" ")]],
        };
        enter(&context, &arguments.zone, commands, !arguments.no_escape)
    });
    done.unwrap_or_else(|failure| {
        failure.print_as("zlogin");
        exit::ERROR
    })
}

/// Root's shell, the better one first; not every zone has it.
fn login_shells() -> Vec<Vec<String>> {
    ["/bin/bash", "/bin/sh"].map(|shell| vec![shell.to_owned(), "-l".to_owned()]).to_vec()
}

/// A command as it is. One without a path is searched for by the zone's shell, which knows where.
fn direct(command: &[OsString]) -> Result<Vec<String>, Failure> {
    let words = command.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if words[0].starts_with('/') {
        return Ok(words);
    }
    let shell = ["/bin/sh", "-c", "exec \"$0\" \"$@\""].map(str::to_owned);
    Ok(shell.into_iter().chain(words).collect())
}

fn text(word: &OsString) -> Result<String, Failure> {
    let wrong = || Failure::new(format!("{} is not UTF-8 text", word.to_string_lossy()));
    std::str::from_utf8(word.as_bytes()).map(str::to_owned).map_err(|_| wrong())
}

/// Runs the first of these commands that the zone has.
fn enter(context: &Context, zone: &str, commands: Vec<Vec<String>>, escape: bool) -> Done {
    let host = context.host()?;
    check_state(&host, zone)?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut missing = String::new();
    for argv in commands {
        let login = LoginSpec { environment: environment(&argv[0]), argv, terminal, size: session::size() };
        let channel = host.zoneadmd(zone)?;
        match Session::start(channel, &login, escape)? {
            Started::Session(mut session) => return session.run().map(code),
            Started::NotThere(what) => missing = what,
        }
    }
    Err(Failure::new(format!("zone {zone} has no such command: {missing}")))
}

fn check_state(host: &Host, zone: &str) -> Result<(), Failure> {
    let facts = host.observe();
    let names: Vec<String> = facts.zones.keys().cloned().collect();
    let state = match facts.zones.get(zone).map(derive_state) {
        None | Some(Fact::Absent) => return Err(zones::no_such_zone(zone, &names)),
        Some(Fact::Unknown { why }) => {
            return Err(Failure::new(format!("the state of zone {zone} is not known: {why}")));
        }
        Some(Fact::Known(state)) => state,
    };
    if matches!(state, ZoneState::Ready | ZoneState::Running) {
        return Ok(());
    }
    let moves = reeve::words::legal_moves(Some(state));
    let message = format!("zone {zone} is {}; a login needs it ready or running", state_name(Some(state)));
    Err(Failure::new(message).help(format!("from {state} it can: {moves}")))
}

fn environment(shell: &str) -> Vec<String> {
    let mut environment: Vec<String> = vec![PATH.into(), "HOME=/root".into()];
    environment.extend(["USER=root".into(), "LOGNAME=root".into(), format!("SHELL={shell}")]);
    if let Some(term) = std::env::var("TERM").ok().filter(|term| term.chars().all(|c| c.is_ascii_graphic())) {
        environment.push(format!("TERM={term}"));
    }
    environment
}

/// The exit code as shells have it.
fn code(end: EndOfInit) -> u8 {
    match end {
        EndOfInit::Exited(status) => status as u8,
        EndOfInit::Signaled(signal) => 128u8.wrapping_add(signal as u8),
        // That is how an init would have ended; of a command it says the signal.
        EndOfInit::RebootInside => 129,
        EndOfInit::PoweroffInside => 130,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_a_path_go_through_the_shell() {
        let direct = |words: &[&str]| direct(&words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap().join(" ");
        assert_eq!(direct(&["/bin/ls", "-l"]), "/bin/ls -l");
        assert_eq!(direct(&["ls", "-l"]), "/bin/sh -c exec \"$0\" \"$@\" ls -l");
    }

    #[test]
    fn zlogin_leaves_the_command_alone() {
        let parsed = Zlogin::try_parse_from(["zlogin", "-S", "web", "ls", "-S", "--state-dir"]).unwrap();
        assert!(parsed.safe && parsed.zone == "web" && parsed.command.len() == 3);
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!([EndOfInit::Exited(3), EndOfInit::Signaled(9), EndOfInit::RebootInside].map(code), [3, 137, 129]);
    }
}
