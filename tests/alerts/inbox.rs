//! A receiver of notifications that come from the controller itself, without Prometheus. It refuses the first request, as one that
//! is just being started does, and holds every signature to openssl's.

use crate::chain::{take, until};
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Where it listens.
pub const PORT: u16 = 9201;
/// The secret of the signatures.
pub const SECRET: &str = "what only the two of us know";

/// See the module.
pub struct Inbox(Arc<Mutex<Vec<Value>>>);

impl Inbox {
    /// Listens, in the network namespace of this thread.
    pub fn start() -> Self {
        let items: Arc<Mutex<Vec<Value>>> = Arc::default();
        let listener = TcpListener::bind(("127.0.0.1", PORT)).expect("a port");
        let told = Arc::clone(&items);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let status = if number == 0 { "503 Service Unavailable" } else { "204 No Content" };
                let Some(posted) = take(stream, status) else { continue };
                let mut document: Value = serde_json::from_slice(&posted.body).expect("JSON");
                assert_eq!(posted.signature, signature(&posted.body), "{document}");
                if number > 0 {
                    let items = document["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
                    told.lock().expect("no thread panicked").extend(items);
                }
            }
        });
        Self(items)
    }

    /// Status and zone of all that was told of a condition, in order.
    pub fn told(&self, condition: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let items = self.0.lock().expect("no thread panicked");
        let about = items.iter().filter(|item| item["condition"] == condition);
        about.map(|item| (text(&item["status"]), text(&item["zone"]))).collect()
    }

    /// Waits until it was told of a condition, and that it is over.
    pub fn wait(&self, condition: &str, zone: &str) {
        let expected = ["firing", "resolved"].map(|status| (status.to_owned(), zone.to_owned()));
        until(&format!("a notification of {condition}"), || self.told(condition).len() >= 2);
        assert_eq!(self.told(condition), expected, "each is told once");
    }
}

/// The signature of a body, as openssl makes it.
fn signature(body: &[u8]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-r", "-hmac", SECRET]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl");
    child.stdin.take().expect("a pipe").write_all(body).expect("write");
    let output = child.wait_with_output().expect("wait");
    let text = String::from_utf8_lossy(&output.stdout);
    format!("sha256={}", text.split(' ').next().unwrap_or_default())
}
