//! What commands print: text, tables and documents, in the format that was asked for. Colours are written always and
//! taken out on the way where they are not wanted (`anstream`: no terminal, NO_COLOR, `--no-color`).

use std::io::{ErrorKind, Write};

use clap::{Args, ValueEnum};
use reeve_state::ZoneState;
use serde::Serialize;

use super::failure::Failure;
use super::safe_text;

/// Back to plain text.
pub const PLAIN: &str = "\x1b[0m";
/// Bold.
pub const BOLD: &str = "\x1b[1m";
/// Faint.
pub const FAINT: &str = "\x1b[2m";
/// Bold red.
pub const RED: &str = "\x1b[1;31m";
/// Green.
pub const GREEN: &str = "\x1b[32m";
/// Yellow.
pub const YELLOW: &str = "\x1b[33m";
/// Blue.
pub const BLUE: &str = "\x1b[1;34m";
/// Cyan.
pub const CYAN: &str = "\x1b[36m";

/// The form of what is printed, nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Markdown.
    Md,
}

/// The option that chooses it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct FormatArguments {
    /// The format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}

/// A list as documents have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// `"1"`.
    pub format_version: &'static str,
    /// What is in it.
    pub items: Vec<T>,
}

impl<T> List<T> {
    /// A list of these.
    pub fn new(items: Vec<T>) -> Self {
        Self { format_version: "1", items }
    }
}

/// Prints text on standard output. Whoever closed it does not want to read on; that is no error.
///
/// # Errors
/// Any other reason why it could not be written, such as a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!("write to stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Prints lines on standard error. Where that is not possible there is nobody to tell.
pub fn complain(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints a value as JSON or YAML.
///
/// # Errors
/// As [`print`].
pub fn print_document<T: Serialize>(format: Format, value: &T) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("cannot be written as a document: {error}"));
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(value).map_err(|error| failed(&error))?,
        _ => serde_json::to_string_pretty(value).map_err(|error| failed(&error))?,
    };
    print(&format!("{}\n", text.trim_end()))
}

/// A table of words.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell becomes `-`, one of several lines stays so.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { safe_text::lines(&cell, "") };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The table as text, as people or Markdown want it.
    pub fn render(&self, format: Format) -> String {
        let mut table = comfy_table::Table::new();
        if format == Format::Md {
            table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        } else {
            table.load_style(comfy_table::presets::NOTHING);
        }
        let escaped = |cell: &String| match format {
            Format::Md => cell.replace('|', "\\|").replace('\n', "<br>"),
            _ => cell.clone(),
        };
        table.set_header(self.headers.iter().map(|header| (*header).to_owned()));
        table.add_rows(self.rows.iter().map(|row| row.iter().map(escaped).collect::<Vec<_>>()));
        if format != Format::Md {
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let lines = if format == Format::Md { lines } else { paint_states(lines) };
        lines.join("\n") + "\n"
    }
}

/// Gives the words of the column STATE their colours. Tables are laid out without them, as they have no width.
fn paint_states(lines: Vec<String>) -> Vec<String> {
    let Some(at) = lines.first().and_then(|header| header.find("STATE")) else { return lines };
    let painted = |line: String| {
        let Some((start, _)) = line.char_indices().nth(at) else { return line };
        let word = line[start..].split(' ').next().unwrap_or_default().to_owned();
        let rest = &line[start + word.len()..];
        format!("{}{}{rest}", &line[..start], paint_state(&word))
    };
    lines.into_iter().enumerate().map(|(index, line)| if index == 0 { bold(&line) } else { painted(line) }).collect()
}

/// The name of a state in its colour; other words as they are.
pub fn paint_state(word: &str) -> String {
    let colour = match ZoneState::ALL.into_iter().find(|state| state.as_str() == word) {
        Some(ZoneState::Running) => GREEN,
        Some(ZoneState::Ready) => CYAN,
        Some(ZoneState::ShuttingDown | ZoneState::Down) => YELLOW,
        Some(ZoneState::Configured) => FAINT,
        _ => return word.to_owned(),
    };
    format!("{colour}{word}{PLAIN}")
}

/// Text in bold.
pub fn bold(text: &str) -> String {
    format!("{BOLD}{text}{PLAIN}")
}

/// Problems of manifests as rustc paints them.
pub fn paint_problems(text: &str) -> String {
    let painted = text.lines().map(|line| {
        let trimmed = line.trim_start();
        let gutter = &line[..line.len() - trimmed.len()];
        let split =
            trimmed.split_once('|').filter(|(number, _)| number.chars().all(|c| c.is_ascii_digit() || c == ' '));
        if let Some(message) = line.strip_prefix("error:") {
            format!("{RED}error:{PLAIN}{BOLD}{message}{PLAIN}")
        } else if let Some(place) = trimmed.strip_prefix("-->") {
            format!("{gutter}{BLUE}-->{PLAIN}{place}")
        } else if let Some((number, rest)) = split {
            let caret = number.is_empty() && rest.trim_start().starts_with('^');
            let rest = if caret { format!("{RED}{rest}{PLAIN}") } else { rest.to_owned() };
            format!("{gutter}{BLUE}{number}|{PLAIN}{rest}")
        } else if let Some((word, rest)) = trimmed.strip_prefix("= ").and_then(|rest| rest.split_once(':')) {
            format!("{gutter}{BLUE}={PLAIN} {BOLD}{word}:{PLAIN}{rest}")
        } else {
            line.to_owned()
        }
    });
    painted.collect::<Vec<_>>().join("\n")
}

/// `1 zone`, `2 zones`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn example() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.row(["web".into(), "running".into(), String::new()]);
        table.row(["a-long-name".into(), "configured".into(), "a|b\x1b".into()]);
        table
    }

    #[test]
    fn tables_line_up() {
        let rendered = example().render(Format::Table);
        assert!(rendered.contains("\x1b[32mrunning\x1b[0m"), "{rendered:?}");
        assert_eq!(
            plain(&rendered),
            "NAME         STATE       WHY\nweb          running     -\na-long-name  configured  a|b^[\n"
        );
    }

    #[test]
    fn markdown_is_markdown() {
        let rendered = example().render(Format::Md);
        let lines: Vec<&str> = rendered.lines().collect();
        assert_eq!(lines.len(), 4, "{rendered}");
        assert!(lines[1].starts_with("|--") && lines[3].contains("a\\|b^["), "{rendered}");
    }

    #[test]
    fn painting_changes_no_text() {
        let text =
            "error: no\n --> a.yaml:1:2\n  |\n1 | a: b\n  |    ^\n  = field: spec\n  = help: x: y\n\n1 problem found";
        let painted = paint_problems(text);
        assert_eq!(plain(&painted), text);
        assert!(painted.contains("\x1b[1;31m    ^\x1b[0m"), "{painted:?}");
    }
}
