//! `down`: halts the zones of manifests; with `--purge` removes them with all that Reeve made for them.

use std::path::Path;

use reeve::Host;

use super::apply::{explain, report};
use super::failure::Failure;
use super::input::Manifests;
use super::output::{self, FormatArguments};
use super::{Context, Done, progress};

/// What `down` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    manifests: Manifests,
    /// Uninstall and unconfigure them as well: their data is gone, and nothing of Reeve stays in the kernel
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Takes the zones down. `--purge` is the word by which data may be destroyed; nobody is asked again.
pub fn down(context: &Context, arguments: &Arguments) -> Done {
    let set = arguments.manifests.load(context);
    let host = context.host()?;
    let names = match set {
        Ok(set) => set.zones.keys().map(ToString::to_string).collect(),
        Err(problems) if problems.plain => came_from(&host, &arguments.manifests.source(), &problems),
        Err(error) => return Err(error),
    };
    let source = arguments.manifests.source().display().to_string();
    let lock = host.lock("reeve down", Some(&source)).map_err(explain)?;
    if !context.quiet && !names.is_empty() {
        let what = if arguments.purge { "halting and removing, with their data" } else { "halting" };
        output::complain(&format!("{what}: {}", names.join(", ")));
    }
    let teller = progress::start(context, &names);
    let outcome = host.down(&lock, &names, arguments.purge, &teller.observer());
    teller.finish();
    report(context, &outcome, arguments.format.format)
}

/// The zones that were made from manifests there. Where these have problems now, the zones can be taken down all the same.
fn came_from(host: &Host, source: &Path, problems: &Failure) -> Vec<String> {
    problems.print();
    output::complain("the zones that were made from there are taken down:");
    let from_there =
        |place: &String| place.rsplit_once(':').is_some_and(|(file, _)| Path::new(file).starts_with(source));
    let zones = host.status().items.into_iter().filter(|zone| zone.source.as_ref().is_some_and(from_there));
    zones.map(|zone| zone.name).collect()
}
