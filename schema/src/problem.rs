//! What is wrong with a manifest: where, which field, what, and what would be right. Problems are values; all of a
//! set are collected before any is shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong in one place of a manifest. Ordered by place, so that a sorted list reads like the files do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field as a dotted path such as `spec.net[0].address`; empty when the whole document is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
    /// The line itself, control characters made visible and cut if very long (see [`Problem::column`] for the place in it).
    pub source_line: String,
    /// Where in `source_line` the caret goes, in characters from 0; differs from `column` only where the line was cut.
    #[serde(skip)]
    pub caret: usize,
}

impl fmt::Display for Problem {
    /// As rustc prints: message, place, the line with a caret, then the field and what would be right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "error: {}", self.message)?;
        writeln!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.source_line)?;
        writeln!(f, "{gutter} | {}^", " ".repeat(self.caret))?;
        if !self.field.is_empty() {
            writeln!(f, "{gutter} = field: {}", self.field)?;
        }
        write!(f, "{gutter} = help: {}", self.help)
    }
}

/// The problems of a set, as one error value: prints them all, with their number at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}\n")?;
        }
        let count = self.0.len();
        write!(f, "{count} problem{} found; nothing of this set is applied", if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Problems {}
