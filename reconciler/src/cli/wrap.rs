//! Lines that are no wider than a terminal: broken between words, the rest indented.

use std::io;

use rustix::termios::tcgetwinsize;

/// How wide text for people is where nobody says otherwise.
const USUAL: usize = 80;
/// What is narrower is not written for.
const LEAST: usize = 40;
/// A space at which no line is broken; printed as any other.
const NO_BREAK: &str = "\u{a0}";
/// What is wider is hard to read.
const MOST: usize = 100;

/// The width to write for: that of the terminal that standard output is, within reason.
pub fn width() -> usize {
    // One that does not know its size says 0.
    let columns = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    columns.map_or(USUAL, |columns| columns.clamp(LEAST, MOST))
}

/// How many columns a text takes; colours take none.
pub fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// A line broken where it gets wider than `width`, at spaces; all lines but the first begin with `hang` spaces. What has no
/// space stays whole. A line feed ends it.
pub fn wrap(line: &str, hang: usize, width: usize) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let mut out = " ".repeat(indent);
    let (mut at, mut first) = (indent, true);
    // What is printed between two words, by how many spaces there were: columns of a table stay columns.
    for word in pieces(line[indent..].trim_end_matches('\n')) {
        let (spaces, word) = word;
        let wide = columns(word);
        if !first && at + spaces + wide > width {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            at = hang;
        } else if !first {
            out.push_str(&" ".repeat(spaces));
            at += spaces;
        }
        out.push_str(word);
        at += wide;
        first = false;
    }
    out.push('\n');
    out.replace(NO_BREAK, " ")
}

/// A text that is broken nowhere: such as a number and its unit.
pub fn whole(text: &str) -> String {
    text.replace(' ', NO_BREAK)
}

/// The words of a line, each with the number of spaces before it.
fn pieces(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let word = rest.trim_start_matches(' ');
        let spaces = rest.len() - word.len();
        let end = word.find(' ').unwrap_or(word.len());
        rest = &word[end..];
        (!word.is_empty()).then(|| (spaces, &word[..end]))
    })
}

/// Every line of a text, each wrapped, its rest two columns further in than its beginning.
pub fn lines(text: &str, width: usize) -> String {
    let one = |line: &str| wrap(line, line.len() - line.trim_start_matches(' ').len() + 2, width);
    text.lines().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("  one two  three", 4, 9), "  one two\n    three\n");
        assert_eq!(wrap("  one two  three", 4, 80), "  one two  three\n");
        assert_eq!(wrap("/a/path/that/is/long x", 2, 10), "/a/path/that/is/long\n  x\n");
        assert_eq!(wrap("\x1b[1mone\x1b[0m two", 1, 7), "\x1b[1mone\x1b[0m two\n", "colours have no width");
        assert_eq!(wrap(&format!("a {}", whole("5 ms")), 2, 4), "a\n  5 ms\n");
        assert_eq!(wrap("", 2, 10), "\n");
        assert_eq!(lines("  a b\nc d", 3), "  a\n    b\nc d\n");
    }
}
