//! The HTTP server of a controller: what is told to scrapers and people. It is only read: no request changes anything. Whoever connects
//! gets little time and little memory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::board::Told;
use super::door::Door;
use super::page::{self, Ask};
use super::{Page, Site, exposition};
use crate::error::{Error, OnFile, Result};
use crate::store::files;

/// How many may be connected at once to one address.
const CONNECTIONS: usize = 16;
/// How long one request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much the making of an answer stands back (nice(1)): about a tenth of a processor is left to it where others want all of it.
const NICE: i32 = 10;
/// The most bytes of a path that a page says is not there.
const PATH_MAX: usize = 80;

/// What every answer has: that it is not kept, and that a browser takes it for what it is and loads, sends and shows nothing
/// from or to anywhere else.
const GUARDS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

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
                Ok((stream, _)) => serve(stream, Door::Socket, &site, place),
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
        Error::refused(format!("nothing can be told on {address} (--listen, monitoring.listen): {error}"))
    })?;
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Of all addresses of the host, the one that was connected to.
                    let here = stream.local_addr().unwrap_or(address);
                    serve(stream, Door::Address(here), &site, place);
                }
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
    door: Door,
    site: &Arc<Site>,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let answer = hyper::service::service_fn(|request| answer(request, door, Arc::clone(&site)));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
        let _ = tokio::time::timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
        drop(place);
    });
}

/// The answer to a request, with what every answer has.
async fn answer(
    request: Request<Incoming>,
    door: Door,
    site: Arc<Site>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut response = routed(&request, door, site).await;
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Here is every path that there is.
async fn routed(request: &Request<Incoming>, door: Door, site: Arc<Site>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    // Who listens on more than loopback is scraped by any name.
    let is_scraped = path == "/metrics" && !door.is_local();
    if !is_scraped && !is_meant(request, door, &site.about.host) {
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this is answered only by its address, as localhost, or by the host's own name\n",
        );
    }
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    match path {
        "/metrics" => metrics(site).await,
        "/page.css" => fixed("text/css; charset=utf-8", page::STYLE),
        "/page.js" => fixed("text/javascript; charset=utf-8", page::SCRIPT),
        "/icon.svg" => fixed("image/svg+xml", page::ICON),
        "/" => html(site, Page::List(Ask::parse(request.uri().query())), known).await,
        _ => {
            let page = match path.strip_prefix("/zones/") {
                Some(name) if !name.is_empty() => Page::Zone(name.chars().take(PATH_MAX).collect()),
                _ => Page::Missing(path.chars().take(PATH_MAX).collect()),
            };
            html(site, page, known).await
        }
    }
}

/// Whether a request means this host, as far as it names one.
fn is_meant(request: &Request<Incoming>, door: Door, own: &str) -> bool {
    let in_line = request.uri().host();
    let in_headers = request.headers().get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
    in_line.into_iter().chain(in_headers).all(|host| door.answers_to(Some(host), own))
}

/// A page. Who has it already, as the tag says, is told so.
async fn html(site: Arc<Site>, page: Page, known: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let (text, is_there) = match aside(site, move |site, told| site.page(told, &page)).await {
        Ok(made) => made,
        Err(failed) => return failed,
    };
    let tag = tag(&text);
    let mut response = Response::new(Full::default());
    if known.is_some() && known == tag {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response = fixed("text/html; charset=utf-8", "");
        *response.body_mut() = Full::new(Bytes::from(text));
        *response.status_mut() = if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    }
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// What tells a page apart from what it was; without what stands around it, where the time is.
fn tag(page: &str) -> Option<HeaderValue> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    page.get(page.find("<main>").unwrap_or_default()..)?.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).ok()
}

async fn metrics(site: Arc<Site>) -> Response<Full<Bytes>> {
    match aside(site, |site, told| site.metrics(told)).await {
        Ok(text) => {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
            response
        }
        Err(failed) => failed,
    }
}

/// What `make` makes of what is told now, one at a time, on a thread that stands back behind those that make passes and walk
/// zones.
async fn aside<T: Send + 'static>(
    site: Arc<Site>,
    make: impl FnOnce(&Site, &Told) -> T + Send + 'static,
) -> std::result::Result<T, Response<Full<Bytes>>> {
    let waiting = Arc::clone(&site);
    let _one = waiting.one_at_a_time.lock().await;
    // Taken here: the thread never has the lock that a pass may want.
    let told = site.board.now();
    let (tell, made) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("answer".into()).spawn(move || {
        // Where that is refused it is only less modest.
        let _ = rustix::process::setpriority_process(None, NICE);
        let _ = tell.send(make(&site, &told));
    });
    if let Err(error) = thread {
        tracing::warn!("there is no thread for an answer: {error}");
        return Err(plain(StatusCode::SERVICE_UNAVAILABLE, "there is no thread for it; see the log\n"));
    }
    made.await.map_err(|_| {
        tracing::error!("an answer ended in the middle");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "this is a fault of reeve; see its log\n")
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = fixed("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    response
}

fn fixed(kind: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
