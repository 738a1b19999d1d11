//! The status page as somebody sees it: a real controller with real zones, and Chromium. The page shows the zones, follows what
//! happens to them without being loaded again, tells of a halt that is held up, works without scripts and on a narrow screen in
//! the dark, and neither the browser nor its Content-Security-Policy has anything to complain of.
//!
//! The pictures in docs/images are taken by this program: `REEVE_UPDATE=1 cargo test --test page`.

mod browser;
#[path = "../harness/mod.rs"]
mod harness;

use browser::{Browser, Tab};
use harness::Host;
use harness::held::Held;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the controller listens: in the network namespace of the test, where nobody else is.
const PORT: u16 = 9680;
/// An init that has a second to end.
const INIT: &str = "init:\n  command: [/usr/bin/sleep, infinity]\n  haltTimeout: 1s\n";
/// The most bytes of a picture in the documents.
const PICTURE_MAX: usize = 150 << 10;

fn address(path: &str) -> String {
    format!("http://localhost:{PORT}{path}")
}

fn converged(status: &Value, state: &str) -> bool {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    status["state"] == state && all.iter().any(|one| one["type"] == "Converged" && one["status"] == "True")
}

/// What comes to a request: the head, and the body.
fn request(line: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).expect("the controller listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(format!("{line} HTTP/1.1\r\n{headers}\r\n").as_bytes()).expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

/// What is answered to whom, without a browser.
fn answers() {
    let own = "Host: localhost:9680\r\n";
    let (head, body) = request("GET /", own);
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("<h1>Zones</h1>"), "{head}");
    let policy = header(&head, "content-security-policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&head, "cache-control"), "no-store");
    assert_eq!(header(&head, "x-content-type-options"), "nosniff");
    assert_eq!(header(&head, "referrer-policy"), "no-referrer");
    let tag = header(&head, "etag");
    let (head, body) = request("GET /nowhere", &format!("{own}If-None-Match: {tag}\r\n"));
    assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("/zones/NAME"), "{head}\n{body}");
    let (head, body) = request("GET /zones/%3Cscript%3E", own);
    assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("The zone %3Cscript%3E is not there"), "{head}\n{body}");
    let (head, body) = request("HEAD /", own);
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}\n{body}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (head, _) = request(&format!("{method} /"), own);
        assert!(head.starts_with("HTTP/1.1 405 ") && header(&head, "allow") == "GET, HEAD", "{head}");
    }
    for path in ["/", "/metrics", "/zones/web", "/page.js"] {
        let (head, body) = request(&format!("GET {path}"), "Host: example.org:9680\r\n");
        assert!(head.starts_with("HTTP/1.1 421 ") && !body.contains("web"), "{path}: {head}\n{body}");
    }
    let (head, _) = request("GET http://example.org/", own);
    assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    let (head, body) = request("GET /metrics", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("reeve_zone_state{zone=\"web\""), "{head}");
    // Who has the page as it is gets nothing; ages of less than ten minutes change each second.
    let same = || {
        let (head, _) = request("GET /icon.svg", own);
        let (page, _) = request("GET /nowhere", own);
        let again = request("GET /nowhere", &format!("{own}If-None-Match: {}\r\n", header(&page, "etag")));
        head.starts_with("HTTP/1.1 200 ") && again.0.starts_with("HTTP/1.1 304 ") && again.1.is_empty()
    };
    assert!(same());
}

/// What the list shows of a zone: true where its row has all of these words.
fn row(zone: &str, words: &[&str]) -> String {
    let words = serde_json::to_string(words).expect("JSON");
    format!(
        "(() => {{ const link = document.querySelector('.zones a[href=\"/zones/{zone}\"]'); \
         return !!link && {words}.every(word => link.closest('tr').textContent.includes(word)); }})()"
    )
}

/// True where the page says all of this.
fn says(words: &[&str]) -> String {
    let words = serde_json::to_string(words).expect("JSON");
    format!("{words}.every(word => document.getElementById('live').textContent.includes(word))")
}

/// Shows the test's folder of manifests, also where the page cut its name short, as the folder that a host would have.
const PLAIN: &str = r"(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        text.data = text.data.replace(/\/var\/tmp\/reeve-test-page-[0-9]+(-[0-9]+)?(\/manifests)?/g, '/etc/reeve/zones');
    }
    return !document.body.innerText.includes('reeve-test');
})()";

/// Keeps what is on the screen as a picture in the documents, where that is asked for.
fn keep(browser: &mut Browser, tab: &Tab, name: &str, height: u32) {
    browser.screen(tab, 860, height, "light");
    browser.wait(tab, PLAIN);
    let picture = decoded(&browser.picture(tab));
    assert!(picture.starts_with(b"\x89PNG") && picture.len() < PICTURE_MAX, "{name}: {} bytes", picture.len());
    if std::env::var_os("REEVE_UPDATE").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
        std::fs::write(folder.join(name), picture).expect("write the picture");
    }
}

/// Base64 as the browser writes it.
fn decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.bytes().filter(|c| *c != b'=').map(|c| value(c).into()).collect();
    let group = |group: &[u32]| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | group.get(at).copied().unwrap_or(0));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// On a narrow screen at night nothing sticks out, and it is dark.
fn on_a_phone(browser: &mut Browser, tab: &Tab) {
    browser.screen(tab, 360, 740, "dark");
    let sticks_out = browser.eval(tab, "document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(sticks_out, 0, "pixels that stick out at the side");
    let ground = browser.eval(tab, "getComputedStyle(document.body).backgroundColor");
    assert_eq!(ground, "rgb(18, 20, 22)");
}

#[test]
fn somebody_looks_at_the_zones_in_a_browser() {
    let mut host = Host::new("page");
    for (name, state) in [("web", "running"), ("standby", "ready"), ("held", "running"), ("spare", "installed")] {
        host.zone(name, state, INIT);
    }
    host.start_controller_with(&["--listen", &PORT.to_string()]);
    let mut browser = Browser::start(host.folder());
    let (list, plain) = (browser.open(true), browser.open(false));
    for (name, state) in [("web", "running"), ("standby", "ready"), ("held", "running"), ("spare", "installed")] {
        host.wait(name, state, |status| converged(status, state));
    }
    answers();

    browser.go(&plain, &address("/"));
    browser.front(&list);
    browser.go(&list, &address("/"));
    browser.wait(&list, &row("web", &["as wanted", "running"]));
    browser.wait(&list, &row("spare", &["as wanted", "installed"]));
    browser.wait(&list, "document.getElementById('liveness').textContent === 'Live'");
    browser.eval(&list, "window.kept = true");

    // What happens shows without the page being loaded again.
    let changed = Instant::now();
    host.zone("standby", "running", INIT);
    browser.wait(&list, &row("standby", &["as wanted", "running"]));
    println!("from a changed manifest to the page: {} ms", changed.elapsed().as_millis());
    let zsched = host.zone_status("held")["zschedPid"].as_i64().expect("a zsched");
    let holder = Held::shell(&format!("cd /proc/{zsched}/root/etc"));
    host.zone("held", "installed", INIT);
    browser.wait(&list, &row("held", &["needs a person", "down", "HaltBlocked"]));
    let first = "document.querySelector('.zones tbody th').textContent";
    assert_eq!(browser.eval(&list, first), "held", "trouble comes first");
    assert_eq!(browser.eval(&list, "window.kept"), true, "the page was loaded again");
    on_a_phone(&mut browser, &list);
    keep(&mut browser, &list, "status-list.png", 560);

    // Why, and what helps.
    browser.go(&list, &address("/zones/held"));
    let (kill, pid) = (format!("kill {}", holder.pid()), holder.pid().to_string());
    browser.wait(
        &list,
        &says(&["MountBusy", "unmount", &kill, &pid, "reeve retry held", "To be asked for from down: halt"]),
    );
    assert_eq!(browser.eval(&list, "document.querySelector('.node.here + .name').textContent"), "▶ down");
    assert_eq!(browser.eval(&list, "document.querySelectorAll('.arrow.way').length"), 1, "from down to installed");
    on_a_phone(&mut browser, &list);
    keep(&mut browser, &list, "status-blocked.png", 1240);
    // Without scripts it is made anew by the browser.
    browser.front(&plain);
    browser.wait_html(&plain, "needs a person");
    browser.front(&list);
    drop(holder);
    browser.wait(&list, &says(&["as wanted", "To be asked for from installed", "Nothing is planned"]));
    browser.wait(&list, "!document.getElementById('halt')");

    browser.go(&list, &address("/?state=ready"));
    browser.wait(&list, &says(&["No zone is like that"]));
    assert_eq!(browser.complaints(), [""; 0], "what the browser complains of");
    host.end_controller(libc::SIGTERM);
    browser.wait(&list, "document.getElementById('liveness').textContent.startsWith('Not live since')");
    drop(browser);
    host.finish();
}
