//! The git repository that a controller follows: `get source`, `notify` and `history`, which says what each
//! commit did.

use std::collections::BTreeMap;

use reeve::controller::Controller;
use reeve::repository::record::Records;
use reeve::store::{HostEvent, events};
use reeve_schema::{Problem, Problems};
use reeve_state::Timestamp;
use reeve_state::source::{CommitInfo, Rejected, SourceStatus, short};

use super::failure::{Failure, exit};
use super::output::{self, Format, FormatArguments, List, Table};
use super::{Context, Done, safe_text, time, zones};

/// How many events are looked through.
const EVENTS_MAX: usize = 100_000;

/// Shows the source: what is in force, what came last and why it is not, and how fetching goes.
pub fn get(context: &Context, format: Format) -> Done {
    let Some(status) = Records::new(&context.places).status()? else {
        let help = "reeve run --source ADDRESS, or spec.source in /etc/reeve/config.yaml";
        return Err(Failure::new("no repository is followed on this host since its boot").help(help));
    };
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &status)?,
        _ => output::print(&text(&status, reeve::store::now()))?,
    }
    Ok(exit::DONE)
}

fn text(status: &SourceStatus, now: Timestamp) -> String {
    let mut lines = vec![
        format!("Source:    {}", safe_text::line(&status.url)),
        format!(
            "Following: {}{}",
            status.reference,
            status.path.as_ref().map_or_else(String::new, |path| format!(", folder {path}"))
        ),
    ];
    let of = |info: &CommitInfo| {
        safe_text::line(&format!(
            "{} {} ({}, {} ago)",
            info.short(),
            info.subject,
            info.author,
            time::age(info.committed_at, now)
        ))
    };
    match &status.accepted {
        Some(accepted) => {
            let signer = accepted.signer.as_ref().map_or_else(String::new, |signer| format!(", signed by {signer}"));
            lines.push(format!("In force:  {}", of(&accepted.info)));
            lines.push(format!("           since {}{}", time::date(accepted.accepted_at), safe_text::line(&signer)));
        }
        None => lines.push("In force:  nothing yet".into()),
    }
    let fetch = &status.fetch;
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", time::age(at, now)));
    lines.push(format!("Fetched:   {}", ago(fetch.last_success)));
    if let Some(error) = &fetch.error {
        let since = fetch.failing_since.map_or_else(String::new, |since| format!(" since {}", time::date(since)));
        lines.push(format!("           fails{since}, {} times: {}", fetch.failures, safe_text::line(error)));
    }
    if let Some(rejected) = &status.rejected {
        lines.push(format!("Rejected:  {}", of(&rejected.info)));
        lines.push(format!("           {:?}: {}", rejected.reason, safe_text::line(&rejected.message)));
    }
    lines.push(String::new());
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in &status.conditions {
        table.row([
            format!("{:?}", condition.kind),
            zones::status_name(condition.status).to_owned(),
            condition.reason.clone(),
            time::age(condition.last_transition_time, now),
            safe_text::line(&condition.message),
        ]);
    }
    let mut text = lines.join("\n") + "\n" + &table.render(Format::Table);
    if let Some(rejected) = status.rejected.as_ref().filter(|rejected| !rejected.problems.is_empty()) {
        text.push_str(&format!("\n{}\n", output::paint_problems(&problems(rejected).to_string())));
    }
    text
}

/// The problems of a rejected commit, with their carets, which are in no document.
fn problems(rejected: &Rejected) -> Problems {
    let with_caret = |problem: &Problem| {
        let caret = problem.column.saturating_sub(1).min(problem.source_line.chars().count());
        Problem { caret, ..problem.clone() }
    };
    Problems(rejected.problems.iter().map(with_caret).collect())
}

/// What `notify` takes.
#[derive(clap::Args, Debug)]
pub struct NotifyArguments {
    /// Wait until the repository was looked at, and say what that came to: 0 the newest commit is in force, 1 it is not
    #[arg(long)]
    wait: bool,
}

/// Makes the controller look at its repository at once.
pub fn notify(context: &Context, arguments: &NotifyArguments) -> Done {
    let controller = Controller::connect(&context.places)?;
    let Some(mut controller) = controller else {
        return Err(Failure::new("no controller runs here").help("reeve run --source ADDRESS"));
    };
    let Some(status) = controller.notify(arguments.wait)? else { return Ok(exit::DONE) };
    let bad = status.rejected.is_some() || status.fetch.error.is_some();
    if bad || !context.quiet {
        output::print(&text(&status, reeve::store::now()))?;
    }
    Ok(if bad { exit::ERROR } else { exit::DONE })
}

/// What `history` takes.
#[derive(clap::Args, Debug)]
pub struct HistoryArguments {
    /// Only of this zone
    #[arg(value_name = "ZONE")]
    zone: Option<String>,
    /// Only what this commit did (its first digits are enough)
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// How many entries, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    number: usize,
    #[command(flatten)]
    format: FormatArguments,
}

/// Shows what was done to zones, by which commit.
pub fn history(context: &Context, arguments: &HistoryArguments) -> Done {
    let all = events::newest(context.places.state(), EVENTS_MAX);
    let accepted = all.iter().filter(|event| event.reason == "SourceAccepted");
    let subjects: BTreeMap<String, String> =
        accepted.filter_map(|event| Some((event.commit.clone()?, event.message.clone()))).collect();
    let named = |event: &&HostEvent| match &arguments.zone {
        Some(zone) => event.zone.as_ref() == Some(zone),
        None => true,
    };
    let of_commit = |event: &&HostEvent| match &arguments.commit {
        Some(commit) => event.commit.as_ref().is_some_and(|of| of.starts_with(commit.as_str())),
        None => true,
    };
    let mut chosen: Vec<&HostEvent> = all.iter().filter(named).filter(of_commit).collect();
    chosen.drain(..chosen.len().saturating_sub(arguments.number));
    let format = arguments.format.format;
    if let Format::Json | Format::Yaml = format {
        output::print_document(format, &List::new(chosen))?;
        return Ok(exit::DONE);
    }
    if chosen.is_empty() {
        if !context.quiet {
            output::complain("nothing of that was done on this host yet");
        }
        return Ok(exit::DONE);
    }
    let mut table = Table::new(&["TIME", "ZONE", "COMMIT", "WHAT", "BY"]);
    for event in chosen {
        let commit = event.commit.as_deref();
        let by = commit.filter(|_| event.zone.is_some()).and_then(|commit| subjects.get(commit));
        let what = match event.reason.as_str() {
            "Walked" | "WalkFailed" => event.message.clone(),
            "Changed" => format!("changed: {}", event.message),
            reason => format!("{reason}: {}", event.message),
        };
        let what = if event.count > 1 { format!("{what} ({} times)", event.count) } else { what };
        table.row([
            time::date(event.newest()),
            event.zone.clone().unwrap_or_else(|| "-".into()),
            commit.map_or("-", short).to_owned(),
            safe_text::line(&what),
            by.map_or_else(|| "-".into(), |by| safe_text::line(by)),
        ]);
    }
    output::print(&table.render(format))?;
    Ok(exit::DONE)
}
