//! Health checks of the zones that run and have one: a task each, which tells when what they come to changes. A zone without
//! costs nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reeve_schema::manifest::Health;
use reeve_state::ZoneState;
use reeve_state::health::{HealthState, HealthStatus, Streak};
use reeve_state::observed::ProcessId;
use reeve_state::plan::Hold;
use reeve_state::wanted;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::engine::Engine;
use super::happening::Happening;
use crate::health;
use crate::host::Host;
use crate::pass::Passed;

/// How often a zone is checked that was never healthy yet.
const FIRST: Duration = Duration::from_secs(1);
/// How many checks are made at once.
pub(super) const AT_ONCE: usize = 64;

/// The checks of one environment of a zone.
pub(super) struct Checks {
    init: ProcessId,
    health: Health,
    task: AbortHandle,
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Begins and ends the checks of the zones that were planned.
    pub(super) fn check_health(&mut self, passed: &Passed) {
        for zone in &passed.zones {
            let wanted = self.world.wanted.get(zone);
            let health = wanted.filter(|wanted| !wanted.manifest["spec"]["health"].is_null());
            if health.is_none() && !self.checks.contains_key(zone) {
                continue;
            }
            let health = health.and_then(|wanted| wanted::health(&wanted.manifest));
            let running = self.world.state(zone) == Some(ZoneState::Running);
            let init = self.world.facts.zones.get(zone).and_then(|facts| facts.init.known()).filter(|_| running);
            let (Some(health), Some(init)) = (health, init.copied()) else {
                if self.checks.remove(zone).is_some() {
                    self.world.set_health(zone, None);
                    self.scope.think(zone);
                }
                continue;
            };
            if self.checks.get(zone).is_some_and(|checks| checks.init == init && checks.health == health) {
                continue;
            }
            let surroundings = (self.host.clone(), self.around.tell.clone(), Arc::clone(&self.checking));
            let task = tokio::spawn(go_on(zone.clone(), init, health.clone(), surroundings)).abort_handle();
            self.checks.insert(zone.clone(), Checks { init, health, task });
            let unknown = HealthStatus { since: crate::store::now(), ..HealthStatus::default() };
            self.world.set_health(zone, Some(unknown));
            self.scope.think(zone);
        }
    }

    /// Takes in what the checks of an environment come to now.
    pub(super) fn checked(&mut self, zone: &str, init: ProcessId, state: HealthState, message: Option<String>) {
        if self.checks.get(zone).is_none_or(|checks| checks.init != init) {
            return;
        }
        let before = self.world.health.get(zone).map(|health| health.status).unwrap_or_default();
        match (state, &message) {
            (HealthState::Unhealthy, Some(why)) => self.event(Some(zone), "Degraded", why.clone(), None),
            (HealthState::Healthy, _) if before == HealthState::Unhealthy => {
                self.event(Some(zone), "Healthy", "its health check succeeds again".to_owned(), None);
            }
            (HealthState::Healthy, _) => {
                self.event(Some(zone), "Healthy", "its health check succeeds".to_owned(), None);
            }
            _ => {}
        }
        let status = HealthStatus { status: state, since: crate::store::now(), message };
        self.world.set_health(zone, Some(status));
        self.scope.think(zone);
    }

    /// Whether a zone waits for another one's health that is still being found out.
    pub(super) fn waits_for_checks(&self, zone: &str) -> bool {
        let Some(plan) = self.world.plans.get(zone) else { return false };
        let unknown =
            |other: &String| self.world.health.get(other).is_some_and(|health| health.status == HealthState::Unknown);
        match &plan.hold {
            Some(Hold::DependsOn { zone, healthy: true }) => unknown(zone),
            _ => plan.up_after.iter().any(unknown),
        }
    }
}

/// Checks for as long as it is not ended.
async fn go_on(
    zone: String,
    init: ProcessId,
    health: Health,
    (host, tell, leave): (Host, UnboundedSender<Happening>, Arc<Semaphore>),
) {
    let every = health.every.duration();
    let mut streak = Streak::new(health.failures);
    let mut counted: Option<Instant> = None;
    tokio::time::sleep(health.initial_delay.duration()).await;
    loop {
        let result = {
            let _leave = leave.acquire().await;
            let (host, zone, health) = (host.clone(), zone.clone(), health.clone());
            let check = move || health::check(&host, &zone, init, &health);
            tokio::task::spawn_blocking(check).await.unwrap_or_else(|error| Err(error.to_string()))
        };
        // While it starts it is checked more often, and given as much time as later.
        let starting = streak.state() == HealthState::Unknown;
        let counts = result.is_ok() || !starting || counted.is_none_or(|at| at.elapsed() >= every);
        if counts {
            counted = Some(Instant::now());
            if let Some(state) = streak.note(result.is_ok()) {
                let message = result.err();
                if tell.send(Happening::Checked { zone: zone.clone(), init, state, message }).is_err() {
                    return;
                }
            }
        }
        let pause = if streak.state() == HealthState::Unknown { every.min(FIRST) } else { every };
        tokio::time::sleep(pause).await;
    }
}
