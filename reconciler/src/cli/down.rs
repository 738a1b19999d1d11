//! `down`: halts the zones of manifests; with `--purge` removes them with all that Reeve made for them.

use std::collections::BTreeSet;
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
    let host = context.host()?;
    let source = arguments.manifests.source();
    let lock = host.lock("reeve down", Some(&source.display().to_string())).map_err(explain)?;
    let names = zones(context, &host, &arguments.manifests, &source)?;
    if !context.quiet && !names.is_empty() {
        let what = if arguments.purge { "halting and removing, with their data" } else { "halting" };
        output::complain(&format!("{what}: {}", names.join(", ")));
    }
    let teller = progress::start(context, &names);
    let outcome = host.down(&lock, &names, arguments.purge, &teller.observer());
    teller.finish();
    report(context, &outcome, arguments.format.format)
}

/// The zones that the manifests name, and those that were made from manifests there which are gone. Where the manifests
/// have problems now, or cannot be read at all, the zones that were made from there can be taken down all the same.
fn zones(context: &Context, host: &Host, manifests: &Manifests, source: &Path) -> Result<Vec<String>, Failure> {
    let mut names: BTreeSet<String> = host.zones_from(source).into_iter().collect();
    match manifests.read(context) {
        Ok(set) => names.extend(set.zones.keys().map(ToString::to_string)),
        // A path that cannot be read and that no zone is from is one that was not meant.
        Err(error) if names.is_empty() && !error.plain => return Err(error),
        Err(error) => {
            error.print();
            output::complain("the zones that were made from there are taken down:");
        }
    }
    if names.is_empty() && !context.quiet {
        output::complain(&format!("{} has no manifest, and no zone is from there", manifests.path.display()));
    }
    Ok(names.into_iter().collect())
}
