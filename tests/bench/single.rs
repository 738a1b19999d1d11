//! The rows of one zone: `cold`, `cold_net`, `ready_to_running`, `restart`, all in the same rounds.
//!
//! Reeve's figure of those two ends when the controller has seen the zone running, that of the others when all is recorded.
//! A peer's figure ends when its init has written a byte, where it starts something, and when the tool has exited, where
//! it ends something. A container of crun or runc has no Ready state to come from that could be come back to, so that for
//! `ready_to_running` and `restart` a peer runs a new one, which is what its user does.

use crate::Result;
use crate::containers::Container;
use crate::network::{self, Netns};
use crate::options::Options;
use crate::table::{Peers, Table};
use crate::timing::{self, Contender, settle, timed};
use crate::zones::{Manifest, Reeve, Scratch};
use reeve_state::{Transition, ZoneState};
use std::cell::RefCell;

const ROWS: [&str; 4] = ["cold", "cold_net", "ready_to_running", "restart"];

/// Measures and adds the rows that are wanted.
pub fn rows(options: &Options, scratch: &Scratch, table: &mut Table) -> Result<()> {
    let wanted: Vec<&'static str> = ROWS.into_iter().filter(|row| options.wants(row)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let reeve = RefCell::new(Reeve::open(scratch)?);
    let medians = {
        let mut contenders = Vec::new();
        for &row in &wanted {
            contenders.push(Contender { row, tool: "reeve", work: zone(&reeve, row)? });
            for &tool in peers(row) {
                match peer(scratch, row, tool) {
                    Ok(work) => contenders.push(Contender { row, tool, work }),
                    Err(error) => eprintln!("bench: {tool} is left out of {row}: {error}"),
                }
            }
        }
        timing::interleave(&mut contenders, options.rounds, options.seed)?
    };
    for &row in &wanted {
        reeve.borrow_mut().remove(&zone_name(row))?;
        let figure = |tool| medians.get(&(row, tool)).copied().flatten();
        let figures: Peers = peers(row).iter().map(|&tool| (tool, figure(tool))).collect();
        table.add(row, "ms", figure("reeve").ok_or("no figure of Reeve's")?, figures);
    }
    Ok(())
}

/// Who does the same work.
fn peers(row: &str) -> &'static [&'static str] {
    match row {
        "cold_net" => &["crun", "runc"],
        _ => &["crun", "runc", "bwrap"],
    }
}

fn zone_name(row: &str) -> String {
    format!("bench-{}", row.replace('_', "-"))
}

type Work<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Reeve's part of a row, with its zone where it starts from.
fn zone<'a>(reeve: &'a RefCell<Reeve>, row: &'static str) -> Result<Work<'a>> {
    let name = zone_name(row);
    let net = (row == "cold_net").then_some(1);
    reeve.borrow_mut().install(&Manifest { net, ..Manifest::new(&name) })?;
    let from = match row {
        "ready_to_running" => Some(Transition::Ready),
        "restart" => Some(Transition::Boot),
        _ => None,
    };
    if let Some(transition) = from {
        reeve.borrow_mut().take(&name, transition)?;
    }
    let of_take = name.clone();
    let take = move |transition| reeve.borrow_mut().take(&of_take, transition);
    let until_running = move |from| reeve.borrow_mut().until_running(&name, from);
    Ok(match row {
        "ready_to_running" => Box::new(move || {
            let took = until_running(ZoneState::Ready)?;
            take(Transition::Stop)?;
            Ok(took)
        }),
        "restart" => Box::new(move || until_running(ZoneState::Running)),
        _ => Box::new(move || {
            let took = take(Transition::Boot)? + take(Transition::Halt)?;
            reeve.borrow().rest();
            Ok(took)
        }),
    })
}

/// A peer's part of a row.
fn peer(scratch: &Scratch, row: &'static str, tool: &'static str) -> Result<Work<'static>> {
    let id = format!("bench-{row}");
    let netns = if row == "cold_net" {
        if !std::path::Path::new("/sys/class/net").join(network::BRIDGE).exists() {
            network::make_bridge()?;
        }
        Some(Netns::new(&format!("bench-{tool}"), if tool == "crun" { 1 } else { 2 })?)
    } else {
        None
    };
    let container = match tool {
        "bwrap" => Container::bubblewrap(scratch, &id)?,
        tool => Container::oci(scratch, tool, &id, netns.as_ref().map(|netns| netns.name.as_str()))?,
    };
    Ok(match row {
        "ready_to_running" => Box::new(move || {
            let (took, started) = timed(|| container.start())?;
            started.end()?;
            Ok(took)
        }),
        "restart" => Box::new(move || {
            let first = container.start()?;
            settle();
            let (took, second) = timed(|| {
                first.end()?;
                container.start()
            })?;
            second.end()?;
            Ok(took)
        }),
        _ => Box::new(move || {
            let (took, ()) = timed(|| {
                netns.iter().try_for_each(Netns::make)?;
                container.start()?.end()?;
                netns.iter().try_for_each(Netns::remove)
            })?;
            Ok(took)
        }),
    })
}
