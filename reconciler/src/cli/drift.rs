//! `drift`: what nobody committed. Exit code as diff(1)'s.

use reeve::drift::{self, Drifted};
use serde_json::Value;

use super::failure::exit;
use super::output::{self, Format, FormatArguments, List, Table};
use super::{Context, Done, safe_text, time, zones};

/// What `drift` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Only of these zones
    #[arg(value_name = "ZONE")]
    zones: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// Shows what drifted; changes nothing and takes no lock.
pub fn drift(context: &Context, arguments: &Arguments) -> Done {
    let host = context.host()?;
    if !arguments.zones.is_empty() {
        let names: Vec<String> = host.status().items.into_iter().map(|zone| zone.name).collect();
        if let Some(unknown) = arguments.zones.iter().find(|zone| !names.contains(zone)) {
            return Err(zones::no_such_zone(unknown, &names));
        }
    }
    let drifted = drift::drifted(&host, &arguments.zones);
    let found = !drifted.is_empty();
    match arguments.format.format {
        format @ (Format::Json | Format::Yaml) => output::print_document(format, &List::new(drifted))?,
        Format::Table if !found => {
            if !context.quiet {
                output::complain("nothing drifted");
            }
        }
        format => {
            output::print(&table(&drifted, host.now()).render(format))?;
            if context.verbose > 0 && format == Format::Table {
                output::print(&snippets(&drifted))?;
            }
        }
    }
    Ok(if found { exit::DIFFERS } else { exit::DONE })
}

/// A table of what drifted.
pub fn table(drifted: &[Drifted], now: reeve_state::Timestamp) -> Table {
    let mut table = Table::new(&["ZONE", "FIELD", "RECORDED", "NOW", "HANDLING", "FOR", "BY"]);
    for one in drifted {
        let handling = match one.handling.as_str() {
            _ if one.returning => "returning",
            _ if one.waiting => "waiting",
            word => word,
        };
        table.row([
            one.zone.clone(),
            one.field.clone(),
            short(one.recorded.as_ref()),
            short(one.observed.as_ref()),
            handling.to_owned(),
            one.since.map(|since| time::age(since, now)).unwrap_or_default(),
            one.who.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table
}

fn short(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => safe_text::line(text),
        Some(other) => safe_text::line(&other.to_string()),
    }
}

/// What to put into the manifests to have it left as it is.
fn snippets(drifted: &[Drifted]) -> String {
    let mut out = "\nTo have it left as it is, in the zone's manifest:\n".to_owned();
    let mut last = "";
    for one in drifted {
        if one.zone != last {
            out += &format!("\n# {}\nspec:\n  drift:\n    fields:\n", one.zone);
            last = &one.zone;
        }
        // What comes with a number of its own each time is named by its group.
        let field = if one.field.starts_with("processes.") { "processes" } else { &one.field };
        out += &format!("      {field:?}: ignore\n");
    }
    out
}
