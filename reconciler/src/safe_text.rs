//! Text from somewhere else, made safe to print: what a zone says must not move the administrator's cursor, change the
//! title of the terminal or answer in the administrator's name; nor turn around what is read beside it, on a page as well.

/// Whether a character does something to a terminal, or to how the text around it is read, beyond being shown.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line of a text for people: every character that acts is shown, not sent.
pub fn line(text: &str) -> String {
    text.chars().flat_map(|c| if acts(c) { shown(c) } else { vec![c] }).collect()
}

/// A text of several lines, each but the first behind `indent`.
pub fn lines(text: &str, indent: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

/// Control characters in caret notation, as cat(1) -v has them; the others by their number.
fn shown(c: char) -> Vec<char> {
    match c {
        '\u{7f}' => vec!['^', '?'],
        c if (c as u32) < 0x20 => vec!['^', char::from(c as u8 + 0x40)],
        c => c.escape_unicode().collect(),
    }
}

/// Makes a stream of bytes safe, piece by piece.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// The beginning of a character whose rest has not come yet; at most three bytes.
    rest: Vec<u8>,
    /// Whether the last character was a carriage return, which is forgotten before a line feed.
    returned: bool,
}

impl Cleaner {
    /// The next piece. Line feeds and tabs stay; what is not UTF-8 becomes a mark.
    pub fn clean(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let whole = all.len() - unfinished(&all);
        self.rest = all.split_off(whole);
        let mut out = String::with_capacity(all.len());
        for c in String::from_utf8_lossy(&all).chars() {
            if self.returned && c != '\n' {
                out.push_str("^M");
            }
            self.returned = c == '\r';
            match c {
                '\r' => {}
                '\n' | '\t' => out.push(c),
                c if acts(c) => out.extend(shown(c)),
                c => out.push(c),
            }
        }
        out
    }
}

/// How many bytes at the end begin a character that is not complete.
fn unfinished(bytes: &[u8]) -> usize {
    let lengths = 1..=bytes.len().min(3);
    lengths
        .into_iter()
        .find(|length| {
            let tail = &bytes[bytes.len() - length..];
            let wanted = match tail[0] {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 0,
            };
            wanted > tail.len() && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        assert_eq!(line("a\x1b[31m\n\u{202e}ä\u{9b}"), "a^[[31m^J\\u{202e}ä\\u{9b}");
        assert_eq!(lines("a\nb\x07\n", "  "), "a\n  b^G");
        let mut cleaner = Cleaner::default();
        assert_eq!(cleaner.clean(b"one\r\ntwo\rthree\t\x07\xff\r"), "one\ntwo^Mthree\t^G\u{fffd}");
        assert_eq!(cleaner.clean(b"\n\x1b]0;title\x07"), "\n^[]0;title^G");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let mut cleaner = Cleaner::default();
        let text = "aäβ€𐍈z".as_bytes();
        let pieces: String = text.iter().map(|byte| cleaner.clean(&[*byte])).collect();
        assert_eq!(pieces, "aäβ€𐍈z");
        assert_eq!(cleaner.clean(b"\xe2\x82") + &cleaner.clean(b"A"), "\u{fffd}A");
    }
}
