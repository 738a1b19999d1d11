//! `suspend` and `resume`: zones that are to be left alone for a while, whatever their manifests say.

use reeve::{Host, suspend};
use reeve_state::Timestamp;
use reeve_state::suspension::Suspension;

use super::failure::{Failure, exit};
use super::who::who;
use super::{Context, Done, output, safe_text, time, zones};

/// The longest reason and owner, in bytes.
const TEXT_MAX: usize = 1000;

/// What `suspend` takes.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("end").required(true))]
pub struct SuspendArguments {
    /// The zones
    #[arg(required = true, value_name = "ZONE")]
    zones: Vec<String>,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", value_parser = text)]
    reason: String,
    /// For how long, such as 30m, 4h or 2d; it resumes by itself then
    #[arg(long = "for", value_name = "TIME", value_parser = time::parse_span, group = "end")]
    duration: Option<u64>,
    /// Until when, such as 2026-12-24T18:00:00Z; it resumes by itself then
    #[arg(long, value_name = "DATE", value_parser = time::parse_date, group = "end")]
    until: Option<Timestamp>,
    /// Until somebody resumes it
    #[arg(long, group = "end")]
    forever: bool,
    /// Who answers for it [default: whoever asks]
    #[arg(long, value_name = "WHO", value_parser = text)]
    owner: Option<String>,
}

/// What `resume` takes.
#[derive(clap::Args, Debug)]
pub struct ResumeArguments {
    /// The zones
    #[arg(required = true, value_name = "ZONE")]
    zones: Vec<String>,
}

/// One line that can be shown anywhere.
fn text(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text {
        "" => Err("it is empty".into()),
        text if text.len() > TEXT_MAX => Err(format!("it has more than {TEXT_MAX} bytes")),
        text if text.chars().any(char::is_control) => Err("it is more than one line".into()),
        text => Ok(text.to_owned()),
    }
}

/// Suspends zones.
pub fn suspend(context: &Context, arguments: &SuspendArguments) -> Done {
    let host = context.host()?;
    let now = host.now();
    let until = arguments.until.or_else(|| arguments.duration.map(|millis| now.plus(millis)));
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Failure::new(format!("{} is over", time::date(until))).help("a time that is to come"));
    }
    let owner = arguments.owner.clone().unwrap_or_else(whoever_asks);
    let suspension = Suspension { reason: arguments.reason.clone(), owner, since: now, until };
    each(&host, &arguments.zones, |zone| {
        suspend::suspend(&host, zone, &suspension)?;
        if !context.quiet {
            output::print(&format!("{zone}: {}\n", safe_text::line(&suspension.words())))?;
        }
        Ok(())
    })
}

/// Resumes zones.
pub fn resume(context: &Context, arguments: &ResumeArguments) -> Done {
    let host = context.host()?;
    let owner = whoever_asks();
    each(&host, &arguments.zones, |zone| {
        let was = suspend::resume(&host, zone, &owner)?;
        if context.quiet {
            return Ok(());
        }
        let line = match was {
            Some(was) => format!("resumed, it was {}", safe_text::line(&was.words())),
            None => "was not suspended".to_owned(),
        };
        output::print(&format!("{zone}: {line}\n"))?;
        Ok(())
    })
}

/// Does it with each zone; what goes wrong with one keeps no other from its turn.
fn each(host: &Host, names: &[String], mut work: impl FnMut(&str) -> Result<(), Failure>) -> Done {
    let mut code = exit::DONE;
    for name in names {
        if let Err(failure) = work(name) {
            zones::find(host, name).err().unwrap_or(failure).print();
            code = exit::ERROR;
        }
    }
    Ok(code)
}

/// Who asks.
fn whoever_asks() -> String {
    who().unwrap_or_else(|| "somebody".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_line() {
        assert_eq!(text(" a disk is changed "), Ok("a disk is changed".into()));
        assert!(text(" ").is_err() && text("a\nb").is_err() && text(&"x".repeat(1001)).is_err());
    }
}
