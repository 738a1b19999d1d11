//! `stop`, `halt`, `restart`, `reboot` and `retry`: what somebody asks of zones by name, whatever their manifests say.

use std::sync::Arc;

use reeve::controller::{Controller, ControllerInfo};
use reeve::host::{Outcome, ZoneOutcome, ZoneResult};
use reeve::{Goal, Host, Notice, Observer};
use reeve_state::ZoneState;
use reeve_state::lifecycle::state_name;

use super::failure::{Failure, code_of, exit};
use super::{Context, Done, output, progress, safe_text, zones};

/// What `stop`, `halt`, `restart` and `reboot` take.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The zones
    #[arg(required = true, value_name = "ZONE")]
    zones: Vec<String>,
}

/// What `halt` takes.
#[derive(clap::Args, Debug)]
pub struct HaltArguments {
    #[command(flatten)]
    zones: Arguments,
    /// Detach mounts that are busy, instead of waiting for whoever uses them. These go on with them, unseen, and may still
    /// write; the zone stays `down` until it is proved that nobody does any more
    #[arg(long)]
    force_detach: bool,
}

/// What `retry` takes.
#[derive(clap::Args, Debug)]
pub struct RetryArguments {
    /// The zones: NAME…, or `zone NAME…`
    #[arg(required = true, value_name = "ZONE")]
    words: Vec<String>,
}

/// Halts zones.
pub fn halt(context: &Context, arguments: &HaltArguments) -> Done {
    if arguments.force_detach {
        output::complain(
            "warning: mounts that are busy are detached. Whoever uses them goes on with them and may still write, and \
             nothing shows it; do not remove or reinstall the zone before it is installed",
        );
    }
    carry_out(context, Goal::Halt, arguments.force_detach, &arguments.zones)
}

/// Carries out one transition on each of the zones, all at once.
pub fn imperative(context: &Context, goal: Goal, arguments: &Arguments) -> Done {
    carry_out(context, goal, false, arguments)
}

fn carry_out(context: &Context, goal: Goal, force_detach: bool, arguments: &Arguments) -> Done {
    let host = context.host()?;
    let mut code = exit::DONE;
    let mut outcome = Outcome::default();
    for done in ask(context, &host, goal, force_detach, &arguments.zones) {
        match done {
            Ok(done) => outcome.zones.push(done),
            Err(failure) => {
                failure.print();
                code = exit::ERROR;
            }
        }
    }
    for zone in &outcome.zones {
        tell(context, zone)?;
        if let Some(next) = told_of_controller(context, &host, zone) {
            output::complain(&format!("{}: {next}", zone.zone));
        }
    }
    Ok(if code == exit::DONE { code_of(&outcome) } else { code })
}

/// Asks for a transition of each of the zones, all at once, and shows what goes on.
fn ask(
    context: &Context,
    host: &Host,
    goal: Goal,
    force_detach: bool,
    names: &[String],
) -> Vec<Result<ZoneOutcome, Failure>> {
    let teller = progress::start(context, names);
    let observer = without_what_comes_next(zones::controller(context), teller.observer());
    let done = std::thread::scope(|scope| {
        let ask = |name: &'_ String| {
            let asked = match force_detach {
                true => host.halt_by_force(name, &observer),
                false => host.imperative(name, goal, &observer),
            };
            asked.map_err(|error| zones::find(host, name).err().unwrap_or(error.into()))
        };
        let asked: Vec<_> = names.iter().map(|name| scope.spawn(move || ask(name))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("it broke off")))).collect()
    });
    teller.finish();
    done
}

/// What a controller does next is said at the end ([`told_of_controller`]), with more than is known while at work.
fn without_what_comes_next(info: Option<ControllerInfo>, observer: Observer) -> Observer {
    let controller = info.map(|info| format!("process {})", info.pid));
    Arc::new(move |notice| match &notice {
        Notice::Message { text, .. } if controller.as_ref().is_some_and(|controller| text.contains(controller)) => {}
        // The state is told with the outcome.
        Notice::State { .. } => {}
        _ => observer(notice),
    })
}

fn tell(context: &Context, zone: &ZoneOutcome) -> Result<(), Failure> {
    let state = output::paint_state(state_name(zone.state));
    match &zone.result {
        ZoneResult::Converged if context.quiet => Ok(()),
        ZoneResult::Converged => output::print(&format!("{}: {state}\n", zone.zone)),
        ZoneResult::Waiting(why) | ZoneResult::Blocked(why) | ZoneResult::Failed(why) => {
            output::complain(&format!("{}: {state}: {}", zone.zone, safe_text::lines(why, "  ")));
            Ok(())
        }
    }
}

/// What was asked for may be against what a controller keeps the zone at: what it will do.
pub fn told_of_controller(context: &Context, host: &Host, zone: &ZoneOutcome) -> Option<String> {
    let info = zones::controller(context).filter(|_| !context.quiet)?;
    let next = zones::controller_next(context, host, &info, &zone.zone, zone.state);
    Some(format!("recorded as an event; {}", safe_text::line(&next)))
}

/// Makes zones be tried again at once.
pub fn retry(context: &Context, arguments: &RetryArguments) -> Done {
    let names = match arguments.words.as_slice() {
        [kind, names @ ..] if kind == "zone" && !names.is_empty() => names,
        names => names,
    };
    let host = context.host()?;
    let mut controller = Controller::connect(&context.places)?;
    let mut code = exit::DONE;
    for name in names {
        match &mut controller {
            Some(controller) => controller.retry(name)?,
            // Nobody else would: an unfinished halt is gone on with here.
            None if zones::find(&host, name)?.state.is_some_and(ZoneState::is_halting) => {
                code = code.max(carry_out(context, Goal::Halt, false, &Arguments { zones: vec![name.clone()] })?);
                continue;
            }
            None => host.retry(name)?,
        }
        if !context.quiet {
            let by = if controller.is_some() { "now" } else { "by the next `reeve apply` or `reeve run`" };
            output::print(&format!("{name}: is tried again {by}\n"))?;
        }
    }
    Ok(code)
}
