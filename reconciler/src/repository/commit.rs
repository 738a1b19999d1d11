//! A commit object taken apart: who made it when, from what, and what was signed (git-commit-tree(1); signature format
//! in git's Documentation/gitformat-signature). Read from its bytes, because a signature is one over bytes.

use crate::error::{Error, Result};

/// The most bytes of a commit object.
pub const COMMIT_MAX: usize = 1 << 20;

/// A commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: String,
    /// The commits that it was made from, in order.
    pub parents: Vec<String>,
    /// `NAME <EMAIL>`, as far as it can be shown.
    pub author: String,
    /// When it was committed, in seconds since 1970, as the committer says.
    pub time: i64,
    /// The first line of its message.
    pub subject: String,
    /// Its signature, armoured, where it has one.
    pub signature: Option<String>,
    /// What that signs.
    pub payload: Vec<u8>,
}

impl Commit {
    /// Reads a commit object.
    ///
    /// # Errors
    /// What no git makes by itself: two signatures, a header that is missing or odd. Two programs could read it in two ways.
    pub fn parse(id: &str, bytes: &[u8]) -> Result<Self> {
        let mut commit = Self { id: id.to_owned(), time: i64::MIN, ..Self::default() };
        let mut rest = bytes;
        let mut trees = 0;
        while let Some(header) = Header::next(&mut rest) {
            let text = || String::from_utf8_lossy(header.value()).into_owned();
            match header.name() {
                b"gpgsig" if commit.signature.is_some() => return Err(unusual(id, "has two signatures")),
                b"gpgsig" => {
                    commit.signature = Some(header.unfolded());
                    continue;
                }
                // git leaves it out of what is signed, and verifies another one in a repository of the other kind.
                b"gpgsig-sha256" => return Err(unusual(id, "has a signature for another kind of repository")),
                b"tree" => trees += 1,
                b"parent" => commit.parents.push(text()),
                b"author" => commit.author = person(&text()),
                b"committer" if commit.time != i64::MIN => return Err(unusual(id, "has two committers")),
                b"committer" => commit.time = time(&text()).ok_or_else(|| unusual(id, "says no time"))?,
                _ => {}
            }
            commit.payload.extend_from_slice(header.whole);
        }
        if trees != 1 || commit.time == i64::MIN {
            return Err(unusual(id, "has not one tree and one committer"));
        }
        commit.payload.extend_from_slice(rest);
        let message = String::from_utf8_lossy(rest);
        commit.subject = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        commit.subject = plain(&commit.subject, 200);
        Ok(commit)
    }
}

fn unusual(id: &str, what: &str) -> Error {
    Error::refused(format!("commit {id} {what}"))
}

/// A header with the lines that go on with it.
struct Header<'b> {
    whole: &'b [u8],
}

impl<'b> Header<'b> {
    /// The next one; none at the empty line, which it takes along.
    fn next(rest: &mut &'b [u8]) -> Option<Self> {
        if rest.is_empty() || rest[0] == b'\n' {
            return None;
        }
        let mut end = 0;
        loop {
            end = rest[end..].iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| end + at + 1);
            if rest.get(end) != Some(&b' ') {
                break;
            }
        }
        let (whole, after) = rest.split_at(end);
        *rest = after;
        Some(Self { whole })
    }

    fn name(&self) -> &'b [u8] {
        self.whole.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// What is in the first line after the name.
    fn value(&self) -> &'b [u8] {
        let line = self.whole.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.get(self.name().len() + 1..).unwrap_or_default()
    }

    /// All of it after the name, without the blanks that fold it.
    fn unfolded(&self) -> String {
        let text = String::from_utf8_lossy(self.whole.get(self.name().len() + 1..).unwrap_or_default()).into_owned();
        text.replace("\n ", "\n")
    }
}

/// `NAME <EMAIL>` of a line that goes on with a time.
fn person(line: &str) -> String {
    let end = line.rfind('>').map_or(line.len(), |at| at + 1);
    plain(&line[..end], 200)
}

/// The seconds in `NAME <EMAIL> SECONDS ZONE`.
fn time(line: &str) -> Option<i64> {
    let after = &line[line.rfind('>')? + 1..];
    after.split_ascii_whitespace().next()?.parse().ok()
}

/// At most so many characters, those that move a cursor or turn text taken out.
fn plain(text: &str, most: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().take(most).map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "tree 1\nparent 2\nparent 3\nauthor Ann <a@example.org> 5 +0000\n\
        committer Bob <b@example.org> 1700000000 +0100\ngpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\n\
        encoding x\n\nSay why\n\nMore\n";

    #[test]
    fn is_taken_apart() {
        let commit = Commit::parse("c", SIGNED.as_bytes()).unwrap();
        assert_eq!(commit.parents, ["2", "3"]);
        assert_eq!((commit.author.as_str(), commit.time), ("Ann <a@example.org>", 1_700_000_000));
        assert_eq!(commit.subject, "Say why");
        assert_eq!(commit.signature.unwrap(), "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n");
        let without: String = SIGNED
            .lines()
            .enumerate()
            .filter(|(n, _)| !(5..8).contains(n))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        assert_eq!(String::from_utf8(commit.payload).unwrap(), without);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let said = |text: &str| Commit::parse("c", text.as_bytes()).unwrap_err().to_string();
        let twice = SIGNED.replace("encoding x\n", "gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n");
        assert!(said(&twice).contains("two signatures"));
        assert!(said(&SIGNED.replace("encoding x", "gpgsig-sha256 x")).contains("another kind"));
        assert!(said(&SIGNED.replace("encoding x", "tree 9")).contains("one tree"));
        assert!(said(&SIGNED.replace("encoding x", "committer x <y> 3 +0000")).contains("two committers"));
        assert!(said(&SIGNED.replace("1700000000", "soon")).contains("no time"));
        assert!(said("").contains("one tree"));
    }

    #[test]
    fn what_is_shown_is_one_plain_line() {
        let text = SIGNED.replace("Say why", "Say\u{1b}[31m \u{202e}why").replace("Ann", "A\u{7}nn");
        let commit = Commit::parse("c", text.as_bytes()).unwrap();
        assert_eq!(commit.subject, "Say\u{fffd}[31m \u{fffd}why");
        assert_eq!(commit.author, "A\u{fffd}nn <a@example.org>");
    }
}
