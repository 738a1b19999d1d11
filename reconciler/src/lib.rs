//! LOOK, DO, TELL.
