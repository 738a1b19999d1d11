//! Whether `apply` does what `plan` said (`tests/fidelity/run`): random pairs of what is on a host and what the manifests
//! want. Each pair is made on the real kernel, planned, applied, and compared: the steps that were told, one by one and in
//! order; the transitions in the zone's history; and what the kernel shows afterwards.
#![forbid(unsafe_code)]

mod compare;
#[path = "../harness/mod.rs"]
mod harness;
mod options;
mod pair;
#[path = "../faults/random.rs"]
mod random;
mod scenario;

use options::Options;
use pair::{Done, Program};
use random::Random;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What a part comes to, where something else than Reeve fails.
type Result<T> = std::result::Result<T, String>;

/// Faults that are planted in a build of its own: a step that is left out, and one that is said to be done and is not.
const PLANTED: [&str; 2] = ["dropped-step", "claimed-step"];
/// With how many pairs each of them must be noticed.
const PAIRS_TO_NOTICE: usize = 12;

/// What all pairs came to.
#[derive(Debug, Default)]
struct Sum {
    pairs: usize,
    steps: usize,
    differing: usize,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fidelity: {error}");
            return ExitCode::FAILURE;
        }
    };
    // `cargo test --test fidelity` is no way to start it.
    let Some(planted) = std::env::var_os("REEVE_FIDELITY_PLANTED").map(PathBuf::from) else {
        eprintln!("fidelity: start it with tests/fidelity/run, which builds the programs");
        return ExitCode::FAILURE;
    };
    println!("fidelity: seed {}", options.seed);
    let started = Instant::now();
    let program = Program { path: Path::new(env!("CARGO_BIN_EXE_reeve")).to_owned(), planted: None };
    let sum = match options.pair {
        Some(pair) => run(&program, options.seed, pair..pair + 1, 1, true),
        None => run(&program, options.seed, 0..options.pairs, options.threads, options.verbose),
    };
    println!("fidelity: {} pairs, {} steps: {:.1} s", sum.pairs, sum.steps, started.elapsed().as_secs_f64());
    let caught = match (options.pair, planted.as_os_str().is_empty()) {
        (Some(_), _) | (_, true) => None,
        (None, false) => match caught(&planted, options.seed, options.threads) {
            Ok(caught) => Some(caught),
            Err(error) => {
                eprintln!("fidelity: {error}");
                Some(false)
            }
        },
    };
    let shown = caught.map_or("null".to_owned(), |caught| caught.to_string());
    println!(
        "{{\"pairs\": {}, \"steps\": {}, \"differing\": {}, \"seed\": {}, \"caught\": {shown}}}",
        sum.pairs, sum.steps, sum.differing, options.seed
    );
    if sum.differing == 0 && sum.pairs > 0 && caught != Some(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs these pairs on some threads, each with a host of its own.
fn run(program: &Program, seed: u64, pairs: std::ops::Range<usize>, threads: usize, verbose: bool) -> Sum {
    let (next, sum) = (AtomicUsize::new(pairs.start), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let pair = next.fetch_add(1, Ordering::Relaxed);
                    if pair >= pairs.end {
                        break;
                    }
                    let done = one(program, seed, pair, verbose);
                    let Ok(mut sum) = sum.lock() else { break };
                    sum.pairs += 1;
                    sum.steps += done.steps;
                    if !done.differs.is_empty() {
                        sum.differing += 1;
                        eprintln!("fidelity: --seed {seed} --pair {pair} differs:\n  {}", done.differs.join("\n  "));
                        eprintln!("{}", done.story);
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_default()
}

fn one(program: &Program, seed: u64, pair: usize, verbose: bool) -> Done {
    let mut random = Random::new(seed.wrapping_mul(0x1_0000_0001).wrapping_add(pair as u64));
    let scenario = scenario::Scenario::any(&mut random);
    let done = pair::carry_out(program, &scenario);
    if verbose {
        println!("pair {pair}: {scenario:#?}\n{}", done.story);
    }
    done
}

/// Whether both planted faults are noticed, by pairs in which nothing is without them.
fn caught(planted: &Path, seed: u64, threads: usize) -> Result<bool> {
    let control = Program { path: planted.to_owned(), planted: None };
    let clean = run(&control, seed, 0..PAIRS_TO_NOTICE, threads, false);
    if clean.differing > 0 {
        return Err("the build with planted faults differs also where none is planted".to_owned());
    }
    let mut all = true;
    for fault in PLANTED {
        let program = Program { path: planted.to_owned(), planted: Some(fault.to_owned()) };
        let noticed = (0..PAIRS_TO_NOTICE).map(|pair| one(&program, seed, pair, false)).find(|d| !d.differs.is_empty());
        match noticed {
            Some(done) => println!("fidelity: planted {fault}: {}", done.differs[0]),
            None => {
                println!("fidelity: planted {fault}: NOT NOTICED");
                all = false;
            }
        }
    }
    Ok(all)
}
