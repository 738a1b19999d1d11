//! The parts that a plan is walked in: the steps that one request to zoneadmd (or one change on disk) does together.

use reeve_state::Transition;
use reeve_state::plan::{Step, step_name as name};

use super::transition_of;

/// What is done together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Configure,
    Install,
    Ready,
    Boot,
    Stop,
    Halt,
    Uninstall,
    Unconfigure,
    Adopt,
    Limits,
    Links,
    Mend,
    Record,
    Unknown,
}

/// Consecutive steps of one part.
#[derive(Debug)]
pub struct Stage {
    pub part: Part,
    /// The transition that it belongs to: that of a reboot for its halt, ready and boot.
    pub transition: Option<Transition>,
    /// The names of its steps, at least one.
    pub steps: Vec<String>,
}

impl Stage {
    /// A halt that nobody planned: what a stop that cannot finish becomes.
    pub fn halt() -> Self {
        let steps = name::HALT.iter().map(|name| (*name).to_owned()).collect();
        Self { part: Part::Halt, transition: Some(Transition::Halt), steps }
    }

    /// The name of its first step.
    pub fn first(&self) -> &str {
        self.steps.first().map_or("", String::as_str)
    }

    /// The name of its last step.
    pub fn last(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }

    /// Whether what it does ends with the host's boot, so that the journal in the run folder is where its intent goes.
    pub fn is_volatile(&self) -> bool {
        matches!(self.part, Part::Ready | Part::Boot | Part::Stop | Part::Halt)
    }
}

/// Takes the steps of a plan apart.
pub fn stages(steps: &[Step]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for step in steps {
        let (part, transition) = (part_of(&step.name), transition_of(step));
        match stages.last_mut() {
            Some(stage) if stage.part == part && stage.transition == transition && part != Part::Unknown => {
                stage.steps.push(step.name.clone());
            }
            _ => stages.push(Stage { part, transition, steps: vec![step.name.clone()] }),
        }
    }
    stages
}

fn part_of(step: &str) -> Part {
    match step {
        name::WRITE_CONFIGURATION => Part::Configure,
        name::INSTALL_ROOT => Part::Install,
        name::START_INIT => Part::Boot,
        name::STOP_INIT => Part::Stop,
        name::REMOVE_ROOT => Part::Uninstall,
        name::REMOVE_CONFIGURATION => Part::Unconfigure,
        name::ADOPT => Part::Adopt,
        name::APPLY_LIMITS => Part::Limits,
        name::REPAIR_LINKS => Part::Links,
        name::MEND => Part::Mend,
        name::RECORD => Part::Record,
        step if name::READY.contains(&step) => Part::Ready,
        step if name::HALT.contains(&step) => Part::Halt,
        _ => Part::Unknown,
    }
}
