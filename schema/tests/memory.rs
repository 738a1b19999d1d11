//! What reading a hostile file may take: one test in a process of its own, because it looks at the process's peak.

use reeve_schema::{HostSelf, Limits, SourceFile, load};

/// Bytes that one file may take at its worst, besides the file itself.
const MOST: u64 = 64 << 20;

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn no_file_takes_much() {
    let texts = [
        ("items", "- x\n".repeat(250_000)),
        ("keys", (0..85_000).map(|i| format!("k{i}: v\n")).collect()),
        ("one line", format!("{{{}", "a: b, ".repeat(170_000))),
        ("documents", "a\n---\n".repeat(170_000)),
        ("documents of lists", format!("{}---\n", "- x\n".repeat(19_000)).repeat(13)),
        ("quoted", format!("a: \"{}\"\n", "\\u0041".repeat(170_000))),
        ("broken", "[\n---\n".repeat(170_000)),
        ("braces", "{".repeat(1 << 20)),
    ];
    let before = peak();
    for (name, text) in texts {
        let problems =
            load(&[SourceFile { path: "bomb.yaml".into(), text }], &HostSelf::default(), "/zones", &Limits::default());
        assert!(problems.is_err(), "{name}");
        println!("{name}: {} KiB", (peak() - before) >> 10);
        assert!(peak() - before < MOST, "{name} took {} bytes", peak() - before);
    }
}
