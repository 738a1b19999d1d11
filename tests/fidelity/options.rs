//! What the fidelity test is asked for.

use crate::Result;
use std::time::{SystemTime, UNIX_EPOCH};

/// The command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many pairs.
    pub pairs: usize,
    /// What they come from.
    pub seed: u64,
    /// This one alone.
    pub pair: Option<usize>,
    /// How many at once.
    pub threads: usize,
    /// Whether each pair is told.
    pub verbose: bool,
}

impl Options {
    /// Reads the arguments. `--json` changes nothing: the last line is an object in any case.
    ///
    /// # Errors
    /// The argument that is none.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mut options = Self { pairs: 250, seed: clock, pair: None, threads: 2, verbose: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            let number = |text: String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
            match argument.as_str() {
                "--json" => {}
                "--verbose" => options.verbose = true,
                "--pairs" => options.pairs = number(value()?)?,
                "--pair" => options.pair = Some(number(value()?)?),
                "--threads" => options.threads = number(value()?)?.max(1),
                "--seed" => options.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?,
                other => return Err(format!("{other}: no such argument")),
            }
        }
        Ok(options)
    }
}
