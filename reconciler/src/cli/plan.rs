//! `plan`: what would be done to take the host where the manifests want it, and what each step costs.

mod files;
pub mod saved;
pub mod text;

use std::path::PathBuf;

use reeve::host::Planned;
use reeve_state::audit::{Finding, Severity};
use reeve_state::plan::ZonePlan;
use serde::Serialize;

use super::failure::{Failure, exit};
use super::input::Manifests;
use super::output::{self, Format, FormatArguments, Table};
use super::{Context, Done, time};

/// What `plan` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Where to: a manifest, or a folder of manifests and folders
    #[arg(value_name = "PATH", required_unless_present = "to", conflicts_with = "to")]
    path: Option<PathBuf>,
    /// Where from: `host`, or the path of manifests, which needs neither root nor a host
    #[arg(long, value_name = "SOURCE", default_value = "host")]
    from: String,
    /// Where to: the path of manifests
    #[arg(long, value_name = "SOURCE")]
    to: Option<String>,
    #[command(flatten)]
    format: FormatArguments,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Save the plan: `reeve apply FILE` carries out this one and no other
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Arguments {
    fn to(&self) -> Result<Manifests, Failure> {
        match (&self.path, &self.to) {
            (Some(path), _) => Ok(Manifests { path: path.clone() }),
            (None, Some(source)) => manifests(source)?
                .ok_or_else(|| Failure::new("--to host: what is wanted is said by manifests").help("--to PATH")),
            (None, None) => Err(Failure::new("where to?").help("reeve plan PATH")),
        }
    }
}

/// The manifests that a source names; none for the host.
fn manifests(source: &str) -> Result<Option<Manifests>, Failure> {
    match source {
        "host" => Ok(None),
        source if source == "index" || source.starts_with("git:") => {
            Err(Failure::new(format!("{source}: manifests out of git cannot be read yet")).help("check them out: PATH"))
        }
        path => Ok(Some(Manifests { path: path.into() })),
    }
}

/// A plan as a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format_version: &'static str,
    items: &'a [ZonePlan],
    findings: &'a [Finding],
}

/// Shows the plan; changes nothing and takes no lock.
pub fn plan(context: &Context, arguments: &Arguments) -> Done {
    let to = arguments.to()?;
    let from = manifests(&arguments.from)?;
    let from = from.map(|from| from.load(context)).transpose()?;
    let set = to.load(context)?;
    let planned = match &from {
        Some(from) => files::plan_between(&context.places, from, &set),
        None => context.host()?.plan(&set, &to.source()),
    };
    let format = arguments.format.format;
    match format {
        Format::Json | Format::Yaml => {
            let (items, findings) = (planned.plan.zones.as_slice(), planned.findings.as_slice());
            output::print_document(format, &Document { format_version: "1", items, findings })?;
        }
        Format::Md => output::print(&table(&planned).render(format))?,
        Format::Table => output::print(&text::render(&planned, context.verbose > 0, reeve::store::now()))?,
    }
    if let Some(path) = &arguments.out {
        if from.is_some() {
            return Err(Failure::new("only a plan that starts from this host can be saved").help("leave --from out"));
        }
        saved::write(path, &planned, &to.source())?;
        if !context.quiet {
            let shown = path.display();
            output::complain(&format!("saved in {shown}; to carry it out: reeve apply {shown}"));
        }
    }
    let fatal = planned.findings.iter().any(|finding| finding.severity == Severity::Fatal);
    Ok(match () {
        () if fatal => exit::ERROR,
        () if arguments.detailed_exitcode && !planned.plan.is_empty() => exit::TO_DO,
        () => exit::DONE,
    })
}

/// A row for each zone, as a comment on a change of manifests wants it.
fn table(planned: &Planned) -> Table {
    let mut table = Table::new(&["ZONE", "PATH", "TAKES", "DOWNTIME", "DATA LOST", "WHY"]);
    for zone in &planned.plan.zones {
        let cost = text::Costs::of(&zone.steps);
        table.row([
            zone.name.clone(),
            text::path(zone),
            time::span(cost.total_ms),
            if cost.downtime_ms == 0 { "none".into() } else { format!("up to {}", time::span(cost.downtime_ms)) },
            if cost.destroys_data { "yes".into() } else { "no".into() },
            zone.reason.clone(),
        ]);
    }
    table
}
