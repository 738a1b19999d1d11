//! The limits of a manifest as the contents of cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst), so that what
//! is written, read back and compared is one text.

use reeve_schema::quantity::Quantity;
use serde_json::Value;

use crate::observed::CgroupFacts;

/// Period of `cpu.max`, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// The largest `cpu.weight`.
const WEIGHT_MAX: u64 = 10_000;
/// The largest page size of the architectures that Linux has: the kernel rounds `memory.max` down to whole pages.
const PAGE_MAX: u64 = 65_536;

/// Processes in a zone's cgroup that are Reeve's and not the zone's: zsched, and what waits to become the next init.
const REEVES: u64 = 2;

/// What each file is to hold. A limit that the manifest does not have is the kernel's own default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// memory.max.
    pub memory_max: String,
    /// pids.max.
    pub pids_max: String,
    /// cpu.max.
    pub cpu_max: String,
    /// cpu.weight.
    pub cpu_weight: String,
}

/// The fields of a manifest that are limits, each with its file.
pub const FIELDS: [(&str, &str); 4] = [
    ("cappedMemory", "memory.max"),
    ("maxProcesses", "pids.max"),
    ("cappedCpu", "cpu.max"),
    ("cpuShares", "cpu.weight"),
];

impl Limits {
    /// The limits of a manifest.
    ///
    /// `cpuShares` becomes the weight as it stands, so that two zones share as their numbers say; beyond 10000, the
    /// kernel's largest weight, it is 10000. A zone without shares has the kernel's 100. `maxProcesses` is about the zone's own
    /// processes: the file has room for Reeve's beside them.
    pub fn of(manifest: &Value) -> Self {
        let spec = &manifest["spec"];
        let memory = spec["cappedMemory"]["physical"].as_str().and_then(|text| text.parse::<Quantity>().ok());
        let cpus = spec["cappedCpu"]["ncpus"].as_f64();
        Limits {
            memory_max: memory.map_or("max".into(), |bytes| bytes.bytes().to_string()),
            pids_max: spec["maxProcesses"].as_u64().map_or("max".into(), |n| n.saturating_add(REEVES).to_string()),
            cpu_max: match cpus {
                Some(cpus) => format!("{} {PERIOD_US}", (cpus * PERIOD_US as f64).round() as u64),
                None => format!("max {PERIOD_US}"),
            },
            cpu_weight: spec["cpuShares"].as_u64().map_or("100".into(), |n| n.clamp(1, WEIGHT_MAX).to_string()),
        }
    }

    /// What the file of a manifest's field is to hold.
    pub fn of_field(&self, field: &str) -> Option<&str> {
        match field {
            "cappedMemory" => Some(&self.memory_max),
            "maxProcesses" => Some(&self.pids_max),
            "cappedCpu" => Some(&self.cpu_max),
            "cpuShares" => Some(&self.cpu_weight),
            _ => None,
        }
    }

    /// Whether the kernel shows these limits. A file that the host does not have (`None`) is not compared.
    pub fn hold_in(&self, cgroup: &CgroupFacts) -> bool {
        FIELDS.iter().all(|(field, _)| self.holds(field, cgroup))
    }

    /// The same for the file of one field; true for a field that is no limit.
    pub fn holds(&self, field: &str, cgroup: &CgroupFacts) -> bool {
        match (self.of_field(field), observed(field, cgroup)) {
            (Some(want), Some(have)) if field == "cappedMemory" => same_bytes(want, have),
            (Some(want), Some(have)) => want == have,
            _ => true,
        }
    }
}

/// What the kernel shows in the file of a manifest's field.
pub fn observed<'a>(field: &str, cgroup: &'a CgroupFacts) -> Option<&'a str> {
    match field {
        "cappedMemory" => cgroup.memory_max.as_deref(),
        "maxProcesses" => cgroup.pids_max.as_deref(),
        "cappedCpu" => cgroup.cpu_max.as_deref(),
        "cpuShares" => cgroup.cpu_weight.as_deref(),
        _ => None,
    }
}

/// Whether `have` is `want` rounded down to whole pages.
fn same_bytes(want: &str, have: &str) -> bool {
    match (want.parse::<u64>(), have.parse::<u64>()) {
        (Ok(want), Ok(have)) => have <= want && want - have < PAGE_MAX,
        _ => want == have,
    }
}
