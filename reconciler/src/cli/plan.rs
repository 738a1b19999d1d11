//! `plan`: what would be done to take the host where the manifests want it, and what each step costs.

mod files;
pub mod saved;
pub mod text;

use std::path::PathBuf;

use reeve::git::GitSource;
use reeve::host::Planned;
use reeve_schema::ManifestSet;
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
    /// Where to: a manifest, or a folder of manifests and folders; with --to which part of it
    #[arg(value_name = "PATH", required_unless_present = "to")]
    path: Option<PathBuf>,
    /// Where from: `host`; or, which needs neither root nor a host, the path of manifests, `git:REV[:PATH]` or `index`
    #[arg(long, value_name = "SOURCE", default_value = "host")]
    from: String,
    /// Where to: the path of manifests, `git:REV[:PATH]` or `index`
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

/// What a plan starts from or goes to.
enum Source {
    /// This host as it is.
    Host,
    /// Manifests in files.
    Files(Manifests),
    /// Manifests out of git.
    Git(GitSource),
}

impl Source {
    fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match (text, GitSource::parse(text)?) {
            ("host", _) => Self::Host,
            (_, Some(git)) => Self::Git(git),
            (path, None) => Self::Files(Manifests { path: path.into() }),
        })
    }

    /// The manifests; none for the host.
    fn load(&self, context: &Context) -> Result<Option<ManifestSet>, Failure> {
        Ok(match self {
            Self::Host => None,
            Self::Files(manifests) => Some(manifests.load(context)?),
            Self::Git(git) => Some(git.load(&context.host_self()?, &context.places.zonepaths())?),
        })
    }
}

impl Arguments {
    /// Where from and where to. PATH is where to, or which part of what is out of git.
    fn sources(&self) -> Result<(Source, Source), Failure> {
        let narrowed = |source: Source| match (source, &self.path) {
            (Source::Git(git), Some(path)) if !git.has_path() => Ok(Source::Git(git.below(path)?)),
            (source, _) => Ok::<_, Failure>(source),
        };
        let from = narrowed(Source::parse(&self.from)?)?;
        let to = match (&self.to, &self.path) {
            (Some(to), path) => match (Source::parse(to)?, path) {
                (Source::Host, _) => {
                    let message = "--to host: what is wanted is said by manifests";
                    return Err(Failure::new(message).help("--to PATH, --to git:REV[:PATH] or --to index"));
                }
                (Source::Files(_), Some(path)) => {
                    let message = format!("--to {to} and {} both say where to", path.display());
                    return Err(Failure::new(message).help("leave one of them out"));
                }
                (source, _) => narrowed(source)?,
            },
            (None, Some(path)) => Source::Files(Manifests { path: path.clone() }),
            (None, None) => return Err(Failure::new("where to?").help("reeve plan PATH")),
        };
        Ok((from, to))
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
    let (from, to) = arguments.sources()?;
    let from = from.load(context)?;
    let place = match &to {
        Source::Git(git) => git.place()?,
        Source::Files(manifests) => manifests.source(),
        Source::Host => PathBuf::new(),
    };
    let set = to.load(context)?.unwrap_or_default();
    let planned = match &from {
        Some(from) => files::plan_between(&context.places, from, &set),
        None => context.host()?.plan(&set, &place),
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
        saved::write(path, &planned, &place)?;
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
