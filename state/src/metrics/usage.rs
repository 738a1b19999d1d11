//! Numbers of what zones and the controller use. What this host's kernel does not tell is not there, rather than 0.

use super::{Input, Out, sample, whole};

/// What a zone uses, from the files of its cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processor time in user and kernel mode (`cpu.stat`).
    pub cpu_seconds: Option<(f64, f64)>,
    /// Seconds in which it was kept from the processor by its limit (`cpu.stat`).
    pub throttled_seconds: Option<f64>,
    /// Bytes of memory (`memory.current`).
    pub memory_bytes: Option<u64>,
    /// The most bytes of memory that it may have (`memory.max`); none also where there is no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Processes that were killed because memory was short (`memory.events`).
    pub oom_kills: Option<u64>,
    /// Processes and threads, Reeve's own among them (`pids.current`).
    pub tasks: Option<u64>,
    /// Seconds in which some task waited, by what for: `cpu`, `memory`, `io` (`*.pressure`).
    pub waited_seconds: Vec<(&'static str, f64)>,
}

/// What the controller itself uses; the names are those that every program has in Prometheus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Bytes of memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: u64,
    /// When it was started, in seconds since 1970.
    pub start_seconds: f64,
    /// Zones whose use could not be read within the time that there is for it.
    pub skipped_zones: u64,
}

pub(super) fn add<'a>(out: &mut Out<'a>, input: &Input<'a>) {
    let of = |read: fn(&Usage) -> Option<f64>| {
        let zones = input.usage.iter().filter_map(move |(name, usage)| Some((name.as_str(), read(usage)?)));
        zones.map(|(name, value)| sample([name], value))
    };
    let modes = |(name, usage): (&'a String, &'a Usage)| {
        let (user, system) = usage.cpu_seconds?;
        Some([sample([name.as_str(), "user"], user), sample([name.as_str(), "system"], system)])
    };
    out.family("reeve_zone_cpu_seconds_total", input.usage.iter().filter_map(modes).flatten());
    out.family("reeve_zone_cpu_throttled_seconds_total", of(|usage| usage.throttled_seconds));
    out.family("reeve_zone_memory_bytes", of(|usage| usage.memory_bytes.map(whole)));
    out.family("reeve_zone_memory_limit_bytes", of(|usage| usage.memory_limit_bytes.map(whole)));
    out.family("reeve_zone_oom_kills_total", of(|usage| usage.oom_kills.map(whole)));
    out.family("reeve_zone_tasks", of(|usage| usage.tasks.map(whole)));
    let waited = input.usage.iter().flat_map(|(name, usage)| {
        usage.waited_seconds.iter().map(move |(resource, waited)| sample([name.as_str(), resource], *waited))
    });
    out.family("reeve_zone_pressure_waiting_seconds_total", waited);
    let process = |read: fn(&Process) -> f64| input.process.map(read);
    out.one("reeve_usage_skipped_zones", process(|process| whole(process.skipped_zones)));
    out.one("process_cpu_seconds_total", process(|process| process.cpu_seconds));
    out.one("process_resident_memory_bytes", process(|process| whole(process.resident_bytes)));
    out.one("process_open_fds", process(|process| whole(process.open_descriptors)));
    out.one("process_start_time_seconds", process(|process| process.start_seconds));
}
