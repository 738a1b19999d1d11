//! What is measured: families of numbers, derived from statuses, from the source's status and from what a controller counted.
//! This is the only place where a number gets its name; [`FAMILIES`] has them all, and what each means.
//!
//! Names and units are those of Prometheus: base units, `_total` for what only grows, times as `_timestamp_seconds` and
//! never as ages. Labels are zones of this host and words of fixed lists; a commit's name is in none, because it would make a
//! new series with each commit.

mod controller;
mod counters;
mod histogram;
mod source;
mod table;
mod usage;
mod zone;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use counters::{Counters, STARTED};
pub use histogram::Histogram;
pub use table::FAMILIES;
pub use usage::{Process, Usage};
pub use zone::{Zone, class};

use crate::source::SourceStatus;
use crate::time::Timestamp;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// May go up and down.
    Gauge,
    /// Only goes up, until its owner begins anew.
    Counter,
    /// How often something took how long.
    Histogram,
}

impl Kind {
    /// The word for it in the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        }
    }
}

/// What a family is.
#[derive(Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// The labels of its samples, in this order.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

/// One number, or one histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Number(f64),
    /// A histogram.
    Histogram(&'a Histogram),
}

/// One series of a family at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The values of the family's labels.
    pub labels: Vec<Cow<'a, str>>,
    /// The value.
    pub value: Value<'a>,
}

/// A family and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// What it is.
    pub about: &'static About,
    /// Its samples; none where there is nothing to say.
    pub samples: Vec<Sample<'a>>,
}

/// All that numbers are derived from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The program's version.
    pub version: &'a str,
    /// The zones, by name.
    pub zones: &'a BTreeMap<String, Arc<Zone>>,
    /// How it is with the repository that is followed; none where a folder is.
    pub source: Option<&'a SourceStatus>,
    /// What the controller counted.
    pub counters: &'a Counters,
    /// What zones use, by name; only those for which it could be read.
    pub usage: &'a BTreeMap<String, Usage>,
    /// What the controller itself uses.
    pub process: Option<&'a Process>,
}

/// The families, in the order of [`FAMILIES`]; those without a sample are not there.
pub fn families<'a>(input: &Input<'a>) -> Vec<Family<'a>> {
    let mut out = Out::default();
    controller::add(&mut out, input);
    source::add(&mut out, input);
    zone::add(&mut out, input);
    usage::add(&mut out, input);
    let mut made = out.0;
    let of = |about: &'static About| made.remove(about.name).map(|samples| Family { about, samples });
    FAMILIES.iter().filter_map(of).collect()
}

/// Samples, by the name of their family.
#[derive(Default)]
struct Out<'a>(BTreeMap<&'static str, Vec<Sample<'a>>>);

impl<'a> Out<'a> {
    /// The samples of a family.
    fn family(&mut self, name: &'static str, samples: impl Iterator<Item = Sample<'a>>) {
        let samples: Vec<Sample<'a>> = samples.collect();
        if !samples.is_empty() {
            self.0.insert(name, samples);
        }
    }

    /// A family of one number without labels, where there is that number.
    fn one(&mut self, name: &'static str, value: Option<f64>) {
        self.family(name, value.into_iter().map(|value| sample([], value)));
    }
}

/// A sample of a number.
fn sample<'a, const N: usize>(labels: [&'a str; N], value: impl Into<f64>) -> Sample<'a> {
    Sample { labels: labels.into_iter().map(Cow::Borrowed).collect(), value: Value::Number(value.into()) }
}

/// A whole number; exact up to 2^53.
fn whole(value: u64) -> f64 {
    value as f64
}

/// A time as Prometheus has it.
fn seconds(time: Timestamp) -> f64 {
    whole(time.0) / 1000.0
}
