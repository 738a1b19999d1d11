//! Tier 2, the application environment (seed [0047], [0050]): a PID namespace with the zone's init as its first process
//! and everything that init starts. It can end and be started again on the same platform.

pub mod environment;
pub mod init;
pub mod login;
pub mod privileges;
pub mod reboot;
pub mod seccomp;
pub mod waiting;

/// The time as ends of init are told with it: milliseconds since 1970-01-01T00:00:00Z.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
