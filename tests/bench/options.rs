//! What the bench is asked for.

use crate::Result;
use std::time::{SystemTime, UNIX_EPOCH};

/// Every row, in the order in which they are printed.
pub const ROWS: [&str; 22] = [
    "cold",
    "cold_net",
    "ready_to_running",
    "restart",
    "up_100_net",
    "down_100_net",
    "pss_kib",
    "controller_pss_kib",
    "idle_1000",
    "idle_cpu_1000",
    "scrape_1000",
    "scrape_1000_p99",
    "scrape_1000_kib",
    "page_1000",
    "change_alone",
    "change_while_scraped_1s",
    "change_while_scraped",
    "change_while_paged",
    "pass_alone",
    "pass_while_scraped",
    "pass_while_paged",
    "plan_10000",
];

/// The command line.
#[derive(Debug)]
pub struct Options {
    /// One object a row instead of a table.
    pub json: bool,
    /// How often each tool does what it does for the rows of one zone; the median counts.
    pub rounds: usize,
    /// The rows that are wanted.
    pub rows: Vec<String>,
    /// Fewer zones and rounds: it shows that the bench works, its figures count for nothing.
    pub quick: bool,
    /// What the order in each round comes from.
    pub seed: u64,
}

impl Options {
    /// Reads the arguments.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let rows = ROWS.map(str::to_owned).to_vec();
        let mut options = Self { json: false, rounds: 0, rows, quick: false, seed: clock };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--rows" => options.rows = value()?.split(',').map(str::to_owned).collect(),
                other => return Err(format!("{other}: no such argument").into()),
            }
        }
        if let Some(row) = options.rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
            return Err(format!("{row}: no such row; there are {}", ROWS.join(", ")).into());
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 3 } else { 30 };
        }
        Ok(options)
    }

    /// Whether a row is wanted.
    pub fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|wanted| wanted == row)
    }

    /// How often what takes seconds is done.
    pub fn long_rounds(&self) -> usize {
        if self.quick { 1 } else { (self.rounds / 6).clamp(1, 5) }
    }

    /// A number of zones, or a tenth of it.
    pub fn zones(&self, count: usize) -> usize {
        if self.quick { count / 10 } else { count }
    }
}
