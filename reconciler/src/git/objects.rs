//! Objects out of a git repository by the program `git cat-file --batch`: one line asks, and the answer says how large an
//! object is before its bytes come, so that none is read that is larger than it may be.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};

use crate::error::{Error, OnFile, Result};

/// What came of asking for an object.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Bytes(Vec<u8>),
    /// It has so many bytes, which is more than may be. Nothing can be asked after that.
    TooLarge(usize),
    /// It is not there, or is of another kind; what git said instead.
    Not(String),
    /// git ended, and said why.
    Ended(String),
}

/// git cat-file, which ends with this.
pub struct Objects {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Objects {
    /// Takes a `git cat-file --batch` whose standard input and output are pipes.
    ///
    /// # Errors
    /// [`Error::Refused`] where they are not.
    pub fn open(mut child: Child) -> Result<Self> {
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answer)) => Ok(Self { child, ask, answer: BufReader::new(answer) }),
            _ => Err(Error::refused("git was started without its pipes")),
        }
    }

    /// The first line of the answer: none where git ended instead, because it had something to say.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ask(&mut self, object: &str) -> Result<Option<String>> {
        // Where git has ended, why is what it said.
        let _ = self.ask.write_all(format!("{object}\n").as_bytes());
        let mut line = String::new();
        let read = (&mut self.answer).take(4096).read_line(&mut line).on("read", Path::new("git"))?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    /// What it said before it ended.
    pub fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(4096).read_to_string(&mut said);
        }
        said.trim().to_owned()
    }

    /// The bytes of an object of a kind (`blob`, `commit`), if they are at most `max`.
    ///
    /// # Errors
    /// When they cannot be read whole.
    pub fn read(&mut self, object: &str, kind: &str, max: usize) -> Result<Found> {
        let Some(line) = self.ask(object)? else { return Ok(Found::Ended(self.said())) };
        let words: Vec<&str> = line.split(' ').collect();
        let size = match words.as_slice() {
            [_, found, size] if *found == kind => size.parse::<usize>().ok(),
            _ => None,
        };
        let Some(size) = size else { return Ok(Found::Not(line)) };
        if size > max {
            return Ok(Found::TooLarge(size));
        }
        let mut bytes = vec![0; size + 1];
        self.answer.read_exact(&mut bytes).on("read", Path::new(object))?;
        bytes.truncate(size);
        Ok(Found::Bytes(bytes))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // Nothing of it is needed any more, whether or not it has more to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
