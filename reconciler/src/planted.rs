//! Faults that are planted in a build of their own (the feature `planted-faults`), so that the fault tests can be seen to
//! notice them: which one is in the environment variable `REEVE_PLANTED_FAULT`. In any other build there is none, and
//! nothing of this is left.

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
