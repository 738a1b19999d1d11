//! The controller's socket: one request, a line of JSON, then lines until the answer.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::controller::{Ask, SOCKET, Tell};
use crate::error::{OnFile, Result};
use crate::places::Places;
use crate::store::files;

/// The longest request.
const REQUEST_MAX: u64 = 4096;

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub ask: Ask,
    /// Lines for whoever asked; closed when dropped.
    pub tell: UnboundedSender<Tell>,
}

/// A socket that hears requests.
pub struct Control {
    listener: UnixListener,
    asked: UnboundedReceiver<Asked>,
    tell: UnboundedSender<Asked>,
}

/// Binds the socket in the run folder, whose mode guards it.
///
/// # Errors
/// The socket that could not be bound.
pub fn listen(places: &Places) -> Result<Control> {
    let path = places.run().join(SOCKET);
    // Whoever has the state lock is the only controller: what is there is what a dead one left.
    files::remove(&path)?;
    let listener = UnixListener::bind(&path).on("bind", &path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).on("chmod", &path)?;
    let (tell, asked) = unbounded_channel();
    Ok(Control { listener, asked, tell })
}

impl Control {
    /// The next request.
    pub async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                asked = self.asked.recv() => {
                    if let Some(asked) = asked {
                        return asked;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
                        if root {
                            tokio::spawn(serve(stream, self.tell.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!("accept: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

async fn serve(stream: UnixStream, requests: UnboundedSender<Asked>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(REQUEST_MAX)).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let (tell, mut told) = unbounded_channel();
    match serde_json::from_str::<Ask>(&line) {
        Ok(ask) => drop(requests.send(Asked { ask, tell })),
        Err(error) => drop(tell.send(Tell::Error(format!("no such request: {error}")))),
    }
    while let Some(line) = told.recv().await {
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if write.write_all(&text).await.is_err() {
            return;
        }
    }
}
