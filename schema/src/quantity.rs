//! Amounts as a manifest writes them: bytes, time, permission bits. Each keeps the value and prints one normal form,
//! so that `1024Mi` and `1Gi` are the same manifest with the same digest.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::text::{TextError, text_type};

/// A number of bytes, at least 1: digits with `Ki`, `Mi`, `Gi`, `Ti` or zonecfg's `k`, `m`, `g`, `t` (the same
/// powers of 1024), or plain bytes. `K`, `M`, `G`, `T` are refused, because Kubernetes reads them as powers of 1000 and
/// zonecfg as powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u64);

/// Unit names of [`Quantity`], largest first, with the power of two that each stands for.
const UNITS: [(&str, &str, u32); 4] = [("Ti", "t", 40), ("Gi", "g", 30), ("Mi", "m", 20), ("Ki", "k", 10)];

impl Quantity {
    /// So many bytes; `None` for 0 and for more than `i64::MAX`, which no kernel interface takes.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Quantity {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "a whole number with `Ki`, `Mi`, `Gi` or `Ti` (or `k`, `m`, `g`, `t`), such as `512Mi`";
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        if text.is_empty() {
            return Err(TextError::new("the amount is empty", RULE));
        }
        if digits.is_empty() {
            return Err(TextError::new(format!("`{text}` is no amount of bytes"), RULE));
        }
        let shift = match UNITS.iter().find(|(long, short, _)| unit == *long || unit == *short) {
            Some((_, _, shift)) => *shift,
            None if unit.is_empty() => 0,
            None if matches!(unit, "K" | "M" | "G" | "T") => {
                let help = format!("`{digits}{unit}i`, which is a power of 1024");
                return Err(TextError::new(format!("the unit `{unit}` could mean 1000 or 1024"), help));
            }
            None => return Err(TextError::new(format!("`{unit}` is no unit of bytes"), RULE)),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        match bytes {
            Some(0) => Err(TextError::new("the amount is 0", "at least 1 byte")),
            Some(bytes) if i64::try_from(bytes).is_ok() => Ok(Self(bytes)),
            _ => Err(TextError::new(format!("`{text}` is more than 8388607Ti"), RULE)),
        }
    }
}

impl fmt::Display for Quantity {
    /// In the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, _, shift) in UNITS {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

text_type!(
    Quantity,
    "Quantity",
    "^[0-9]+(Ki|Mi|Gi|Ti|k|m|g|t)?$",
    "A number of bytes, such as `512Mi`; all units are powers of 1024."
);

/// A length of time from 0 to 1h in whole milliseconds, written as numbers with `h`, `m`, `s`, `ms`, largest first:
/// `10s`, `1m30s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(u32);

impl TimeSpan {
    /// The longest, in milliseconds.
    pub const MAX_MILLIS: u32 = 3_600_000;

    /// So many milliseconds, at most an hour.
    #[must_use]
    pub fn from_millis(millis: u32) -> Self {
        Self(millis.min(Self::MAX_MILLIS))
    }

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> u32 {
        self.0
    }

    /// As the standard library's type.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }
}

/// Unit names of [`TimeSpan`] in the order they must be written, with their milliseconds.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The milliseconds of a length of time; `rule` is what is shown where it is none.
fn millis_of(text: &str, rule: &str) -> Result<u64, TextError> {
    let wrong = || TextError::new(format!("`{text}` is no length of time"), rule);
    let (mut rest, mut total, mut next) = (text, 0_u64, 0);
    if text.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = TIMES.iter().position(|(unit, _)| *unit == &rest[..end]).ok_or_else(wrong)?;
        if unit < next {
            return Err(wrong());
        }
        next = unit + 1;
        total = number.checked_mul(TIMES[unit].1).and_then(|n| n.checked_add(total)).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    Ok(total)
}

/// Writes milliseconds with the largest units first.
fn write_millis(f: &mut fmt::Formatter<'_>, millis: u32) -> fmt::Result {
    if millis == 0 {
        return f.write_str("0s");
    }
    let mut rest = u64::from(millis);
    for (unit, size) in TIMES {
        if rest >= size {
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
    }
    Ok(())
}

impl FromStr for TimeSpan {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str =
            "numbers with `h`, `m`, `s`, `ms`, largest first, such as `10s`, `1m30s` or `500ms`, at most 1h";
        match u32::try_from(millis_of(text, RULE)?) {
            Ok(millis) if millis <= Self::MAX_MILLIS => Ok(Self(millis)),
            _ => Err(TextError::new(format!("`{text}` is longer than 1h"), RULE)),
        }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millis(f, self.0)
    }
}

text_type!(
    TimeSpan,
    "TimeSpan",
    "^([0-9]+(h|m|s|ms))+$",
    "A length of time, such as `10s`, `1m30s` or `500ms`; at most 1h."
);

/// How often something is done: from 1s to 24h in whole milliseconds, written as [`TimeSpan`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

impl Interval {
    /// The shortest, in milliseconds.
    pub const MIN_MILLIS: u32 = 1000;
    /// The longest, in milliseconds.
    pub const MAX_MILLIS: u32 = 86_400_000;

    /// So many milliseconds, taken into the bounds.
    #[must_use]
    pub fn from_millis(millis: u32) -> Self {
        Self(millis.clamp(Self::MIN_MILLIS, Self::MAX_MILLIS))
    }

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> u32 {
        self.0
    }

    /// As the standard library's type.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }
}

impl FromStr for Interval {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str =
            "numbers with `h`, `m`, `s`, `ms`, largest first, such as `30s`, `1m30s` or `12h`, from 1s to 24h";
        match u32::try_from(millis_of(text, RULE)?) {
            Ok(millis) if millis < Self::MIN_MILLIS => {
                Err(TextError::new(format!("`{text}` is shorter than 1s"), RULE))
            }
            Ok(millis) if millis <= Self::MAX_MILLIS => Ok(Self(millis)),
            _ => Err(TextError::new(format!("`{text}` is longer than 24h"), RULE)),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millis(f, self.0)
    }
}

text_type!(
    Interval,
    "Interval",
    "^([0-9]+(h|m|s|ms))+$",
    "How often something is done, such as `30s` or `1m30s`; from 1s to 24h."
);

/// How long a window is: from 1m to 31d in whole milliseconds, written as numbers with `d`, `h`, `m`, `s`, largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowSpan(u64);

impl WindowSpan {
    /// The shortest, in milliseconds.
    pub const MIN_MILLIS: u64 = 60_000;
    /// The longest, in milliseconds.
    pub const MAX_MILLIS: u64 = 31 * DAY_MILLIS;

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0
    }
}

/// The milliseconds of a day.
const DAY_MILLIS: u64 = 86_400_000;

impl FromStr for WindowSpan {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "numbers with `d`, `h`, `m`, largest first, such as `3h` or `14d`, from 1m to 31d";
        let (days, rest) = text.split_once('d').unwrap_or(("", text));
        let days = match days {
            "" if rest.len() == text.len() => Some(0),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u64>().ok(),
            _ => None,
        };
        let wrong = || TextError::new(format!("`{text}` is no length of time"), RULE);
        let days = days.and_then(|days| days.checked_mul(DAY_MILLIS)).ok_or_else(wrong)?;
        let rest = if rest.is_empty() && days > 0 { 0 } else { millis_of(rest, RULE).map_err(|_| wrong())? };
        match days.checked_add(rest).ok_or_else(wrong)? {
            millis if millis < Self::MIN_MILLIS => Err(TextError::new(format!("`{text}` is shorter than 1m"), RULE)),
            millis if millis > Self::MAX_MILLIS => Err(TextError::new(format!("`{text}` is longer than 31d"), RULE)),
            millis => Ok(Self(millis)),
        }
    }
}

impl fmt::Display for WindowSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / DAY_MILLIS, self.0 % DAY_MILLIS);
        if days > 0 {
            write!(f, "{days}d")?;
        }
        match u32::try_from(rest) {
            Ok(rest) if rest > 0 => write_millis(f, rest),
            _ => Ok(()),
        }
    }
}

text_type!(
    WindowSpan,
    "WindowSpan",
    "^([0-9]+(d|h|m|s|ms))+$",
    "How long a window is, such as `3h` or `14d`; from 1m to 31d."
);

/// Permission bits as chmod(1) writes them: 1 to 4 octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u32);

impl FileMode {
    /// The bits, 0 to 0o7777.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = if octal { u32::from_str_radix(text, 8).ok() } else { None };
        bits.map(Self)
            .ok_or_else(|| TextError::new(format!("`{text}` is no file mode"), "1 to 4 octal digits, such as `1777`"))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}
