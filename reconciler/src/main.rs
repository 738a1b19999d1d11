//! The `reeve` command.
fn main() {}
