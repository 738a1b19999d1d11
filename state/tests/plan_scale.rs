//! What planning costs, by the number of zones: all of them new, all running with nothing to do (an idle pass), all changed,
//! and one changed among them. A table of milliseconds and of the process's peak memory, each size in a process of its own;
//! it fails where a zone among many costs much more than one among few.

mod common;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::time::Instant;

use common::{World, wants};
use reeve_state::ZoneState;
use reeve_state::audit::audit;
use reeve_state::plan::basis::Basis;
use reeve_state::plan::document::PlanDocument;
use reeve_state::plan::{Input, Plan, plan, plan_some};
use reeve_state::wanted::Wanted;
use serde_json::json;

/// Zones. A build without optimisation is ten times slower, and stops at the second.
const SIZES: &[usize] = if cfg!(debug_assertions) { &[100, 1000] } else { &[100, 1000, 10_000] };
/// How many times more than among fewer zones one may cost.
const MOST: f64 = 4.0;
/// What is shorter than this is not compared, in milliseconds: it is the clock's and the allocator's.
const LEAST: f64 = 2.0;

fn zone(i: usize, word: &str) -> Wanted {
    let address = format!("10.{}.{}.{}/8", i / 40_000, i / 200 % 200, i % 200 + 1);
    let spec = json!({
        "zonepath": format!("/zones/z{i}"), "net": [{"physical": "reeve0", "address": address}],
        "cappedMemory": {"physical": "512Mi"}, "init": {"command": ["/usr/bin/sleep", "infinity"], "env": {"WORD": word}},
    });
    wants(&format!("z{i}"), spec)
}

fn input(world: &World) -> Input<'_> {
    Input {
        wanted: &world.wanted,
        source: None,
        facts: &world.facts,
        recorded: &world.recorded,
        policies: &world.policies,
        approvals: &world.approvals,
        now: world.facts.observed_at,
    }
}

/// Milliseconds of each, and the peak of memory in KiB; printed for the process that asked.
fn measure(zones: usize) {
    let mut times = Vec::new();
    let mut timed = |does: &mut dyn FnMut() -> Plan| {
        let start = Instant::now();
        let plan = does();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        plan
    };
    let mut world = World::new();
    let all: Vec<Wanted> = (0..zones).map(|i| zone(i, "one")).collect();
    world.wanted = all.iter().map(|wanted| (wanted.name.clone(), wanted.clone())).collect();
    let new = timed(&mut || plan(&input(&world)));
    assert!(new.zones.iter().all(|zone| zone.steps.len() == 10), "{:?}", new.zones[0].steps);
    drop(new);
    for wanted in &all {
        world.put(wanted, ZoneState::Running);
    }
    let idle = timed(&mut || plan(&input(&world)));
    assert!(idle.is_empty());
    drop(idle);
    let changed = zone(zones / 2, "two");
    let name: BTreeSet<String> = [changed.name.clone()].into();
    world.wanted.insert(changed.name.clone(), changed);
    let one = timed(&mut || plan_some(&input(&world), &name));
    assert!(one.zones.len() == 1 && !one.is_empty());
    // A halt and a bring-up: all that others have is asked for.
    let moved = wants(&format!("z{}", zones / 2), json!({"net": [{"physical": "reeve0", "address": "10.255.0.1/8"}]}));
    world.wanted.insert(moved.name.clone(), moved);
    let rebuilt = timed(&mut || plan_some(&input(&world), &name));
    assert!(rebuilt.zones[0].steps.len() > 10, "{:?}", rebuilt.zones[0].steps);
    world.wanted = (0..zones).map(|i| zone(i, "two")).map(|wanted| (wanted.name.clone(), wanted)).collect();
    let all = timed(&mut || plan(&input(&world)));
    assert!(all.zones.iter().all(|zone| !zone.steps.is_empty()));
    let start = Instant::now();
    assert_eq!(audit(&all, &world.facts, &world.permissions()), []);
    times.push(start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let names = world.wanted.keys().cloned().collect();
    let basis = Basis::new(None, &world.wanted, &world.facts, &world.recorded, &world.policies, &names);
    let mut document = PlanDocument::new("/zones", None);
    document.add(None, &all, &[], basis.digest(&all));
    times.push(start.elapsed().as_secs_f64() * 1e3);
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let times: Vec<String> = times.iter().map(|time| format!("{time:.3}")).collect();
    println!("{} {}", times.join(" "), peak.trim().trim_end_matches(" kB"));
}

/// The figures of one size, from a process of its own.
fn figures(zones: usize) -> Vec<f64> {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).args(["measure", &zones.to_string()]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().map(|word| word.parse().expect("a figure")).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, zones] = arguments.as_slice()
        && first == "measure"
    {
        measure(zones.parse().expect("a number of zones"));
        return ExitCode::SUCCESS;
    }
    println!("planning; milliseconds, MiB");
    let names = ["new", "idle", "one", "one anew", "changed", "audit", "document"];
    println!("{:>7} {} {:>8}", "zones", names.map(|name| format!("{name:>9}")).join(" "), "peak");
    let mut before: Option<(usize, Vec<f64>)> = None;
    for zones in SIZES.iter().copied() {
        let mut figures = figures(zones);
        let peak = figures.pop().expect("a peak");
        let cells: Vec<String> = figures.iter().map(|figure| format!("{figure:>9.3}")).collect();
        println!("{zones:>7} {} {:>8.1}", cells.join(" "), peak / 1024.0);
        if let Some((fewer, before)) = &before {
            let more = zones as f64 / *fewer as f64 * MOST;
            for (name, (now, before)) in names.iter().zip(figures.iter().zip(before)) {
                if *now > before.max(LEAST) * more {
                    eprintln!("{name}: {now:.3} ms with {zones} zones, {before:.3} ms with {fewer}");
                    return ExitCode::FAILURE;
                }
            }
        }
        before = Some((zones, figures));
    }
    ExitCode::SUCCESS
}
