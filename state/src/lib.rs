//! What IS and what MAY come next, for zones: the lifecycle table, observed facts, differences, the plan, its audit,
//! conditions, the status document and the format of the journal.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock (times come in as [`Timestamp`]), no kernel.
//! The data flows one way: [`wanted`] and [`observed`] into [`difference`], those into [`plan`], that through [`audit`]
//! to whoever walks, and the outcome into [`status`]; [`metrics`] are numbers of that.
#![forbid(unsafe_code)]

pub mod approval;
pub mod audit;
pub mod condition;
pub mod difference;
pub mod drift;
pub mod halt;
pub mod health;
pub mod journal;
pub mod lifecycle;
pub mod limits;
pub mod metrics;
pub mod notification;
pub mod observed;
pub mod plan;
pub mod removal;
pub mod restart;
pub mod schema;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod suspension;
pub mod time;
pub mod wanted;

pub use lifecycle::{Transition, ZoneState};
pub use observed::{Fact, HostFacts, ZoneFacts};
pub use time::Timestamp;
