//! `logs`: what a zone's console said, from the bounded ring in its run folder.

use std::io::{ErrorKind, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failure::{Failure, exit};
use super::safe_text::Cleaner;
use super::{Context, Done, output, zones};

/// More than the ring holds.
const ALL: usize = 1 << 20;

/// What `logs` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The zone
    zone: String,
    /// Go on with what it says from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only the last LINES lines
    #[arg(short = 'n', long, value_name = "LINES")]
    lines: Option<usize>,
    /// As it came: without this, control characters are shown and not sent to the terminal
    #[arg(long)]
    raw: bool,
}

/// Shows what the console said.
pub fn logs(context: &Context, arguments: &Arguments) -> Done {
    let host = context.host()?;
    zones::find(&host, &arguments.zone)?;
    let log = host.console_log(&arguments.zone, ALL)?;
    let shown = arguments.lines.map_or(log.as_slice(), |lines| last_lines(&log, lines));
    let mut out = Output { cleaner: (!arguments.raw).then(Cleaner::default), failed: None };
    if !arguments.follow {
        out.write(shown);
        if log.is_empty() && !context.quiet {
            output::complain(&format!("zone {} has said nothing since it was last brought up", arguments.zone));
        }
    } else {
        host.follow_console(&arguments.zone, shown.len(), &mut |bytes| out.write(bytes))?;
    }
    match out.failed {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!("write to stdout: {error}"))),
        _ => Ok(exit::DONE),
    }
}

struct Output {
    cleaner: Option<Cleaner>,
    failed: Option<std::io::Error>,
}

impl Output {
    /// Writes a piece; false once nobody reads.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return is_read();
        }
        // Not by way of anstream: what is raw stays so, and what is clean has nothing that it would take out.
        let mut out = std::io::stdout().lock();
        let written = match &mut self.cleaner {
            Some(cleaner) => out.write_all(cleaner.clean(bytes).as_bytes()),
            None => out.write_all(bytes),
        };
        self.failed = written.and_then(|()| out.flush()).err();
        self.failed.is_none()
    }
}

/// Whether somebody still reads standard output, as far as that can be told without writing: a pipe tells.
pub fn is_read() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().intersects(gone)
}

/// The last lines of a text; an unfinished one at the end counts as one.
fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if lines == 0 {
        return &text[text.len()..];
    }
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let start = breaks.map(|(index, _)| index + 1).nth(lines - 1).unwrap_or(0);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_counted() {
        let last = |text: &'static str, lines| std::str::from_utf8(last_lines(text.as_bytes(), lines)).unwrap();
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 1), "c");
        assert_eq!(last("a\n", 5), "a\n");
        assert_eq!(last("a\n", 0), "");
        assert_eq!(last("", 3), "");
    }
}
