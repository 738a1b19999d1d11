//! The bench (`tests/bench/run`): what Reeve's transitions cost and what its processes weigh, beside what a user would take
//! instead, in one run: every tool once a round in an order that a printed seed shuffles, 100 ms of idling before each,
//! medians. Only tools that do the same work are a row's peers.
#![forbid(unsafe_code)]

mod containers;
mod following;
mod hundred;
mod memory;
mod network;
mod options;
mod scraped;
mod single;
mod spawn;
mod table;
mod tenthousand;
mod thousand;
mod timing;
mod zones;

use options::Options;
use std::process::ExitCode;
use table::Table;
use zones::Scratch;

/// What a part of the bench comes to; an error ends the bench, a peer's failure only its figures.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    // `cargo test --benches` and `cargo bench` pass arguments of their own, without the wrapper's namespaces.
    let Some(scratch) = Scratch::from_environment() else {
        eprintln!("bench: start it with tests/bench/run, which makes the namespaces that it runs in");
        return ExitCode::SUCCESS;
    };
    match Options::parse(std::env::args().skip(1)).and_then(|options| bench(&options, &scratch)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options, scratch: &Scratch) -> Result<()> {
    let mut table = Table::new(options.json);
    eprintln!("bench: seed {}, {} rounds, load {}", options.seed, options.rounds, timing::load());
    single::rows(options, scratch, &mut table)?;
    hundred::rows(options, scratch, &mut table)?;
    memory::rows(options, scratch, &mut table)?;
    thousand::rows(options, scratch, &mut table)?;
    scraped::rows(options, scratch, &mut table)?;
    tenthousand::rows(options, &mut table)?;
    eprintln!("bench: load at the end {}", timing::load());
    table.finish();
    Ok(())
}
