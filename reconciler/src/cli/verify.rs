//! `verify`: whether zones can be installed and brought up safely (seed [0077]), each failed check with what to do.

use std::path::PathBuf;

use reeve::Host;
use reeve_schema::Zone;
use serde::Serialize;

use super::failure::{Failure, exit};
use super::output::{self, BOLD, Format, FormatArguments, GREEN, List, PLAIN, RED, Table, count};
use super::{Context, Done, input, safe_text, zones};

/// What `verify` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A configured zone, or manifests
    #[arg(required = true, value_name = "ZONE|PATH")]
    subjects: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// A failed check of one zone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    zone: String,
    what: String,
    todo: String,
}

/// Checks each zone and says what is not as it must be.
pub fn verify(context: &Context, arguments: &Arguments) -> Done {
    let host = context.host()?;
    let mut zones = Vec::new();
    for subject in &arguments.subjects {
        zones.extend(zones_of(context, &host, subject)?);
    }
    let failed: Vec<Failed> = zones.iter().flat_map(|zone| checks(&host, zone)).collect();
    let format = arguments.format.format;
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &List::new(Vec::from_iter(&failed)))?,
        Format::Md => {
            let mut table = Table::new(&["ZONE", "PROBLEM", "WHAT TO DO"]);
            failed.iter().for_each(|one| table.row([one.zone.clone(), one.what.clone(), one.todo.clone()]));
            output::print(&table.render(format))?;
        }
        Format::Table => tell(context, &zones, &failed)?,
    }
    Ok(if failed.is_empty() { exit::DONE } else { exit::ERROR })
}

fn checks(host: &Host, zone: &Zone) -> Vec<Failed> {
    let failed = |zone: &Zone, what: String, todo: String| Failed { zone: zone.name().to_string(), what, todo };
    host.verify(zone).into_iter().map(|refusal| failed(zone, refusal.what, refusal.todo)).collect()
}

fn tell(context: &Context, zones: &[Zone], failed: &[Failed]) -> Result<(), Failure> {
    for one in failed {
        let Failed { zone, what, todo } = one;
        let what = safe_text::line(what);
        output::complain(&format!("{RED}zone {zone}:{PLAIN} {what}\n  {BOLD}do:{PLAIN} {}", safe_text::line(todo)));
    }
    if failed.is_empty() && !context.quiet {
        let names: Vec<String> = zones.iter().map(|zone| zone.name().to_string()).collect();
        output::print(&format!("{GREEN}as it must be:{PLAIN} {}\n", names.join(", ")))?;
    } else if !failed.is_empty() {
        output::complain(&format!("{} failed", count(failed.len(), "check")));
    }
    Ok(())
}

/// The zones that a word means: a path if there is one of that name, else a configured zone.
fn zones_of(context: &Context, host: &Host, subject: &str) -> Result<Vec<Zone>, Failure> {
    let path = PathBuf::from(subject);
    if subject.contains('/') || path.exists() {
        let set = input::load(context, &[path])?;
        return Ok(set.zones.into_values().map(|loaded| loaded.zone).collect());
    }
    configured(host, subject).map(|zone| vec![zone])
}

/// The configuration of a zone.
///
/// # Errors
/// It has none.
pub fn configured(host: &Host, name: &str) -> Result<Zone, Failure> {
    match host.configuration(name)? {
        Some(zone) => Ok(zone),
        None => {
            let names: Vec<String> = host.status().items.into_iter().map(|zone| zone.name).collect();
            Err(zones::no_such_zone(name, &names))
        }
    }
}
