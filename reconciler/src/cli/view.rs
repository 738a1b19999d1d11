//! The live view of `reeve run` on a terminal: a table of the zones that is drawn again when something changes, with
//! what was said last below it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reeve::{Host, Notice, StepPhase};
use reeve_schema::Problem;
use reeve_state::condition::{self, ConditionType};
use reeve_state::status::ZoneStatus;

use super::live::{self, Block};
use super::output::{BOLD, FAINT, Format, PLAIN, RED, count};
use super::progress::{Display, Told, line};
use super::{safe_text, zones};

/// How many messages stay below the table.
const MESSAGES: usize = 6;
/// The shortest time between two looks at the zones.
const LOOK_AFTER: Duration = Duration::from_millis(150);

/// The view.
pub struct View {
    host: Arc<Host>,
    source: PathBuf,
    block: Block<io::Stdout>,
    zones: Vec<ZoneStatus>,
    /// The step that each zone is in.
    steps: BTreeMap<String, String>,
    said: VecDeque<String>,
    /// What is wrong with the manifests, until it is right again.
    problems: Vec<Problem>,
    looked: Option<Instant>,
    /// Something happened since the last look.
    changed: bool,
}

impl View {
    /// A view of the zones of `host`, which follow `source`.
    pub fn new(host: Arc<Host>, source: PathBuf, block: Block<io::Stdout>) -> Self {
        let (steps, said) = (BTreeMap::new(), VecDeque::new());
        let (zones, problems) = (Vec::new(), Vec::new());
        Self { host, source, block, zones, steps, said, problems, looked: None, changed: true }
    }

    fn say(&mut self, text: &str) {
        // What is tried again and again fails again and again.
        self.said.extend(text.lines().map(str::to_owned).filter(|line| !self.said.contains(line)).collect::<Vec<_>>());
        let surplus = self.said.len().saturating_sub(MESSAGES);
        self.said.drain(..surplus);
    }

    fn look(&mut self) {
        if self.changed && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AFTER) {
            self.zones = self.host.status().items;
            (self.changed, self.looked) = (false, Some(Instant::now()));
        }
    }

    fn lines(&self) -> Vec<String> {
        let converged = |zone: &&ZoneStatus| condition::holds(&zone.conditions, ConditionType::Converged);
        let done = self.zones.iter().filter(converged).count();
        let source = self.source.display();
        let others = self.zones.iter().filter(|zone| zones::is_not_followed(zone)).count();
        let all = count(self.zones.len() - others, "zone");
        let elsewhere = if others > 0 { format!("; {others} from elsewhere, left alone") } else { String::new() };
        let mut lines = vec![format!("{BOLD}{all}{PLAIN} from {source}, {done} as wanted{elsewhere}"), String::new()];
        let mut table = super::output::Table::new(&zones::COLUMNS);
        for zone in &self.zones {
            let mut row = zones::row(zone, self.host.now());
            if let Some(step) = self.steps.get(&zone.name) {
                row[6].clone_from(step);
            }
            table.row(row);
        }
        lines.extend(table.render(Format::Table).lines().map(str::to_owned));
        lines.push(String::new());
        lines.extend(self.problems.iter().take(MESSAGES).map(problem_line));
        if !self.problems.is_empty() {
            let problems = count(self.problems.len(), "problem");
            lines.push(format!("{RED}{problems}:{PLAIN} the manifests before stay in force"));
        }
        lines.extend(self.said.iter().cloned());
        lines.push(format!("{FAINT}Ctrl-C ends this; the zones stay as they are{PLAIN}"));
        lines
    }
}

fn problem_line(problem: &Problem) -> String {
    let Problem { file, line, column, message, .. } = problem;
    format!("{BOLD}{file}:{line}:{column}:{PLAIN} {}", safe_text::line(message))
}

impl Display for View {
    fn tell(&mut self, told: Told) -> bool {
        match told {
            Told::Notice(notice) => {
                if let Notice::Step(step) = &notice {
                    match step.phase {
                        StepPhase::Begun => drop(self.steps.insert(step.zone.clone(), step.step.clone())),
                        StepPhase::Done | StepPhase::Failed(_) => drop(self.steps.remove(&step.zone)),
                    }
                }
                match notice {
                    Notice::Problems(problems) => self.problems = problems,
                    // The table shows it.
                    Notice::State { .. } => {}
                    notice => {
                        if let Some(line) = line(&notice, false) {
                            self.say(&line);
                        }
                    }
                }
            }
            Told::Log(text) => self.say(&text),
            Told::End => {}
        }
        self.changed = true;
        true
    }

    fn draw(&mut self) {
        self.look();
        let lines = self.lines();
        self.block.draw(&lines, live::size());
    }

    fn stale_after(&self) -> Option<Duration> {
        Some(if self.changed { LOOK_AFTER } else { Duration::from_secs(1) })
    }
}
