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
    fn ages_and_spans() {
        let ago = |seconds: u64| age(Timestamp(0), Timestamp(seconds * 1000));
        assert_eq!([ago(0), ago(61), ago(700), ago(3700), ago(40_000)].join(" "), "0s 1m1s 11m 1h1m 11h");
        assert_eq!(ago(1_000_000), "11d");
        assert_eq!(age(Timestamp(5000), Timestamp(0)), "0s");
        assert_eq!([span(7), span(2006), span(2500), span(61_000)].join(", "), "7 ms, 2 s, 2.5 s, 2 min");
        assert_eq!([micros(7), micros(1500), micros(250_000)].join(", "), "7 µs, 1.5 ms, 250 ms");
    }
}
