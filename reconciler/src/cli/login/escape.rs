//! The way out of a login that hangs: `~.` at the beginning of a line, as in zlogin(1) and ssh(1).

/// What was typed so far, as far as it matters.
#[derive(Debug)]
pub struct Escape {
    line_begins: bool,
    tilde: bool,
}

impl Escape {
    /// At the beginning of a line.
    pub fn new() -> Self {
        Self { line_begins: true, tilde: false }
    }

    /// Appends to `out` what is to be sent of `typed`; true when the way out was taken. `~~` sends one `~`.
    pub fn filter(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in typed {
            if std::mem::take(&mut self.tilde) {
                match byte {
                    b'.' => return true,
                    b'~' => {}
                    _ => out.push(b'~'),
                }
            } else if self.line_begins && *byte == b'~' {
                (self.tilde, self.line_begins) = (true, false);
                continue;
            }
            out.push(*byte);
            self.line_begins = matches!(byte, b'\r' | b'\n');
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pieces: &[&str]) -> (String, bool) {
        let (mut escape, mut out) = (Escape::new(), Vec::new());
        let left = pieces.iter().any(|piece| escape.filter(piece.as_bytes(), &mut out));
        (String::from_utf8(out).unwrap(), left)
    }

    #[test]
    fn only_at_the_beginning_of_a_line() {
        assert_eq!(sent(&["~."]), (String::new(), true));
        assert_eq!(sent(&["a~.", "\r", "~", ".x"]), ("a~.\r".into(), true));
        assert_eq!(sent(&["~~.\r~a"]), ("~.\r~a".into(), false));
        assert_eq!(sent(&["~/bin\r"]), ("~/bin\r".into(), false));
    }
}
