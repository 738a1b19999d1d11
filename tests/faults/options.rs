//! What the fault tests are asked for.

use crate::Result;
use std::time::{SystemTime, UNIX_EPOCH};

/// The parts, in the order in which they run.
pub const PARTS: [&str; 6] = ["kills", "errnos", "files", "sequences", "soak", "caught"];

/// The command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// A sample instead of everything.
    pub quick: bool,
    /// A small sample, for `tests/run`: a minute at most.
    pub small: bool,
    /// What the sample and the random sequences come from.
    pub seed: u64,
    /// The parts that run.
    pub parts: Vec<String>,
    /// Cases (or `sequence/SEED`) that are run again, and nothing else.
    pub replay: Option<String>,
    /// How many at once.
    pub threads: usize,
    /// Zones of the soak.
    pub zones: usize,
    /// Boots of each of them.
    pub boots: usize,
}

impl Options {
    /// Reads the arguments. `--json` changes nothing: the last line is an object in any case.
    ///
    /// # Errors
    /// The argument that is none.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mut only = None;
        let mut options = Self {
            quick: false,
            small: false,
            seed: clock,
            parts: Vec::new(),
            replay: None,
            threads: 2,
            zones: 10,
            boots: 5,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            let number = |text: String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--small" => options.small = true,
                "--json" => {}
                "--seed" => options.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?,
                "--only" => only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--replay" => options.replay = Some(value()?),
                "--threads" => options.threads = number(value()?)?.max(1),
                "--zones" => options.zones = number(value()?)?,
                "--boots" => options.boots = number(value()?)?,
                other => return Err(format!("{other}: no such argument")),
            }
        }
        // A small sample is taken of the build that there is.
        let usual = PARTS.iter().filter(|part| !options.small || **part != "caught");
        options.parts = only.unwrap_or_else(|| usual.map(|part| (*part).to_owned()).collect());
        match options.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
            Some(part) => Err(format!("{part}: no such part; there are {}", PARTS.join(", "))),
            None => Ok(options),
        }
    }

    /// How much of something: all of it is none.
    pub fn amount<T>(&self, small: T, quick: T) -> Option<T> {
        if self.small { Some(small) } else { self.quick.then_some(quick) }
    }

    /// How long the sequences in memory are.
    pub fn length(&self) -> usize {
        self.amount(4, 5).unwrap_or(6)
    }

    /// How many sequences there are on the kernel.
    pub fn sequences(&self) -> usize {
        self.amount(4, 40).unwrap_or(10_000)
    }

    /// Whether this part runs.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}
