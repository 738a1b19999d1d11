//! Metrics as text, in the format that Prometheus reads (text format 0.0.4). Hardly more than the names and the numbers: all
//! that is decided is decided where they are derived (`reeve_state::metrics`).

use std::borrow::Cow;
use std::fmt::Write;

use reeve_state::metrics::{Family, Histogram, Value};

/// The type of the text, for HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families as text.
pub fn text(families: &[Family<'_>]) -> String {
    let mut out = Text(String::with_capacity(64 << 10));
    for family in families {
        let (name, kind) = (family.about.name, family.about.kind.as_str());
        out.put(format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", escaped_help(family.about.help)));
        for sample in &family.samples {
            match &sample.value {
                Value::Number(value) => out.line(name, "", family, &sample.labels, None, *value),
                Value::Histogram(histogram) => out.histogram(family, &sample.labels, histogram),
            }
        }
    }
    out.0
}

struct Text(String);

impl Text {
    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(what);
    }

    fn histogram(&mut self, family: &Family<'_>, labels: &[Cow<'_, str>], histogram: &Histogram) {
        let name = family.about.name;
        for (bound, count) in histogram.buckets() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            self.line(name, "_bucket", family, labels, Some(&bound), count as f64);
        }
        self.line(name, "_sum", family, labels, None, histogram.sum());
        self.line(name, "_count", family, labels, None, histogram.count() as f64);
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        family: &Family<'_>,
        labels: &[Cow<'_, str>],
        bound: Option<&str>,
        value: f64,
    ) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        let labels = family.about.labels.iter().copied().zip(labels.iter().map(|label| &**label));
        let mut separator = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            self.put(format_args!("{separator}{label}=\""));
            self.escaped(value);
            self.0.push('"');
            separator = ',';
        }
        let end = if separator == '{' { "" } else { "}" };
        self.put(format_args!("{end} {value}\n"));
    }

    fn escaped(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }
}

fn escaped_help(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use reeve_state::metrics::{Counters, FAMILIES, Input, families};
    use reeve_state::source::SourceStatus;

    use super::*;

    #[test]
    fn labels_are_quoted_and_histograms_are_cumulative() {
        let mut counters = Counters::default();
        counters.passed(0.002, reeve_state::Timestamp(1_500));
        let source = SourceStatus { url: "a\"b\\c\nd".into(), ..SourceStatus::default() };
        let (zones, usage) = Default::default();
        let input = Input {
            version: "1",
            zones: &zones,
            source: Some(&source),
            counters: &counters,
            usage: &usage,
            process: None,
        };
        let text = text(&families(&input));
        for line in [
            "# TYPE reeve_pass_duration_seconds histogram",
            "reeve_pass_duration_seconds_bucket{le=\"0.001\"} 0",
            "reeve_pass_duration_seconds_bucket{le=\"0.0025\"} 1",
            "reeve_pass_duration_seconds_bucket{le=\"+Inf\"} 1",
            "reeve_pass_duration_seconds_sum 0.002",
            "reeve_last_pass_timestamp_seconds 1.5",
            "reeve_source_info{url=\"a\\\"b\\\\c\\nd\",reference=\"\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in {text}");
        }
        assert!(FAMILIES.iter().all(|about| !about.help.contains('\n')));
    }
}
