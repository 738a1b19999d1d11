//! Rounds: who does what in which order, how long it took, and the median of it.

use crate::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the machine idles before each measurement. Without it every tool finds the kernel's RCU and the processors
/// awake, which no single start of a zone ever does.
const SETTLE: Duration = Duration::from_millis(100);
/// Rounds before those that count.
const WARM_UP: usize = 2;

/// Idles.
pub fn settle() {
    std::thread::sleep(SETTLE);
}

/// Milliseconds that something took.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let started = Instant::now();
    let value = work()?;
    Ok((started.elapsed().as_secs_f64() * 1e3, value))
}

/// The load of the machine over the last minute.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// The middle one; the mean of the two in the middle for an even number.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (upper, lower) = (figures.get(figures.len() / 2)?, figures.get(figures.len().checked_sub(1)? / 2)?);
    Some((upper + lower) / 2.0)
}

/// One tool at the work of one row. It returns the milliseconds.
pub struct Contender<'a> {
    /// The row.
    pub row: &'static str,
    /// The tool.
    pub tool: &'static str,
    /// The work; what is not part of it, it does outside of the time that it returns.
    pub work: Box<dyn FnMut() -> Result<f64> + 'a>,
}

/// The medians, by row and tool. A tool that failed has none.
pub type Medians = BTreeMap<(&'static str, &'static str), Option<f64>>;

/// Lets each contender work once a round, in an order that is another each round.
///
/// # Errors
/// When Reeve fails. Another tool's failure is said, and the tool left out from then on.
pub fn interleave(contenders: &mut [Contender<'_>], rounds: usize, seed: u64) -> Result<Medians> {
    let mut figures: Vec<Option<Vec<f64>>> = contenders.iter().map(|_| Some(Vec::new())).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = Random(seed);
    for round in 0..WARM_UP + rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let contender = &mut contenders[index];
            let Some(kept) = &mut figures[index] else { continue };
            settle();
            match (contender.work)() {
                Ok(figure) if round >= WARM_UP => kept.push(figure),
                Ok(_) => {}
                Err(error) if contender.tool == "reeve" => return Err(format!("{}: {error}", contender.row).into()),
                Err(error) => {
                    eprintln!("bench: {} is left out of {}: {error}", contender.tool, contender.row);
                    figures[index] = None;
                }
            }
        }
    }
    let medians = contenders.iter().zip(figures);
    Ok(medians.map(|(contender, figures)| ((contender.row, contender.tool), figures.and_then(median))).collect())
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).unwrap_or(last);
            items.swap(last, other);
        }
    }
}
