//! `zoneadm` as on Solaris: the same zones, by the old names. `zonecfg` is told of only.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::{Args, Parser, Subcommand};
use reeve::host::ZoneResult;
use reeve::{Goal, Host};
use reeve_state::ZoneState;
use reeve_state::status::ZoneStatus;

use super::failure::{Failure, exit};
use super::{Context, Done, Global, imperative, output, progress, verify, zones};

/// Administer zones.
#[derive(Debug, Parser)]
#[command(name = "zoneadm", max_term_width = 100, disable_help_subcommand = true, disable_version_flag = true)]
struct Zoneadm {
    #[command(flatten)]
    places: Places,
    /// The zone
    #[arg(short = 'z', value_name = "ZONE")]
    zone: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// Where the files are.
#[derive(Args, Clone, Debug)]
struct Places {
    /// As of reeve
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<std::path::PathBuf>,
    /// As of reeve
    #[arg(long, value_name = "DIR", global = true)]
    run_dir: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List zones: those that are active, or as the options say
    List(ListArguments),
    /// Check whether the zone can be installed and brought up safely
    Verify,
    /// Put the files of the zone's root in place
    Install,
    /// Bring the virtual platform up
    Ready,
    /// Start the application environment
    Boot,
    /// Take the zone down to installed
    Halt,
    /// Halt the zone and boot it again
    Reboot,
    /// Remove the files of the zone
    Uninstall {
        /// Do not ask
        #[arg(short = 'F')]
        force: bool,
    },
}

#[derive(Args, Debug)]
struct ListArguments {
    /// All configured zones
    #[arg(short = 'c')]
    configured: bool,
    /// All installed zones
    #[arg(short = 'i')]
    installed: bool,
    /// For programs: zoneid:zonename:state:zonepath, a line each
    #[arg(short = 'p', conflicts_with = "verbose")]
    parsable: bool,
    /// ID, name, status and path
    #[arg(short = 'v')]
    verbose: bool,
}

/// Carries out what the words after `zoneadm` say; the exit code.
pub fn main(global: &Global, words: Vec<OsString>) -> u8 {
    let words = std::iter::once(OsString::from("zoneadm")).chain(words);
    let arguments = match Zoneadm::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::ZONEADM_USAGE } else { exit::DONE };
        }
    };
    let Places { state_dir, run_dir } = arguments.places.clone();
    let context = Context::new(&Global { state_dir, run_dir, ..Global::default() }.or(global));
    progress::start_logging(&context);
    carry_out(&context, &arguments).unwrap_or_else(|failure| {
        failure.print_as("zoneadm");
        failure.code
    })
}

fn carry_out(context: &Context, arguments: &Zoneadm) -> Done {
    let host = context.host()?;
    if let Command::List(list) = &arguments.command {
        return self::list(&host, arguments.zone.as_deref(), list);
    }
    let Some(zone) = arguments.zone.as_deref() else {
        let failure = Failure::new("which zone?").help("zoneadm -z ZONE …");
        return Err(Failure { code: exit::ZONEADM_USAGE, ..failure });
    };
    let goal = match &arguments.command {
        Command::Verify => return check(&host, zone),
        Command::Install => {
            check(&host, zone)?;
            Goal::Install
        }
        Command::Uninstall { force } => {
            if !*force && !agreed(zone)? {
                return Ok(exit::ERROR);
            }
            Goal::Uninstall
        }
        Command::Ready => Goal::Ready,
        Command::Boot => Goal::Boot,
        Command::Halt => Goal::Halt,
        Command::Reboot => Goal::Reboot,
        Command::List(_) => return Ok(exit::DONE),
    };
    ask(context, &host, zone, goal)
}

fn ask(context: &Context, host: &Host, zone: &str, goal: Goal) -> Done {
    let about = format!("zone '{zone}'");
    // Says nothing where all goes well, as on Solaris.
    let done = host.imperative(zone, goal, &reeve::progress::silent())?;
    if let Some(next) = imperative::told_of_controller(context, host, &done) {
        output::complain(&format!("zoneadm: {about}: {next}"));
    }
    match done.result {
        ZoneResult::Converged => Ok(exit::DONE),
        ZoneResult::Waiting(why) | ZoneResult::Blocked(why) | ZoneResult::Failed(why) => {
            Err(Failure::new(why).about(&about))
        }
    }
}

/// Says what is not as it must be, as zoneadm(8) does before it says that the zone is not verified.
fn check(host: &Host, name: &str) -> Done {
    let zone = verify::configured(host, name)?;
    let refusals = host.verify(&zone);
    for refusal in &refusals {
        output::complain(&format!("{}\n  do: {}", refusal.what, refusal.todo));
    }
    if refusals.is_empty() {
        return Ok(exit::DONE);
    }
    Err(Failure::new("not as it must be, because of the above").about(&format!("zone '{name}'")))
}

/// Whether somebody at a terminal agrees that the files go. Nobody there: `-F` is needed.
fn agreed(zone: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "uninstall removes the files of the zone, and there is no terminal to ask at";
        return Err(Failure::new(message)
            .about(&format!("zone '{zone}'"))
            .help(format!("zoneadm -z {zone} uninstall -F")));
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "Are you sure you want to uninstall zone {zone} (y/[n])? ").and_then(|()| out.flush());
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(answer.trim().eq_ignore_ascii_case("y") || answer.trim().eq_ignore_ascii_case("yes"))
}

/// A zone as `list` has it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    id: Option<u32>,
    name: String,
    state: ZoneState,
    path: String,
}

fn list(host: &Host, zone: Option<&str>, arguments: &ListArguments) -> Done {
    if zone.is_some() && (arguments.configured || arguments.installed) {
        let failure = Failure::new("-z takes neither -c nor -i: the zone is listed in any state");
        return Err(Failure { code: exit::ZONEADM_USAGE, ..failure });
    }
    let mut listed = all(host.status().items);
    match zone {
        Some(name) => {
            let names: Vec<String> = listed.iter().map(|one| one.name.clone()).collect();
            listed.retain(|one| one.name == name);
            if listed.is_empty() {
                return Err(zones::no_such_zone(name, &names));
            }
        }
        None => listed.retain(|one| {
            let installed = one.state != ZoneState::Configured;
            one.state.is_active() || arguments.configured || (arguments.installed && installed)
        }),
    }
    output::print(&render(&listed, arguments))?;
    Ok(exit::DONE)
}

/// The global zone first, then the others in the order of their states and names, as in the seed's figure 4A.
fn all(zones: Vec<ZoneStatus>) -> Vec<Listed> {
    let listed = |zone: ZoneStatus| {
        let (id, path) = (zone.zone_id, zone.zonepath.unwrap_or_default());
        zone.state.map(|state| Listed { id, name: zone.name, state, path })
    };
    let mut others: Vec<Listed> = zones.into_iter().filter_map(listed).collect();
    others.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));
    let global = Listed { id: Some(0), name: "global".into(), state: ZoneState::Running, path: "/".into() };
    std::iter::once(global).chain(others).collect()
}

fn render(listed: &[Listed], arguments: &ListArguments) -> String {
    let id = |one: &Listed| one.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let line = |one: &Listed| match () {
        () if arguments.verbose => format!("{:>4} {:<16} {:<14} {}\n", id(one), one.name, one.state, one.path),
        () if arguments.parsable => {
            format!("{}:{}:{}:{}\n", id(one), one.name, one.state, one.path.replace(':', "\\:"))
        }
        () => format!("{}\n", one.name),
    };
    let header =
        if arguments.verbose { format!("{:>4} {:<16} {:<14} PATH\n", "ID", "NAME", "STATUS") } else { String::new() };
    header + &listed.iter().map(line).collect::<String>()
}

/// Says that `zonecfg` is not there, and what is.
pub fn zonecfg() -> u8 {
    let failure = Failure::new("not there yet; zones are configured by manifests");
    let help = "write a manifest (examples/quickstart has some, `reeve schema` has every field), \
                check it with `reeve validate FILE`, then: reeve apply FILE";
    failure.help(help).print_as("zonecfg");
    exit::ERROR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Vec<Listed> {
        let zone = |id, name: &str, state, path: &str| Listed { id, name: name.into(), state, path: path.into() };
        vec![
            zone(Some(0), "global", ZoneState::Running, "/"),
            zone(None, "my-zone", ZoneState::Configured, "/aux0/my-zone"),
            zone(None, "fun", ZoneState::Installed, "/aux0/fun"),
            zone(Some(15), "nofun", ZoneState::Ready, "/aux0/no:fun"),
            zone(Some(7), "lucky", ZoneState::Running, "/aux0/lucky"),
            zone(Some(13), "unlucky", ZoneState::ShuttingDown, "/aux0/unlucky"),
        ]
    }

    fn arguments(words: &[&str]) -> ListArguments {
        match Zoneadm::try_parse_from(["zoneadm", "list"].iter().chain(words)).unwrap().command {
            Command::List(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn figure_4a() {
        let expected = "  ID NAME             STATUS         PATH\n\
                        \u{20}  0 global           running        /\n\
                        \u{20}  - my-zone          configured     /aux0/my-zone\n\
                        \u{20}  - fun              installed      /aux0/fun\n\
                        \u{20} 15 nofun            ready          /aux0/no:fun\n\
                        \u{20}  7 lucky            running        /aux0/lucky\n\
                        \u{20} 13 unlucky          shutting_down  /aux0/unlucky\n";
        assert_eq!(render(&figure(), &arguments(&["-civ"])), expected);
    }

    #[test]
    fn for_programs() {
        let text = render(&figure(), &arguments(&["-p"]));
        assert!(text.starts_with("0:global:running:/\n-:my-zone:configured:/aux0/my-zone\n"), "{text}");
        assert!(text.contains("15:nofun:ready:/aux0/no\\:fun\n"), "{text}");
        assert!(Zoneadm::try_parse_from(["zoneadm", "list", "-pv"]).is_err());
    }

    #[test]
    fn names_alone() {
        assert!(render(&figure(), &arguments(&[])).starts_with("global\nmy-zone\n"));
    }
}
