//! TELL whoever watches from outside: metrics and a status page over HTTP, notifications, traces. What is told is taken from a [`board::Board`] that the
//! controller keeps up to date; whoever reads it takes a snapshot, so that no reader ever delays a pass.

pub mod board;
pub mod door;
pub mod exposition;
pub mod http;
pub mod notifier;
pub mod otlp;
pub mod page;
pub mod traces;
pub mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reeve_state::metrics::{self, Process, Usage};

use crate::places::Places;
use crate::store::HostEvent;
use crate::store::events::{self, Mark};
use board::{Board, Told};
use page::{About, Ask, View};

/// The name of the socket in the run folder.
pub const SOCKET: &str = "metrics.sock";

/// All that is needed to answer a request.
pub struct Site {
    /// What the controller tells.
    pub board: Arc<Board>,
    /// Where the zones' cgroups and the host's events are.
    pub places: Places,
    /// Who tells it.
    pub about: About,
    /// One request reads files at a time, however many ask.
    pub one_at_a_time: tokio::sync::Mutex<()>,
    /// What zones use, as it was read last.
    usage: usage::Reader,
    /// The events as they were read last, and up to where.
    happened: Mutex<Option<(Mark, Arc<Vec<HostEvent>>)>>,
}

/// A page that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The zones.
    List(Ask),
    /// One zone, by its name.
    Zone(String),
    /// What is not there, by its path.
    Missing(String),
}

impl Site {
    /// The answers to requests about what this board tells.
    pub fn new(board: Arc<Board>, places: &Places, about: About) -> Arc<Self> {
        let (one_at_a_time, happened) = (tokio::sync::Mutex::new(()), Mutex::new(None));
        let usage = usage::Reader::default();
        Arc::new(Self { board, places: places.clone(), about, one_at_a_time, usage, happened })
    }

    /// A page of this snapshot as HTML, and whether what was asked for is there. May read the events, and so belongs on a thread
    /// that may block.
    pub fn page(&self, told: &Told, page: &Page) -> (String, bool) {
        let happened = self.happened();
        let view = View { about: &self.about, told, events: &happened, now: crate::store::now() };
        match page {
            Page::List(ask) => (page::list(&view, ask), true),
            Page::Zone(name) => match page::zone(&view, name) {
                Some(html) => (html, true),
                None => (page::missing(&view, &format!("The zone {name}")), false),
            },
            Page::Missing(path) => (page::missing(&view, path), false),
        }
    }

    /// The newest events; read again only where there are new ones.
    fn happened(&self) -> Arc<Vec<HostEvent>> {
        let mark = events::mark(self.places.state());
        let mut kept = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((read, happened)) if *read == mark => Arc::clone(happened),
            _ => {
                let happened = Arc::new(events::newest(self.places.state(), page::EVENTS));
                *kept = Some((mark, Arc::clone(&happened)));
                happened
            }
        }
    }

    /// All metrics of this snapshot as text. Reads files of the kernel, for a bounded time, and so belongs on a thread that may block.
    pub fn metrics(&self, told: &Told) -> String {
        let active = told.zones.iter().filter(|(_, zone)| zone.status.zone_id.is_some()).map(|(name, _)| name);
        let usage = self.usage.zones(&self.places, active);
        let process = usage::process().map(|process| Process { skipped_zones: usage.skipped, ..process });
        text(told, &usage.used, process.as_ref())
    }
}

/// A snapshot as text.
pub fn text(told: &Told, usage: &BTreeMap<String, Usage>, process: Option<&Process>) -> String {
    let input = metrics::Input {
        version: env!("CARGO_PKG_VERSION"),
        zones: &told.zones,
        source: told.source.as_deref(),
        counters: &told.counters,
        usage,
        process,
    };
    exposition::text(&metrics::families(&input))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use reeve_state::metrics::Zone;
    use reeve_state::status::ZoneStatus;

    use super::*;

    /// A zone as most are: running, and as wanted.
    fn zone(name: &str) -> Zone {
        let condition = |kind: &str, reason: &str| {
            serde_json::json!({
                "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": 1_764_000_000_123_u64,
                "observedDigest": null,
            })
        };
        let conditions = [condition("Converged", "AsWanted"), condition("SourceFresh", "Current")];
        let status: ZoneStatus = serde_json::from_value(serde_json::json!({
            "name": name, "state": "running", "zoneId": 1, "initPid": 1, "zschedPid": 1, "zoneadmdPid": 1,
            "addresses": [], "zonepath": null, "desired": "running", "manifestDigest": null, "source": null,
            "conditions": conditions, "restarts": 0, "lastExit": null, "history": [],
        }))
        .expect("a status");
        Zone::anew(None, &status, &[], &[], 0).expect("a new one")
    }

    fn thousand() -> Board {
        let board = Board::default();
        let names = (0..1000).map(|number| format!("zone-{number:04}"));
        let zones: BTreeMap<_, _> = names.map(|name| (name.clone(), Arc::new(zone(&name)))).collect();
        board.change(|told| told.zones = Arc::new(zones));
        board
    }

    #[test]
    fn a_scrape_of_a_thousand_zones_grows_with_them_and_with_nothing_else() {
        let board = thousand();
        let usage = Usage {
            cpu_seconds: Some((123.456, 7.89)),
            throttled_seconds: Some(0.0),
            memory_bytes: Some(123 << 20),
            memory_limit_bytes: Some(1 << 30),
            oom_kills: Some(0),
            tasks: Some(12),
            waited_seconds: vec![("cpu", 1.5), ("memory", 0.0), ("io", 2.5)],
        };
        let told = board.now();
        let usage: BTreeMap<String, Usage> = told.zones.keys().map(|name| (name.clone(), usage.clone())).collect();
        let mut took = Vec::new();
        let mut made = String::new();
        for _ in 0..5 {
            let started = Instant::now();
            made = text(&board.now(), &usage, None);
            took.push(started.elapsed());
        }
        let series = made.lines().filter(|line| line.contains("zone=\"")).count();
        println!("1,000 zones: {} bytes, {series} series, {:?}", made.len(), took.iter().min().expect("some"));
        assert_eq!(series, 16_000, "16 for each zone");
        assert!(made.len() < 2 << 20, "{}", made.len());
    }

    #[test]
    fn who_scrapes_gets_a_whole_snapshot_and_holds_nobody_up() {
        let board = thousand();
        let ended = AtomicBool::new(false);
        let longest = |board: &Board| {
            let changes = (0..2000).map(|number| {
                let (name, new) = (format!("zone-{:04}", number % 1000), Arc::new(zone("other")));
                let started = Instant::now();
                board.change(|told| drop(Arc::make_mut(&mut told.zones).insert(name, new)));
                started.elapsed()
            });
            let mut took: Vec<Duration> = changes.collect();
            took.sort();
            (took[took.len() / 2], took[took.len() - 1])
        };
        let alone = longest(&board);
        let scrapes = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut count = 0;
                        while !ended.load(Ordering::Relaxed) {
                            let told = board.now();
                            let made = text(&told, &BTreeMap::new(), None);
                            assert_eq!(made.lines().filter(|line| line.starts_with("reeve_zone_state{")).count(), 1000);
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            let beside = longest(&board);
            ended.store(true, Ordering::Relaxed);
            let count: u32 = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum();
            println!("a change takes (half, longest) {alone:?} alone, {beside:?} beside {count} scrapes");
            count
        });
        assert!(scrapes > 0);
    }
}
