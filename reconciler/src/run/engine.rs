//! The task that holds what is known, makes the passes, hands out work and decides when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reeve_schema::HostSelf;
use reeve_state::difference::{Cause, Difference};
use reeve_state::source::SourceStatus;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::asked::Follower;
use super::checks::{self, Checks};
use super::control::Control;
use super::ending::Ending;
use super::feed::Feed;
use super::happening::Happening;
use super::links::Links;
use super::publish::Publisher;
use super::sentinel::{self, Sentinel};
use super::settle;
use super::stir::Stir;
use super::worker::{self, Job, Surroundings};
use super::{WORKERS_DOWN, notify_socket};
use crate::controller::Tell;
use crate::error::Result;
use crate::host::{Host, Outcome};
use crate::monitor::board::{Board, Walk};
use crate::monitor::traces::Traces;
use crate::pass::{self, Passed, Scope, World};
use crate::progress::{Notice, Observer, PassReport};
use crate::repository::InForce;
use crate::store::events::Tally;

/// How often everything is looked at again, whether or not anything told of a change.
const RESYNC: Duration = Duration::from_secs(60);
/// How long nothing happens before memory that a burst of work left is given back.
const REST: Duration = Duration::from_secs(2);
/// How long nothing happens, and no zone is being walked, before what the next zone can use is made ready.
const QUIET: Duration = Duration::from_millis(20);
/// How long walks that are under way are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(4);

/// What the engine knows of a zone's worker.
pub(super) struct Entry {
    pub jobs: UnboundedSender<Job>,
    /// It works.
    pub busy: bool,
    /// It hears the zone's zoneadmd.
    pub connected: bool,
    /// Walks that failed in a row.
    pub failures: u32,
    /// It is left alone until then.
    pub until: Option<Instant>,
    /// What tells that its halt may go on.
    pub stir: Option<Stir>,
    /// Why it is being walked.
    pub because: Because,
    /// Fields that drifted and were worked on.
    pub mending: BTreeSet<String>,
    /// Digest of the drift at its gate that the walk puts right: what approved it is spent by that.
    pub spends: Option<String>,
    /// Something of it changed while it was being walked.
    pub again: bool,
}

/// Why a zone is being walked, for its history.
#[derive(Debug, Default)]
pub(super) struct Because {
    /// The commit that wants it otherwise than it was; none where something else is the cause.
    pub commit: Option<String>,
    /// The fields that are otherwise.
    pub fields: Vec<String>,
}

/// See the module.
pub struct Engine {
    pub(super) host: Host,
    /// Who this host is, for selectors and overlays.
    pub(super) me: HostSelf,
    pub(super) world: World,
    pub(super) zones: BTreeMap<String, Entry>,
    /// Zones whose retry waits until they are not worked on any more.
    pub(super) retries: BTreeSet<String>,
    pub(super) around: Surroundings,
    pub(super) heard: UnboundedReceiver<Happening>,
    pub(super) scope: Scope,
    pub(super) why: &'static str,
    pub(super) passes: u64,
    pub(super) since: reeve_state::Timestamp,
    pub(super) followers: Vec<Follower>,
    /// Who waits for a look at the repository.
    pub(super) waiting: Vec<UnboundedSender<Tell>>,
    pub(super) listeners: Arc<Mutex<Vec<UnboundedSender<Tell>>>>,
    /// What tells that zones drift; none for who works once and leaves.
    pub(super) sentinel: Option<Sentinel>,
    /// Health checks, by zone.
    pub(super) checks: BTreeMap<String, Checks>,
    /// Leave to make one.
    pub(super) checking: Arc<Semaphore>,
    /// What happened, and how often.
    pub(super) tally: Tally,
    /// The manifests have a problem: what was accepted before stays in force.
    pub(super) problem: Option<String>,
    /// Whether manifests may go without asking, also most of them at once.
    pub(super) allow_removals: bool,
    /// What is in force of a repository that is followed.
    pub(super) in_force: Option<Arc<InForce>>,
    /// How it is with that repository.
    pub(super) source: Option<SourceStatus>,
    /// What is told to whoever watches from outside.
    pub(super) board: Arc<Board>,
    /// What is told as spans.
    pub(super) traces: Arc<Traces>,
    /// Zones whose manifest changed and that are not as it says yet, and since when.
    pub(super) pending: BTreeMap<String, reeve_state::Timestamp>,
    /// What is to be published.
    pub(super) publisher: Option<Publisher>,
}

impl Engine {
    /// An engine that has not looked yet.
    pub fn new(host: Host, world: World, workers: usize, observer: Observer) -> Self {
        let (tell, heard) = unbounded_channel();
        let listeners: Arc<Mutex<Vec<UnboundedSender<Tell>>>> = Arc::default();
        let (up, down) = (Arc::new(Semaphore::new(workers)), Arc::new(Semaphore::new(WORKERS_DOWN)));
        let board = Arc::new(Board::new(&[&up, &down]));
        let traces: Arc<Traces> = Arc::default();
        let observer = fan_out(observer, Arc::clone(&listeners), Arc::clone(&board), Arc::clone(&traces));
        let tally = Tally::new(host.places().state());
        let around = Surroundings { host: host.clone(), tell, observer, up, down };
        Self {
            host,
            me: HostSelf::default(),
            world,
            zones: BTreeMap::new(),
            retries: BTreeSet::new(),
            around,
            heard,
            scope: Scope::All,
            why: "start",
            passes: 0,
            since: crate::store::now(),
            followers: Vec::new(),
            waiting: Vec::new(),
            listeners,
            sentinel: None,
            checks: BTreeMap::new(),
            checking: Arc::new(Semaphore::new(checks::AT_ONCE)),
            tally,
            problem: None,
            allow_removals: false,
            in_force: None,
            source: None,
            board,
            traces,
            pending: BTreeMap::new(),
            publisher: None,
        }
    }

    pub(super) fn tell(&self, notice: Notice) {
        (self.around.observer)(notice);
    }

    pub(super) fn say(&self, zone: Option<&str>, text: impl Into<String>) {
        self.tell(Notice::Message { zone: zone.map(str::to_owned), text: text.into() });
    }

    /// Works until every zone is settled, or `patience` is over.
    pub async fn once(&mut self, patience: Duration) -> Outcome {
        let until = Instant::now().checked_add(patience);
        loop {
            self.pass_if_needed().await;
            if settle::is_settled(self) || until.is_some_and(|until| Instant::now() >= until) {
                return settle::outcome(self);
            }
            let wake = [self.wake(), until].into_iter().flatten().min();
            tokio::select! {
                happening = self.heard.recv() => self.happened_all(happening),
                () = sleep_until(wake) => self.times_up(),
            }
        }
    }

    /// Follows a folder or a repository until it is asked to end.
    ///
    /// # Errors
    /// Only at the beginning: a signal or socket that cannot be had.
    pub async fn follow(&mut self, mut feed: Feed, mut control: Control) -> Result<()> {
        let mut ending = Ending::open()?;
        let mut links = Links::open();
        self.sentinel = Some(Sentinel::open(self.host.places(), self.around.tell.clone()));
        let watchdog = notify_socket::watchdog();
        let mut alive = watchdog.map(tokio::time::interval);
        let every = resync();
        let mut resync = tokio::time::interval_at((Instant::now() + every).into(), every);
        resync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.begin(&mut feed).await;
        self.scope = Scope::All;
        let (mut prepared, mut trimmed) = (0, 0);
        loop {
            self.pass_if_needed().await;
            if self.host.secrets().take_doubt() {
                self.why = "secrets";
                self.reload(&feed).await;
                continue;
            }
            self.answer_waiting();
            self.serve_followers();
            self.put_up_work();
            self.publish_if_due().await;
            let publish = self.publisher.as_ref().and_then(|publisher| publisher.due(self.passes, Instant::now()));
            if self.passes == 1 {
                notify_socket::notify("READY=1");
            }
            let wake =
                [self.wake(), self.followers.iter().map(|follower| follower.until).min()].into_iter().flatten().min();
            tokio::select! {
                happening = self.heard.recv() => self.happened_all(happening),
                fed = feed.next() => self.fed(fed, &feed).await,
                zones = links.changed() => self.links_changed(zones),
                noticed = sentinel::noticed(&mut self.sentinel) => self.noticed(noticed),
                asked = control.next() => self.asked(asked, &feed).await,
                () = sleep_until(wake) => self.times_up(),
                () = sleep_until(publish) => {}
                () = tokio::time::sleep(QUIET), if prepared != self.passes && self.world.busy.is_empty() => {
                    prepared = self.passes;
                    let host = self.host.clone();
                    tokio::task::spawn_blocking(move || host.rest());
                }
                () = tokio::time::sleep(REST), if trimmed != self.passes => {
                    trimmed = self.passes;
                    tokio::task::spawn_blocking(reeve_kernel::sys::trim_memory);
                }
                _ = resync.tick() => {
                    self.why = "resync";
                    self.reload(&feed).await;
                    self.scope = Scope::All;
                    self.look_for_strangers();
                }
                () = beat(&mut alive) => notify_socket::notify("WATCHDOG=1"),
                () = ending.asked() => break,
            }
        }
        notify_socket::notify("STOPPING=1");
        self.farewell().await;
        self.host.next_zoneadmd().end();
        Ok(())
    }

    /// Lets walks that are under way end, so that no zone is left between two states. Starts nothing new.
    async fn farewell(&mut self) {
        let until = Instant::now() + FAREWELL;
        while self.zones.values().any(|entry| entry.busy) {
            tokio::select! {
                happening = self.heard.recv() => self.happened_all(happening),
                () = sleep_until(Some(until)) => return,
            }
        }
    }

    async fn pass_if_needed(&mut self) {
        // What comes while a pass is made, or at the same time, is one pass.
        while let Ok(happening) = self.heard.try_recv() {
            self.happened(happening);
        }
        if self.scope.is_empty() {
            return;
        }
        let mut scope = std::mem::take(&mut self.scope);
        self.spare_the_busy(&mut scope);
        let started = Instant::now();
        let passed = self.make_pass(scope).await;
        self.passes += 1;
        for (zone, text) in &passed.said {
            self.say(Some(zone), text.clone());
        }
        for (zone, word, text) in &passed.waiting {
            self.say(Some(zone), text.clone());
            self.event(Some(zone), word, text.clone(), None);
        }
        for finding in &passed.findings {
            self.say(finding.zone.as_deref(), format!("{}: {}", finding.rule, finding.message));
        }
        self.resume_the_expired(&passed);
        self.check_health(&passed);
        self.note_drift(&passed.zones);
        let working = self.dispatch(&passed);
        self.watch_drift(&passed.zones);
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let zones = passed.zones.len();
        self.put_up(&passed, took_us);
        let why = std::mem::replace(&mut self.why, "event").to_owned();
        let report = PassReport { number: self.passes, why, zones, working, took_us };
        self.traces.pass(&report, self.world.commit.as_deref());
        self.tell(Notice::Pass(report));
    }

    /// A zone that is being walked is not looked at: the walk will say what it is like afterwards.
    fn spare_the_busy(&mut self, scope: &mut Scope) {
        if let Scope::Zones { look, think } = scope {
            let busy: Vec<String> =
                look.iter().filter(|name| self.zones.get(*name).is_some_and(|entry| entry.busy)).cloned().collect();
            for name in busy {
                look.remove(&name);
                if let Some(entry) = self.zones.get_mut(&name) {
                    entry.again = true;
                }
                think.insert(name);
            }
        }
    }

    async fn make_pass(&mut self, scope: Scope) -> Passed {
        let host = self.host.clone();
        let empty = World::new(&host, self.world.aim.clone(), BTreeMap::new());
        let mut world = std::mem::replace(&mut self.world, empty);
        let made = tokio::task::spawn_blocking(move || {
            let passed = pass::pass(&host, &mut world, &scope);
            (world, passed)
        });
        match made.await {
            Ok((world, passed)) => {
                self.world = world;
                passed
            }
            Err(error) => {
                // Only a fault in the program itself ends here; everything is looked at anew.
                tracing::error!("a pass ended in the middle: {error}");
                self.scope = Scope::All;
                Passed::default()
            }
        }
    }

    /// Hands out work for the zones that were planned.
    fn dispatch(&mut self, passed: &Passed) -> Vec<String> {
        let mut working = Vec::new();
        for name in &passed.zones {
            if self.start(name) {
                working.push(name.clone());
            }
        }
        working
    }

    /// Starts what there is to do for a zone; true when it is a walk.
    fn start(&mut self, name: &str) -> bool {
        let Some(plan) = self.world.plans.get(name) else { return false };
        let entry = self.zones.get(name);
        let left_alone = entry.and_then(|entry| entry.until).is_some_and(|until| Instant::now() < until);
        if entry.is_some_and(|entry| entry.busy) || left_alone {
            return false;
        }
        let walk = settle::walkable(self, plan);
        let job = match walk {
            Some(plan) => {
                let source = self.world.wanted.get(name).and_then(|wanted| wanted.source.clone());
                Job::Walk(Box::new((plan, self.world.seen(name), source)))
            }
            None if self.wants_ear(name) => Job::Connect(Box::new(self.world.seen(name))),
            None => return false,
        };
        let is_walk = matches!(job, Job::Walk(_));
        let (from, path) = match &job {
            Job::Walk(walk) => (walk.0.from.known().copied(), walk.0.path.clone()),
            _ => (None, Vec::new()),
        };
        if !path.is_empty() {
            // An open mount table would keep the zone's namespaces.
            if let Some(sentinel) = &mut self.sentinel {
                sentinel.withdraw(name);
            }
        }
        let because = self.because(name);
        let drifted = |d: &&Difference| d.is_drift() && d.is_acted_on();
        let mending: Vec<String> = plan.differences.iter().filter(drifted).map(|d| d.field.clone()).collect();
        let spends = self.approval_of_drift(plan);
        let entry = self.zones.entry(name.to_owned()).or_insert_with(|| {
            let (jobs, queue) = unbounded_channel();
            tokio::spawn(worker::work(name.to_owned(), self.around.clone(), queue));
            Entry {
                jobs,
                busy: false,
                connected: false,
                failures: 0,
                until: None,
                stir: None,
                because: Because::default(),
                mending: BTreeSet::new(),
                spends: None,
                again: false,
            }
        });
        if is_walk && entry.failures > 0 {
            self.board.change(|told| told.counters.retries += 1);
        }
        if is_walk {
            let commit = because.commit.clone();
            let since = crate::store::now();
            self.board.begin(name, Walk { pass: self.passes, commit, from, path, since, step: None });
        }
        (entry.stir, entry.because) = (None, because);
        if is_walk {
            entry.mending.extend(mending);
            entry.spends = spends;
        }
        entry.busy = entry.jobs.send(job).is_ok();
        if entry.busy {
            self.world.busy.insert(name.to_owned());
        }
        is_walk && self.world.busy.contains(name)
    }

    fn because(&self, name: &str) -> Because {
        let Some(plan) = self.world.plans.get(name) else { return Because::default() };
        let changed = |cause: Cause| matches!(cause, Cause::Change | Cause::Both);
        let is_new = plan.from.is_absent() || !self.world.wanted.contains_key(name);
        let waits = plan.hold.as_ref().is_some_and(reeve_state::plan::Hold::keeps_back);
        let by_manifest = !waits && (is_new || plan.differences.iter().any(|difference| changed(difference.cause)));
        Because {
            commit: self.world.commit.clone().filter(|_| by_manifest),
            fields: plan.differences.iter().map(|difference| difference.field.clone()).collect(),
        }
    }

    /// Whether an active zone's zoneadmd is there and nobody listens to it.
    fn wants_ear(&self, name: &str) -> bool {
        let connected = self.zones.get(name).is_some_and(|entry| entry.connected);
        let facts = self.world.facts.zones.get(name);
        !connected && facts.is_some_and(|facts| facts.zoneadmd.is_known() && facts.zsched.is_known())
    }

    /// The next time at which something is to be done without anything having happened.
    fn wake(&self) -> Option<Instant> {
        if !self.scope.is_empty() {
            // What a pass came to asks for another one.
            return Some(Instant::now());
        }
        let now = crate::store::now();
        let held = self.world.plans.values().filter_map(|plan| {
            let until = plan.wakes_at()?;
            Instant::now().checked_add(Duration::from_millis(until.since(now)))
        });
        held.chain(self.zones.values().filter_map(|entry| entry.until)).min()
    }

    /// Plans the zones again whose time has come.
    fn times_up(&mut self) {
        let (now, clock) = (Instant::now(), crate::store::now());
        let mut due = Vec::new();
        for (name, entry) in &mut self.zones {
            if entry.until.is_some_and(|until| until <= now) {
                entry.until = None;
                due.push(name.clone());
            }
        }
        for (name, plan) in &self.world.plans {
            if plan.wakes_at().is_some_and(|until| until <= clock) {
                due.push(name.clone());
            }
        }
        if !due.is_empty() {
            self.why = "retry";
        }
        for name in due {
            self.scope.look(&name);
        }
    }
}

/// Tells the board, whoever takes traces, the observer and all who listen on the socket.
fn fan_out(
    observer: Observer,
    listeners: Arc<Mutex<Vec<UnboundedSender<Tell>>>>,
    board: Arc<Board>,
    traces: Arc<Traces>,
) -> Observer {
    Arc::new(move |mut notice: Notice| {
        board.complete(&mut notice);
        if let Notice::Step(step) = &notice {
            traces.step(step, board.begun(&step.zone));
        }
        board.count(&notice);
        if let Ok(mut listeners) = listeners.lock() {
            listeners.retain(|listener| listener.send(Tell::Notice(notice.clone())).is_ok());
        }
        (observer)(notice);
    })
}

/// How often everything is looked at again: `REEVE_RESYNC` in seconds, a minute without.
fn resync() -> Duration {
    let seconds = std::env::var("REEVE_RESYNC").ok().and_then(|text| text.parse().ok());
    seconds.filter(|seconds| (1..=86_400).contains(seconds)).map_or(RESYNC, Duration::from_secs)
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

async fn beat(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
