//! Faults that are planted in a build of their own (the feature `planted-faults`), so that the fault tests and the fidelity
//! test can be seen to notice them: which one is in the environment variable `REEVE_PLANTED_FAULT`. In any other build there
//! is none, and nothing of this is left.

/// Whether this fault is planted.
#[cfg(feature = "planted-faults")]
pub fn planted(fault: &str) -> bool {
    std::env::var_os("REEVE_PLANTED_FAULT").is_some_and(|planted| planted == fault)
}

/// Never.
#[cfg(not(feature = "planted-faults"))]
pub const fn planted(_: &str) -> bool {
    false
}

/// What becomes of a step because of a planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// It is done.
    Nothing,
    /// It is left out.
    Dropped,
    /// It is told as done and is not.
    Claimed,
}

/// What becomes of this step: where the faults `dropped-step` and `claimed-step` are planted, those that record the
/// manifest are not done.
pub fn step(name: &str) -> Planted {
    match name == reeve_state::plan::step_name::RECORD {
        true if planted("dropped-step") => Planted::Dropped,
        true if planted("claimed-step") => Planted::Claimed,
        _ => Planted::Nothing,
    }
}
