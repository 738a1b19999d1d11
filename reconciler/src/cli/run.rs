//! `run`: the controller in the foreground, with a live view of the zones on a terminal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use reeve::run::{RunOptions, run as follow};

use super::failure::{Failure, exit};
use super::live::Block;
use super::progress::{Display, EventLines, Teller};
use super::view::View;
use super::{Context, Done, apply, output};

/// What `run` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The folder of manifests to follow
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How many zones are worked on at once [default: 4]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    workers: usize,
}

/// Follows the folder until it is ended; then says how the zones are taken down.
pub fn run(context: &Context, arguments: &Arguments) -> Done {
    if !arguments.folder.is_dir() {
        let shown = arguments.folder.display();
        return Err(Failure::new(format!("{shown} is no folder")).help("reeve run follows a folder of manifests"));
    }
    let host = Arc::new(context.host()?);
    let source = reeve::source::absolute(&arguments.folder);
    let block = if context.quiet { None } else { Block::on_stdout() };
    let on_terminal = block.is_some();
    let display: Box<dyn Display> = match block {
        Some(block) => Box::new(View::new(host.clone(), arguments.folder.clone(), block)),
        None => Box::new(EventLines::new(io::stdout(), context)),
    };
    let teller = Teller::start(display);
    let options =
        RunOptions { source, host: context.host_self()?, workers: arguments.workers, observer: teller.observer() };
    let ended = follow(host, options);
    teller.finish();
    ended.map_err(apply::explain)?;
    if on_terminal || !context.quiet {
        let shown = arguments.folder.display();
        output::complain(&format!(
            "\nThe zones stay as they are. To take them down: reeve down {shown}\n\
             To remove them with their data as well:  reeve down {shown} --purge"
        ));
    }
    Ok(exit::DONE)
}
