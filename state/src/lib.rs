//! What IS and what MAY come next. Pure: no I/O, no clock, no kernel.
