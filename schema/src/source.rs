//! Places in files, and the report that gathers problems at them. The report is bounded: what is beyond its limit is
//! counted, not kept, so that a file made to be wrong everywhere costs no more than one that is wrong often.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::load::SourceFile;
use crate::problem::Problem;

/// A place in a set of files. It knows its file, so that one tree can be made of parts of several. (Every value of every
/// document has one: the numbers are as small as files are.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Index into the set's files.
    pub file: u32,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In bytes, from 0.
    pub offset: u32,
}

impl Place {
    /// A place from the numbers of a parser. Of a file so large that they do not fit, which limits refuse, the last place
    /// that does.
    pub(crate) fn new(file: usize, line: usize, column: usize, offset: usize) -> Self {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { file: small(file), line: small(line), column: small(column), offset: small(offset) }
    }

    /// Where a file begins.
    pub(crate) fn start(file: usize) -> Self {
        Self::new(file, 1, 1, 0)
    }
}

/// A place of a field, kept for the rules between zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// Where.
    pub place: Place,
    /// Dotted path of the field.
    pub field: String,
}

/// Puts a key at the end of a dotted path; one that would be taken for something else comes quoted in brackets.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) && key.len() <= 60;
    if !plain || key.is_empty() {
        path.push_str("[\"");
        path.push_str(&shown(key));
        path.push_str("\"]");
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

/// Puts the index of an item at the end of a dotted path.
pub(crate) fn push_index(path: &mut String, index: usize) {
    path.push('[');
    path.push_str(&index.to_string());
    path.push(']');
}

/// The problems found so far.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    files: Arc<[&'a SourceFile]>,
    limit: usize,
    problems: Vec<Problem>,
    beyond: usize,
}

impl<'a> Report<'a> {
    /// An empty report about these files that keeps at most `limit` problems.
    pub(crate) fn new(files: Arc<[&'a SourceFile]>, limit: usize) -> Self {
        Self { files, limit, problems: Vec::new(), beyond: 0 }
    }

    /// An empty report about the same files.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.files.clone(), self.limit)
    }

    /// Takes in what another report found and `seen` does not have yet. `host` is the host for which it was found.
    pub(crate) fn absorb(&mut self, other: Self, host: Option<&str>, seen: &mut BTreeSet<Problem>) {
        self.beyond += other.beyond;
        for problem in other.problems {
            if !seen.insert(problem.clone()) {
                continue;
            }
            if self.is_full() {
                self.beyond += 1;
                continue;
            }
            let on = host.map(|host| format!(" (on host `{}`)", shown(host))).unwrap_or_default();
            self.problems.push(Problem { message: format!("{}{on}", problem.message), ..problem });
        }
    }

    /// Whether no further problem is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= self.limit
    }

    /// Whether no problem was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty() && self.beyond == 0
    }

    /// The file of a place, as the caller named it.
    pub(crate) fn file_name(&self, place: Place) -> &'a str {
        &self.files[place.file as usize].path
    }

    /// Notes a problem.
    pub(crate) fn add(&mut self, at: Spot, message: impl Into<String>, help: impl Into<String>) {
        if self.is_full() {
            self.beyond += 1;
            return;
        }
        let problem = self.problem(at, message, help);
        self.problems.push(problem);
    }

    /// A problem with the line that it is in, which is not noted.
    pub(crate) fn problem(&self, at: Spot, message: impl Into<String>, help: impl Into<String>) -> Problem {
        let file = self.files[at.place.file as usize];
        let (source_line, caret) = excerpt(&file.text, at.place.offset as usize);
        Problem {
            file: file.path.clone(),
            line: at.place.line as usize,
            column: at.place.column as usize,
            field: at.field,
            message: message.into(),
            help: help.into(),
            source_line,
            caret,
        }
    }

    /// The problems in the order of their places; the last says how many more there are.
    pub(crate) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort();
        problems.dedup();
        if self.beyond > 0
            && let Some(last) = problems.last()
        {
            let message = format!("{} more problems are not shown", self.beyond);
            problems.push(Problem {
                field: String::new(),
                message,
                help: "mend those above first".into(),
                ..last.clone()
            });
        }
        problems
    }
}

/// Characters of the source line that are shown before and after the caret.
const BEFORE: usize = 100;
/// See [`BEFORE`].
const AFTER: usize = 60;

/// The line around a byte offset as it may be printed, and the caret's place in it. Looks at a bounded piece of the text.
fn excerpt(text: &str, offset: usize) -> (String, usize) {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let is_break = |c: &char| matches!(c, '\n' | '\r');
    let mut before: Vec<char> = text[..offset].chars().rev().take_while(|c| !is_break(c)).take(BEFORE + 1).collect();
    let mut after: Vec<char> = text[offset..].chars().take_while(|c| !is_break(c)).take(AFTER + 1).collect();
    // A byte-order mark is no character of the line and counts in no column.
    while before.last() == Some(&'\u{feff}') {
        before.pop();
    }
    if before.len() > BEFORE {
        before[BEFORE] = '…';
    }
    if after.len() > AFTER {
        after[AFTER] = '…';
    }
    let caret = before.len();
    let line: String = before.iter().rev().chain(&after).map(|c| visible(*c)).collect();
    (line.trim_end().to_owned(), caret)
}

/// A character as it may be printed: what moves the cursor or turns the direction of text becomes a mark.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A piece of the user's text as messages show it: one short line of printable characters.
pub(crate) fn shown(text: &str) -> String {
    printable(text, 60)
}

/// At most so many characters of a text, the ones that cannot be shown escaped.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut short: String = text
        .chars()
        .take(most)
        .flat_map(|c| if c == visible(c) { vec![c] } else { c.escape_default().collect() })
        .collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_cuts_and_counts_characters() {
        assert_eq!(excerpt("ab\ncäd\r\nef", 6), ("cäd".into(), 2));
        assert_eq!(excerpt("", 9), (String::new(), 0));
        let long = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (line, caret) = excerpt(&long, 500);
        assert_eq!(line.chars().nth(caret), Some('X'));
        assert_eq!(line.chars().count(), BEFORE + AFTER + 2);
    }

    #[test]
    fn shown_is_one_printable_line() {
        assert_eq!(shown("a\nb\u{202e}"), "a\\nb\\u{202e}");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
    }
}
