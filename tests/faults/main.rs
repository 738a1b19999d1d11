//! The fault tests (`tests/faults/run`): processes of Reeve's are killed and system calls of theirs fail, one at a time,
//! in everything that is done to a zone; then a new controller must bring the zone to where its manifest says, with its
//! data, once, and afterwards nothing may be left. The kernel is real, and so are the processes.
#![forbid(unsafe_code)]

mod calls;
mod caught;
mod damaged;
#[path = "../harness/mod.rs"]
mod harness;
mod in_memory;
mod inject;
mod model;
mod options;
mod random;
mod scene;
mod sequences;
mod soak;
mod strikes;
mod tally;

use inject::Tools;
use options::Options;
use random::Random;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use strikes::Logs;
use tally::{Run, Tally};

/// What a part comes to, where something else than Reeve fails.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    // `cargo test --test faults` is no way to start it.
    let Some(folder) = std::env::var_os("REEVE_FAULTS_FOLDER").map(PathBuf::from) else {
        eprintln!("faults: start it with tests/faults/run, which makes the folder that it works in");
        return ExitCode::FAILURE;
    };
    let tally = Tally::default();
    match Options::parse(std::env::args().skip(1)).and_then(|options| faults(&options, &folder, &tally)) {
        Ok(()) => {
            println!("{}", tally.json());
            if tally.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("faults: {error}");
            println!("{}", tally.json());
            ExitCode::FAILURE
        }
    }
}

fn faults(options: &Options, folder: &Path, tally: &Tally) -> Result<()> {
    let tools = Tools::new(folder, Path::new(env!("CARGO_BIN_EXE_reeve")))?;
    if let Some(replay) = &options.replay {
        return match replay.strip_prefix("sequence/").map(str::parse) {
            Some(Ok(seed)) => {
                sequences::one(&tools, seed, tally);
                Ok(())
            }
            Some(Err(error)) => Err(format!("{replay}: {error}")),
            None => strikes::replay(&tools, replay, tally),
        };
    }
    println!("faults: seed {}", options.seed);
    let mut random = Random::new(options.seed);
    let mut logs = Logs::new();
    if ["kills", "errnos", "caught"].iter().any(|part| options.wants(part)) {
        timed("every operation once", || {
            logs = strikes::learn(&tools)?;
            Ok(())
        })?;
    }
    let threads = options.threads;
    // Drawn also where they do not run, so that a part is the same by itself.
    let kills = strikes::kills(&logs, &mut random, options.amount((1, 1), (9, 4)));
    let errnos = strikes::errnos(&logs, &mut random, options.amount(4, 46));
    let seeds: Vec<u64> = (0..options.sequences()).map(|_| random.next()).collect();
    if options.wants("kills") {
        timed("kills", || {
            strikes::run(&tools, kills, threads, tally);
            Ok(())
        })?;
    }
    if options.wants("errnos") {
        timed("errnos", || {
            strikes::run(&tools, errnos, threads, tally);
            Ok(())
        })?;
    }
    if options.wants("files") {
        timed("damaged files", || {
            println!("faults: {} damaged files", damaged::run(&tools, tally));
            Ok(())
        })?;
    }
    if options.wants("sequences") {
        timed("sequences in memory", || {
            sequences::in_memory(options.length(), threads, tally);
            Ok(())
        })?;
        timed("sequences on the kernel", || {
            sequences::on_kernel(&tools, &seeds, threads, tally);
            Ok(())
        })?;
    }
    if options.wants("soak") {
        timed("soak", || {
            let problems = soak::soak(&tools, options.zones, options.boots)?;
            tally.problems("--only soak", &problems);
            Ok(())
        })?;
    }
    if options.wants("caught") {
        let planted = std::env::var_os("REEVE_FAULTS_PLANTED").ok_or("REEVE_FAULTS_PLANTED is not set")?;
        timed("planted faults", || {
            tally.caught(caught::caught(&tools, Path::new(&planted), &logs)?);
            Ok(())
        })?;
    }
    let (missed, memory, kernel) = (tally.count(Run::Missed), tally.count(Run::InMemory), tally.count(Run::OnKernel));
    println!(
        "faults: {memory} sequences in memory, {kernel} on the kernel; {missed} faults met no call and do not count"
    );
    Ok(())
}

fn timed(name: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    body()?;
    println!("faults: {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
