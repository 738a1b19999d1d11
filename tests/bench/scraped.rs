//! A controller over a thousand running zones that is asked how it is: what a scrape and the status page take, and whether a change
//! of one zone, or the pass that finds it, takes longer while somebody asks.
//!
//! | Row | What |
//! |---|---|
//! | `idle_cpu_1000` | milliseconds of processor that the controller takes in a minute in which nothing happens, its resync among them |
//! | `scrape_1000`, `scrape_1000_p99` | milliseconds of `GET /metrics`, one each 1.1 s: what zones use is read anew each second |
//! | `scrape_1000_kib` | its size |
//! | `page_1000` | milliseconds of `GET /`, the status page |
//! | `change_alone` | milliseconds from a saved manifest (other environment of init: stop and boot) to the zone running anew |
//! | `change_while_scraped_1s` | the same where a scrape begins with the change, as it does once a second |
//! | `change_while_scraped`, `change_while_paged` | the same while two clients ask for metrics, or the page, without a pause |
//! | `pass_alone`, `pass_while_scraped`, `pass_while_paged` | milliseconds of the pass that found that change |

use crate::Result;
use crate::following::{Following, asked};
use crate::hundred::Zones;
use crate::options::Options;
use crate::table::Table;
use crate::timing::{Random, median, settle, timed};
use crate::zones::{Manifest, Scratch};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long somebody asks before the change is made beside it.
const LEAD: Duration = Duration::from_millis(300);
/// How many ask at once without a pause, so that there is always a request that waits.
const CLIENTS: usize = 2;
/// Between two scrapes of which each reads what zones use.
const ANEW: Duration = Duration::from_millis(1100);
/// Between two other requests of which each is timed.
const PAUSE: Duration = Duration::from_millis(20);
/// How much the bench's own clients stand back: what a scraper on another host costs is not on this one.
const NICE: i32 = 19;

/// Who asks while the change is made.
struct Beside {
    path: Option<&'static str>,
    /// Without a pause; else once, when the change is made.
    always: bool,
    change: &'static str,
    pass: Option<&'static str>,
}

impl Beside {
    fn is_wanted(&self, options: &Options) -> bool {
        options.wants(self.change) || self.pass.is_some_and(|row| options.wants(row))
    }
}

const BESIDE: [Beside; 4] = [
    Beside { path: None, always: false, change: "change_alone", pass: Some("pass_alone") },
    Beside { path: Some("/metrics"), always: false, change: "change_while_scraped_1s", pass: None },
    Beside { path: Some("/metrics"), always: true, change: "change_while_scraped", pass: Some("pass_while_scraped") },
    Beside { path: Some("/"), always: true, change: "change_while_paged", pass: Some("pass_while_paged") },
];

/// The row of what takes to watch.
const IDLE: &str = "idle_cpu_1000";
/// The rows of what a request takes.
const ASKING: [&str; 4] = ["scrape_1000", "scrape_1000_p99", "scrape_1000_kib", "page_1000"];

/// Measures and adds the rows that are wanted.
pub fn rows(options: &Options, scratch: &Scratch, table: &mut Table) -> Result<()> {
    let is_asked = ASKING.iter().any(|row| options.wants(row));
    let who: Vec<&Beside> = BESIDE.iter().filter(|who| who.is_wanted(options)).collect();
    let is_left_alone = options.wants(IDLE);
    if !is_asked && !is_left_alone && who.is_empty() {
        return Ok(());
    }
    let count = options.zones(1000);
    let zones = Zones::install(scratch, "asked", count, false)?;
    zones.apply("running")?;
    let manifests: Vec<Manifest> =
        (0..count).map(|index| Manifest::new(&format!("asked-{index}")).state("running")).collect();
    let following = Following::start(scratch, &manifests)?;
    // Until it watches all of them, and the burst is over.
    std::thread::sleep(Duration::from_secs(3));
    let socket = scratch.places()?.run().join(reeve::monitor::SOCKET);
    let mut rows = if is_left_alone { vec![(IDLE, idle(&following)?)] } else { Vec::new() };
    rows.extend(if is_asked { asking(options, &socket)? } else { Vec::new() });
    rows.extend(beside(options, &who, &following, &socket, &manifests)?);
    following.end()?;
    zones.apply("installed")?;
    zones.remove()?;
    for (row, figure) in rows.into_iter().filter(|(row, _)| options.wants(row)) {
        table.add(row, if row.ends_with("kib") { "KiB" } else { "ms" }, figure, Vec::new());
    }
    Ok(())
}

/// What it takes of the processors to watch all zones for a minute, drift among what is watched for.
fn idle(following: &Following) -> Result<f64> {
    let used = || -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", following.pid()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
        // proc(5): fields 14 and 15, in clock ticks, of which there are 100 in a second.
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) * 10.0)
    };
    let before = used()?;
    std::thread::sleep(Duration::from_secs(60));
    Ok(used()? - before)
}

/// What a request takes while nothing else is done.
fn asking(options: &Options, socket: &Path) -> Result<Vec<(&'static str, f64)>> {
    let each = |path: &str, rounds: usize, pause: Duration| -> Result<(Vec<f64>, usize)> {
        let (mut took, mut size) = (Vec::new(), 0);
        for _ in 0..rounds {
            std::thread::sleep(pause);
            let (ms, answer) = timed(|| asked(socket, path))?;
            took.push(ms);
            size = answer.len();
        }
        took.sort_by(f64::total_cmp);
        Ok((took, size))
    };
    let (scrapes, size) = each("/metrics", options.rounds * 2, ANEW)?;
    let (again, _) = each("/metrics", options.rounds, PAUSE)?;
    let (pages, page_size) = each("/", options.rounds * 10, PAUSE)?;
    eprintln!("bench: a scrape within a second of the one before takes {:.2} ms", median(again).unwrap_or_default());
    let p99 = |sorted: &[f64]| sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied();
    let p99_page = p99(&pages).unwrap_or_default();
    eprintln!("bench: the status page is {} KiB, 99 of 100 requests take {p99_page:.2} ms at most", page_size >> 10);
    Ok(vec![
        ("scrape_1000_p99", p99(&scrapes).unwrap_or_default()),
        ("scrape_1000", median(scrapes).unwrap_or_default()),
        ("scrape_1000_kib", size as f64 / 1024.0),
        ("page_1000", median(pages).unwrap_or_default()),
    ])
}

/// What a change and its pass take while somebody asks, and while nobody does: in each round all of them, in an order that
/// changes.
fn beside(
    options: &Options,
    all: &[&Beside],
    following: &Following,
    socket: &Path,
    manifests: &[Manifest],
) -> Result<Vec<(&'static str, f64)>> {
    let mut figures: Vec<(Vec<f64>, Vec<f64>)> = all.iter().map(|_| Default::default()).collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    let (mut random, mut served) = (Random(options.seed), 0);
    for round in 0..options.rounds {
        random.shuffle(&mut order);
        for (number, &index) in order.iter().enumerate() {
            let (who, asks) = (all[index], round * all.len() + number);
            let manifest = &manifests[asks % manifests.len()];
            let clients = who.path.filter(|_| who.always).map(|path| Clients::start(socket, path));
            std::thread::sleep(LEAD);
            let once = who.path.filter(|_| !who.always).map(|path| {
                let socket = socket.to_owned();
                std::thread::spawn(move || asked(&socket, path).map(drop).map_err(|error| error.to_string()))
            });
            let (change, pass) = changed(following, &manifest.word(format!("w{asks}")))?;
            figures[index].0.push(change);
            figures[index].1.push(pass);
            if let Some(once) = once {
                once.join().map_err(|_| "a client ended in the middle")??;
            }
            served += clients.map_or(Ok(0), Clients::end)?;
            settle();
        }
    }
    eprintln!("bench: {served} requests were answered beside changes");
    let rows = all.iter().zip(figures).flat_map(|(who, (changes, passes))| {
        let pass = who.pass.map(|row| (row, median(passes).unwrap_or_default()));
        [Some((who.change, median(changes).unwrap_or_default())), pass].into_iter().flatten()
    });
    Ok(rows.collect())
}

/// Saves another manifest of a zone, and waits until the zone runs as it says: milliseconds of that, and of the pass that found
/// it.
fn changed(following: &Following, manifest: &Manifest) -> Result<(f64, f64)> {
    following.forget();
    let (took, ((), pass)) = timed(|| {
        following.put(manifest)?;
        // The resync may come before the watch, and find it as well.
        let found = |line: &serde_json::Value| line["working"].as_u64().is_some_and(|zones| zones > 0);
        let (_, pass) = following.heard(|line| found(line).then(|| line["tookUs"].as_f64()))?;
        let runs = |line: &serde_json::Value| {
            (line["zone"] == manifest.name.as_str() && line["state"] == "running").then_some(())
        };
        let (_, runs) = following.heard(runs)?;
        Ok((runs, pass))
    })?;
    Ok((took, pass.ok_or("a pass without a time")? / 1000.0))
}

/// Clients that ask without a pause.
struct Clients {
    ended: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    threads: Vec<JoinHandle<std::result::Result<(), String>>>,
}

impl Clients {
    fn start(socket: &Path, path: &'static str) -> Self {
        let (ended, answers): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let one = |_| {
            let (ended, answers, socket): (_, _, PathBuf) =
                (Arc::clone(&ended), Arc::clone(&answers), socket.to_owned());
            std::thread::spawn(move || {
                rustix::process::setpriority_process(None, NICE).map_err(|error| error.to_string())?;
                while !ended.load(Ordering::Relaxed) {
                    asked(&socket, path).map_err(|error| error.to_string())?;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let threads = (0..CLIENTS).map(one).collect();
        Self { ended, answers, threads }
    }

    /// Ends them; how many answers they had.
    fn end(self) -> Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a client ended in the middle")??;
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }
}
