//! What a set for 100 hosts costs, by the number of its zones: reading it, checking it for all hosts, what one host gets,
//! and the same with the place of every value. A table of milliseconds and of the process's peak memory, each size in a
//! process of its own; it fails where a zone of a large set costs much more than one of a small set.

use std::process::{Command, ExitCode};
use std::time::Instant;

use reeve_schema::{Catalog, HostSelf, Limits, Problems, SourceFile};

/// Hosts of each set.
const HOSTS: usize = 100;
/// Zones of the sets. A build without optimisation is ten times slower, and stops at the second.
const SIZES: &[usize] = if cfg!(debug_assertions) { &[100, 1000] } else { &[100, 1000, 10_000] };
/// How many times more than in the set before a zone may cost, what is measured in microseconds included.
const MOST: f64 = 3.0;

/// A set: a file for each zone, each on one host by its name or by a label, and an overlay for each tenth host.
fn set(zones: usize) -> Vec<SourceFile> {
    let document = |path: String, kind: &str, rest: String| SourceFile {
        path,
        text: format!("apiVersion: reeve.dev/v1alpha1\nkind: {kind}\n{rest}"),
    };
    let zone = |i: usize| {
        let host = i % HOSTS;
        let hosts = match i % 2 {
            0 => format!("{{names: [h{host}]}}"),
            _ => format!("{{matchLabels: {{place: p{host}}}}}"),
        };
        document(
            format!("zones/z{i}.yaml"),
            "Zone",
            format!(
                "metadata:\n  name: z{i}\n  labels: {{app: a{}}}\nspec:\n  hosts: {hosts}\n  root: {{hostUsr: {{}}}}\n  \
                 net: [{{physical: reeve0, address: 10.{}.{}.1/8}}]\n  cappedMemory: {{physical: 512Mi}}\n  \
                 init:\n    command: [/usr/bin/sleep, infinity]\n    env: {{LANG: C.UTF-8}}\n",
                i % 10,
                i / 200,
                i % 200
            ),
        )
    };
    let host = |i: usize| {
        let rest = format!("metadata: {{name: h{i}, labels: {{place: p{i}, row: r{}}}}}\n", i % 10);
        document(format!("hosts/h{i}.yaml"), "Host", rest)
    };
    let overlay = |i: usize| {
        let spec = format!(
            "hosts: {{matchLabels: {{row: r{i}}}}}, zones: {{matchLabels: {{app: a{i}}}}}, \
             patch: {{spec: {{cappedMemory: {{physical: 1Gi}}, init: {{env: {{LANG: C}}}}}}}}"
        );
        document(format!("overlays/o{i}.yaml"), "Overlay", format!("metadata: {{name: o{i}}}\nspec: {{{spec}}}\n"))
    };
    (0..zones).map(zone).chain((0..HOSTS).map(host)).chain((0..10).map(overlay)).collect()
}

/// Milliseconds of each step, and the peak of memory in KiB; printed for the process that asked.
fn measure(zones: usize) {
    let files = set(zones);
    let mut times = Vec::new();
    let mut timed = |start: Instant| times.push(format!("{:.3}", start.elapsed().as_secs_f64() * 1e3));
    let start = Instant::now();
    let catalog = Catalog::read(&files, &Limits::default());
    timed(start);
    let start = Instant::now();
    let checked = catalog.check("/zones").unwrap_or_else(|problems| panic!("{}", Problems(problems)));
    timed(start);
    assert_eq!((checked.zones, checked.hosts), (zones, HOSTS));
    let host = HostSelf::named("h7");
    let start = Instant::now();
    let set = catalog.for_host(&host, "/zones").unwrap_or_else(|problems| panic!("{}", Problems(problems)));
    timed(start);
    assert_eq!(set.zones.len(), zones / HOSTS);
    let start = Instant::now();
    assert_eq!(catalog.render(&host, "/zones").map(|rendered| rendered.len()), Ok(zones / HOSTS));
    timed(start);
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
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
    println!("{HOSTS} hosts, 10 overlays; milliseconds, MiB");
    println!("{:>7} {:>10} {:>10} {:>10} {:>10} {:>8}", "zones", "read", "check all", "one host", "render", "peak");
    let mut per_zone: Option<f64> = None;
    for zones in SIZES.iter().copied() {
        let figures = figures(zones);
        let [read, check, host, render, peak] = figures.as_slice() else { panic!("{figures:?}") };
        println!("{zones:>7} {read:>10.2} {check:>10.2} {host:>10.2} {render:>10.2} {:>8.1}", peak / 1024.0);
        let now = (read + check + host + render) / zones as f64;
        if let Some(before) = per_zone.filter(|before| now > before * MOST) {
            eprintln!("a zone of {zones} costs {now:.3} ms, one of a set ten times smaller {before:.3} ms");
            return ExitCode::FAILURE;
        }
        per_zone = Some(now);
    }
    ExitCode::SUCCESS
}
