//! What a controller does as records with fields, for programs that read logs: a line of JSON each, or the journal's own protocol
//! (systemd.journal-fields(7)). One record for each step of a zone that ended, with the zone, the commit and the pass.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use reeve::{Notice, StepPhase};
use reeve_state::lifecycle::state_name;
use serde_json::{Map, Value, json};

use super::progress::{Display, Told};
use super::safe_text;

/// Where the journal listens.
pub const JOURNAL: &str = "/run/systemd/journal/socket";

/// How a controller's log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people
    #[default]
    Text,
    /// A line of JSON for each record
    Json,
    /// Records with fields, to the journal
    Journal,
}

/// Severity, as syslog(3) counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// One thing that happened.
#[derive(Debug, PartialEq)]
struct Record {
    level: Level,
    message: String,
    fields: Map<String, Value>,
}

impl Record {
    fn new(level: Level, message: impl AsRef<str>, fields: Value) -> Self {
        let mut fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        fields.retain(|_, value| !value.is_null());
        Self { level, message: safe_text::line(message.as_ref()), fields }
    }
}

/// The records of a notice.
fn records(notice: &Notice, verbose: bool) -> Vec<Record> {
    match notice {
        Notice::Step(step) => {
            let (level, how, error) = match &step.phase {
                StepPhase::Begun => return Vec::new(),
                StepPhase::Done => (Level::Info, "done", None),
                StepPhase::Failed(why) => (Level::Error, "failed", Some(why)),
            };
            let why = error.map(|why| format!(": {why}")).unwrap_or_default();
            let message = format!("zone {}: {} {how}{why}", step.zone, step.step);
            let fields = json!({
                "zone": step.zone, "transition": step.transition, "step": step.step, "outcome": how,
                "error": error, "tookUs": step.took_us, "pass": step.pass, "commit": step.commit,
            });
            vec![Record::new(level, message, fields)]
        }
        Notice::State { zone, state, zone_id } => {
            let message = format!("zone {zone}: {}", state_name(*state));
            vec![Record::new(Level::Info, message, json!({"zone": zone, "state": state, "zoneId": zone_id}))]
        }
        Notice::Pass(pass) if verbose => {
            let message =
                format!("pass {} ({}): {} zones, {} with work", pass.number, pass.why, pass.zones, pass.working.len());
            let fields = json!({
                "pass": pass.number, "why": pass.why, "zones": pass.zones, "working": pass.working.len(),
                "tookUs": pass.took_us,
            });
            vec![Record::new(Level::Info, message, fields)]
        }
        Notice::Pass(_) => Vec::new(),
        Notice::Problems(problems) if problems.is_empty() => {
            vec![Record::new(Level::Info, "the manifests are right again", json!({}))]
        }
        Notice::Problems(problems) => {
            let one = |problem: &reeve_schema::Problem| {
                let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
                let fields = json!({"field": problem.field, "place": place, "help": problem.help});
                Record::new(Level::Error, format!("{place}: {}", problem.message), fields)
            };
            problems.iter().map(one).collect()
        }
        Notice::Message { zone, text } => vec![Record::new(Level::Warning, text, json!({"zone": zone}))],
    }
}

/// Writes records to where they belong.
pub struct LogRecords {
    journal: Option<UnixDatagram>,
    verbose: bool,
}

impl LogRecords {
    /// Records as JSON on standard output, or to the journal that listens at `journal`.
    ///
    /// # Errors
    /// A journal that is not there.
    pub fn new(journal: Option<&Path>, verbose: bool) -> io::Result<Self> {
        let connect = |path: &Path| {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { journal: journal.map(connect).transpose()?, verbose })
    }

    fn write(&self, record: &Record) {
        // A log that cannot be written has nobody left to be told so.
        match &self.journal {
            Some(journal) => drop(journal.send(&journal_entry(record))),
            None => drop(writeln!(io::stdout(), "{}", json_line(record, &reeve::store::now().utc()))),
        }
    }
}

impl Display for LogRecords {
    fn tell(&mut self, told: Told) -> bool {
        match told {
            Told::Notice(notice) => records(&notice, self.verbose).iter().for_each(|record| self.write(record)),
            Told::Log(line) => self.write(&Record::new(Level::Warning, line, json!({}))),
            Told::End => {}
        }
        false
    }
}

fn json_line(record: &Record, time: &str) -> Value {
    let level = match record.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    };
    let mut line = json!({"time": time, "level": level, "message": record.message});
    if let Value::Object(line) = &mut line {
        line.extend(record.fields.clone());
    }
    line
}

/// A record in the journal's protocol: fields as `NAME=VALUE` lines; a value with a line's end in it is told with its length.
fn journal_entry(record: &Record) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut field = |name: &str, value: &str| {
        entry.extend(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend((value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend(value.as_bytes());
        entry.push(b'\n');
    };
    field("PRIORITY", &(record.level as u8).to_string());
    field("SYSLOG_IDENTIFIER", "reeve");
    field("MESSAGE", &record.message);
    for (name, value) in &record.fields {
        let name = name
            .chars()
            .flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_uppercase()]));
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        field(&format!("REEVE_{}", name.collect::<String>()), &value);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve::StepProgress;

    fn failed() -> Record {
        let step = StepProgress {
            zone: "web".into(),
            transition: Some(reeve_state::Transition::Halt),
            step: "unmount".into(),
            phase: StepPhase::Failed("busy".into()),
            took_us: 7,
            pass: Some(12),
            commit: Some("abc".into()),
        };
        records(&Notice::Step(step), false).pop().expect("one record")
    }

    #[test]
    fn a_step_is_one_line_with_zone_commit_and_pass() {
        assert_eq!(
            json_line(&failed(), "2026-01-01T00:00:00Z"),
            json!({
                "time": "2026-01-01T00:00:00Z", "level": "error", "message": "zone web: unmount failed: busy",
                "zone": "web", "transition": "halt", "step": "unmount", "outcome": "failed", "error": "busy", "tookUs": 7,
                "pass": 12, "commit": "abc",
            })
        );
    }

    #[test]
    fn the_journal_gets_fields() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        assert!(LogRecords::new(Some(&path), false).is_err(), "no journal, no log");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        LogRecords::new(Some(&path), false).expect("connected").write(&failed());
        let mut bytes = [0; 4096];
        let length = journal.recv(&mut bytes).expect("a datagram");
        let text = String::from_utf8_lossy(&bytes[..length]);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "MESSAGE=zone web: unmount failed: busy",
                "PRIORITY=3",
                "REEVE_COMMIT=abc",
                "REEVE_ERROR=busy",
                "REEVE_OUTCOME=failed",
                "REEVE_PASS=12",
                "REEVE_STEP=unmount",
                "REEVE_TOOK_US=7",
                "REEVE_TRANSITION=halt",
                "REEVE_ZONE=web",
                "SYSLOG_IDENTIFIER=reeve",
            ]
        );
        let record = Record::new(Level::Info, "m", json!({"error": "two\nlines"}));
        let entry = journal_entry(&record);
        let with_length = [b"REEVE_ERROR\n".as_slice(), &9_u64.to_le_bytes(), b"two\nlines\n"].concat();
        assert!(entry.ends_with(&with_length), "{entry:?}");
    }

    #[test]
    fn what_begins_is_no_record_and_a_pass_only_for_who_wants_to_know() {
        let pass = Notice::Pass(reeve::progress::PassReport::default());
        assert_eq!((records(&pass, false).len(), records(&pass, true).len()), (0, 1));
        let message = Notice::Message { zone: None, text: "x".into() };
        assert_eq!(records(&message, false)[0].fields, Map::new());
    }
}
