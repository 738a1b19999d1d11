//! Traces for who keeps them: whether a collector is named in the environment, by the variables that OpenTelemetry gave names to,
//! and whether this build can tell it anything. The rest is in [`export`], in builds with the feature `otlp` alone.

#[cfg(feature = "otlp")]
mod curl;
#[cfg(feature = "otlp")]
mod export;

use std::path::Path;

#[cfg(feature = "otlp")]
pub use export::Export;

/// Where a collector is; the first is of all signals, the second of traces.
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// How it is told.
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];
/// The only one that there is here.
const HTTP_PROTOBUF: &str = "http/protobuf";

/// What the environment says of traces.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing, or that there are to be none.
    No,
    /// A collector, in the variable of this name.
    Yes(&'static str),
    /// A collector that is told in another way, which this variable names.
    Otherwise(&'static str, String),
}

fn asked(variable: impl Fn(&str) -> Option<String>) -> Asked {
    let said = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let is_off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim() == "none");
    let Some(endpoint) = ENDPOINT.into_iter().find(|name| said(name).is_some()).filter(|_| !is_off) else {
        return Asked::No;
    };
    // What is said of traces goes before what is said of all.
    let protocol = PROTOCOL.into_iter().rev().find_map(|name| Some((name, said(name)?)));
    match protocol {
        Some((name, protocol)) if protocol.trim() != HTTP_PROTOBUF => Asked::Otherwise(name, protocol),
        _ => Asked::Yes(endpoint),
    }
}

/// Begins to export the traces of the controller of this host, where a collector is named. What is on its way is kept in `folder`. What
/// is wrong is said once in the log, and nothing else follows from it.
pub fn start(host: &str, folder: &Path) -> Option<Export> {
    let variable = |name: &str| std::env::var(name).ok();
    match asked(variable) {
        Asked::No => None,
        Asked::Yes(name) => begin(name, host, folder),
        Asked::Otherwise(name, protocol) => {
            tracing::warn!("{name}: {protocol} is not there, only {HTTP_PROTOBUF}; no traces are exported");
            None
        }
    }
}

#[cfg(feature = "otlp")]
fn begin(name: &str, host: &str, folder: &Path) -> Option<Export> {
    Export::begin(host, folder).map_err(|error| tracing::warn!("{name}: {error}; no traces are exported")).ok()
}

#[cfg(not(feature = "otlp"))]
fn begin(name: &str, _: &str, _: &Path) -> Option<Export> {
    tracing::warn!("{name} is set, but this build of reeve has no OTLP (feature otlp); no traces are exported");
    None
}

/// An export that this build cannot make.
#[cfg(not(feature = "otlp"))]
pub enum Export {}

#[cfg(not(feature = "otlp"))]
impl Export {
    /// Where spans go.
    pub fn sink(&self) -> super::traces::Sink {
        match *self {}
    }

    /// Ends it.
    pub fn finish(self) {
        match self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Asked {
        asked(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn there_are_traces_only_where_a_collector_is_named_and_can_be_told() {
        let [all, traces] = ENDPOINT;
        let (here, grpc) = ("http://localhost:4318", "grpc");
        assert_eq!(of(&[]), Asked::No);
        assert_eq!(of(&[(all, "")]), Asked::No);
        assert_eq!(of(&[(all, here)]), Asked::Yes(all));
        assert_eq!(of(&[(traces, here)]), Asked::Yes(traces));
        assert_eq!(of(&[(all, here), ("OTEL_SDK_DISABLED", "True")]), Asked::No);
        assert_eq!(of(&[(all, here), ("OTEL_TRACES_EXPORTER", "none")]), Asked::No);
        assert_eq!(of(&[(all, here), (PROTOCOL[0], grpc)]), Asked::Otherwise(PROTOCOL[0], grpc.into()));
        assert_eq!(of(&[(all, here), (PROTOCOL[0], grpc), (PROTOCOL[1], HTTP_PROTOBUF)]), Asked::Yes(all));
    }
}
