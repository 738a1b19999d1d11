//! Ways to a repository: URLs that would have git start something or say nothing of who answers, and servers that lead
//! elsewhere, never end or never begin.

use crate::cases::{Case, hostile, not_followed};
use crate::harness::git::fed;
use crate::scene::{Scene, Settings};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Where a case's server listens, in the case's own network.
const SERVER: &str = "127.0.0.1:8443";
/// Where it leads to, and nobody may come.
const ELSEWHERE: &str = "127.0.0.1:8080";

/// A URL that is refused before anything is started with it.
fn url(name: &'static str, url: fn(&Scene) -> String) -> Case {
    not_followed(name, "is refused", move |scene, settings| settings.url = url(scene))
}

/// One that the configuration's own rules refuse: it begins as an option does.
fn option(name: &'static str, url: fn(&Scene) -> String) -> Case {
    not_followed(name, "is no place of a repository", move |scene, settings| settings.url = url(scene))
}

/// Follows the server at [`SERVER`], whose certificate is trusted.
fn over_https(scene: &Scene, settings: &mut Settings) {
    settings.url = format!("https://{SERVER}/repo.git");
    let certificate = scene.host.folder().join("server/cert.pem");
    settings.source = vec!["timeout: 5s".into(), format!("https: {{caFile: {}}}", certificate.display())];
}

/// Starts a server that gives one answer to the first question of git's.
fn serve(scene: &mut Scene, answer: &str, body: u64) {
    let folder = scene.host.folder().join("server");
    let below = folder.join("repo.git/info");
    std::fs::create_dir_all(&below).expect("a folder");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem"]);
    fed(openssl.args(["-out", "cert.pem"]).current_dir(&folder), b"");
    let file = below.join("refs?service=git-upload-pack");
    std::fs::write(&file, answer).expect("the answer");
    let end = answer.len() as u64 + body;
    std::fs::OpenOptions::new().write(true).open(&file).and_then(|file| file.set_len(end)).expect("its length");
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-accept", SERVER, "-cert", "cert.pem", "-key", "key.pem", "-HTTP"]);
    server.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    scene.helpers.push(server.spawn().expect("openssl"));
    for _ in 0..500 {
        if std::net::TcpStream::connect(SERVER).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("openssl s_server does not listen");
}

/// A server that sends whoever asks elsewhere.
fn redirect(name: &'static str, to: fn(&Scene) -> String) -> Case {
    hostile(name, &["Unreachable", "NotARepository"], move |scene| {
        scene.listeners.push(TcpListener::bind(ELSEWHERE).expect("listen"));
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", to(scene));
        serve(scene, &answer, 0);
        String::new()
    })
    .told(over_https)
    .fresh()
    .looked(|scene| {
        let listener = scene.listeners.first()?;
        listener.set_nonblocking(true).expect("nonblocking");
        listener.accept().is_ok().then(|| "somebody came where the server sent them".into())
    })
}

pub fn cases() -> Vec<Case> {
    [urls(), servers()].into_iter().flatten().collect()
}

fn urls() -> Vec<Case> {
    vec![
        url("url-ext", |scene| format!("ext::{}", scene.canary_program())),
        url("url-ext-with-arguments", |scene| format!("ext::sh -c '{}'", scene.canary())),
        url("url-fd", |_| "fd::7".into()),
        url("url-of-a-helper", |_| "evil::https://fleet.example/zones".into()),
        url("url-git", |_| "git://127.0.0.1/repo.git".into()),
        url("url-http", |_| "http://127.0.0.1/repo.git".into()),
        url("url-ftp", |_| "ftp://127.0.0.1/repo.git".into()),
        option("url-option", |scene| format!("--upload-pack={}", scene.canary_program())),
        url("url-ssh-option", |scene| format!("ssh://-oProxyCommand={}/repo.git", scene.canary_program())),
        url("url-ssh-option-of-user", |scene| format!("git@-oProxyCommand={}:repo.git", scene.canary_program())),
        option("url-ssh-option-short", |scene| format!("-oProxyCommand={}:repo.git", scene.canary_program())),
        url("url-relative", |_| "../repo.git".into()),
    ]
}

fn servers() -> Vec<Case> {
    vec![
        redirect("redirect-to-http", |_| format!("http://{ELSEWHERE}/repo.git/info/refs?service=git-upload-pack")),
        redirect("redirect-to-file", |scene| format!("file://{}/info/refs", scene.repo.path().display())),
        redirect("redirect-to-ext", |scene| format!("ext::sh -c '{}'", scene.canary())),
        hostile("certificate-unknown", &["Unreachable"], |scene| {
            serve(scene, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
            String::new()
        })
        .told(|scene, settings| {
            over_https(scene, settings);
            settings.source.pop();
        })
        .fresh(),
        hostile("a-page-instead", &["Unreachable", "NotARepository", "ReferenceMissing"], |scene| {
            serve(scene, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\n<html/>", 0);
            String::new()
        })
        .told(over_https)
        .fresh(),
        // git has all that a server says of its references in memory.
        hostile("references-without-end", &["TooLarge", "TimedOut", "Unreachable"], |scene| {
            let kind = "Content-Type: application/x-git-upload-pack-advertisement\r\n";
            serve(scene, &format!("HTTP/1.1 200 OK\r\n{kind}\r\n001e# service=git-upload-pack\n0000"), 2 << 30);
            String::new()
        })
        .told(over_https)
        .fresh()
        .watched(),
        hostile("server-says-nothing", &["TimedOut"], |scene| {
            scene.listeners.push(TcpListener::bind(SERVER).expect("listen"));
            String::new()
        })
        .told(|_, settings| {
            settings.url = format!("https://{SERVER}/repo.git");
            settings.source = vec!["timeout: 2s".into()];
        })
        .fresh(),
    ]
}
