//! Sequences of transitions against the reference model: all of a length on two zones in memory, and random ones on the
//! kernel, in which manifests change, people ask for things by name, and processes are killed.

use crate::Result;
use crate::harness::{self, Host, kernel};
use crate::in_memory;
use crate::inject::Tools;
use crate::model::{Asked, Place, Wish};
use crate::random::Random;
use crate::scene::{Kind, problem};
use crate::tally::{Run, Tally};
use reeve_kernel::sys;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const NAMES: [&str; 2] = ["a", "b"];
/// Events of a sequence on the kernel.
const LENGTH: usize = 6;
/// How long what was killed may be seen.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// All sequences of this length in memory, on this many threads.
pub fn in_memory(length: usize, threads: usize, tally: &Tally) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let firsts = std::iter::from_fn(|| {
                    let first = next.fetch_add(1, Ordering::Relaxed);
                    (first < in_memory::FIRSTS).then_some(first)
                });
                match in_memory::exhaust(length, firsts) {
                    Ok(count) => tally.ran(Run::InMemory, count),
                    Err(why) => tally.problems("--only sequences", &[problem(Kind::Wrong, why)]),
                }
            });
        }
    });
}

/// What happens in a sequence on the kernel.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wish(Wish),
    Ask(Asked),
    KillZsched,
    KillZoneadmd,
    KillInit,
}

fn any_event(random: &mut Random) -> Event {
    let asked = [Asked::Ready, Asked::Boot, Asked::Stop, Asked::Halt, Asked::Reboot];
    match random.below(12) {
        0..5 => Event::Wish(Wish::ALL[random.below(Wish::ALL.len())]),
        5..9 => Event::Ask(asked[random.below(asked.len())]),
        9 => Event::KillZsched,
        10 => Event::KillZoneadmd,
        _ => Event::KillInit,
    }
}

/// Random sequences on the kernel, one after the other on each of the threads; each has a seed of its own.
pub fn on_kernel(tools: &Tools, seeds: &[u64], threads: usize, tally: &Tally) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(tools, *seed, tally);
                }
            });
        }
    });
}

/// One sequence, from two zones that are not there to two that are gone.
pub fn one(tools: &Tools, seed: u64, tally: &Tally) {
    let again = format!("--replay sequence/{seed}");
    let mut play = Play::new(tools);
    let mut random = Random::new(seed);
    let mut told = Vec::new();
    let played = (0..LENGTH).try_for_each(|_| {
        let (zone, event) = (random.below(2), any_event(&mut random));
        told.push(format!("{} {event:?}", NAMES[zone]));
        play.happen(zone, event).and_then(|()| play.agree())
    });
    tally.ran(Run::OnKernel, 1);
    if let Err(why) = played {
        tally.problems(&again, &[problem(Kind::Wrong, format!("{why}, after {}", told.join(", ")))]);
    }
    for (zone, name) in NAMES.iter().enumerate() {
        if play.wishes[zone] == Wish::Gone {
            play.host.zone(name, "installed", &spec(zone));
        }
    }
    let left = play.host.take_down();
    let left: Vec<_> = left.problems.into_iter().map(|text| problem(Kind::LeftOver, text)).collect();
    tally.problems(&again, &left);
}

/// Two zones, and where the model has them.
struct Play<'t> {
    host: Host,
    tools: &'t Tools,
    wishes: [Wish; 2],
    places: [Place; 2],
    /// The zone's zsched was killed: what is left of it is between shutting_down and down until it is halted.
    broken: [bool; 2],
    ids: [Value; 2],
}

fn spec(zone: usize) -> String {
    format!("deletion: delete\n{}{}", harness::net(20 + zone as u8), harness::SLEEPER)
}

impl<'t> Play<'t> {
    fn new(tools: &'t Tools) -> Self {
        let host = Host::new("faults");
        let (wishes, places) = ([Wish::Gone; 2], [Place::Nowhere; 2]);
        Self { host, tools, wishes, places, broken: [false; 2], ids: [Value::Null, Value::Null] }
    }

    fn reeve(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = self.tools.retarget(&self.host.command(arguments));
        command.output().map_err(|error| format!("reeve {arguments:?}: {error}"))
    }

    fn happen(&mut self, zone: usize, event: Event) -> Result<()> {
        match event {
            Event::Wish(wish) => self.wish(zone, wish),
            Event::Ask(asked) => self.ask(zone, asked),
            Event::KillZsched => self.kill(zone, "zschedPid", |play, zone| play.broken[zone] = true),
            Event::KillZoneadmd => self.kill(zone, "zoneadmdPid", |_, _| {}),
            Event::KillInit => self.kill(zone, "initPid", |play, zone| play.places[zone] = Place::Ready),
        }
    }

    /// A manifest changes, and is applied with the other one.
    fn wish(&mut self, zone: usize, wish: Wish) -> Result<()> {
        self.wishes[zone] = wish;
        let file = format!("{}.yaml", NAMES[zone]);
        match wish {
            // It said that it is to be removed with its manifest; in a folder without any, nothing is applied.
            Wish::Gone => drop(std::fs::remove_file(self.host.manifests().join(file))),
            _ => self.host.zone(NAMES[zone], wish.place().name(), &spec(zone)),
        }
        let manifests = self.host.manifests().display().to_string();
        let output = self.reeve(&["apply", &manifests, "--allow-removals"])?;
        if !output.status.success() {
            return Err(format!("apply: {}\n{}", output.status, harness::shown(&output)));
        }
        self.places = self.wishes.map(Wish::place);
        self.broken = [false; 2];
        Ok(())
    }

    /// Somebody asks for something, which is refused where the model does not have it.
    fn ask(&mut self, zone: usize, asked: Asked) -> Result<()> {
        let place = if self.broken[zone] { Place::Down } else { self.places[zone] };
        let output = self.reeve(&["zoneadm", "-z", NAMES[zone], asked.name()]);
        // zoneadm has no stop.
        let output = if asked == Asked::Stop { self.reeve(&["stop", NAMES[zone]])? } else { output? };
        match (asked.leads(place), output.status.success()) {
            (Some(there), true) => {
                self.places[zone] = there;
                self.broken[zone] = false;
                Ok(())
            }
            (None, false) => Ok(()),
            (should, _) => {
                let said = harness::shown(&output);
                Err(format!(
                    "{asked:?} of a zone that is {place:?}: {}, in the model {should:?}\n{said}",
                    output.status
                ))
            }
        }
    }

    fn kill(&mut self, zone: usize, field: &str, then: impl FnOnce(&mut Self, usize)) -> Result<()> {
        let status = self.status(zone)?;
        let Some(pid) = status[field].as_i64() else { return Ok(()) };
        let (pid, started) = (pid as i32, kernel::start_time(pid as i32));
        sys::kill(pid, libc::SIGKILL);
        let deadline = Instant::now() + GONE_WITHIN;
        while kernel::alive(pid) && kernel::start_time(pid) == started {
            if Instant::now() > deadline {
                return Err(format!("{field} {pid} was killed and is still there"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        then(self, zone);
        Ok(())
    }

    fn status(&self, zone: usize) -> Result<Value> {
        let output = self.reeve(&["get", "-o", "json"])?;
        let list: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("get: {error}: {}", harness::shown(&output)))?;
        let found = list["items"].as_array().and_then(|all| all.iter().find(|status| status["name"] == NAMES[zone]));
        Ok(found.cloned().unwrap_or(Value::Null))
    }

    /// What `reeve get` says and what the kernel shows is what the model has.
    fn agree(&mut self) -> Result<()> {
        for (zone, name) in NAMES.iter().enumerate() {
            let (place, broken) = (self.places[zone], self.broken[zone]);
            let deadline = Instant::now() + GONE_WITHIN;
            loop {
                let status = self.status(zone)?;
                let state = status["state"].as_str().unwrap_or("none");
                let alive = kernel::at_work(&self.host.cgroup().join(format!("zone.{name}"))).len();
                let right = if broken {
                    alive == 0 && ["shutting_down", "down", "installed"].contains(&state)
                } else {
                    let expected = match place {
                        Place::Ready => 1,
                        Place::Running => 3,
                        _ => 0,
                    };
                    alive == expected && state == place.name()
                };
                if right {
                    self.ids[zone] = status["zoneId"].clone();
                    break;
                }
                // What ends by itself, an init that was killed, takes its moment.
                if Instant::now() > deadline {
                    let place = if broken { "without its zsched" } else { place.name() };
                    return Err(format!("zone {name} is {state} with {alive} processes, in the model {place}"));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let ids: Vec<&Value> = self.ids.iter().filter(|id| !id.is_null()).collect();
        if ids.len() == 2 && ids[0] == ids[1] {
            return Err(format!("both zones have the ID {}", ids[0]));
        }
        Ok(())
    }
}
