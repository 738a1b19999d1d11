//! Texts made to cost: each is refused in bounded time and memory, with few words.

use std::fmt::Write;
use std::time::{Duration, Instant};

use reeve_schema::{HostSelf, Limits, Problem, SourceFile, load};

/// What one file may take. An optimised build is held to the second that reading may cost (it takes a tenth of it);
/// others are ten times slower.
const MOST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
/// What a set of many files may take.
const MOST_OF_A_SET: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 6 });

/// Loads files and gives the problems, within the time.
fn refused(name: &str, files: &[SourceFile]) -> Vec<Problem> {
    let start = Instant::now();
    let problems = load(files, &HostSelf::default(), "/zones", &Limits::default()).expect_err(name);
    let took = start.elapsed();
    println!("{name}: {took:?}, {} problems", problems.len());
    let most = if files.len() == 1 { MOST } else { MOST_OF_A_SET };
    assert!(took < most, "{name} took {took:?}");
    assert!(problems.len() <= 1001, "{name}: {} problems", problems.len());
    let printed: usize = problems.iter().map(|problem| problem.to_string().len()).sum();
    assert!(printed < 2 << 20, "{name}: {printed} bytes of problems");
    problems
}

fn refused_text(name: &str, text: String) -> Vec<Problem> {
    refused(name, &[SourceFile { path: "bomb.yaml".into(), text }])
}

#[test]
fn aliases() {
    let mut text = String::from("a0: &a0 [x]\n");
    for i in 1..30 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        writeln!(text, "a{i}: &a{i} [{items}]").unwrap();
    }
    refused_text("alias bomb", text);
    refused_text("alias of itself", "a: &a [*a]\n".into());
    refused_text("many anchors", (0..50_000).map(|i| format!("- &a{i} x\n")).collect());
}

#[test]
fn depth() {
    for (name, text) in [
        ("flow lists", "[".repeat(100_000)),
        ("flow lists, closed", "[".repeat(100_000) + &"]".repeat(100_000)),
        ("flow maps", "{a: ".repeat(100_000)),
        ("block lists", "- ".repeat(100_000)),
        ("block lists by lines", (0..1400).map(|i| format!("{}-\n", " ".repeat(i))).collect()),
        ("block maps", (0..1400).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("explicit keys", "? ".repeat(100_000)),
        ("mixed", "[{a: ".repeat(100_000)),
    ] {
        let problems = refused_text(name, text);
        assert!(problems[0].message.contains("deeper than 32"), "{name}: {}", problems[0]);
    }
}

#[test]
fn size() {
    let problems = refused_text("10 MiB of text", format!("a: {}\n", "x".repeat(10 << 20)));
    assert!(problems[0].message.contains("1048576 is the most"), "{}", problems[0]);
    refused_text("1 MiB of text", format!("a: {}\n", "x".repeat((1 << 20) - 10)));
    refused_text("1 MiB of quoted text", format!("a: \"{}\"\n", "\\u0041".repeat(170_000)));
    refused_text("1 MiB of a quote that is not closed", format!("a: \"{}", "x\n".repeat(500_000)));
    refused_text("1 MiB of a key", format!("{}: a\n", "x".repeat(1 << 19)));
    refused_text("1 MiB of one line", format!("{{{}", "a: b, ".repeat(170_000)));
    refused_text("1 MiB of tabs", "\t".repeat(1 << 19) + "a: b");
    refused_text("1 MiB of a comment", format!("a: b #{}", "x".repeat(1 << 19)));
    refused_text("1 MiB of percent", "%".repeat(1 << 20));
    refused_text("1 MiB of zero bytes", "\0".repeat(1 << 20));
}

#[test]
fn numbers_of_things() {
    refused_text("1M keys", (0..1_000_000).map(|i| format!("k{i}: v\n")).collect());
    refused_text("keys up to the size", (0..85_000).map(|i| format!("k{i}: v\n")).collect());
    refused_text("one key many times", "k: v\n".repeat(200_000));
    refused_text("items", "- x\n".repeat(250_000));
    refused_text("documents", "a\n---\n".repeat(170_000));
    refused_text("broken documents", "[\n---\n".repeat(170_000));
    refused_text("broken tags", "!<\n---\n".repeat(140_000));
    refused_text(
        "wrong zones",
        "{apiVersion: reeve.dev/v1alpha1, kind: Zone, metadata: {name: a}, spec: {}}\n---\n".repeat(12_000),
    );
}

#[test]
fn sets() {
    let file = |i: usize, text: String| SourceFile { path: format!("{i:03}.yaml"), text };
    let files: Vec<_> = (0..80).map(|i| file(i, format!("# {}\n", "x".repeat(1_000_000)))).collect();
    let problems = refused("80 MB of comments", &files);
    assert!(problems[0].message.contains("67108864 is the most"), "{}", problems[0]);

    // Zones by the thousand, all alike, all overlapping: the comparison between zones must not be each with each.
    let zone = |i: usize| {
        let net = "[{physical: b, address: 10.0.0.1/8, mac: \"02:00:00:00:00:01\"}]";
        format!(
            "{{apiVersion: reeve.dev/v1alpha1, kind: Zone, metadata: {{name: z{i}}}, spec: {{zonepath: /z/{}, root: {{directory: {{path: /z}}}}, net: {net}}}}}\n---\n",
            "a/".repeat(i % 50) + "a"
        )
    };
    let texts: Vec<String> = (0..20_000).map(zone).collect();
    let files: Vec<_> = texts.chunks(2_000).enumerate().map(|(i, texts)| file(i, texts.concat())).collect();
    refused("20000 zones in each other's way", &files);
}

#[test]
fn a_large_sound_set_is_quick() {
    let zone = |i: usize| {
        let net = format!("[{{physical: b, address: 10.{}.{}.1/8}}]", i / 200, i % 200);
        format!(
            "---\napiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: z{i}\nspec:\n  root: {{hostUsr: {{}}}}\n  net: {net}\n"
        )
    };
    let text: String = (0..5_000).map(zone).collect();
    let start = Instant::now();
    let set = load(&[SourceFile { path: "all.yaml".into(), text }], &HostSelf::default(), "/zones", &Limits::default())
        .unwrap();
    println!("5000 zones: {:?}", start.elapsed());
    assert_eq!(set.zones.len(), 5_000);
    assert!(start.elapsed() < MOST);
}

/// As many overlays as there may be, all of them for all zones: what one host gets is still read in bounded time.
#[test]
fn overlays_upon_overlays() {
    let head = "---\napiVersion: reeve.dev/v1alpha1\n";
    let zone = |i: usize| {
        format!(
            "{head}kind: Zone\nmetadata: {{name: z{i}, labels: {{a: b}}}}\nspec: {{root: {{hostUsr: {{}}}}, cpuShares: 9}}\n"
        )
    };
    let overlay = |i: usize| {
        let patch = "patch: {spec: {cpuShares: 10, init: {haltTimeout: 1s}}}";
        let selectors = "hosts: {names: [h]}, zones: {matchLabels: {a: b}}";
        format!("{head}kind: Overlay\nmetadata: {{name: o{i}}}\nspec: {{{selectors}, {patch}}}\n")
    };
    let files = [
        SourceFile { path: "zones.yaml".into(), text: (0..2_000).map(zone).collect() },
        SourceFile { path: "overlays.yaml".into(), text: (0..1_000).map(overlay).collect() },
    ];
    let start = Instant::now();
    let set = load(&files, &HostSelf::named("h"), "/zones", &Limits::default()).unwrap();
    println!("2000 zones under 1000 overlays: {:?}", start.elapsed());
    assert!(set.zones.values().all(|zone| zone.zone.spec.cpu_shares == Some(10)));
    assert!(start.elapsed() < MOST_OF_A_SET);
    // A long value for many zones.
    let zones = (0..5_000).map(zone).map(|zone| zone.replace("cpuShares: 9", "cpuShares: 9, init: {env: {A: b}}"));
    let long = overlay(0).replace("haltTimeout: 1s", &format!("env: {{A: {}}}", "x".repeat(60_000)));
    let (zones, long): (Vec<String>, _) = (zones.collect(), long.replace("cpuShares: 10, ", ""));
    let files: Vec<SourceFile> = std::iter::once(SourceFile { path: "overlay.yaml".into(), text: long })
        .chain(
            zones.chunks(2_500).enumerate().map(|(i, zones)| SourceFile { path: format!("{i}"), text: zones.concat() }),
        )
        .collect();
    let problems = load(&files, &HostSelf::named("h"), "/zones", &Limits::default()).unwrap_err();
    assert!(problems.len() == 1 && problems[0].message.contains("more than 67108864 bytes"), "{}", problems[0]);
    // Long lists of names for many zones.
    let names = (0..1_000).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", ");
    let named = overlay(0).replace("{matchLabels: {a: b}}", &format!("{{names: [{names}]}}"));
    let file = |(i, text): (usize, String)| SourceFile { path: format!("{i}"), text };
    let texts = (0..10).map(|_| zone(0).repeat(5_000)).chain((0..6).map(|_| named.repeat(50)));
    let problems = refused("overlays with 1000 names each", &texts.enumerate().map(file).collect::<Vec<_>>());
    assert!(problems.iter().any(|problem| problem.message.contains("50000 zones are compared")));
    let too_many = [SourceFile { path: "overlays.yaml".into(), text: (0..1_001).map(overlay).collect() }];
    let problems = load(&too_many, &HostSelf::named("h"), "/zones", &Limits::default()).unwrap_err();
    assert!(problems[0].message.contains("no zone of the set") || problems[0].message.contains("more than 1000"));
}
