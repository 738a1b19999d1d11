//! The command line: its arguments, and who carries each command out. A command says how it went by its exit code
//! ([`Failure`] has the meaning of each) and by text for people, or by a document for machines (`-o json`).

mod apply;
mod approve;
mod describe;
mod diff;
mod down;
mod drift;
mod events;
mod exhausted;
mod failure;
mod get;
mod halted;
mod imperative;
mod input;
mod live;
mod log;
mod login;
mod logs;
mod output;
mod plan;
mod progress;
mod render;
mod run;
mod secret;
mod source;
mod suspend;
mod terminal;
mod validate;
mod verify;
mod view;
mod who;
mod wrap;
mod zoneadm;
mod zones;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use reeve::{Host, Places, configuration, safe_text, time};
use reeve_schema::HostSelf;
use reeve_state::lifecycle::{EDGES, Edge, state_name};

use failure::{Failure, exit};

/// What a command comes to: its exit code, or why it could not be done.
type Done = Result<u8, Failure>;

/// Keeps OS zones on Linux in the states that git says.
#[derive(Debug, Parser)]
#[command(name = "reeve", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// Folder of what outlives a boot of the host [default: $REEVE_STATE_DIR, or /var/lib/reeve]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// Folder of what ends with the host's boot [default: $REEVE_RUN_DIR, or /run/reeve]
    #[arg(long, value_name = "DIR", global = true)]
    run_dir: Option<PathBuf>,
    /// The host's configuration [default: $REEVE_CONFIG, or /etc/reeve/config.yaml if that is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// No colours (as with NO_COLOR in the environment)
    #[arg(long, global = true)]
    no_color: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice: still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Global {
    /// These, and where they say nothing, those.
    fn or(self, those: &Self) -> Self {
        Self {
            state_dir: self.state_dir.or_else(|| those.state_dir.clone()),
            run_dir: self.run_dir.or_else(|| those.run_dir.clone()),
            config: self.config.or_else(|| those.config.clone()),
            no_color: self.no_color || those.no_color,
            quiet: self.quiet || those.quiet,
            verbose: self.verbose.max(those.verbose),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check manifests: every problem at once, with its place and what would be right
    Validate(validate::Arguments),
    /// Print what a host gets of a set of manifests, and what overlays made of it
    Render(render::Arguments),
    /// Show what would be done, step by step, and what it costs; changes nothing
    Plan(plan::Arguments),
    /// Show what differs between the manifests and the host, and why; changes nothing
    Diff(diff::Arguments),
    /// Show what changed on the host and nobody committed; changes nothing
    Drift(drift::Arguments),
    /// Take the zones where the manifests want them, then leave
    Apply(apply::Arguments),
    /// Keep the zones where a folder of manifests, or a git repository, wants them, until Ctrl-C
    Run(run::Arguments),
    /// Halt the zones of these manifests; with --purge remove them
    Down(down::Arguments),
    /// List zones and their states
    Get(get::Arguments),
    /// Tell everything about one zone
    Describe(describe::Arguments),
    /// Check whether zones can be installed and brought up safely
    Verify(verify::Arguments),
    /// Show what a zone's console said
    Logs(logs::Arguments),
    /// Open a shell, or run a command, in a ready or running zone
    Login(login::Arguments),
    /// End a running zone's application environment; platform and ID stay (running > ready)
    Stop(imperative::Arguments),
    /// Stop running zones and boot them again; platform and ID stay
    Restart(imperative::Arguments),
    /// Take zones down to installed
    Halt(imperative::HaltArguments),
    /// Halt running zones and bring them up again, with new IDs
    Reboot(imperative::Arguments),
    /// Try zones again that gave up or wait
    Retry(imperative::RetryArguments),
    /// Leave zones alone for a while: drift is still told, nothing is done but an unfinished halt
    Suspend(suspend::SuspendArguments),
    /// End what suspend began
    Resume(suspend::ResumeArguments),
    /// Show what was done to zones, and by which commit
    History(source::HistoryArguments),
    /// Show what happened on this host and to its zones; with --watch go on
    Events(events::Arguments),
    /// Make the controller look at its git repository at once
    Notify(source::NotifyArguments),
    /// Say yes to what Reeve does not do by itself
    Approve(approve::Arguments),
    /// Print the JSON Schema of a manifest, of a host's configuration, or of a plan
    Schema(validate::SchemaArguments),
    /// Print the completions for a shell
    Completion(CompletionArguments),
    /// Administer zones as on Solaris (also by the name `zoneadm`)
    #[command(disable_help_flag = true)]
    Zoneadm(Words),
    /// Enter zones as on Solaris (also by the name `zlogin`)
    #[command(disable_help_flag = true)]
    Zlogin(Words),
    /// zonecfg: not there yet
    #[command(disable_help_flag = true, hide = true)]
    Zonecfg(Words),
}

/// The arguments of another command line, as they are.
#[derive(Args, Debug)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

#[derive(Args, Debug)]
struct CompletionArguments {
    /// The shell
    shell: clap_complete::Shell,
}

/// What every command is given.
#[derive(Clone, Debug)]
struct Context {
    places: Places,
    config: Option<PathBuf>,
    quiet: bool,
    verbose: u8,
}

impl Context {
    fn new(global: &Global) -> Self {
        let places = Places::new(global.state_dir.as_deref(), global.run_dir.as_deref(), None);
        Self { places, config: global.config.clone(), quiet: global.quiet, verbose: global.verbose }
    }

    /// Who this host is, by its configuration.
    fn host_self(&self) -> Result<HostSelf, Failure> {
        Ok(configuration::host_self(&configuration::load(self.config.as_deref())?))
    }

    /// The host, which is checked for what zones need. A configuration that is wrong is told and keeps nobody from looking at
    /// zones or halting them; who needs more of it than what opens secrets fails by it.
    fn host(&self) -> Result<Host, Failure> {
        let configuration = configuration::load(self.config.as_deref()).unwrap_or_else(|error| {
            Failure::from(error).print();
            configuration::Configuration::default()
        });
        let identity = configuration.secrets.age_identity.as_deref().map(Path::new);
        Ok(Host::open(self.places.clone().with_age_identity(identity))?)
    }
}

/// Carries out what the arguments say; the first of them is the name that the program was called by.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    exhausted::tell_as_error();
    if arguments.iter().any(|argument| argument == "--no-color") {
        anstream::ColorChoice::Never.write_global();
    }
    let called = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default().to_owned();
    let words = || arguments.iter().skip(1).cloned().collect();
    let code = match called.to_str() {
        Some("zoneadm") => zoneadm::main(&Global::default(), words()),
        Some("zlogin") => login::zlogin(&Global::default(), words()),
        Some("zonecfg") => zoneadm::zonecfg(),
        _ => reeve(&arguments),
    };
    ExitCode::from(code)
}

fn reeve(arguments: &[OsString]) -> u8 {
    let usage = if named_command(arguments).is_some_and(|name| name == "diff" || name == "drift") {
        exit::DIFF_ERROR
    } else {
        exit::ERROR
    };
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output is no error here either.
            let _ = error.print();
            return if error.use_stderr() { usage } else { exit::DONE };
        }
    };
    let context = Context::new(&cli.global);
    progress::start_logging(&context);
    let done = dispatch(&context, &cli.global, cli.command);
    done.unwrap_or_else(|failure| {
        failure.print();
        if usage == exit::DIFF_ERROR { usage } else { failure.code }
    })
}

fn dispatch(context: &Context, global: &Global, command: Command) -> Done {
    use reeve::Goal;
    match command {
        Command::Validate(arguments) => validate::validate(context, &arguments),
        Command::Render(arguments) => render::render(context, &arguments),
        Command::Plan(arguments) => plan::plan(context, &arguments),
        Command::Diff(arguments) => diff::diff(context, &arguments),
        Command::Drift(arguments) => drift::drift(context, &arguments),
        Command::Apply(arguments) => apply::apply(context, &arguments),
        Command::Run(arguments) => run::run(context, &arguments),
        Command::Down(arguments) => down::down(context, &arguments),
        Command::Get(arguments) => get::get(context, &arguments),
        Command::Describe(arguments) => describe::describe(context, &arguments),
        Command::Verify(arguments) => verify::verify(context, &arguments),
        Command::Logs(arguments) => logs::logs(context, &arguments),
        Command::Login(arguments) => login::login(context, &arguments),
        Command::Stop(arguments) => imperative::imperative(context, Goal::Stop, &arguments),
        Command::Restart(arguments) => imperative::imperative(context, Goal::Restart, &arguments),
        Command::Halt(arguments) => imperative::halt(context, &arguments),
        Command::Reboot(arguments) => imperative::imperative(context, Goal::Reboot, &arguments),
        Command::Retry(arguments) => imperative::retry(context, &arguments),
        Command::Suspend(arguments) => suspend::suspend(context, &arguments),
        Command::Resume(arguments) => suspend::resume(context, &arguments),
        Command::History(arguments) => source::history(context, &arguments),
        Command::Events(arguments) => events::events(context, &arguments),
        Command::Notify(arguments) => source::notify(context, &arguments),
        Command::Approve(arguments) => approve::approve(context, &arguments),
        Command::Schema(arguments) => validate::schema(&arguments),
        Command::Completion(arguments) => completion(&arguments),
        Command::Zoneadm(arguments) => Ok(zoneadm::main(global, arguments.words)),
        Command::Zlogin(arguments) => Ok(login::zlogin(global, arguments.words)),
        Command::Zonecfg(_) => Ok(zoneadm::zonecfg()),
    }
}

/// The command line with what its help tells of transitions, which the table says.
fn command() -> clap::Command {
    let row = |edge: &Edge| {
        let way = std::iter::once(state_name(edge.from)).chain(edge.via.iter().map(|state| state.as_str()));
        let way: Vec<&str> = way.chain([state_name(edge.to)]).collect();
        format!("  {:<12} {}\n", edge.transition, way.join(" > "))
    };
    let rows: String = EDGES.iter().map(row).collect();
    let exits = "  validate  0, 1 problems\n  \
                 plan      0, 1 error; with --detailed-exitcode 2 something to do\n  \
                 diff      0 as wanted, 1 differs, 2 error\n  \
                 drift     0 none, 1 some, 2 error\n  \
                 apply     0 converged, 1 error, 3 a zone is blocked or given up, 4 waiting\n  \
                 login     that of the command; 128 and the signal that ended it; 1 no way in\n";
    Cli::command().after_long_help(format!("Transitions:\n{rows}\nExit codes:\n{exits}"))
}

/// The command that the arguments name, also where they make no sense otherwise.
fn named_command(arguments: &[OsString]) -> Option<&OsStr> {
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--state-dir" || word == "--run-dir" || word == "--config" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
    None
}

fn completion(arguments: &CompletionArguments) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "reeve", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_command_is_found_among_options() {
        let named = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            named_command(&words).map(|word| word.to_string_lossy().into_owned())
        };
        assert_eq!(named(&["reeve", "--state-dir", "diff", "-q", "plan"]).as_deref(), Some("plan"));
        assert_eq!(named(&["reeve", "--state-dir=x", "diff"]).as_deref(), Some("diff"));
        assert_eq!(named(&["reeve"]), None);
    }
}
