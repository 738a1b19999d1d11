//! Decodes limits.

use crate::manifest::{CappedCpu, CappedMemory};
use crate::node::Node;
use crate::quantity::Quantity;
use crate::reader::Reader;
use crate::shape::{Shape, must};
use crate::text::TextError;

pub(super) const CAPPED_MEMORY: Shape = Shape {
    name: "CappedMemory",
    what: "`cappedMemory`",
    fields: &[must("physical", "512Mi")],
    later: &["swap", "locked"],
    foreign: &[],
};

pub(super) const CAPPED_CPU: Shape =
    Shape { name: "CappedCpu", what: "`cappedCpu`", fields: &[must("ncpus", "1.5")], later: &[], foreign: &[] };

/// Less than this, in bytes, is a forgotten unit: no init could start in it.
const LEAST_MEMORY: u64 = 1 << 20;

/// Decodes `cappedMemory`.
pub(super) fn capped_memory(r: &mut Reader, node: &Node) -> Option<CappedMemory> {
    let map = r.object(node, &CAPPED_MEMORY)?;
    let physical = map.required(r, "physical", |r, node| r.parsed_by(node, memory))?;
    Some(CappedMemory { physical })
}

/// An amount of memory that a zone can run in.
fn memory(text: &str) -> Result<Quantity, TextError> {
    let amount: Quantity = text.parse()?;
    if amount.bytes() < LEAST_MEMORY {
        let message = format!("no zone can run in {} bytes", amount.bytes());
        return Err(TextError::new(message, "at least `1Mi`; is the unit missing?"));
    }
    Ok(amount)
}

/// Decodes `cappedCpu`.
pub(super) fn capped_cpu(r: &mut Reader, node: &Node) -> Option<CappedCpu> {
    let map = r.object(node, &CAPPED_CPU)?;
    let ncpus = map.required(r, "ncpus", |r, node| r.decimal(node, 0.01, 65536.0))?;
    Some(CappedCpu { ncpus })
}

/// Decodes `maxProcesses`.
pub(super) fn max_processes(r: &mut Reader, node: &Node) -> Option<u32> {
    r.integer(node, 1, u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
}
