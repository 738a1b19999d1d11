//! Times that come again and again, as a manifest writes them, and when they are. The rules of time zones are those of the
//! host (/usr/share/zoneinfo), or without that those that the program was built with. A time that the change to summer time
//! skips is taken an hour later; one that comes twice is taken once, the first time.

use std::fmt;
use std::str::FromStr;

use cronexpr::{Crontab, MakeTimestamp};

use crate::manifest::{Window, WindowKind};
use crate::text::{TextError, text_type};

/// When something begins: the five fields of crontab(5), separated by one space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schedule(String);

impl FromStr for Schedule {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "minute, hour, day of the month, month and day of the week, such as `0 2 * * 6`";
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let normal = fields.join(" ");
        if fields.len() != 5 {
            return Err(TextError::new(format!("`{text}` has {} fields", fields.len()), RULE));
        }
        match crontab(&normal, "UTC") {
            Some(crontab)
                if crontab.find_next(MakeTimestamp::from_millisecond(0).map_err(|_| never(text))?).is_ok() =>
            {
                Ok(Self(normal))
            }
            Some(_) => Err(never(text)),
            None => Err(TextError::new(format!("`{text}` is no schedule"), RULE)),
        }
    }
}

fn never(text: &str) -> TextError {
    TextError::new(format!("`{text}` never comes"), "a day that there is")
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    Schedule,
    "Schedule",
    r"^\S+ +\S+ +\S+ +\S+ +\S+$",
    "Minute, hour, day of the month, month, day of the week."
);

/// A time zone of the IANA database, such as `Europe/Berlin`; `UTC` where none is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeZoneName(String);

impl Default for TimeZoneName {
    fn default() -> Self {
        Self("UTC".into())
    }
}

impl FromStr for TimeZoneName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
        if good && !text.is_empty() && crontab("0 0 * * *", text).is_some() {
            return Ok(Self(text.to_owned()));
        }
        Err(TextError::new(format!("`{text}` is no time zone"), "a name of the IANA database, such as `Europe/Berlin`"))
    }
}

impl fmt::Display for TimeZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(TimeZoneName, "TimeZoneName", "^[A-Za-z0-9/_+-]+$", "A time zone of the IANA database.");

/// The digest of a change: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeDigest(String);

impl ChangeDigest {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChangeDigest {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text.to_owned()));
        }
        let help = "all of `sha256:` and 64 digits, as `reeve plan` shows it for a change that waits";
        Err(TextError::new(format!("`{text}` is no digest of a change"), help))
    }
}

impl fmt::Display for ChangeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(ChangeDigest, "ChangeDigest", "^sha256:[0-9a-f]{64}$", "The digest of a change.");

/// Whether a gate that waits for a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether it is open.
    pub open: bool,
    /// When that changes, in milliseconds since 1970; none where it does not within the next 400 days.
    pub until: Option<u64>,
}

/// How far ahead is looked for the next change: more than a year, so that a yearly window is found.
const AHEAD_MS: u64 = 400 * 86_400_000;
/// How often windows may follow each other without a gap before that is called always.
const STEPS_MAX: usize = 2000;

/// Whether a gate with these windows is open at `now` (milliseconds since 1970), and until when.
#[must_use]
pub fn opening(windows: &[Window], now: u64) -> Opening {
    let of = |kind| windows.iter().filter(move |window| window.kind == kind).filter_map(Times::of).collect::<Vec<_>>();
    let (allow, deny) = (of(WindowKind::Allow), of(WindowKind::Deny));
    let is_open = |at: u64| {
        let within = |times: &[Times]| times.iter().any(|times| times.end(at).is_some());
        (allow.is_empty() || within(&allow)) && !within(&deny)
    };
    let open = is_open(now);
    let mut at = now;
    for _ in 0..STEPS_MAX {
        let next = allow.iter().chain(&deny).filter_map(|times| times.next_edge(at)).min();
        match next {
            Some(edge) if edge <= now.saturating_add(AHEAD_MS) => at = edge,
            _ => break,
        }
        if is_open(at) != open {
            return Opening { open, until: Some(at) };
        }
    }
    Opening { open, until: None }
}

/// A window with its schedule understood.
struct Times {
    crontab: Crontab,
    duration: u64,
}

impl Times {
    fn of(window: &Window) -> Option<Self> {
        let crontab = crontab(&window.schedule.0, &window.time_zone.0)?;
        Some(Self { crontab, duration: window.duration.millis() })
    }

    /// The first beginning after `at`.
    fn next(&self, at: u64) -> Option<u64> {
        let at = MakeTimestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
        u64::try_from(self.crontab.find_next(at).ok()?.timestamp().as_millisecond()).ok()
    }

    /// When the window ends in which `at` is; the last one to end where one begins before another has ended.
    fn end(&self, at: u64) -> Option<u64> {
        let mut end = None;
        let mut after = at.saturating_sub(self.duration);
        for _ in 0..STEPS_MAX {
            match self.next(after) {
                Some(begin) if begin <= at => (end, after) = (Some(begin + self.duration), begin),
                _ => break,
            }
        }
        end.filter(|end| *end > at)
    }

    /// The next time after `at` at which the window begins or ends.
    fn next_edge(&self, at: u64) -> Option<u64> {
        [self.end(at), self.next(at)].into_iter().flatten().min()
    }
}

/// A schedule in a time zone; none where one of them is not what it should be.
fn crontab(schedule: &str, zone: &str) -> Option<Crontab> {
    cronexpr::parse_crontab(&format!("{schedule} {zone}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    /// 2026-11-26 00:00 UTC, a Thursday.
    const DAY: u64 = 1_795_651_200_000;

    fn window(kind: WindowKind, schedule: &str, duration: &str, zone: &str) -> Window {
        let (schedule, duration) = (schedule.parse().unwrap(), duration.parse().unwrap());
        Window { kind, schedule, duration, time_zone: zone.parse().unwrap() }
    }

    fn allow(schedule: &str, duration: &str) -> Window {
        window(WindowKind::Allow, schedule, duration, "UTC")
    }

    fn told(open: bool, until: u64) -> Opening {
        Opening { open, until: Some(until) }
    }

    #[test]
    fn a_window_opens_and_closes() {
        let windows = [allow("0 2 * * *", "3h")];
        assert_eq!(opening(&windows, DAY), told(false, DAY + 2 * HOUR));
        assert_eq!(opening(&windows, DAY + 2 * HOUR), told(true, DAY + 5 * HOUR), "its first millisecond");
        assert_eq!(opening(&windows, DAY + 5 * HOUR - 1), told(true, DAY + 5 * HOUR));
        assert_eq!(opening(&windows, DAY + 5 * HOUR), told(false, DAY + 26 * HOUR), "its end is not in it");
    }

    #[test]
    fn deny_wins_and_alone_leaves_the_rest_open() {
        let deny = window(WindowKind::Deny, "0 3 * * *", "1h", "UTC");
        let both = [allow("0 2 * * *", "3h"), deny.clone()];
        assert_eq!(opening(&both, DAY + 2 * HOUR), told(true, DAY + 3 * HOUR));
        assert_eq!(opening(&both, DAY + 3 * HOUR), told(false, DAY + 4 * HOUR));
        assert_eq!(opening(&both, DAY + 4 * HOUR), told(true, DAY + 5 * HOUR));
        assert_eq!(opening(&[deny], DAY), told(true, DAY + 3 * HOUR));
    }

    #[test]
    fn what_follows_without_a_gap_is_one() {
        let windows = [allow("0 * * * *", "1h30m")];
        assert_eq!(opening(&windows, DAY), Opening { open: true, until: None });
        assert_eq!(opening(&[], DAY), Opening { open: true, until: None });
        let halves = [allow("0 2 * * *", "1h"), allow("0 3 * * *", "1h")];
        assert_eq!(opening(&halves, DAY + 2 * HOUR), told(true, DAY + 4 * HOUR));
    }

    #[test]
    fn the_hour_is_that_of_the_time_zone() {
        let berlin = [window(WindowKind::Allow, "0 2 * * *", "1h", "Europe/Berlin")];
        assert_eq!(opening(&berlin, DAY).until, Some(DAY + HOUR), "winter, an hour ahead");
        // 2027-03-28: there is no 02:00 in Berlin.
        let skipped = 1_806_192_000_000;
        assert!(opening(&berlin, skipped).until.is_some_and(|until| until <= skipped + 25 * HOUR));
    }

    #[test]
    fn a_freeze_of_weeks_is_found() {
        let freeze = [window(WindowKind::Deny, "0 0 20 12 *", "14d", "UTC")];
        assert_eq!(opening(&freeze, DAY), told(true, DAY + 24 * 24 * HOUR));
        assert_eq!(opening(&freeze, DAY + 30 * 24 * HOUR), told(false, DAY + 38 * 24 * HOUR));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "0 0 * * 6 UTC", "0 0 30 2 *"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
        for text in ["", "Mars/Olympus", "UTC UTC", "../../etc/passwd"] {
            assert!(text.parse::<TimeZoneName>().is_err(), "{text}");
        }
        assert_eq!("0  2 * *  sat".parse::<Schedule>().unwrap().to_string(), "0 2 * * sat");
    }
}
