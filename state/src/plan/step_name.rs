//! The names of steps, as plans, journals and progress show them.

/// configure: zone.json is written.
pub const WRITE_CONFIGURATION: &str = "writeConfiguration";
/// install: the root is put in place.
pub const INSTALL_ROOT: &str = "installRoot";
/// ready, in the order of SEED T8.
pub const READY: [&str; 7] = ["zoneadmd", "zoneId", "zsched", "fileSystems", "network", "devices", "resourceControls"];
/// boot: init is started.
pub const START_INIT: &str = "startInit";
/// stop: init and all below it end.
pub const STOP_INIT: &str = "stopInit";
/// halt, in the order of SEED T9.
pub const HALT: [&str; 5] = ["killProcesses", "unconfigureDevices", "unplumb", "unmount", "destroy"];
/// uninstall: what install put in place is removed.
pub const REMOVE_ROOT: &str = "removeRoot";
/// unconfigure: zone.json is removed.
pub const REMOVE_CONFIGURATION: &str = "removeConfiguration";
/// live: a zoneadmd is started that adopts the zone.
pub const ADOPT: &str = "adopt";
/// live: the cgroup's limits are written and read back.
pub const APPLY_LIMITS: &str = "applyLimits";
/// live: host ends of links are set up and put into their bridges.
pub const REPAIR_LINKS: &str = "repairLinks";
/// live: what drifted on the platform is put back as it was recorded.
pub const MEND: &str = "mend";
/// live: the manifest of the plan becomes the recorded one (zone.json).
pub const RECORD: &str = "record";
