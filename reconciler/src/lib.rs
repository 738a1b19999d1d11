//! LOOK, DO, TELL: everything of Reeve that has an effect.
//!
//! The command line is written against this much of it:
//!
//! - [`places::Places`]: where files are; [`places::check_host`] says what this host lacks.
//! - [`configuration`]: what this host is told about itself.
//! - [`source`]: manifests from files; [`git`]: out of commits. Need neither root nor cgroups.
//! - [`host::Host`]: one host, looked at and changed with blocking calls. Looking takes no lock; `apply` and `down` take
//!   a [`store::Lock`], which [`host::Host::lock`] gives or says who has it.
//! - [`run`]: the controller, `reeve run DIR`; and [`controller`], by which other commands talk to one that runs.
//! - [`progress`]: what both tell while they work; [`monitor`]: what a controller tells whoever watches from outside.
//! - [`words`], [`time`], [`safe_text`]: what is told to people, the same on a terminal and on the status page.
//!
//! Data flows one way: manifests ([`source`]), wanted ([`desired`]), observed ([`observe`]), then differences, plan and
//! audit (the `reeve-state` crate), status ([`pass`] is that line from top to bottom), then [`walk`].
#![forbid(unsafe_code)]

pub mod bounded;
pub mod cgroup;
pub mod configuration;
pub mod console;
pub mod controller;
pub mod desired;
pub mod drift;
mod ends;
pub mod error;
pub mod git;
pub mod health;
pub mod holders;
pub mod host;
pub mod imperative;
pub mod install;
pub mod monitor;
pub mod observe;
pub mod pass;
pub mod places;
pub mod planned_walk;
mod planted;
pub mod progress;
pub mod published;
pub mod purge;
pub mod quiet;
mod removal;
pub mod repository;
pub mod resolve;
pub mod rest;
pub mod run;
pub mod safe_text;
pub mod secrets;
pub mod source;
pub mod store;
pub mod supervisor;
pub mod suspend;
pub mod time;
pub mod walk;
pub mod words;

pub use error::{Error, Result};
pub use host::{Goal, Host, Outcome, Planned, Refusal, ZoneOutcome, ZoneResult};
pub use places::Places;
pub use progress::{Notice, Observer, StepPhase, StepProgress};
