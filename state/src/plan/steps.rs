//! From a path to its steps, each with the state around it and what it costs.

use super::{Action, Cost, Step, step_name as name};
use crate::lifecycle::{Transition, ZoneState};

/// One entry of a zone's work before it is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Transition(Transition),
    Live(&'static str),
}

/// The steps of `work` from a state on, and the state at the end. `halt_timeout_ms` is how long init may take to end.
///
/// `work` follows the table; what is not an edge of it is left out here and found by the audit, not by a panic.
pub(super) fn steps(from: Option<ZoneState>, work: &[Work], halt_timeout_ms: u64) -> (Vec<Step>, Option<ZoneState>) {
    let mut walk = Walk { at: from, ran: from == Some(ZoneState::Running), out: Vec::new(), halt_timeout_ms };
    for item in work {
        match item {
            Work::Live(name) => walk.push(Action::Live, name, walk.at),
            Work::Transition(transition) => walk.transition(*transition),
        }
    }
    (walk.out, walk.at)
}

struct Walk {
    at: Option<ZoneState>,
    /// Whether an application environment ran when the plan began, so that its absence is downtime.
    ran: bool,
    out: Vec<Step>,
    halt_timeout_ms: u64,
}

impl Walk {
    fn transition(&mut self, transition: Transition) {
        use ZoneState::{Configured, Installed, Ready, Running};
        let action = Action::Transition(transition);
        match transition {
            Transition::Configure => self.push(action, name::WRITE_CONFIGURATION, Some(Configured)),
            Transition::Install => self.push(action, name::INSTALL_ROOT, Some(Installed)),
            Transition::Ready => self.ready(action),
            Transition::Boot => self.push(action, name::START_INIT, Some(Running)),
            Transition::Stop => self.push(action, name::STOP_INIT, Some(Ready)),
            Transition::Halt => self.halt(action),
            Transition::Reboot => {
                self.halt(action);
                self.ready(action);
                self.push(action, name::START_INIT, Some(Running));
            }
            Transition::Uninstall => self.push(action, name::REMOVE_ROOT, Some(Configured)),
            Transition::Unconfigure => self.push(action, name::REMOVE_CONFIGURATION, None),
            // An event: nobody walks it.
            Transition::InitExited => {}
        }
    }

    /// The zone counts as Installed until the last step: a platform that is not whole is nothing to boot on.
    fn ready(&mut self, action: Action) {
        let (last, rest) = name::READY.split_last().expect("ready has steps");
        for name in rest {
            self.push(action, name, Some(ZoneState::Installed));
        }
        self.push(action, last, Some(ZoneState::Ready));
    }

    fn halt(&mut self, action: Action) {
        let [kill, devices, unplumb, unmount, destroy] = name::HALT;
        // Shutting_down while the processes end, down from then on.
        for name in [kill, devices, unplumb, unmount] {
            self.push(action, name, Some(ZoneState::Down));
        }
        self.push(action, destroy, Some(ZoneState::Installed));
    }

    fn push(&mut self, action: Action, name: &str, to: Option<ZoneState>) {
        let total_ms = self.millis(name);
        let live = action == Action::Live;
        let cost = Cost {
            downtime_ms: if self.ran && !(live && self.at == Some(ZoneState::Running)) { total_ms } else { 0 },
            total_ms,
            destroys_data: matches!(name, name::REMOVE_ROOT | name::REMOVE_CONFIGURATION),
            new_zone_id: name == name::READY[1],
        };
        self.out.push(Step { action, from: self.at, to, name: name.to_owned(), cost });
        self.at = to;
    }

    /// How long a step takes, in milliseconds, on an idle host (reference figures: a whole bring-up with network 4 ms).
    fn millis(&self, name: &str) -> u64 {
        let runs = self.at == Some(ZoneState::Running);
        match name {
            name::STOP_INIT => self.halt_timeout_ms,
            _ if name == name::HALT[0] && runs => self.halt_timeout_ms,
            // These copy or remove files.
            name::INSTALL_ROOT | name::REMOVE_ROOT => 200,
            // These are synced to the disk.
            name::WRITE_CONFIGURATION | name::REMOVE_CONFIGURATION | name::RECORD => 5,
            _ => 1,
        }
    }
}
