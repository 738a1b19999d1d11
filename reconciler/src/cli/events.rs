//! `events`: what happened on this host and to its zones, and with `--watch` what happens from now on.

use std::time::Duration;

use reeve::store::HostEvent;
use reeve::store::events::{self, Follower};
use reeve_state::Timestamp;

use super::failure::{Failure, exit};
use super::output::{self, Format, FormatArguments, List, Table};
use super::{Context, Done, logs, safe_text, time};

/// How many events are looked through.
const ALL: usize = 100_000;

/// What `events` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Only of this zone
    #[arg(value_name = "ZONE")]
    zone: Option<String>,
    /// Go on with what happens from now on, until Ctrl-C; with -o json a line each
    #[arg(short, long)]
    watch: bool,
    /// Only since then: a time that has passed (30m, 4h, 2d), or a date (2026-12-24T18:00:00Z)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// How many events, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    number: usize,
    #[command(flatten)]
    format: FormatArguments,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// So many milliseconds ago.
    Ago(u64),
    /// From then on.
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    let span = time::parse_span(text).map(Since::Ago);
    span.or_else(|_| time::parse_date(text).map(Since::At)).map_err(|_| {
        format!("`{text}` is neither a length of time, such as 4h, nor a date, such as 2026-12-24T18:00:00Z")
    })
}

impl Arguments {
    /// Whether an event is one that is asked for.
    fn wants(&self, event: &HostEvent, now: Timestamp) -> bool {
        let since = match self.since {
            Some(Since::Ago(millis)) => Timestamp(now.0.saturating_sub(millis)),
            Some(Since::At(at)) => at,
            None => Timestamp(0),
        };
        event.newest() >= since && self.zone.as_ref().is_none_or(|zone| event.zone.as_ref() == Some(zone))
    }
}

/// Shows events.
pub fn events(context: &Context, arguments: &Arguments) -> Done {
    if arguments.watch {
        return watch(context, arguments);
    }
    let now = reeve::store::now();
    let mut chosen = events::newest(context.places.state(), ALL);
    chosen.retain(|event| arguments.wants(event, now));
    chosen.drain(..chosen.len().saturating_sub(arguments.number));
    match arguments.format.format {
        format @ (Format::Json | Format::Yaml) => output::print_document(format, &List::new(chosen))?,
        Format::Table if chosen.is_empty() => {
            if !context.quiet {
                output::complain("nothing of that happened on this host");
            }
        }
        format => output::print(&table(&chosen, now).render(format))?,
    }
    Ok(exit::DONE)
}

/// Events as a table; of one that came again the time of the last and since when.
pub fn table(events: &[HostEvent], now: Timestamp) -> Table {
    let mut table = Table::new(&["LAST", "COUNT", "ZONE", "REASON", "MESSAGE"]);
    for event in events {
        let again = match event.count {
            0 | 1 => String::new(),
            _ => format!(" (since {})", time::date(event.at)),
        };
        table.row([
            format!("{} ago", time::age(event.newest(), now)),
            event.count.to_string(),
            event.zone.clone().unwrap_or_else(|| "-".into()),
            event.reason.clone(),
            safe_text::line(&format!("{}{again}", event.message)),
        ]);
    }
    table
}

fn watch(context: &Context, arguments: &Arguments) -> Done {
    let format = arguments.format.format;
    if !matches!(format, Format::Table | Format::Json) {
        return Err(Failure::new("what is watched has no end").help("-o json, which prints a line for each event"));
    }
    let mut follower = Follower::new(context.places.state())?;
    let now = reeve::store::now();
    // Of what was before, each event once.
    let first = follower.read();
    let mut before: Vec<HostEvent> = Vec::new();
    for event in first.into_iter().filter(|event| arguments.wants(event, now)) {
        before.retain(|earlier| event.count < 2 || !earlier.is_same(&event));
        before.push(event);
    }
    before.drain(..before.len().saturating_sub(arguments.number));
    for event in &before {
        print(event, format)?;
    }
    while logs::is_read() {
        follower.wait(Duration::from_secs(1));
        for event in follower.read().iter().filter(|event| arguments.wants(event, now)) {
            print(event, format)?;
        }
    }
    Ok(exit::DONE)
}

fn print(event: &HostEvent, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let line = serde_json::to_string(event).map_err(|error| Failure::new(error.to_string()))?;
        return output::print(&format!("{line}\n"));
    }
    let HostEvent { zone, reason, message, count, .. } = event;
    let zone = zone.as_deref().unwrap_or("-");
    let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    let line = format!("{}  {zone:<16}  {reason:<18}  {message}{times}", time::date(event.newest()));
    output::print(&format!("{}\n", safe_text::line(&line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_when() {
        assert_eq!(since("4h"), Ok(Since::Ago(14_400_000)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(Timestamp(1000))));
        assert!(since("yesterday").is_err_and(|error| error.contains("neither")));
    }
}
