//! Prometheus and Alertmanager as Debian has them, on this test's loopback, and whoever is on call: a receiver of Alertmanager's
//! webhooks. The rules are the shipped ones but for one substitution ([`scaled`]).

use crate::harness::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Ports, in the network namespace of the test.
pub const REEVE: u16 = 9680;
const PROMETHEUS: u16 = 9090;
pub const ALERTMANAGER: u16 = 9093;
const ON_CALL: u16 = 9200;

/// The shipped rules with every `for` and `keep_firing_for` set to two seconds: so long are hours in a test. Nothing else is
/// changed.
pub fn scaled(rules: &str) -> String {
    let scale = |line: &str| match line.trim_start().split_once(": ") {
        Some((key @ ("for" | "keep_firing_for"), _)) => {
            format!("{}{key}: 2s\n", &line[..line.len() - line.trim_start().len()])
        }
        _ => format!("{line}\n"),
    };
    rules.lines().map(scale).collect()
}

/// What came to whoever is on call.
#[derive(Clone, Debug)]
pub struct Message {
    /// When.
    pub at: Instant,
    /// The alert's name.
    pub alert: String,
    /// The zone that it is about; empty where it is about none.
    pub zone: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// The alert.
    pub body: Value,
}

/// See the module.
pub struct Chain {
    programs: Vec<Child>,
    heard: Arc<Mutex<Vec<Message>>>,
}

impl Chain {
    /// Starts all of it, in the network namespace of this thread.
    pub fn start(folder: &Path) -> Self {
        let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
        let listener = TcpListener::bind(("127.0.0.1", ON_CALL)).expect("a port");
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                receive(stream, &told);
            }
        });
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus/reeve.rules.yml");
        let rules = std::fs::read_to_string(shipped).expect("the shipped rules");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("write");
            path.display().to_string()
        };
        write("reeve.rules.yml", &scaled(&rules));
        let alertmanager = write(
            "alertmanager.yml",
            &format!(
                "route:\n  receiver: on-call\n  group_by: [alertname, zone]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\nreceivers:\n  - name: on-call\n    webhook_configs:\n      - url: http://127.0.0.1:{ON_CALL}/\n"
            ),
        );
        let prometheus = write(
            "prometheus.yml",
            &format!(
                "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [reeve.rules.yml]\nscrape_configs:\n  - job_name: reeve\n    static_configs:\n      - targets: [\"127.0.0.1:{REEVE}\"]\nalerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"127.0.0.1:{ALERTMANAGER}\"]\n"
            ),
        );
        let programs = vec![
            started(
                folder,
                "prometheus-alertmanager",
                &[
                    format!("--config.file={alertmanager}"),
                    format!("--storage.path={}", folder.join("alertmanager").display()),
                    format!("--web.listen-address=127.0.0.1:{ALERTMANAGER}"),
                    "--cluster.listen-address=".into(),
                ],
            ),
            started(
                folder,
                "prometheus",
                &[
                    format!("--config.file={prometheus}"),
                    format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
                    format!("--web.listen-address=127.0.0.1:{PROMETHEUS}"),
                ],
            ),
        ];
        let chain = Self { programs, heard };
        let is_up = || query("up{job=\"reeve\"}").as_deref() == Some("1");
        until("Prometheus scrapes the controller", is_up);
        chain
    }

    /// Waits until an alert of this name about this zone came with this status, after `since`; the message.
    pub fn heard(&self, alert: &str, zone: &str, status: &str, since: Instant) -> Message {
        let mut found = None;
        until(&format!("{alert} {zone} {status}"), || {
            found = self.all().into_iter().find(|message| {
                (message.alert.as_str(), message.zone.as_str(), message.status.as_str()) == (alert, zone, status)
                    && message.at > since
            });
            found.is_some()
        });
        found.expect("found")
    }

    /// All that came.
    pub fn all(&self) -> Vec<Message> {
        self.heard.lock().expect("no thread panicked").clone()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn started(folder: &Path, program: &str, arguments: &[String]) -> Child {
    let log = std::fs::File::create(folder.join(format!("{program}.log"))).expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("dup")).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first value that Prometheus has for a query.
pub fn query(query: &str) -> Option<String> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (_, body) = get(PROMETHEUS, &format!("/api/v1/query?query={encoded}"))?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

/// The status line and the body of an HTTP answer; none where nobody answers.
pub fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

/// One HTTP request with a body.
pub struct Posted {
    /// The header with Reeve's signature; empty where there is none.
    pub signature: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Takes one request and answers it with this status.
pub fn take(stream: TcpStream, status: &str) -> Option<Posted> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut length, mut signature) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            // The first line has no colon with a space.
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-reeve-signature-256" => value.clone_into(&mut signature),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.into_inner().write_all(answer.as_bytes()).ok()?;
    Some(Posted { signature, body })
}

/// Takes one request of Alertmanager's, and what it tells.
fn receive(stream: TcpStream, told: &Mutex<Vec<Message>>) {
    let Some(posted) = take(stream, "200 OK") else { return };
    let at = Instant::now();
    let whole: Value = serde_json::from_slice(&posted.body).expect("Alertmanager sends JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alerts = whole["alerts"].as_array().cloned().unwrap_or_default();
    let messages = alerts.into_iter().map(|alert| Message {
        at,
        alert: text(&alert["labels"]["alertname"]),
        zone: text(&alert["labels"]["zone"]),
        status: text(&alert["status"]),
        body: alert,
    });
    told.lock().expect("no thread panicked").extend(messages);
}
