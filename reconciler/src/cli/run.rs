//! `run`: the controller in the foreground, with a live view of the zones on a terminal.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reeve::configuration::Configuration;
use reeve::run::{Follow, RunOptions, run as follow};
use reeve_schema::configuration::SourceConfiguration;
use reeve_schema::{Limits, SourceFile};

use super::failure::{Failure, exit};
use super::live::Block;
use super::log::{self, Format, LogRecords};
use super::progress::{Display, EventLines, Teller};
use super::view::View;
use super::{Context, Done, apply, output};

/// What `run` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The folder of manifests to follow; without it, the repository of --source or of the configuration
    #[arg(value_name = "DIR", conflicts_with = "source")]
    folder: Option<PathBuf>,
    /// The git repository to follow: a path, https://, ssh:// or USER@HOST:PATH
    #[arg(long, value_name = "ADDRESS")]
    source: Option<String>,
    /// The branch to follow [default: the repository's own]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "tag", "commit"])]
    branch: Option<String>,
    /// The tag to follow
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "commit"])]
    tag: Option<String>,
    /// The one commit to apply
    #[arg(long, value_name = "ID", conflicts_with = "folder")]
    commit: Option<String>,
    /// The folder of manifests in the repository [default: all of it]
    #[arg(long, value_name = "PATH", conflicts_with = "folder")]
    source_path: Option<String>,
    /// Let zones lose their manifests also where that is all of them at once, or most (of a repository: see spec.source.allowEmpty)
    #[arg(long, conflicts_with = "source")]
    allow_removals: bool,
    /// How many zones are worked on at once [default: 4]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    workers: usize,
    /// Tell over HTTP on this address, beside the socket in the run folder: a status page (/) and metrics (/metrics);
    /// without an IP address, on 127.0.0.1. May be there several times
    #[arg(long, value_name = "[IP:]PORT", value_parser = listen_address)]
    listen: Vec<SocketAddr>,
    /// How what is done is told where that is no terminal
    #[arg(long, value_enum, default_value_t)]
    log_format: Format,
}

/// Where records go.
fn records(format: Format, context: &Context) -> Result<LogRecords, Failure> {
    let journal = (format == Format::Journal).then_some(Path::new(log::JOURNAL));
    LogRecords::new(journal, context.verbose > 0).map_err(|error| {
        let help = "--log-format json writes records to standard output";
        Failure::new(format!("the journal cannot be told ({}): {error}", log::JOURNAL)).help(help)
    })
}

/// An address to listen on: this host's own where only a port is said.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = text.parse().ok().or_else(|| port(text)).filter(|address: &SocketAddr| address.port() != 0);
    address.ok_or_else(|| "a port, such as 9680, or an IP address and a port, such as [::1]:9680".into())
}

/// Follows the source until it is ended; then says how the zones are taken down.
pub fn run(context: &Context, arguments: &Arguments) -> Done {
    let configuration = reeve::configuration::load(context.config.as_deref())?;
    let me = reeve::configuration::host_self(&configuration);
    let mut monitoring = configuration.monitoring.clone();
    monitoring.listen.extend(&arguments.listen);
    let publish = configuration.publish.clone();
    let (source, shown) = followed(arguments, configuration)?;
    let host = Arc::new(context.host()?);
    let block = if context.quiet || arguments.log_format != Format::Text { None } else { Block::on_stdout() };
    let on_terminal = block.is_some();
    let display: Box<dyn Display> = match block {
        None if arguments.log_format != Format::Text => Box::new(records(arguments.log_format, context)?),
        Some(block) => Box::new(View::new(host.clone(), PathBuf::from(&shown), block)),
        None => Box::new(EventLines::new(io::stdout(), context)),
    };
    let teller = Teller::start(display);
    let down = match &source {
        Follow::Folder(_) => format!(
            "To take them down: reeve down {shown}\n\
             To remove them with their data as well:  reeve down {shown} --purge"
        ),
        Follow::Repository(_) => {
            "To take some down: reeve halt NAME; to take all away, take their manifests out of the repository".into()
        }
    };
    let options = RunOptions {
        source,
        host: me,
        allow_removals: arguments.allow_removals,
        workers: arguments.workers,
        monitoring,
        observer: teller.observer(),
        publish,
    };
    let ended = follow(host, options);
    teller.finish();
    ended.map_err(apply::explain)?;
    if on_terminal || !context.quiet {
        output::complain(&format!("\nThe zones stay as they are. {down}"));
    }
    Ok(exit::DONE)
}

/// What is followed, and how it is shown.
fn followed(arguments: &Arguments, mut configuration: Configuration) -> Result<(Follow, String), Failure> {
    if let Some(folder) = &arguments.folder {
        let shown = folder.display().to_string();
        if !folder.is_dir() {
            let help = "reeve run DIR follows a folder of manifests, reeve run --source ADDRESS a git repository";
            return Err(Failure::new(format!("{shown} is no folder")).help(help));
        }
        return Ok((Follow::Folder(reeve::source::absolute(folder)), shown));
    }
    let source = match (&arguments.source, configuration.source.take()) {
        // What is said of another repository is not said of this one.
        (Some(url), Some(source)) if source.url == *url => source,
        (Some(url), _) => SourceConfiguration::at(url.clone()),
        (None, Some(source)) => source,
        (None, None) => {
            let help = "reeve run DIR, reeve run --source ADDRESS, or spec.source in /etc/reeve/config.yaml";
            return Err(Failure::new("there is nothing to follow").help(help));
        }
    };
    let mut source = source;
    if arguments.branch.is_some() || arguments.tag.is_some() || arguments.commit.is_some() {
        source.branch.clone_from(&arguments.branch);
        source.tag.clone_from(&arguments.tag);
        source.commit.clone_from(&arguments.commit);
    }
    if arguments.source_path.is_some() {
        source.path.clone_from(&arguments.source_path);
    }
    let source = checked(&source)?;
    let shown = source.url.clone();
    configuration.source = Some(source);
    Ok((Follow::Repository(Box::new(configuration)), shown))
}

/// The source, if it is one that a configuration could have: what was typed is held to the same rules.
fn checked(source: &SourceConfiguration) -> Result<SourceConfiguration, Failure> {
    let document = serde_json::json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "Configuration", "spec": {"source": source},
    });
    let file = SourceFile { path: "--source".into(), text: document.to_string() };
    let read = reeve_schema::configuration::load(&file, &Limits::default());
    let first = match read {
        Ok(Configuration { source: Some(source), .. }) => return Ok(source),
        Ok(_) => None,
        Err(problems) => problems.into_iter().next(),
    };
    Err(match first {
        Some(problem) => Failure::new(format!("{}: {}", problem.field, problem.message)).help(problem.help),
        None => Failure::new("there is nothing to follow"),
    })
}
