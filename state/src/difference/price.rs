//! What each field of a manifest costs to change, as a table.

use super::Price;

/// The price of each field. A field below one of these (`init.haltTimeout` below `init`) has the price of the longest
/// name that it begins with.
pub const PRICES: &[(&str, Price)] = &[
    ("labels", Price::Live),
    ("annotations", Price::Live),
    ("state", Price::Live),
    ("deletion", Price::Live),
    ("approval", Price::Live),
    ("dependsOn", Price::Live),
    ("health", Price::Live),
    ("drift", Price::Live),
    // Where a zone is selects its manifest; what a host is told of the zone does not have it.
    ("hosts", Price::Live),
    ("cappedMemory", Price::Live),
    ("cappedCpu", Price::Live),
    ("cpuShares", Price::Live),
    ("maxProcesses", Price::Live),
    // Read anew each time init is started or asked to end.
    ("init", Price::Restart),
    ("init.restart", Price::Live),
    ("init.crashLoop", Price::Live),
    ("init.haltSignal", Price::Live),
    ("init.haltTimeout", Price::Live),
    // Made when the platform is.
    ("hostname", Price::Rebuild),
    ("net", Price::Rebuild),
    ("fs", Price::Rebuild),
    // What is installed, and where.
    ("root", Price::Reinstall),
    ("zonepath", Price::Reinstall),
    // Not of the manifest: what Reeve itself keeps.
    ("digest", Price::Live),
    ("record", Price::Live),
    ("source", Price::Live),
    ("zoneadmd", Price::Live),
    ("platform", Price::Rebuild),
];

/// The price of a field. One that the table does not have costs a rebuild: that makes everything but the data anew.
pub fn price_of(field: &str) -> Price {
    PRICES
        .iter()
        .filter(|(name, _)| field == *name || field.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        .max_by_key(|(name, _)| name.len())
        .map_or(Price::Rebuild, |(_, price)| *price)
}
