//! `get`: the zones of this host and their states, in a list.

use super::failure::{Failure, exit};
use super::output::{self, Format, FormatArguments};
use super::{Context, Done, source, zones};

/// What `get` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// `zones`, `zone NAME…`, or names alone; nothing: all zones. `source`: the git repository that is followed
    #[arg(value_name = "WHAT")]
    words: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// Lists zones. The global zone is not one of them: `zoneadm list` has it.
pub fn get(context: &Context, arguments: &Arguments) -> Done {
    let format = arguments.format.format;
    if matches!(arguments.words.as_slice(), [word] if word == "source") {
        return source::get(context, format);
    }
    let host = context.host()?;
    let (one, names) = wanted(&arguments.words)?;
    if one {
        let zone = zones::find(&host, &names[0])?;
        match format {
            Format::Json | Format::Yaml => output::print_document(format, &zone)?,
            _ => output::print(&zones::table(&[zone], host.now()).render(format))?,
        }
        return Ok(exit::DONE);
    }
    let mut status = host.status();
    let known: Vec<String> = status.items.iter().map(|zone| zone.name.clone()).collect();
    if let Some(missing) = names.iter().find(|name| !known.contains(name)) {
        return Err(zones::no_such_zone(missing, &known));
    }
    status.items.retain(|zone| names.is_empty() || names.contains(&zone.name));
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &status)?,
        Format::Table if status.items.is_empty() => {
            if !context.quiet {
                output::complain("no zone is configured here");
            }
        }
        _ => output::print(&zones::table(&status.items, host.now()).render(format))?,
    }
    Ok(exit::DONE)
}

/// Whether one zone is asked for as a record of its own, and the names.
fn wanted(words: &[String]) -> Result<(bool, Vec<String>), Failure> {
    let one_or_more = |names: &[String]| (names.len() == 1, names.to_vec());
    match words {
        [] => Ok((false, Vec::new())),
        [kind] if kind == "zones" => Ok((false, Vec::new())),
        [kind] if kind == "zone" => Err(Failure::new("which zone?").help("reeve get zone NAME, or: reeve get zones")),
        [kind, names @ ..] if kind == "zone" || kind == "zones" => Ok(one_or_more(names)),
        names => Ok(one_or_more(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let wanted = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            wanted(&words).map(|(one, names)| (one, names.join(" ")))
        };
        assert_eq!(wanted(&[]), Ok((false, String::new())));
        assert_eq!(wanted(&["zones"]), Ok((false, String::new())));
        assert_eq!(wanted(&["zone", "a"]), Ok((true, "a".into())));
        assert_eq!(wanted(&["zone", "a", "b"]), Ok((false, "a b".into())));
        assert_eq!(wanted(&["a"]), Ok((true, "a".into())));
        assert!(wanted(&["zone"]).is_err());
    }
}
