//! Resource controls: limits written into the zone's cgroup and read back, the last step of `ready` (seed [0045]).

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::wire::Control;

/// Writes each limit and reads it back.
///
/// # Errors
/// ENOENT where the host has no controller for it, the errno of the write, or a value that the kernel did not keep.
pub fn apply(cgroup: &Cgroup, controls: &[Control]) -> Result<()> {
    for Control { file, value } in controls {
        cgroup.write(file, value)?;
        let kept = cgroup.read(file)?;
        if !same(&kept, value) {
            let message = format!("the kernel keeps {kept:?}");
            return Err(Error::new("write", format!("{file}, {value:?}"), message));
        }
    }
    Ok(())
}

/// Whether the kernel kept what was written: to the letter, or rounded down to a whole page where it counts in pages.
fn same(kept: &str, written: &str) -> bool {
    const PAGE: u64 = 4096;
    match (kept.parse::<u64>(), written.parse::<u64>()) {
        (Ok(kept), Ok(written)) => kept == written || kept == written / PAGE * PAGE,
        _ => kept == written,
    }
}
