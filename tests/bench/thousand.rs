//! `idle_1000`: what a pass over a thousand quiet running zones costs: everything is looked at again and planned, and
//! there is nothing to do. That is the controller's slow full resync; a pass that an event causes looks at one zone.

use crate::Result;
use crate::hundred::Zones;
use crate::options::Options;
use crate::table::Table;
use crate::timing::{median, settle, timed};
use crate::zones::{self, Scratch};
use reeve::desired;
use reeve::pass::{self, Scope, World};

/// Measures and adds the row if it is wanted.
pub fn rows(options: &Options, scratch: &Scratch, table: &mut Table) -> Result<()> {
    if !options.wants("idle_1000") {
        return Ok(());
    }
    let count = options.zones(1000);
    let zones = Zones::install(scratch, "quiet", count, false)?;
    let up = zones.apply("running")?;
    eprintln!("bench: {count} zones came up in {up:.0} ms");
    let host = zones.host();
    let wanted = desired::wanted(&zones.set("running")?, host.places());
    let mut world = World::new(host, zones::aim(), wanted);
    pass::pass(host, &mut world, &Scope::All);
    let (mut all, mut looking, mut event) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds.min(10) {
        settle();
        let mut scope = Scope::default();
        scope.look("quiet-0");
        event.push(one(host, &mut world, &scope, 1)?);
        settle();
        all.push(one(host, &mut world, &Scope::All, count)?);
        settle();
        looking.push(timed(|| Ok(host.looker().host(&mut std::iter::empty())))?.0);
    }
    let said = |figures| median(figures).unwrap_or_default();
    let (looking, event) = (said(looking), said(event));
    eprintln!(
        "bench: beside {count} quiet zones a pass for one takes {event:.3} ms, to look at all anew {looking:.3} ms"
    );
    let figure = median(all).ok_or("no figure of Reeve's")?;
    let down = zones.apply("installed")?;
    eprintln!("bench: {count} zones went down in {down:.0} ms");
    zones.remove()?;
    table.add("idle_1000", "ms", figure, Vec::new());
    Ok(())
}

/// A pass that finds `count` zones and nothing to do.
fn one(host: &reeve::Host, world: &mut World, scope: &Scope, count: usize) -> Result<f64> {
    let (took, passed) = timed(|| Ok(pass::pass(host, world, scope)))?;
    let busy = world.plans.values().find(|plan| !plan.steps.is_empty());
    match busy {
        Some(plan) => Err(format!("zone {} is not quiet: {}", plan.name, plan.reason).into()),
        None if passed.zones.len() != count => Err(format!("{} zones planned, not {count}", passed.zones.len()).into()),
        None => Ok(took),
    }
}
