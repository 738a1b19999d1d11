//! Whether the suite notices faults: three are planted in a build of their own, and the part of the suite that is to notice
//! each is run on it, with the fault and without.

use crate::Result;
use crate::inject::{Effect, Fault, Role, Tools};
use crate::scene::{Operation, Problem};
use crate::soak;
use crate::strikes::{self, Case, Logs};
use libc::{EIO, SYS_fsync, SYS_umount2};
use std::path::Path;

/// What must not be in a program that is for use.
const MARK: &[u8] = b"REEVE_PLANTED_FAULT";

/// Runs the parts on the build with planted faults; how many of the three were noticed.
///
/// # Errors
/// When that build is none, when the build for use has something of it, or when the parts see a fault where none is.
pub fn caught(tools: &Tools, planted: &Path, logs: &Logs) -> Result<u64> {
    if has_mark(&tools.program)? {
        return Err(format!("{} has planted faults in it", tools.program.display()));
    }
    if !has_mark(planted)? {
        return Err(format!("{} has no planted faults", planted.display()));
    }
    let faults = ["skipped-intent", "skipped-reap", "swallowed-errno"];
    let mut caught = 0;
    for fault in faults {
        let with = |planted_fault: Option<&str>| Tools {
            program: planted.to_owned(),
            planted: planted_fault.map(str::to_owned),
            ..tools.clone()
        };
        let control = notice(&with(None), fault, logs)?;
        if !control.is_empty() {
            return Err(format!("{fault}: noticed where it is not planted: {control:#?}"));
        }
        let noticed = notice(&with(Some(fault)), fault, logs)?;
        let what = noticed.first().map_or("NOT NOTICED", |problem| problem.text.lines().next().unwrap_or_default());
        println!("faults: planted {fault}: {what}");
        caught += u64::from(!noticed.is_empty());
    }
    Ok(caught)
}

/// The part of the suite that is to notice this fault.
fn notice(tools: &Tools, fault: &str, logs: &Logs) -> Result<Vec<Problem>> {
    match fault {
        // What is made or destroyed before it is written down that it will be.
        "skipped-intent" => {
            let effect = Effect::KillAll { after: false };
            let fault = Fault { role: Role::Zsched, call: Some(SYS_umount2), nth: 1, effect };
            strikes::alone(tools, &Case { operation: Operation::Halt, fault })
        }
        "skipped-reap" => soak::soak(tools, 2, 3),
        // Each file that must outlive a crash, in turn.
        _ => {
            let mut problems = Vec::new();
            let syncs = logs[&Operation::Install].iter().filter(|logged| logged.call == SYS_fsync);
            for logged in syncs.filter(|logged| logged.path.contains(".json")) {
                let fault = Fault {
                    role: Role::Controller,
                    call: Some(logged.call),
                    nth: logged.nth,
                    effect: Effect::Errno(EIO),
                };
                problems.extend(strikes::alone(tools, &Case { operation: Operation::Install, fault })?);
            }
            Ok(problems)
        }
    }
}

fn has_mark(program: &Path) -> Result<bool> {
    let bytes = std::fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(bytes.windows(MARK.len()).any(|window| window == MARK))
}
