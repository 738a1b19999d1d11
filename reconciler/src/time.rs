//! Times as people read them.

use reeve_state::Timestamp;

const DAY: u64 = 24 * 60 * 60;

/// A point in time as RFC 3339 has it, in UTC, to the second.
pub fn date(at: Timestamp) -> String {
    at.utc()
}

/// How long ago, in its two largest units at most: `42s`, `5m`, `3h12m`, `9d`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(since) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..600 => format!("{}m{}s", seconds / 60, seconds % 60),
        600..3600 => format!("{}m", seconds / 60),
        3600..36_000 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        36_000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / DAY),
    }
}

/// A span in milliseconds.
pub fn span(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 if millis % 1000 < 50 => format!("{} s", millis / 1000),
        1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        _ => format!("{} min", millis.div_ceil(60_000)),
    }
}

/// A span in microseconds.
pub fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..100_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        _ => span(micros / 1000),
    }
}

/// A length of time that somebody writes: numbers with `d`, `h`, `m`, `s`, largest first. In milliseconds.
pub fn parse_span(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u64); 4] = [('d', DAY), ('h', 3600), ('m', 60), ('s', 1)];
    const MAX: u64 = 366 * DAY;
    let wrong = || format!("`{text}` is no length of time; write it as 30m, 4h or 1d12h");
    let (mut rest, mut seconds, mut next) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = rest[end..].chars().next().ok_or_else(wrong)?;
        let place = UNITS.iter().position(|(letter, _)| *letter == unit).filter(|place| *place >= next);
        let place = place.ok_or_else(wrong)?;
        seconds = number.checked_mul(UNITS[place].1).and_then(|more| more.checked_add(seconds)).ok_or_else(wrong)?;
        (next, rest) = (place + 1, &rest[end + 1..]);
    }
    match seconds {
        0 => Err(wrong()),
        1..=MAX => Ok(seconds * 1000),
        _ => Err(format!("`{text}` is more than 366 days")),
    }
}

/// A point in time that somebody writes: RFC 3339, with `Z` or an offset; seconds may be left out.
pub fn parse_date(text: &str) -> Result<Timestamp, String> {
    parse_rfc3339(text).ok_or_else(|| format!("`{text}` is no point in time; write it as 2026-12-24T18:00:00Z"))
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, what: &str| text.get(at..=at).is_some_and(|found| what.contains(found));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let separated = is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":");
    let (second, rest) = if is(16, ":") { (number(17, 19)?, text.get(19..)?) } else { (0, text.get(16..)?) };
    let offset = match rest {
        "Z" | "z" => 0,
        _ if rest.len() == 6 && rest.get(3..4) == Some(":") => {
            let (hours, minutes) = (rest.get(1..3)?.parse::<u8>().ok()?, rest.get(4..6)?.parse::<u8>().ok()?);
            let minutes = i64::from(hours) * 60 + i64::from(minutes);
            match rest.get(..1)? {
                "+" => minutes,
                "-" => -minutes,
                _ => return None,
            }
        }
        _ => return None,
    };
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let good = separated && (1..=days_in).contains(&day) && hour < 24 && minute < 60 && second < 60;
    // The inverse of what `Timestamp::utc` does.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y.div_euclid(400) * 146_097 + y.rem_euclid(400) * 365 + y.rem_euclid(400) / 4 - y.rem_euclid(400) / 100
        + (153 * m + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    u64::try_from(seconds * 1000).ok().filter(|_| good).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date(Timestamp(951_782_400_000)), "2000-02-29T00:00:00Z");
        assert_eq!(date(Timestamp(1_795_391_999_999)), "2026-11-22T23:59:59Z");
        assert_eq!(date(Timestamp(4_107_542_400_000)), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        for millis in [0, 951_782_400_000, 1_795_391_999_000, 4_107_542_400_000] {
            assert_eq!(parse_date(&date(Timestamp(millis))), Ok(Timestamp(millis)));
        }
        assert_eq!(parse_date("2026-11-22T23:59Z"), Ok(Timestamp(1_795_391_940_000)));
        assert_eq!(parse_date("2026-11-23T01:29:59+01:30"), Ok(Timestamp(1_795_391_999_000)));
        for wrong in ["", "tomorrow", "2026-02-29T00:00Z", "2026-11-22", "2026-11-22T24:00Z", "2026-11-22T10:00", "é"]
        {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(
            ["30m", "4h", "1d12h", "2s"].map(parse_span),
            [Ok(1_800_000), Ok(14_400_000), Ok(129_600_000), Ok(2000)]
        );
        for wrong in ["", "0s", "4", "h", "1m1h", "-1h", "400d", "4ms", "99999999999999999999d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ages_and_spans() {
        let ago = |seconds: u64| age(Timestamp(0), Timestamp(seconds * 1000));
        assert_eq!([ago(0), ago(61), ago(700), ago(3700), ago(40_000)].join(" "), "0s 1m1s 11m 1h1m 11h");
        assert_eq!(ago(1_000_000), "11d");
        assert_eq!(age(Timestamp(5000), Timestamp(0)), "0s");
        assert_eq!([span(7), span(2006), span(2500), span(61_000)].join(", "), "7 ms, 2 s, 2.5 s, 2 min");
        assert_eq!([micros(7), micros(1500), micros(250_000)].join(", "), "7 µs, 1.5 ms, 250 ms");
    }
}
