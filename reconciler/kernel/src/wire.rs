//! What the controller, zoneadmd and zsched say to each other: fixed fields in little-endian order and length-prefixed
//! byte strings, one message per packet. No text is parsed on either side, and every length is checked.

mod codec;
mod message;

pub use codec::{Decode, Encode, Hidden, Malformed, Reader, Writer};
pub use message::{
    Adoption, Control, EndOfInit, Event, FileSystem, FileSystemKind, HaltOrder, Held, InitSpec, Link, LoginSpec,
    PlatformSpec, Program, Reply, Request, Snapshot, StepName, Traces, ZschedReply, ZschedRequest,
};

/// Version of the messages; the first byte of each. A zoneadmd of another version is replaced, the zone stays.
pub const VERSION: u8 = 3;
