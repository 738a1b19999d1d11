//! The states of a zone and THE table of transitions between them. Every path, diagram, help text and error message
//! about what a zone may do next is made from [`EDGES`]; nothing else in Reeve knows a legal move.
//!
//! Sources: seed \[0017\], \[0043\], \[0057\]-\[0069\], \[0082\]-\[0086\]; zones(7). "None" (no zone of that name) is `Option::None`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a zone that exists. Written `shutting_down` in messages and documents, as the seed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneState {
    /// A configuration is stored, no files are installed.
    Configured,
    /// The files of the zone are under zonepath/root; there is no virtual platform.
    Installed,
    /// The virtual platform is up; no application environment.
    Ready,
    /// The application environment is up on the platform.
    Running,
    /// A halt began and a process of the zone still lives.
    ShuttingDown,
    /// A halt began, no process lives, something of the platform is still there.
    Down,
}

impl ZoneState {
    /// Every state, in the order of the seed.
    pub const ALL: [ZoneState; 6] = [
        ZoneState::Configured,
        ZoneState::Installed,
        ZoneState::Ready,
        ZoneState::Running,
        ZoneState::ShuttingDown,
        ZoneState::Down,
    ];

    /// The name as documents and messages have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ZoneState::Configured => "configured",
            ZoneState::Installed => "installed",
            ZoneState::Ready => "ready",
            ZoneState::Running => "running",
            ZoneState::ShuttingDown => "shutting_down",
            ZoneState::Down => "down",
        }
    }

    /// Whether the zone is active: something of it is in the kernel, it has an ID and a zoneadmd (seed \[0045\], \[0057\]).
    pub const fn is_active(self) -> bool {
        matches!(self, ZoneState::Ready | ZoneState::Running | ZoneState::ShuttingDown | ZoneState::Down)
    }

    /// Whether a halt began and has not finished: only halt is legal from here.
    pub const fn is_halting(self) -> bool {
        matches!(self, ZoneState::ShuttingDown | ZoneState::Down)
    }
}

impl fmt::Display for ZoneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a state that may be none.
pub fn state_name(state: Option<ZoneState>) -> &'static str {
    state.map_or("none", ZoneState::as_str)
}

/// A move between states. `InitExited` is an event, not a request: nobody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Transition {
    /// Store a configuration.
    Configure,
    /// Put the files of the root in place.
    Install,
    /// Bring the virtual platform up (order: seed \[0045\], \[0065\]).
    Ready,
    /// Start the application environment.
    Boot,
    /// End the application environment; the platform and the ID stay.
    Stop,
    /// End everything, through shutting_down and down (order: seed \[0067\]).
    Halt,
    /// Halt and come up again with a new ID.
    Reboot,
    /// Remove the files ("zoneadm destroy").
    Uninstall,
    /// Remove the configuration ("zonecfg destroy").
    Unconfigure,
    /// Init ended by itself.
    InitExited,
}

impl Transition {
    /// Every transition, in the order of the table.
    pub const ALL: [Transition; 10] = [
        Transition::Configure,
        Transition::Install,
        Transition::Ready,
        Transition::Boot,
        Transition::Stop,
        Transition::Halt,
        Transition::Reboot,
        Transition::Uninstall,
        Transition::Unconfigure,
        Transition::InitExited,
    ];

    /// The name as messages have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transition::Configure => "configure",
            Transition::Install => "install",
            Transition::Ready => "ready",
            Transition::Boot => "boot",
            Transition::Stop => "stop",
            Transition::Halt => "halt",
            Transition::Reboot => "reboot",
            Transition::Uninstall => "uninstall",
            Transition::Unconfigure => "unconfigure",
            Transition::InitExited => "init-exited",
        }
    }

    /// Whether somebody can ask for it; false for the event `init-exited` alone.
    pub const fn can_be_asked_for(self) -> bool {
        !matches!(self, Transition::InitExited)
    }

    /// Whether it removes data that nothing brings back: such a step never follows from a missing manifest alone.
    pub const fn destroys_data(self) -> bool {
        matches!(self, Transition::Uninstall | Transition::Unconfigure)
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The move.
    pub transition: Transition,
    /// Where it starts; `None` is no zone.
    pub from: Option<ZoneState>,
    /// Where it ends; `None` is no zone.
    pub to: Option<ZoneState>,
    /// The states that are seen on the way, in order.
    pub via: &'static [ZoneState],
    /// What it does, in one line, for help texts.
    pub does: &'static str,
}

use Transition as T;
use ZoneState::{Configured, Down, Installed, Ready, Running, ShuttingDown};

const fn edge(
    transition: Transition,
    from: Option<ZoneState>,
    to: Option<ZoneState>,
    via: &'static [ZoneState],
    does: &'static str,
) -> Edge {
    Edge { transition, from, to, via, does }
}

const HALT: &str = "end every process, take the virtual platform down";

/// THE table. What is not here is refused.
pub const EDGES: &[Edge] = &[
    edge(T::Configure, None, Some(Configured), &[], "store the configuration"),
    edge(T::Install, Some(Configured), Some(Installed), &[], "put the files of the zone's root in place"),
    edge(T::Ready, Some(Installed), Some(Ready), &[], "bring the virtual platform up, with a new zone ID"),
    edge(T::Boot, Some(Ready), Some(Running), &[], "start the application environment"),
    edge(T::Stop, Some(Running), Some(Ready), &[], "end the application environment, keep the platform and the ID"),
    edge(T::InitExited, Some(Running), Some(Ready), &[], "init ended by itself"),
    edge(T::Halt, Some(Running), Some(Installed), &[ShuttingDown, Down], HALT),
    edge(T::Halt, Some(Ready), Some(Installed), &[ShuttingDown, Down], HALT),
    edge(T::Halt, Some(ShuttingDown), Some(Installed), &[Down], HALT),
    edge(T::Halt, Some(Down), Some(Installed), &[], HALT),
    edge(
        T::Reboot,
        Some(Running),
        Some(Running),
        &[ShuttingDown, Down, Installed, Ready],
        "halt and come up again, with a new zone ID",
    ),
    edge(T::Uninstall, Some(Installed), Some(Configured), &[], "remove the files of the zone"),
    edge(T::Unconfigure, Some(Configured), None, &[], "remove the configuration"),
];

/// A move that the table does not have. The message names the state and what would be legal (SEED T7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{transition}: not possible from state {}; from there: {}", state_name(*.from), legal_names(*.from))]
pub struct IllegalTransition {
    /// The state of the zone.
    pub from: Option<ZoneState>,
    /// What was asked for.
    pub transition: Transition,
}

impl IllegalTransition {
    /// What would have been legal.
    pub fn legal(&self) -> Vec<Transition> {
        legal(self.from)
    }
}

fn legal_names(from: Option<ZoneState>) -> String {
    let names: Vec<&str> = legal(from).into_iter().filter(|t| t.can_be_asked_for()).map(Transition::as_str).collect();
    names.join(", ")
}

/// The row of the table for this move from this state.
pub fn edge_for(from: Option<ZoneState>, transition: Transition) -> Option<&'static Edge> {
    EDGES.iter().find(|e| e.from == from && e.transition == transition)
}

/// Every transition that is legal from a state, in the order of the table.
pub fn legal(from: Option<ZoneState>) -> Vec<Transition> {
    EDGES.iter().filter(|e| e.from == from).map(|e| e.transition).collect()
}

/// Where a move ends.
///
/// # Errors
/// [`IllegalTransition`] where the table has no such edge.
pub fn step(from: Option<ZoneState>, transition: Transition) -> Result<Option<ZoneState>, IllegalTransition> {
    edge_for(from, transition).map(|e| e.to).ok_or(IllegalTransition { from, transition })
}

/// The table as a mermaid state diagram, for docs.
pub fn diagram() -> String {
    let name = |s: Option<ZoneState>| s.map_or("[*]", ZoneState::as_str);
    let mut out = String::from("stateDiagram-v2\n");
    for e in EDGES {
        let mut states = vec![name(e.from)];
        states.extend(e.via.iter().map(|s| s.as_str()));
        states.push(name(e.to));
        for pair in states.windows(2) {
            let line = format!("    {} --> {}: {}\n", pair[0], pair[1], e.transition);
            if !out.contains(&line) {
                out.push_str(&line);
            }
        }
    }
    out
}

/// The table as text, one row a line, for `--help` and docs.
pub fn help() -> String {
    let mut out = String::new();
    for e in EDGES {
        let mut way = vec![state_name(e.from)];
        way.extend(e.via.iter().map(|s| s.as_str()));
        way.push(state_name(e.to));
        out.push_str(&format!("{:<12} {:<58} {}\n", e.transition, way.join(" > "), e.does));
    }
    out
}
