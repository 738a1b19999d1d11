//! `down`: halts the zones of manifests; with `--purge` removes them with all that Reeve made for them.

use super::apply::{explain, report};
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
    let set = arguments.manifests.load(context)?;
    let host = context.host()?;
    let source = arguments.manifests.source().display().to_string();
    let lock = host.lock("reeve down", Some(&source)).map_err(explain)?;
    let names: Vec<String> = set.zones.keys().map(ToString::to_string).collect();
    if !context.quiet && !names.is_empty() {
        let what = if arguments.purge { "halting and removing, with their data" } else { "halting" };
        output::complain(&format!("{what}: {}", names.join(", ")));
    }
    let teller = progress::start(context, &names);
    let outcome = host.down(&lock, &names, arguments.purge, &teller.observer());
    teller.finish();
    report(context, &outcome, arguments.format.format)
}
