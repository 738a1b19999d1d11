//! Spans to a collector, by OpenTelemetry's own crates: what they are called there, a bounded number that waits, batches on a thread of
//! their own. Whoever tells of a span never waits; what does not get through is dropped, counted, and said once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use super::curl::Curl;
use crate::error::{Error, Result};
use crate::monitor::traces::{Attribute, Sink, Span};

/// How many spans wait at most: what a thousand zones that come up make while one request is under way.
const WAITING_MAX: usize = 8192;
/// How long the end of the controller waits for what was not sent yet.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a request may take where nothing is said, as the specification has it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Spans on their way to a collector.
pub struct Export {
    processor: Arc<BatchSpanProcessor>,
    way: Arc<Way>,
}

/// How it goes with the collector.
#[derive(Debug, Default)]
struct Way {
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// That spans are dropped was said.
    is_said: AtomicBool,
    /// Why a request failed.
    why: Arc<Mutex<String>>,
}

impl Way {
    /// Takes a place among those that wait; false where there is none.
    fn enter(&self) -> bool {
        let has_place = self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX;
        if !has_place {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lose(1, || format!("it is too slow: {WAITING_MAX} spans wait"));
        }
        has_place
    }

    fn lose(&self, spans: u64, why: impl FnOnce() -> String) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
        if !self.is_said.swap(true, Ordering::Relaxed) {
            tracing::warn!("the collector of traces is not told: {}; what it misses is dropped", why());
        }
    }

    fn arrived(&self) {
        if self.is_said.swap(false, Ordering::Relaxed) {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            tracing::warn!("the collector of traces is told again; it missed {lost} spans");
        }
    }
}

impl Export {
    /// Begins it, as the environment says.
    ///
    /// # Errors
    /// A collector's address or another variable that is not understood.
    pub fn begin(host: &str, folder: &Path) -> Result<Self> {
        let way = Arc::new(Way::default());
        let curl = Curl::new(folder, time(), &way.why);
        let exporter = SpanExporter::builder().with_http().with_http_client(curl).build();
        let inner = exporter.map_err(|error| Error::refused(error.to_string()))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING_MAX).build();
        let watched = Watched { inner, way: Arc::clone(&way) };
        let mut processor = BatchSpanProcessor::builder(watched).with_batch_config(batches).build();
        processor.set_resource(&resource(host));
        Ok(Self { processor: Arc::new(processor), way })
    }

    /// Where spans go.
    pub fn sink(&self) -> Sink {
        let (processor, way) = (Arc::clone(&self.processor), Arc::clone(&self.way));
        let scope = InstrumentationScope::builder("reeve").with_version(env!("CARGO_PKG_VERSION")).build();
        Arc::new(move |span| {
            if way.enter() {
                processor.on_end(data(span, scope.clone()));
            }
        })
    }

    /// Ends it: sends what waits, for a short time.
    pub fn finish(self) {
        if self.processor.shutdown_with_timeout(FAREWELL).is_err() {
            let left = self.way.waiting.load(Ordering::Relaxed);
            self.way.lose(left as u64, || format!("it did not take the last {left} spans in time"));
        }
    }
}

/// How long a request may take, from the environment.
fn time() -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let said = names.iter().find_map(|name| std::env::var(name).ok()?.trim().parse().ok());
    said.map_or(PATIENCE, Duration::from_millis)
}

/// Who tells: what the environment says of it goes before what is known here.
fn resource(host: &str) -> Resource {
    let said = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_said = |key: &str| said.split(',').any(|pair| pair.split('=').next().is_some_and(|name| name.trim() == key));
    let mut resource = Resource::builder();
    if std::env::var("OTEL_SERVICE_NAME").map_or(true, |name| name.is_empty()) && !is_said("service.name") {
        resource = resource.with_service_name("reeve");
    }
    let known = [("host.name", host), ("service.version", env!("CARGO_PKG_VERSION"))];
    let new = known.into_iter().filter(|(key, _)| !is_said(key));
    resource.with_attributes(new.map(|(key, value)| KeyValue::new(key, value.to_owned()))).build()
}

/// A span as OpenTelemetry has it.
fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let (trace, id) = (TraceId::from(span.trace), SpanId::from(span.id));
    let attribute = |(key, value)| match value {
        Attribute::Text(text) => KeyValue::new(key, Value::from(text)),
        Attribute::Number(number) => KeyValue::new(key, Value::from(number)),
    };
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span.name.into(),
        start_time: span.start,
        end_time: span.end,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope,
    }
}

/// The exporter, and what comes of it.
#[derive(Debug)]
struct Watched {
    inner: SpanExporter,
    way: Arc<Way>,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.way.waiting.fetch_sub(count, Ordering::Relaxed);
        let sent = self.inner.export(batch).await;
        match &sent {
            Ok(()) => self.way.arrived(),
            Err(_) => {
                let why = || self.way.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.way.lose(count as u64, why);
            }
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait_and_the_rest_is_counted() {
        let way = Way::default();
        assert!((0..WAITING_MAX).all(|_| way.enter()));
        assert!(!way.enter() && !way.enter());
        assert_eq!(way.lost.load(Ordering::Relaxed), 2);
        way.waiting.fetch_sub(1, Ordering::Relaxed);
        assert!(way.enter());
        way.arrived();
        assert_eq!(way.lost.load(Ordering::Relaxed), 0);
    }
}
