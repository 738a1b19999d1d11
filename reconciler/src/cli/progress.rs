//! Tells what goes on while it does: a line for each zone on a terminal, drawn in place; elsewhere a line for each thing
//! that happened. Whoever works is never held up: it tells a channel, and a thread shows what came.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reeve::{Notice, Observer, StepPhase, StepProgress};
use reeve_schema::Problems;
use reeve_state::ZoneState;
use reeve_state::lifecycle::state_name;

use super::live::{self, Block};
use super::output::{self, BOLD, FAINT, GREEN, PLAIN, RED};
use super::{Context, safe_text, time};

/// The shortest time between two drawings: more could not be seen.
const DRAW_AFTER: Duration = Duration::from_millis(40);

/// What a display is told.
#[derive(Debug)]
pub enum Told {
    /// Something happened.
    Notice(Notice),
    /// A line of the log.
    Log(String),
    /// It is over.
    End,
}

/// Something that shows what it is told.
pub trait Display: Send {
    /// Takes it in; whether there is something new to draw.
    fn tell(&mut self, told: Told) -> bool;

    /// Draws what is the case.
    fn draw(&mut self) {}

    /// How long after a drawing the next is due although nothing was told; none: never.
    fn stale_after(&self) -> Option<Duration> {
        None
    }
}

/// Where lines of the log go while a display has the terminal.
static LOG: Mutex<Option<Sender<Told>>> = Mutex::new(None);

/// A thread with a display.
#[derive(Debug)]
pub struct Teller {
    sender: Sender<Told>,
    thread: JoinHandle<()>,
}

impl Teller {
    /// Starts one.
    pub fn start(mut display: Box<dyn Display>) -> Self {
        let (sender, receiver) = mpsc::channel();
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        let thread = std::thread::spawn(move || {
            let (mut dirty, mut drawn) = (true, None::<Instant>);
            loop {
                let since = drawn.map_or(DRAW_AFTER, |drawn| drawn.elapsed());
                if dirty && since >= DRAW_AFTER {
                    display.draw();
                    (dirty, drawn) = (false, Some(Instant::now()));
                    continue;
                }
                let due = if dirty { Some(DRAW_AFTER) } else { display.stale_after() };
                let wait = due.map_or(Duration::from_secs(3600), |due| due.saturating_sub(since));
                match receiver.recv_timeout(wait) {
                    Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => break,
                    Ok(told) => dirty |= display.tell(told),
                    Err(RecvTimeoutError::Timeout) => dirty |= due.is_some(),
                }
            }
            display.draw();
        });
        Self { sender, thread }
    }

    /// Whom work is to tell.
    pub fn observer(&self) -> Observer {
        let sender = self.sender.clone();
        Arc::new(move |notice| drop(sender.send(Told::Notice(notice))))
    }

    /// Shows what came so far and ends.
    pub fn finish(self) {
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.sender.send(Told::End);
        let _ = self.thread.join();
    }
}

/// A display for one piece of work on these zones.
pub fn start(context: &Context, zones: &[String]) -> Teller {
    let block = if context.quiet || context.verbose > 0 { None } else { Block::on_stderr() };
    match block {
        Some(block) => Teller::start(Box::new(ZoneLines::new(block, zones))),
        None => Teller::start(Box::new(EventLines::new(io::stderr(), context))),
    }
}

/// Sends the log of the library to standard error, or to the display that has the terminal.
pub fn start_logging(context: &Context) {
    let level = match (context.quiet, context.verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, 0) => tracing::Level::WARN,
        (false, 1) => tracing::Level::INFO,
        (false, 2) => tracing::Level::DEBUG,
        (false, _) => tracing::Level::TRACE,
    };
    let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(ansi);
    // Whoever reads a log that is kept (a journal) has times of its own.
    let _ = subscriber.without_time().with_target(false).with_writer(|| LogWriter).try_init();
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sender = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let line = || Told::Log(String::from_utf8_lossy(bytes).trim_end().to_owned());
        if sender.is_none_or(|sender| sender.send(line()).is_err()) {
            let _ = io::stderr().write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A step with the transition it belongs to.
fn step_name(step: &StepProgress) -> String {
    match step.transition {
        Some(transition) => format!("{transition}: {}", step.step),
        None => step.step.clone(),
    }
}

/// A notice as a line; none where it is not worth one.
pub fn line(notice: &Notice, verbose: bool) -> Option<String> {
    let about = |zone: &str, text: String| Some(format!("{BOLD}{zone}:{PLAIN} {}", safe_text::lines(&text, "  ")));
    match notice {
        Notice::Step(step) => match &step.phase {
            StepPhase::Begun => None,
            StepPhase::Done if !verbose => None,
            StepPhase::Done => about(&step.zone, format!("{}, {}", step_name(step), time::micros(step.took_us))),
            StepPhase::Failed(why) => about(&step.zone, format!("{} failed: {why}", step_name(step))),
        },
        Notice::State { zone, state, zone_id } => {
            let id = zone_id.map(|id| format!(" (ID {id})")).unwrap_or_default();
            let name = output::paint_state(if state.is_none() { "gone" } else { state_name(*state) });
            Some(format!("{BOLD}{zone}:{PLAIN} {name}{id}"))
        }
        Notice::Pass(_) if !verbose => None,
        Notice::Pass(pass) => {
            let work = if pass.working.is_empty() { "none".into() } else { pass.working.join(", ") };
            let (number, why, took) = (pass.number, &pass.why, time::micros(pass.took_us));
            Some(format!("pass {number} ({why}): {} zones, work for {work}, {took}", pass.zones))
        }
        Notice::Problems(problems) if problems.is_empty() => Some("the manifests are right again".into()),
        Notice::Problems(problems) => Some(output::paint_problems(&Problems(problems.clone()).to_string())),
        Notice::Message { zone: Some(zone), text } => about(zone, text.clone()),
        Notice::Message { zone: None, text } => Some(safe_text::lines(text, "  ")),
    }
}

/// A line for each thing that happened.
pub struct EventLines<W> {
    out: W,
    context: Context,
    /// The last state and the last failure that were said of each zone: what stays the same is said once.
    said: BTreeMap<(String, &'static str), String>,
}

impl<W> EventLines<W> {
    /// Lines to `out`.
    pub fn new(out: W, context: &Context) -> Self {
        Self { out, context: context.clone(), said: BTreeMap::new() }
    }

    /// Whether that was said last of the zone already.
    fn is_old(&mut self, notice: &Notice) -> bool {
        let (zone, kind, what) = match notice {
            Notice::State { zone, state, zone_id } => (zone, "state", format!("{state:?} {zone_id:?}")),
            Notice::Step(StepProgress { zone, step, phase: StepPhase::Failed(why), .. }) => {
                (zone, "failure", format!("{step} {why}"))
            }
            Notice::Message { zone: Some(zone), text } => (zone, "message", text.clone()),
            _ => return false,
        };
        if kind == "state" && self.said.get(&(zone.clone(), kind)).is_none_or(|said| *said != what) {
            // In another state the same failure is news.
            self.said.retain(|(other, _), _| other != zone);
        }
        self.said.insert((zone.clone(), kind), what.clone()).is_some_and(|said| said == what)
    }
}

impl<W: Write + Send + anstream::stream::RawStream> Display for EventLines<W> {
    fn tell(&mut self, told: Told) -> bool {
        let line = match told {
            Told::Notice(notice) => {
                let wrong = matches!(&notice, Notice::Step(step) if matches!(step.phase, StepPhase::Failed(_)));
                let line = line(&notice, self.context.verbose > 0);
                line.filter(|_| wrong || !self.context.quiet).filter(|_| !self.is_old(&notice))
            }
            Told::Log(line) => Some(line),
            Told::End => None,
        };
        if let Some(line) = line {
            let choice = anstream::AutoStream::choice(&self.out);
            let colour = choice != anstream::ColorChoice::Never;
            let line = if colour { line } else { anstream::adapter::strip_str(&line).to_string() };
            let _ = writeln!(self.out, "{line}");
        }
        false
    }
}

/// What a zone does now, or did last.
#[derive(Debug)]
struct Doing {
    state: Option<Option<ZoneState>>,
    step: Option<String>,
    failed: Option<String>,
    said: Option<String>,
    since: Instant,
    until: Option<Instant>,
}

impl Doing {
    fn new() -> Self {
        Self { state: None, step: None, failed: None, said: None, since: Instant::now(), until: None }
    }
}

/// A line for each zone, drawn in place.
struct ZoneLines {
    block: Block<io::Stderr>,
    zones: BTreeMap<String, Doing>,
}

impl ZoneLines {
    fn new(block: Block<io::Stderr>, zones: &[String]) -> Self {
        Self { block, zones: zones.iter().map(|zone| (zone.clone(), Doing::new())).collect() }
    }

    fn zone(&mut self, name: &str) -> &mut Doing {
        self.zones.entry(name.to_owned()).or_insert_with(Doing::new)
    }

    fn step(&mut self, step: &StepProgress) {
        let name = step_name(step);
        let doing = self.zone(&step.zone);
        match &step.phase {
            StepPhase::Begun if doing.step.is_none() => {
                if doing.until.is_none_or(|until| until.elapsed() > Duration::from_secs(1)) {
                    doing.since = Instant::now();
                }
                (doing.step, doing.failed, doing.until) = (Some(name), None, None);
            }
            StepPhase::Begun => doing.step = Some(name),
            StepPhase::Done => (doing.step, doing.until) = (None, Some(Instant::now())),
            StepPhase::Failed(why) => {
                (doing.step, doing.until) = (None, Some(Instant::now()));
                doing.failed = Some(format!("{name}: {why}"));
            }
        }
    }
}

impl Display for ZoneLines {
    fn tell(&mut self, told: Told) -> bool {
        match told {
            Told::Notice(Notice::Step(step)) => self.step(&step),
            Told::Notice(Notice::State { zone, state, .. }) => self.zone(&zone).state = Some(state),
            Told::Notice(Notice::Message { zone: Some(zone), text }) => self.zone(&zone).said = Some(text),
            Told::Notice(notice) => {
                if let Some(line) = line(&notice, false) {
                    self.block.above(&line);
                }
            }
            Told::Log(line) => self.block.above(&line),
            Told::End => {}
        }
        true
    }

    fn draw(&mut self) {
        let width = self.zones.keys().map(String::len).max().unwrap_or(0);
        let lines: Vec<String> = self.zones.iter().map(|(name, doing)| zone_line(name, width, doing)).collect();
        self.block.draw(&lines, live::size());
    }

    fn stale_after(&self) -> Option<Duration> {
        self.zones.values().any(|doing| doing.step.is_some()).then_some(Duration::from_millis(100))
    }
}

fn zone_line(name: &str, width: usize, doing: &Doing) -> String {
    let state = doing.state.map(|state| state.map_or("gone", ZoneState::as_str)).unwrap_or_default();
    let padding = " ".repeat(13usize.saturating_sub(state.len()));
    let took = doing.until.unwrap_or_else(Instant::now).saturating_duration_since(doing.since);
    let took = time::micros(took.as_micros() as u64);
    let (mark, what) = match (&doing.step, &doing.failed) {
        (Some(step), _) => (format!("{BOLD}>{PLAIN}"), format!("{step} {FAINT}{took}{PLAIN}")),
        (None, Some(failed)) => (format!("{RED}x{PLAIN}"), format!("{RED}{}{PLAIN}", safe_text::line(failed))),
        (None, None) => {
            let said = doing.said.as_deref().map(safe_text::line).unwrap_or_default();
            let touched = doing.until.is_some();
            let mark = if touched { format!("{GREEN}+{PLAIN}") } else { " ".to_owned() };
            (mark, format!("{FAINT}{}{PLAIN}  {said}", if touched { took } else { String::new() }))
        }
    };
    format!("{mark} {name:<width$}  {}{padding} {what}", output::paint_state(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_the_same_is_said_once() {
        let context = Context::new(&crate::cli::Global::default());
        let mut lines = EventLines::new(io::stderr(), &context);
        let state = |state| Notice::State { zone: "a".into(), state: Some(state), zone_id: None };
        let said = |lines: &mut EventLines<_>, text: &str| {
            lines.is_old(&Notice::Message { zone: Some("a".into()), text: text.into() })
        };
        assert!(!lines.is_old(&state(ZoneState::Installed)) && lines.is_old(&state(ZoneState::Installed)));
        assert!(!said(&mut lines, "no") && said(&mut lines, "no") && !said(&mut lines, "yes"));
        assert!(!lines.is_old(&state(ZoneState::Ready)) && !said(&mut lines, "yes"));
    }

    fn plain(notice: &Notice, verbose: bool) -> Option<String> {
        line(notice, verbose).map(|line| anstream::adapter::strip_str(&line).to_string())
    }

    #[test]
    fn what_happened_in_lines() {
        let step = |phase| {
            let transition = Some(reeve_state::Transition::Ready);
            Notice::Step(StepProgress {
                zone: "web".into(),
                transition,
                step: "network".into(),
                phase,
                took_us: 1500,
                pass: None,
                commit: None,
            })
        };
        assert_eq!(plain(&step(StepPhase::Begun), true), None);
        assert_eq!(plain(&step(StepPhase::Done), false), None);
        assert_eq!(plain(&step(StepPhase::Done), true).as_deref(), Some("web: ready: network, 1.5 ms"));
        let failed = step(StepPhase::Failed("no\x1b".into()));
        assert_eq!(plain(&failed, false).as_deref(), Some("web: ready: network failed: no^["));
        let state = Notice::State { zone: "web".into(), state: Some(ZoneState::Running), zone_id: Some(3) };
        assert_eq!(plain(&state, false).as_deref(), Some("web: running (ID 3)"));
        assert_eq!(plain(&Notice::Problems(Vec::new()), false).as_deref(), Some("the manifests are right again"));
    }
}
