//! `plan_10000`: `reeve plan` from one set of ten thousand zones to the next, in files, in which one in a hundred differs: the
//! whole command, with reading and checking both. How much memory it takes is said beside the table.

use crate::Result;
use crate::options::Options;
use crate::table::Table;
use crate::timing::{median, settle, timed};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Zones in a file.
const IN_A_FILE: usize = 100;
/// One of so many differs.
const DIFFERS: usize = 100;

/// Measures and adds the row if it is wanted.
pub fn rows(options: &Options, table: &mut Table) -> Result<()> {
    if !options.wants("plan_10000") {
        return Ok(());
    }
    let count = options.zones(10_000);
    let folder = std::env::temp_dir().join(format!("reeve-bench-plan-{}", std::process::id()));
    let (old, new) = (folder.join("old"), folder.join("new"));
    write(&old, count, "one")?;
    write(&new, count, "two")?;
    let plan = || {
        let mut plan = Command::new(env!("CARGO_BIN_EXE_reeve"));
        plan.args(["plan", "--detailed-exitcode", "-o", "json", "--from"]).arg(&old).arg(&new);
        plan.stdin(Stdio::null()).stdout(Stdio::null());
        plan
    };
    let peak = peak(plan())?;
    let mut figures = Vec::new();
    for _ in 0..options.rounds.min(5) {
        settle();
        let (took, status) = timed(|| Ok(plan().status()?))?;
        if status.code() != Some(2) {
            return Err(format!("reeve plan: {status}").into());
        }
        figures.push(took);
    }
    std::fs::remove_dir_all(&folder)?;
    let figure = median(figures).ok_or("no figure of Reeve's")?;
    let changed = count.div_ceil(DIFFERS);
    eprintln!("bench: reeve plan of {count} zones, {changed} of them changed, has {peak} KiB at its peak");
    table.add("plan_10000", "ms", figure, Vec::new());
    Ok(())
}

/// The most memory that a command had, in KiB, as seen every millisecond.
fn peak(mut command: Command) -> Result<u64> {
    let mut child = command.spawn()?;
    let file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let found = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let found = found.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(found.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(peak)
}

fn write(folder: &Path, count: usize, word: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for file in 0..count.div_ceil(IN_A_FILE) {
        let zones = (file * IN_A_FILE..count.min((file + 1) * IN_A_FILE)).map(|i| {
            let word = if i % DIFFERS == 0 { word } else { "same" };
            format!(
                "---\napiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {{name: z{i}}}\nspec:\n  root: {{hostUsr: {{}}}}\n  \
                 net: [{{physical: reeve0, address: 10.{}.{}.1/8}}]\n  init: {{command: [/usr/bin/sleep, infinity], \
                 env: {{WORD: {word}}}}}\n",
                i / 200,
                i % 200
            )
        });
        std::fs::write(folder.join(format!("zones{file}.yaml")), zones.collect::<String>())?;
    }
    Ok(())
}
