//! Failures that come again and again: which of them is worth an event. A walk that fails is tried again for as long as
//! its cause is there, and a line for each try would push everything else out of the events.

use std::collections::BTreeMap;

use reeve_state::status::HistoryEntry;

/// The last failure of each zone, and how often it came in a row.
#[derive(Debug, Default)]
pub struct Repeats {
    zones: BTreeMap<String, (HistoryEntry, u64)>,
}

impl Repeats {
    /// Counts a transition that was walked. How often it came in a row, where that is worth telling: the first time, and
    /// the 10th, 100th and so on; always 1 for one that did not fail.
    pub fn count(&mut self, zone: &str, entry: &HistoryEntry) -> Option<u64> {
        if !entry.failed() {
            self.forget(zone);
            return Some(1);
        }
        match self.zones.get_mut(zone) {
            Some((last, count)) if entry.is_again(last) => {
                *count += 1;
                is_power_of_ten(*count).then_some(*count)
            }
            _ => {
                self.zones.insert(zone.to_owned(), (entry.clone(), 1));
                Some(1)
            }
        }
    }

    /// The zone's next failure is a new one.
    pub fn forget(&mut self, zone: &str) {
        self.zones.remove(zone);
    }
}

fn is_power_of_ten(count: u64) -> bool {
    std::iter::successors(Some(1_u64), |power| power.checked_mul(10)).any(|power| power == count)
}

#[cfg(test)]
mod tests {
    use reeve_state::{Timestamp, Transition, ZoneState};

    use super::*;

    fn failure(outcome: &str) -> HistoryEntry {
        let entry = HistoryEntry::new(Timestamp(0), Transition::Ready, Some(ZoneState::Installed));
        HistoryEntry { outcome: outcome.into(), ..entry }
    }

    #[test]
    fn the_first_is_told_and_then_each_power_of_ten() {
        let mut repeats = Repeats::default();
        let told: Vec<u64> = (0..1500).filter_map(|_| repeats.count("z", &failure("EBUSY"))).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
        assert_eq!(repeats.count("other", &failure("EBUSY")), Some(1), "each zone for itself");
        assert_eq!(repeats.count("z", &failure("ENOSPC")), Some(1), "another failure");
        assert_eq!(repeats.count("z", &failure("ENOSPC")), None);
        assert_eq!(repeats.count("z", &failure(reeve_state::status::DONE)), Some(1));
        assert_eq!(repeats.count("z", &failure("ENOSPC")), Some(1), "after a success");
    }
}
