//! Chromium without a window, spoken to by its own protocol (Chrome DevTools) over two pipes: messages of JSON, each ended by
//! a zero byte. What a page complains of (errors of scripts, of loading, of its Content-Security-Policy) is kept.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long the browser may take for one answer, and a page to become what it should, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser that runs.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    heard: Receiver<Value>,
    number: u64,
    complaints: Vec<String>,
}

/// A page that is open, by its session.
#[derive(Clone)]
pub struct Tab(String);

impl Browser {
    /// Starts it with everything of its own in this folder.
    pub fn start(folder: &Path) -> Self {
        // It reads from 3 and writes to 4.
        let script = format!("exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >'{0}/browser.log' 2>&1", folder.display());
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &script,
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ]);
        command.args(["--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking"]);
        command.args([
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", folder.join("browser").display()));
        // A group of its own, to end all of it.
        command.env("HOME", folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("sh");
        let (input, output) = (process.stdin.take().expect("stdin"), process.stdout.take().expect("stdout"));
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                let value = serde_json::from_slice(message.trim_ascii_end().strip_suffix(&[0]).unwrap_or(&message));
                if tell.send(value.unwrap_or(Value::Null)).is_err() {
                    return;
                }
                message.clear();
            }
        });
        Self { process, input, heard, number: 0, complaints: Vec::new() }
    }

    /// A new tab; with scripts or without.
    pub fn open(&mut self, scripts: bool) -> Tab {
        let target = self.ask(None, "Target.createTarget", json!({"url": "about:blank"}));
        let session = self.ask(None, "Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        let tab = Tab(session["sessionId"].as_str().expect("a session").to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            self.ask(Some(&tab), &format!("{domain}.enable"), json!({}));
        }
        self.ask(Some(&tab), "Emulation.setScriptExecutionDisabled", json!({"value": !scripts}));
        tab
    }

    /// Puts a tab before the others: what is behind rests, as the script does then.
    pub fn front(&mut self, tab: &Tab) {
        self.ask(Some(tab), "Page.bringToFront", json!({}));
    }

    /// Goes to an address; returns when the answer has begun to come.
    pub fn go(&mut self, tab: &Tab, address: &str) {
        let answer = self.ask(Some(tab), "Page.navigate", json!({"url": address}));
        assert!(answer["errorText"].is_null(), "{address}: {answer}");
    }

    /// What an expression of the page's comes to.
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask(Some(tab), "Runtime.evaluate", asked);
        // A page that is just being replaced has nothing to say.
        if answer["exceptionDetails"].is_null() { answer["result"]["value"].clone() } else { Value::Null }
    }

    /// The page as it stands, also without scripts; nothing where it is just being replaced.
    pub fn html(&mut self, tab: &Tab) -> String {
        let root = self.ask(Some(tab), "DOM.getDocument", json!({"depth": 0}));
        let asked = json!({"nodeId": root["root"]["nodeId"]});
        let html = self.try_ask(Some(tab), "DOM.getOuterHTML", asked).unwrap_or_default();
        html["outerHTML"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true; how long that was.
    pub fn wait(&mut self, tab: &Tab, expression: &str) -> Duration {
        let started = Instant::now();
        while self.eval(tab, expression) != true {
            let page = || format!("not so after {PATIENCE:?}: {expression}");
            assert!(started.elapsed() < PATIENCE, "{}\n{}", page(), self.html(tab));
            std::thread::sleep(Duration::from_millis(50));
        }
        started.elapsed()
    }

    /// Waits until the page as it stands has this, also without scripts.
    pub fn wait_html(&mut self, tab: &Tab, text: &str) {
        let started = Instant::now();
        loop {
            let html = self.html(tab);
            if html.contains(text) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "no {text:?} after {PATIENCE:?}\n{html}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A screen of this width and height, light or dark.
    pub fn screen(&mut self, tab: &Tab, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask(Some(tab), "Emulation.setDeviceMetricsOverride", size);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask(Some(tab), "Emulation.setEmulatedMedia", features);
    }

    /// What is on the screen, as PNG in base64.
    pub fn picture(&mut self, tab: &Tab) -> String {
        let picture =
            self.ask(Some(tab), "Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false}));
        picture["data"].as_str().expect("a picture").to_owned()
    }

    /// What pages complained of so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Asks the browser, or a page, and waits for the answer.
    fn ask(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.try_ask(tab, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Result<Value, Value> {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(Tab(session)) = tab {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("write to the browser");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard =
                self.heard.recv_timeout(left).unwrap_or_else(|_| panic!("{method}: the browser does not answer"));
            if heard["id"] == self.number {
                let failed = !heard["error"].is_null();
                return if failed { Err(heard) } else { Ok(heard["result"].clone()) };
            }
            self.note(&heard);
        }
    }

    fn note(&mut self, event: &Value) {
        let what = &event["params"];
        let is_complaint = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => what["type"] != "log",
            "Log.entryAdded" => what["entry"]["level"] != "verbose" && what["entry"]["level"] != "info",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(what.to_string());
        }
    }
}

impl Drop for Browser {
    /// Asks it to end, so that it takes its own processes along; ends what does not.
    fn drop(&mut self) {
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + Duration::from_secs(3);
        while self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                reeve_kernel::sys::kill(-(self.process.id() as i32), libc::SIGKILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.wait();
    }
}
