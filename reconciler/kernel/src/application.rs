//! Tier 2, the application environment (seed [0047], [0050]): a PID namespace with the zone's init as its first process
//! and everything that init starts. It can end and be started again on the same platform.

pub mod environment;
pub mod init;
pub mod login;
pub mod privileges;
pub mod reboot;
pub mod seccomp;
pub mod waiting;
