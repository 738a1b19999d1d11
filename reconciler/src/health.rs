//! One health check of a running zone, within bounds. What is asked is the zone's and may be hostile: a server that hangs,
//! drips or talks for ever costs a thread for as long as the manifest gives the check, and a few kilobytes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use reeve_kernel::observe::start_time;
use reeve_kernel::sys;
use reeve_schema::manifest::{ExecCheck, Health, HttpCheck, TcpCheck};
use reeve_state::observed::ProcessId;

use crate::bounded::{self, Bounds};
use crate::host::Host;

/// The most that is read of an answer: its first line is all that counts.
const ANSWER_MAX: usize = 4 << 10;
/// The most characters of what a program said that are kept.
const SAID_MAX: usize = 200;

/// Checks a zone whose init is this process.
///
/// # Errors
/// Why it is not healthy, in words that are the same for the same cause.
pub fn check(host: &Host, zone: &str, init: ProcessId, health: &Health) -> Result<(), String> {
    let timeout = health.timeout.duration();
    match (&health.exec, &health.tcp, &health.http) {
        (Some(exec), ..) => run(host, zone, exec, timeout),
        (_, Some(TcpCheck { port, address }), _) => {
            let address = SocketAddr::new(*address, *port);
            in_network(init, move || connect(address, timeout).map(drop)).map_err(|why| format!("tcp {address}: {why}"))
        }
        (_, _, Some(http)) => {
            let (http, address) = (http.clone(), SocketAddr::new(http.address, http.port));
            let what = format!("http {address}{}", http.path);
            in_network(init, move || ask(&http, address, timeout)).map_err(|why| format!("{what}: {why}"))
        }
        _ => Ok(()),
    }
}

/// Runs `work` in a thread of its own that is in the network namespace of a process. It cannot go back, so it ends.
fn in_network<T: Send + 'static>(
    init: ProcessId,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let inside = move || {
        let namespace = File::open(format!("/proc/{}/ns/net", init.pid)).map_err(|error| error.to_string())?;
        // Only after the file is open is it known whose it is.
        if start_time(init.pid) != Some(init.start_time) {
            return Err("init ended".to_owned());
        }
        sys::setns(namespace.as_fd(), sys::flags::NEWNET).map_err(|error| error.to_string())?;
        work()
    };
    let thread = std::thread::Builder::new().name("health".to_owned()).stack_size(256 << 10).spawn(inside);
    let thread = thread.map_err(|error| format!("no thread to check it with: {error}"))?;
    thread.join().unwrap_or_else(|_| Err("the check broke off".to_owned()))
}

fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&address, timeout).map_err(|error| told(&error))
}

/// An error of a socket, without what differs between two ways in which the same time runs out.
fn told(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match error.kind() {
        TimedOut | WouldBlock => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// Asks a web server for a page, and looks at the status of its answer.
fn ask(http: &HttpCheck, address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let until = Instant::now() + timeout;
    let mut stream = connect(address, timeout)?;
    stream.set_write_timeout(Some(timeout)).map_err(|error| told(&error))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: reeve\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        http.path
    );
    stream.write_all(request.as_bytes()).map_err(|error| told(&error))?;
    let line = first_line(&mut stream, until)?;
    let status = status_of(&line).ok_or("the answer is not HTTP")?;
    let good = http.status.map_or((200..400).contains(&status), |wanted| wanted == status);
    if good { Ok(()) } else { Err(format!("status {status}")) }
}

/// Reads up to the end of the first line, for as long as there is time, however slowly it comes.
fn first_line(stream: &mut TcpStream, until: Instant) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no answer in time".to_owned());
        }
        stream.set_read_timeout(Some(left)).map_err(|error| told(&error))?;
        match stream.read(&mut piece).map_err(|error| told(&error))? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    Ok(answer)
}

/// The status in the first line of an answer (RFC 9112, 4).
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let rest = std::str::from_utf8(line.get(..12)?).ok()?.strip_prefix("HTTP/1.")?;
    let status = rest.get(1..)?.strip_prefix(' ')?;
    let status: u16 = status.bytes().all(|byte| byte.is_ascii_digit()).then(|| status.parse().ok())??;
    (100..600).contains(&status).then_some(status)
}

/// Runs a program in the zone as a login does, by the command that does so.
fn run(host: &Host, zone: &str, exec: &ExecCheck, timeout: Duration) -> Result<(), String> {
    let program = exec.command.first().map_or("", String::as_str);
    let mut command = Command::new("/proc/self/exe");
    command.arg0_reeve().args(["login", zone, "--"]).args(&exec.command);
    let places = host.places();
    command.env("REEVE_STATE_DIR", places.state()).env("REEVE_RUN_DIR", places.run());
    let bounds = Bounds { time: timeout, output: 64 << 10, ..Bounds::default() };
    let ended = bounded::run(&mut command, b"", &bounds).map_err(|error| format!("exec {program}: {error}"))?;
    if ended.good() {
        return Ok(());
    }
    let how = match (ended.late, ended.much, ended.status.code()) {
        (true, ..) => return Err(format!("exec {program}: it took too long")),
        (_, true, _) => return Err(format!("exec {program}: it said too much")),
        (.., Some(code)) => format!("exit code {code}"),
        (.., None) => "it broke off".to_owned(),
    };
    let said = last_line(&format!("{}\n{}", ended.text(), ended.said));
    Err(format!("exec {program}: {how}{}{said}", if said.is_empty() { "" } else { ": " }))
}

/// The last line that says something, as much of it as may be shown.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect()
}

/// The program is one of several names; by this one it is the command line.
trait Named {
    fn arg0_reeve(&mut self) -> &mut Self;
}

impl Named for Command {
    fn arg0_reeve(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::arg0(self, "reeve")
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_status_is_found_in_the_first_line_only() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 503\r\n"), Some(503));
        for wrong in
            [&b""[..], b"HTTP/1.1", b"HTTP/2 200 OK", b"SSH-2.0-OpenSSH_9.2", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 999 X"]
        {
            assert_eq!(status_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_last_line_is_cut() {
        assert_eq!(last_line("a\nb\x1b[1m c\n\n"), "b[1m c");
        assert_eq!(last_line(&"x".repeat(1000)).len(), SAID_MAX);
        assert_eq!(last_line(""), "");
    }

    /// A server that answers one connection like this, and then keeps it open for a while.
    fn answered(answer: &'static [u8], pause: Duration, timeout: u64) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            // Closing on what was not read would reset the connection, answer and all.
            let _request = stream.read(&mut [0; 1024]);
            for byte in answer.iter().cycle().take(if pause.is_zero() { answer.len() } else { usize::MAX }) {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(pause);
            }
        });
        let http = HttpCheck { port: address.port(), address: address.ip(), path: "/".into(), status: None };
        ask(&http, address, Duration::from_millis(timeout))
    }

    #[test]
    fn servers_of_all_kinds_are_answered_in_time() {
        assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n", Duration::ZERO, 5000), Ok(()));
        assert_eq!(answered(b"HTTP/1.1 500 Oh\r\n\r\n", Duration::ZERO, 5000), Err("status 500".into()));
        assert_eq!(answered(b"220 mail\r\n", Duration::ZERO, 5000), Err("the answer is not HTTP".into()));
        assert_eq!(answered(b"x", Duration::from_millis(20), 200), Err("no answer in time".into()));
        // More than is read.
        assert_eq!(answered(&[b'y'; 100_000], Duration::ZERO, 5000), Err("the answer is not HTTP".into()));
    }
}
