//! Waiting awake: an answer that comes within a few hundred microseconds would find a processor that was put to sleep, and
//! waking it takes as long again (an interrupt to a halted virtual processor). Only who waits alone does it: where several
//! zones are worked on at once, the processors are awake and have better things to do. And only who has a processor for
//! itself: on one that it shares, those that it waits for would have to wait for its turns to end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static WAITING: AtomicUsize = AtomicUsize::new(0);
const SPAN: Duration = Duration::from_micros(700);
/// A yield that takes longer gave the processor to somebody else; one that nobody wanted takes a microsecond.
const SHARED: Duration = Duration::from_micros(15);

/// Somebody waits, until this is dropped.
pub struct Waiting;

impl Waiting {
    /// Begins to wait.
    pub fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Gives way, and asks `is_missing`, again and again for a short while. True when what was waited for was seen to be there; it may
    /// have come also where not.
    pub fn awake(&self, mut is_missing: impl FnMut() -> bool) -> bool {
        let until = Instant::now() + SPAN;
        let mut yielded = Instant::now();
        while WAITING.load(Ordering::Relaxed) == 1 && yielded < until {
            std::thread::yield_now();
            if yielded.elapsed() > SHARED {
                return false;
            }
            if !is_missing() {
                return true;
            }
            yielded = Instant::now();
        }
        false
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}
