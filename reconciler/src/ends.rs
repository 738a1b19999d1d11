//! Ends of init that nobody listened to. zoneadmd tells how an init ended to whoever is connected; while no controller runs nobody is,
//! and it says so when it is asked. Who only looks at the zones asks it here, so that what the restart policy makes of that end is in a
//! plan, and in what `get` shows. A walk hears of it when it reaches zoneadmd.

use std::time::Duration;

use reeve_state::observed::derive_state;
use reeve_state::{ZoneFacts, ZoneState};

use crate::host::Inner;
use crate::observe::HostSeen;
use crate::store::zone::Memory;
use crate::supervisor::Zoneadmd;
use crate::walk;

/// How long a zoneadmd may take to answer. One that is at work on its zone takes longer, and then its end is old news soon.
const PATIENCE: Duration = Duration::from_secs(1);

impl Inner {
    /// Takes in how the init ended of each zone that is Ready and whose environment is not known to have ended.
    pub fn hear_ends(&self, seen: &mut HostSeen) {
        for (name, memory) in &mut seen.memories {
            if let Some(facts) = seen.facts.zones.get_mut(name) {
                self.hear_end(facts, memory);
            }
        }
    }

    /// The same of one zone.
    pub fn hear_end(&self, facts: &mut ZoneFacts, memory: &mut Memory) {
        let is_ready = derive_state(facts).known() == Some(&ZoneState::Ready);
        if memory.environment.is_none() || !is_ready || !facts.zoneadmd.is_known() {
            return;
        }
        if let Some(snapshot) = Zoneadmd::ask_of_end(self.places(), &facts.name, PATIENCE)
            && walk::note_snapshot(memory, &snapshot)
        {
            facts.last_exit = memory.policy.restarts.pending;
        }
    }
}
