//! A collector on loopback: takes requests as OTLP over HTTP has them and keeps what they tell; or takes them and does not answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::proto::{self, Told};

/// One request.
pub struct Request {
    /// The first line and the headers, in small letters.
    pub head: String,
    pub told: Told,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    hangs: AtomicBool,
    /// Connections that got no answer.
    unanswered: AtomicUsize,
}

/// See the module. Its thread ends with the test's program.
pub struct Collector {
    port: u16,
    shared: Arc<Shared>,
}

impl Collector {
    /// In the network namespace of the thread that calls.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let port = listener.local_addr().expect("an address").port();
        let shared: Arc<Shared> = Arc::default();
        let mine = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if mine.hangs.load(Ordering::Relaxed) {
                    held.push(stream);
                    mine.unanswered.fetch_add(1, Ordering::Relaxed);
                } else if let Some(request) = answer(stream) {
                    mine.requests.lock().expect("requests").push(request);
                }
            }
        });
        Self { port, shared }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it takes connections and says nothing; or it answers again.
    pub fn hang(&self, hangs: bool) {
        self.shared.hangs.store(hangs, Ordering::Relaxed);
    }

    /// How many it left without an answer.
    pub fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::Relaxed)
    }

    /// What came so far.
    pub fn taken(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().expect("requests"))
    }
}

fn answer(mut stream: TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().expect("dup"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        // Whoever gave up has nothing to say.
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").ok()?;
    Some(Request { head, told: proto::told(&body) })
}
