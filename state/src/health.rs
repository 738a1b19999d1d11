//! Whether a running zone does its work, as its health check tells.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What the checks came to, since init was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthState {
    /// None has succeeded yet, and too few have failed.
    #[default]
    Unknown,
    /// The last one succeeded, or too few have failed since.
    Healthy,
    /// As many in a row have failed as the manifest says.
    Unhealthy,
}

/// The health of a zone, for its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthStatus {
    /// What the checks came to.
    pub status: HealthState,
    /// Since when.
    pub since: Timestamp,
    /// Why the zone is unhealthy, as the check told when it became so.
    pub message: Option<String>,
}

/// Counts the checks of one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// So many failures in a row make it unhealthy.
    limit: u32,
    failures: u32,
    state: HealthState,
}

impl Streak {
    /// Nothing was checked yet.
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), failures: 0, state: HealthState::Unknown }
    }

    /// What the checks so far came to.
    pub fn state(&self) -> HealthState {
        self.state
    }

    /// After a check; what they come to now, where that is something else than before.
    pub fn note(&mut self, succeeded: bool) -> Option<HealthState> {
        self.failures = if succeeded { 0 } else { self.failures.saturating_add(1) };
        let now = match succeeded {
            true => HealthState::Healthy,
            false if self.failures >= self.limit => HealthState::Unhealthy,
            false => self.state,
        };
        (std::mem::replace(&mut self.state, now) != now).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use HealthState::{Healthy, Unhealthy};

    use super::*;

    #[test]
    fn so_many_failures_in_a_row_and_one_success() {
        let mut streak = Streak::new(3);
        let told =
            [false, false, true, false, false, true, false, false, false, false, true].map(|one| streak.note(one));
        let changes: Vec<(usize, HealthState)> =
            told.iter().enumerate().filter_map(|(index, state)| state.map(|state| (index, state))).collect();
        assert_eq!(changes, [(2, Healthy), (8, Unhealthy), (10, Healthy)]);
    }
}
