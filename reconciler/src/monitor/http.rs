//! The HTTP server of a controller: what is told to scrapers and people. Only read: no request changes anything. Whoever connects
//! gets little time and little memory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{Site, exposition};
use crate::error::{Error, OnFile, Result};
use crate::store::files;

/// How many may be connected at once to one address.
const CONNECTIONS: usize = 16;
/// How long one request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers on a Unix socket at `path`, which only root may connect to, from then on.
///
/// # Errors
/// A socket that cannot be bound.
pub fn listen_at(path: &Path, site: &Arc<Site>) -> Result<()> {
    // Whoever has the state lock is the only controller: what is there is what a dead one left.
    files::remove(path)?;
    let listener = UnixListener::bind(path).on("bind", path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).on("chmod", path)?;
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => serve(stream, &site, place),
                Err(error) => rest(&error).await,
            }
        }
    });
    Ok(())
}

/// Answers on an address, from then on.
///
/// # Errors
/// An address that cannot be had.
pub async fn listen_on(address: SocketAddr, site: &Arc<Site>) -> Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::refused(format!("metrics cannot be told on {address} (--listen, monitoring.listen): {error}"))
    })?;
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => serve(stream, &site, place),
                Err(error) => rest(&error).await,
            }
        }
    });
    Ok(())
}

async fn rest(error: &std::io::Error) {
    tracing::warn!("accept: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    site: &Arc<Site>,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let answer = hyper::service::service_fn(|request| answer(request, Arc::clone(&site)));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
        let _ = tokio::time::timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
        drop(place);
    });
}

/// The answer to a request: here is every path that there is.
async fn answer(request: Request<Incoming>, site: Arc<Site>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(site).await,
        _ => plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    })
}

async fn metrics(site: Arc<Site>) -> Response<Full<Bytes>> {
    let waiting = Arc::clone(&site);
    let _one = waiting.one_at_a_time.lock().await;
    match tokio::task::spawn_blocking(move || site.metrics()).await {
        Ok(text) => {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
            response
        }
        Err(error) => {
            tracing::error!("a scrape ended in the middle: {error}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "this is a fault of reeve; see its log\n")
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
