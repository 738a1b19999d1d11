//! `apply`: takes the zones where the manifests (or a saved plan) want them, then leaves. Beside a controller that follows
//! the same manifests it asks that one for a pass and follows it.

use std::path::PathBuf;
use std::time::Duration;

use reeve::Error;
use reeve::controller::Controller;
use reeve::host::{Outcome, ZoneResult};
use reeve_schema::quantity::TimeSpan;
use reeve_state::lifecycle::state_name;
use serde::Serialize;

use super::failure::{Failure, code_of};
use super::input::Manifests;
use super::output::{self, Format, FormatArguments, List, Table};
use super::plan::saved::{self, SavedPlan};
use super::{Context, Done, progress};

/// What `apply` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A manifest, a folder of manifests, or a plan that `reeve plan --out` saved
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// How long to wait for zones that wait themselves, such as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "1m")]
    timeout: TimeSpan,
    /// Let zones lose their manifests also where that is all of them, or most
    #[arg(long)]
    allow_removals: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Takes the zones where they are wanted.
pub fn apply(context: &Context, arguments: &Arguments) -> Done {
    let format = arguments.format.format;
    if let Some(saved) = saved::read(&arguments.path)? {
        return apply_saved(context, arguments, saved);
    }
    let manifests = Manifests { path: arguments.path.clone() };
    let set = manifests.load(context)?;
    let host = context.host()?;
    let patience = arguments.timeout.duration();
    if let Some(outcome) = beside_controller(context, &manifests, patience)? {
        return report(context, &outcome, format);
    }
    let source = manifests.source();
    let lock = host.lock("reeve apply", Some(&source.display().to_string())).map_err(explain)?;
    if let Some(removal) = host.refused_removal(&set, &source).filter(|_| !arguments.allow_removals) {
        let help = "if that is meant: --allow-removals; nothing was done";
        return Err(Failure::new(removal.message()).help(help));
    }
    let names: Vec<String> = set.zones.keys().map(ToString::to_string).collect();
    let teller = progress::start(context, &names);
    let outcome = host.apply(&lock, &set, &source, patience, &teller.observer());
    teller.finish();
    report(context, &outcome, format)
}

/// Carries out a saved plan, if nothing that it stands on has moved.
fn apply_saved(context: &Context, arguments: &Arguments, saved: SavedPlan) -> Done {
    let host = context.host()?;
    let source = saved.source.clone();
    let lock = host.lock("reeve apply", Some(&source.display().to_string())).map_err(explain)?;
    let (set, commit) = saved.load(context)?;
    let mut now = host.plan(&set, &source);
    now.basis.commit = commit;
    let planned = saved.unmoved(&arguments.path, &now)?;
    let names: Vec<String> = planned.plan.zones.iter().map(|zone| zone.name.clone()).collect();
    let teller = progress::start(context, &names);
    let outcome = host.apply_plan(&lock, &planned, &set, &source, &teller.observer());
    teller.finish();
    report(context, &outcome?, arguments.format.format)
}

/// Asks a controller that runs; none where no controller does.
fn beside_controller(context: &Context, manifests: &Manifests, patience: Duration) -> Result<Option<Outcome>, Failure> {
    let Some(mut controller) = Controller::connect(&context.places)? else { return Ok(None) };
    let info = controller.info()?;
    if info.source != manifests.source() {
        let followed = info.source.display();
        let message =
            format!("a controller (`reeve run`, process {}) keeps this host's zones as {followed} says", info.pid);
        return Err(Failure::new(message).help(format!(
            "put the manifests there, or end it (kill {}; the zones stay up) and apply again",
            info.pid
        )));
    }
    if !context.quiet {
        output::complain(&format!("the controller (process {}) makes a pass", info.pid));
    }
    let teller = progress::start(context, &[]);
    let outcome = controller.pass(patience, &teller.observer());
    teller.finish();
    Ok(Some(outcome?))
}

/// Says what became of the zones.
pub fn report(context: &Context, outcome: &Outcome, format: Format) -> Done {
    match format {
        Format::Json | Format::Yaml => {
            let items = outcome.zones.iter().map(|zone| {
                let (result, message) = words(&zone.result);
                let state = zone.state.map(|state| state.as_str());
                Item { name: &zone.zone, state, result, message }
            });
            output::print_document(format, &List::new(items.collect()))?;
        }
        Format::Table if context.quiet || outcome.zones.is_empty() => {}
        _ => {
            let mut table = Table::new(&["NAME", "STATE", "RESULT", "WHY"]);
            for zone in &outcome.zones {
                let (result, message) = words(&zone.result);
                let state = state_name(zone.state);
                table.row([zone.zone.clone(), state.into(), result.into(), message.unwrap_or_default().into()]);
            }
            output::print(&table.render(format))?;
        }
    }
    Ok(code_of(outcome))
}

/// A zone's end as documents have it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    name: &'a str,
    state: Option<&'static str>,
    result: &'static str,
    message: Option<&'a str>,
}

fn words(result: &ZoneResult) -> (&'static str, Option<&str>) {
    match result {
        ZoneResult::Converged => ("converged", None),
        ZoneResult::Waiting(why) => ("waiting", Some(why)),
        ZoneResult::Blocked(why) => ("blocked", Some(why)),
        ZoneResult::Failed(why) => ("failed", Some(why)),
    }
}

/// An error, and where somebody else has the state folder, what to do about that.
pub fn explain(error: Error) -> Failure {
    let help = match &error {
        Error::Held(holder) if holder.command.starts_with("reeve run") => Some(format!(
            "end it first (kill {}; the zones stay as they are), or change the manifests that it follows",
            holder.pid
        )),
        Error::Held(holder) => Some(format!("wait until process {} is done", holder.pid)),
        _ => None,
    };
    let failure = Failure::from(error);
    Failure { help, ..failure }
}
