//! Lines at the bottom of a terminal that are drawn again in place.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

/// Rows and columns.
pub type Size = (usize, usize);

/// The lines that were drawn last.
#[derive(Debug)]
pub struct Block<W> {
    out: W,
    drawn: usize,
    colour: bool,
}

impl Block<io::Stderr> {
    /// On standard error; none where that is no terminal that can move its cursor.
    pub fn on_stderr() -> Option<Self> {
        let out = io::stderr();
        let colour = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
        can_move(out.is_terminal()).then_some(Self { out, drawn: 0, colour })
    }
}

impl Block<io::Stdout> {
    /// On standard output; none where that is no terminal that can move its cursor.
    pub fn on_stdout() -> Option<Self> {
        let out = io::stdout();
        let colour = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
        can_move(out.is_terminal()).then_some(Self { out, drawn: 0, colour })
    }
}

fn can_move(terminal: bool) -> bool {
    terminal && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The size of the terminal at standard error or output.
pub fn size() -> Size {
    let found = tcgetwinsize(io::stderr()).or_else(|_| tcgetwinsize(io::stdout()));
    let size = found.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    // A terminal that does not know its size says 0.
    if size.0 == 0 || size.1 == 0 { (24, 80) } else { size }
}

impl<W: Write> Block<W> {
    /// Draws these lines in place of those drawn before. What does not fit is cut: a line that wrapped, or a block that
    /// scrolled, could not be found again.
    pub fn draw(&mut self, lines: &[String], (rows, columns): Size) {
        let room = rows.saturating_sub(1).max(1);
        let mut text = self.back();
        let fits = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
        for line in &lines[..fits] {
            text += &self.painted(&clipped(line, columns));
            text += "\x1b[K\n";
        }
        if fits < lines.len() {
            text += &clipped(&format!("  … and {} more lines", lines.len() - fits), columns);
            text += "\x1b[K\n";
        }
        text += "\x1b[J";
        self.drawn = lines.len().min(room);
        self.write(&text);
    }

    /// Prints text that stays, above the lines; they are drawn again by the next [`Block::draw`].
    pub fn above(&mut self, text: &str) {
        let text = format!("{}\x1b[J{}\n", self.back(), self.painted(text));
        self.drawn = 0;
        self.write(&text);
    }

    fn back(&self) -> String {
        if self.drawn == 0 { "\r".into() } else { format!("\r\x1b[{}A", self.drawn) }
    }

    fn painted(&self, text: &str) -> String {
        if self.colour { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() }
    }

    /// A terminal that went away is no reason to stop the work that is shown on it.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// As much of a line as fits into so many columns; escape sequences take none. The last column stays free: some
/// terminals wrap when it is written.
fn clipped(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut room = columns.saturating_sub(1);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            out.push(c);
            for c in chars.by_ref() {
                out.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if room > 0 {
            out.push(c);
            room -= 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block<Vec<u8>> {
        Block { out: Vec::new(), drawn: 0, colour: false }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn lines_are_drawn_in_place() {
        let mut block = block();
        block.draw(&lines(&["a", "b"]), (10, 10));
        block.draw(&lines(&["c"]), (10, 10));
        let text = String::from_utf8(block.out).unwrap();
        assert_eq!(text, "\ra\x1b[K\nb\x1b[K\n\x1b[J\r\x1b[2Ac\x1b[K\n\x1b[J");
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut block = block();
        block.draw(&lines(&["1", "2", "3", "4"]), (4, 40));
        assert_eq!(block.drawn, 3);
        let text = String::from_utf8(block.out).unwrap();
        assert!(text.contains("2\x1b[K\n  … and 2 more lines\x1b[K\n\x1b[J"), "{text:?}");
        assert_eq!(clipped("\x1b[32mrunning\x1b[0m", 4), "\x1b[32mrun\x1b[0m");
    }

    #[test]
    fn text_above_stays() {
        let mut block = block();
        block.draw(&lines(&["a"]), (10, 10));
        block.above("\x1b[31msaid\x1b[0m");
        assert_eq!(block.drawn, 0);
        assert!(String::from_utf8(block.out).unwrap().ends_with("\r\x1b[1A\x1b[Jsaid\n"));
    }
}
