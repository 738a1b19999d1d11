//! The controller, `reeve run`, and the same engine for commands that work once and leave (`apply`, `down`).
//!
//! One task ([`engine::Engine`]) holds what is known, makes the passes and hands out work; one task for each zone
//! ([`worker`]) carries it out and listens to the zone's zoneadmd. Blocking calls are made on threads of their own, a
//! bounded number at once. Nothing is polled: what wakes a pass is a change of the manifests ([`feed`]), of the kernel
//! (zoneadmd's events, links), a request ([`control`]), a time that has come, and a slow full resync.

mod asked;
mod bulletin;
mod checks;
mod control;
mod drift;
mod ear;
mod ending;
mod engine;
mod feed;
mod happening;
mod hook;
mod links;
mod manifests;
mod notify_socket;
mod publish;
mod sentinel;
pub(crate) mod settle;
mod stir;
mod suspended;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reeve_schema::HostSelf;
use reeve_schema::configuration::{Configuration, Monitoring, Publish};
use reeve_state::approval::Approvals;
use reeve_state::wanted::Wanted;
use tokio::runtime::Runtime;

use crate::error::{OnFile, Result};
use crate::host::{Host, Outcome};
use crate::monitor::page::About;
use crate::monitor::{self, Site, http, notifier};
use crate::pass::{Aim, World};
use crate::progress::Observer;
use crate::repository::Repository;
use engine::Engine;
use feed::{Feed, Upstream};
use publish::Publisher;

/// How many zones are brought up at once where nothing is said: more than the processors, because a part of it is waiting.
pub const WORKERS: usize = 4;
/// How many zones may be on their way down at once: that is mostly waiting, for init and for the kernel.
pub const WORKERS_DOWN: usize = 64;
/// How long walks that are under way may take when the controller is asked to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a controller follows.
#[derive(Clone)]
pub enum Follow {
    /// A folder of manifests.
    Folder(PathBuf),
    /// The git repository of this configuration.
    Repository(Box<Configuration>),
}

/// What a controller is given.
#[derive(Clone)]
pub struct RunOptions {
    /// What to follow.
    pub source: Follow,
    /// Who this host is, for selectors and overlays.
    pub host: HostSelf,
    /// Whether manifests may go without asking, also most of them at once.
    pub allow_removals: bool,
    /// How many zones may be brought up at once; 0: the default, 4.
    pub workers: usize,
    /// Whom it tells how it is, beside the socket in the run folder.
    pub monitoring: Monitoring,
    /// Who is told.
    pub observer: Observer,
    /// Where what is observed is published; none: nowhere.
    pub publish: Option<Publish>,
}

fn runtime() -> Result<Runtime> {
    reeve_kernel::sys::share_memory();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // The tasks do little; what takes time is on the blocking threads.
    builder.worker_threads(2).max_blocking_threads(WORKERS + WORKERS_DOWN + 8).enable_all();
    builder.thread_keep_alive(Duration::from_secs(5)).build().on("start", Path::new("runtime"))
}

/// Follows a folder or a repository until SIGINT or SIGTERM. Zones stay as they are when it ends. Builds its own runtime.
///
/// # Errors
/// [`crate::Error::Held`] when the state folder has a holder; a folder that cannot be
/// watched, a repository that is refused by rule.
pub fn run(host: Arc<Host>, options: RunOptions) -> Result<()> {
    let name = match &options.source {
        Follow::Folder(folder) => std::fs::canonicalize(folder).on("realpath", folder)?.display().to_string(),
        Follow::Repository(configuration) => {
            configuration.source.as_ref().map(|source| source.url.clone()).unwrap_or_default()
        }
    };
    let _lock = host.lock("reeve run", Some(&name))?;
    let runtime = runtime()?;
    let export = monitor::otlp::start(&options.host.name, host.places().run());
    let workers = if options.workers == 0 { WORKERS } else { options.workers };
    let result = runtime.block_on(async {
        let feed = feed(&host, &options).await?;
        let control = control::listen(host.places())?;
        let aim = Aim::Manifests { source: feed.name(), follows: true };
        let world = World::new(&host, aim, BTreeMap::new());
        let mut engine = Engine::new((*host).clone(), world, workers, options.observer.clone());
        engine.me = options.host.clone();
        engine.allow_removals = options.allow_removals;
        if let Some(export) = &export {
            engine.traces().go_to(export.sink());
        }
        engine.publisher = options.publish.clone().map(Publisher::new);
        let about = About { host: options.host.name.clone(), follows: name.clone(), since: crate::store::now() };
        let site = Site::new(engine.board(), host.places(), about);
        http::listen_at(&host.places().run().join(monitor::SOCKET), &site)?;
        for address in &options.monitoring.listen {
            http::listen_on(*address, &site).await?;
        }
        notifier::start(&options.monitoring.receivers, &engine.board(), &options.host.name, host.places().run())?;
        engine.follow(feed, control).await
    });
    runtime.shutdown_timeout(FAREWELL);
    if let Some(export) = export {
        export.finish();
    }
    result
}

async fn feed(host: &Host, options: &RunOptions) -> Result<Feed> {
    match &options.source {
        Follow::Folder(folder) => {
            let path = std::fs::canonicalize(folder).on("realpath", folder)?;
            let watch = watch::Watch::new(&path)?;
            Ok(Feed::Folder { path, watch })
        }
        Follow::Repository(configuration) => {
            let repository = Repository::open(host, configuration, &options.host)?;
            let source = configuration.source.as_ref();
            let poll = source.map_or(Duration::from_secs(60), |source| source.poll.duration());
            let upstream = Upstream::start(repository, poll);
            if let Some(hook) = source.and_then(|source| source.hook.as_ref()) {
                hook::listen(hook, upstream.hints()).await?;
            }
            Ok(Feed::Repository(upstream))
        }
    }
}

/// Works towards `aim` until every zone is where it should be, waits for longer than `patience`, or cannot go on.
pub fn once(
    host: &Host,
    aim: Aim,
    wanted: BTreeMap<String, Wanted>,
    approved: Approvals,
    patience: Duration,
    observer: &Observer,
) -> Outcome {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            (observer)(crate::progress::Notice::Message { zone: None, text: error.to_string() });
            return Outcome::default();
        }
    };
    let mut world = World::new(host, aim, wanted);
    world.approved = approved;
    let outcome = runtime.block_on(async {
        let mut engine = Engine::new(host.clone(), world, WORKERS, observer.clone());
        engine.once(patience).await
    });
    runtime.shutdown_timeout(FAREWELL);
    outcome
}
