//! TELL whoever watches from outside: metrics over HTTP. What is told is taken from a [`board::Board`] that the controller
//! keeps up to date; whoever reads it takes a snapshot, so that no reader ever delays a pass.

pub mod board;
pub mod exposition;
pub mod http;
pub mod notifier;
pub mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use reeve_state::metrics::{self, Process, Usage};

use crate::places::Places;
use board::Board;

/// The name of the socket in the run folder.
pub const SOCKET: &str = "metrics.sock";

/// All that is needed to answer a request.
pub struct Site {
    /// What the controller tells.
    pub board: Arc<Board>,
    /// Where the zones' cgroups are.
    pub places: Places,
    /// One scrape reads the cgroups at a time, however many ask.
    pub one_at_a_time: tokio::sync::Mutex<()>,
}

impl Site {
    /// The answers to requests about what this board tells.
    pub fn new(board: Arc<Board>, places: &Places) -> Arc<Self> {
        Arc::new(Self { board, places: places.clone(), one_at_a_time: tokio::sync::Mutex::new(()) })
    }

    /// All metrics as text. Reads files of the kernel, for a bounded time, and so belongs on a thread that may block.
    pub fn metrics(&self) -> String {
        let told = self.board.now();
        let active = told.zones.iter().filter(|(_, zone)| zone.status.zone_id.is_some()).map(|(name, _)| name);
        let (usage, skipped) = usage::zones(&self.places, active);
        let process = usage::process().map(|process| Process { skipped_zones: skipped, ..process });
        text(&told, &usage, process.as_ref())
    }
}

/// A snapshot as text.
pub fn text(told: &board::Told, usage: &BTreeMap<String, Usage>, process: Option<&Process>) -> String {
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
