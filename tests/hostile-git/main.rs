//! Hostile repositories and commits (`tests/hostile-git/run`): each is shown to a host of its own, whose controller must
//! refuse it for the right reason, go on with the last good commit and write nothing but its store; harmless ones that look
//! much the same must be applied. The program is the real one, and so are git, ssh-keygen and gpg.
#![forbid(unsafe_code)]

mod bombs;
mod cases;
mod harmless;
#[path = "../harness/mod.rs"]
mod harness;
mod history;
mod lab;
mod listing;
mod memory;
mod owners;
mod scene;
mod signatures;
mod sources;
mod transports;
mod trees;

use cases::{Case, Expect, Outcome};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is asked for.
#[derive(Debug)]
struct Options {
    only: Option<String>,
    threads: usize,
}

impl Options {
    /// Reads the arguments. `--json` changes nothing: the last line is an object in any case.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { only: None, threads: 4 };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--json" => {}
                "--only" => options.only = Some(value()?),
                "--threads" => {
                    let text = value()?;
                    options.threads = text.parse().map_err(|error| format!("--threads {text}: {error}"))?;
                }
                other => return Err(format!("{other}: no such argument; there are --json, --only and --threads")),
            }
        }
        Ok(options)
    }
}

/// The numbers of the last line.
#[derive(Debug, Default)]
struct Tally {
    repositories: u64,
    refused: u64,
    applied: u64,
    written_outside: u64,
    good: u64,
    good_applied: u64,
}

impl Tally {
    fn add(&mut self, case: &Case, outcome: &Outcome) {
        if matches!(case.expect, Expect::Applied) {
            self.good += 1;
            self.good_applied += u64::from(outcome.clean());
        } else {
            self.repositories += 1;
            self.refused += u64::from(outcome.problems.is_empty());
            self.applied += u64::from(outcome.applied);
        }
        self.written_outside += outcome.written.len() as u64;
    }

    fn clean(&self) -> bool {
        self.refused == self.repositories
            && self.applied + self.written_outside == 0
            && self.good == self.good_applied
            && self.repositories + self.good > 0
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "repositories": self.repositories, "refused": self.refused, "applied": self.applied,
            "written_outside": self.written_outside, "good": self.good, "good_applied": self.good_applied,
        })
    }
}

fn main() -> ExitCode {
    // `cargo test --test hostile-git` is no way to start it.
    let Some(folder) = std::env::var_os("REEVE_HOSTILE_FOLDER").map(PathBuf::from) else {
        eprintln!("hostile-git: start it with tests/hostile-git/run, which makes the folder that it works in");
        return ExitCode::FAILURE;
    };
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("hostile-git: {error}");
            return ExitCode::FAILURE;
        }
    };
    let lab = lab::Lab::new(&folder);
    let wanted = |case: &Case| options.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == case.name));
    let cases: VecDeque<Case> = all().into_iter().filter(wanted).collect();
    let (cases, tally) = (Mutex::new(cases), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| work(&lab, &cases, &tally));
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What git, ssh or gpg leave in a home is written outside as well.
    if let Some(home) = std::env::var_os("HOME") {
        for path in listing::list(&PathBuf::from(home)).keys() {
            println!("written at home: {}", path.display());
            tally.written_outside += 1;
        }
    }
    println!("{}", tally.json());
    if tally.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all() -> Vec<Case> {
    let parts = [
        bombs::cases(),
        trees::cases(),
        signatures::cases(),
        history::cases(),
        sources::cases(),
        owners::cases(),
        transports::cases(),
        harmless::cases(),
    ];
    let cases: Vec<Case> = parts.into_iter().flatten().collect();
    for (at, case) in cases.iter().enumerate() {
        assert!(cases[..at].iter().all(|other| other.name != case.name), "two cases have the name {}", case.name);
    }
    cases
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs cases until there are none left.
fn work(lab: &lab::Lab, cases: &Mutex<VecDeque<Case>>, tally: &Mutex<Tally>) {
    loop {
        let Some(case) = locked(cases).pop_front() else { return };
        let started = std::time::Instant::now();
        // A case that could not be made or whose host does not answer has failed; the others go on.
        let outcome = catch_unwind(AssertUnwindSafe(|| case.run(lab))).unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Outcome { problems: vec![text.unwrap_or_default()], ..Outcome::default() }
        });
        let mark = if outcome.clean() { "ok  " } else { "BAD " };
        let took = started.elapsed().as_millis();
        println!("{mark} {:<28} {took:>5} ms  {}", case.name, outcome.verdict);
        for line in outcome.problems.iter().chain(&outcome.written) {
            println!("     {}", line.replace('\n', "\n     "));
        }
        locked(tally).add(&case, &outcome);
    }
}
