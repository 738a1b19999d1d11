//! The per-zone supervisor.
fn main() {}
