//! `POST /hooks/source`: tells a controller that follows a repository to look at once. It only makes sooner what happens
//! anyway: nothing of what is sent is used, and without the right signature nothing is done. Whoever connects gets little time
//! and little memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reeve_schema::configuration::Hook;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use super::feed::Hint;
use crate::error::{Error, OnFile, Result};
use crate::secrets::hmac_sha256;

/// The most bytes of a request's body: forges send what was pushed.
const BODY_MAX: usize = 4 << 20;
/// How many may be connected at once.
const CONNECTIONS: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The header with the signature, as GitHub, Gitea and Forgejo send it.
const SIGNATURE: &str = "x-hub-signature-256";

/// Listens, and hears requests from then on.
///
/// # Errors
/// A secret that cannot be read or is too short, an address that cannot be had.
pub async fn listen(hook: &Hook, hints: UnboundedSender<Hint>) -> Result<()> {
    let path = std::path::Path::new(&hook.secret_file);
    let text = std::fs::read(path).on("read", path)?;
    let secret: Arc<[u8]> = text.trim_ascii_end().into();
    if secret.len() < 16 {
        let what = "has less than 16 bytes; make one: head -c 32 /dev/urandom | base64";
        return Err(Error::refused(format!("{} {what}", path.display())));
    }
    let listener = TcpListener::bind(hook.listen).await.map_err(|error| {
        Error::refused(format!("the hook cannot listen on {} (source.hook.listen): {error}", hook.listen))
    })?;
    tokio::spawn(serve(listener, secret, hints));
    Ok(())
}

async fn serve(listener: TcpListener, secret: Arc<[u8]>, hints: UnboundedSender<Hint>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (secret, hints) = (Arc::clone(&secret), hints.clone());
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(|request| answer(request, Arc::clone(&secret), hints.clone()));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 << 10).keep_alive(false);
            let _ = tokio::time::timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
            drop(place);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    secret: Arc<[u8]>,
    hints: UnboundedSender<Hint>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = judge(request, &secret, &hints).await;
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}

async fn judge(request: Request<Incoming>, secret: &[u8], hints: &UnboundedSender<Hint>) -> (StatusCode, &'static str) {
    if request.uri().path() != "/hooks/source" {
        return (StatusCode::NOT_FOUND, "there is only /hooks/source\n");
    }
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "only POST\n");
    }
    let signature = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(signature) = signature else {
        return (StatusCode::UNAUTHORIZED, "no signature (X-Hub-Signature-256)\n");
    };
    let Ok(body) = Limited::new(request.into_body(), BODY_MAX).collect().await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "too much\n");
    };
    if !is_signed(secret, &body.to_bytes(), &signature) {
        return (StatusCode::FORBIDDEN, "the signature is not right\n");
    }
    let _ = hints.send(None);
    (StatusCode::ACCEPTED, "it will be looked at\n")
}

/// Whether a signature, `sha256=` and hexadecimal digits, is that of a body. Takes the same time wherever it is wrong.
fn is_signed(secret: &[u8], body: &[u8], signature: &str) -> bool {
    let right = format!("sha256={}", hmac_sha256(secret, body));
    let (right, given) = (right.as_bytes(), signature.as_bytes());
    right.len() == given.len() && right.iter().zip(given).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_body_and_one_secret() {
        // GitHub, "Validating webhook deliveries": its own example.
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = b"It's a Secret to Everybody";
        assert!(is_signed(secret, b"Hello, World!", right));
        assert!(!is_signed(secret, b"Hello, World", right));
        assert!(!is_signed(b"another", b"Hello, World!", right));
        assert!(!is_signed(secret, b"Hello, World!", &right[7..]));
        assert!(!is_signed(secret, b"Hello, World!", ""));
    }
}
