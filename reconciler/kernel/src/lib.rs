//! The only crate of Reeve that makes system calls: the virtual platform (tier 1), the application environment
//! (tier 2) and the reading of both. `sys` is the one file that may hold `unsafe`.
#![deny(unsafe_code)]

pub mod application;
pub mod cgroup;
pub mod channel;
pub mod error;
pub mod mount;
pub mod netlink;
pub mod observe;
pub mod platform;
pub mod sys;
pub mod wire;
