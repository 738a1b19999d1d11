//! How a collector is told: by curl(1), within bounds, as receivers of notifications are, so that there is no TLS of Reeve's own
//! here either. It is called on the thread that exports, which may wait.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use crate::bounded::{self, Bounds};
use crate::monitor::notifier::option;
use crate::store::files::{self, Durability};

/// How much longer than the request curl may take.
const MARGIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(super) struct Curl {
    /// Where the body of a request is while it is sent. Only root may read it, and it is on a tmpfs.
    body: PathBuf,
    /// How long a request may take.
    time: Duration,
    /// Why the last one failed, in words; what the exporter makes of it has none.
    why: Arc<Mutex<String>>,
}

impl Curl {
    /// One that keeps bodies in `folder` and says in `why` why a request failed.
    pub fn new(folder: &Path, time: Duration, why: &Arc<Mutex<String>>) -> Self {
        Self { body: folder.join("otlp-request"), time, why: Arc::clone(why) }
    }

    fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        files::replace(&self.body, request.body(), Durability::Volatile)?;
        let sent = self.sent(request);
        files::remove(&self.body)?;
        let (status, answer) = sent?;
        if !(200..300).contains(&status) {
            self.failed(format!("it answers {status}"));
        }
        Ok(Response::builder().status(status).body(Bytes::from(answer))?)
    }

    /// The status of the answer, and its body.
    fn sent(&self, request: &Request<Bytes>) -> Result<(u16, Vec<u8>), HttpError> {
        let mut lines = vec![
            option("url", &request.uri().to_string()),
            option("data-binary", &format!("@{}", self.body.display())),
            option("header", "Expect:"),
        ];
        for (name, value) in request.headers() {
            lines.push(option("header", &format!("{name}: {}", value.to_str()?)));
        }
        let mut curl = bounded::command("curl");
        curl.args(["--disable", "--silent", "--show-error", "--proto", "=http,https", "--config", "-"]);
        curl.args(["--write-out", "%{stderr}%{http_code}", "--max-time", &self.time.as_secs_f64().to_string()]);
        let bounds = Bounds { time: self.time + MARGIN, output: 64 << 10, ..Bounds::default() };
        let ended = bounded::run(&mut curl, lines.concat().as_bytes(), &bounds)?;
        let status = ended.said.parse().ok().filter(|_| ended.good());
        let why = if ended.late { "it took too long".to_owned() } else { ended.said };
        status.map(|status| (status, ended.output)).ok_or_else(|| why.trim_end_matches("000").trim_end().into())
    }

    fn failed(&self, why: String) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

impl HttpClient for Curl {
    fn send_bytes<'c, 'a>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>
    where
        'c: 'a,
        Self: 'a,
    {
        let sent = self.send(&request).inspect_err(|error| self.failed(error.to_string()));
        Box::pin(std::future::ready(sent))
    }
}
