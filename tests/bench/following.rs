//! A real `reeve run` over zones of the bench: started as a program of its own, heard through its log, asked over its socket.

use crate::Result;
use crate::timing::settle;
use crate::zones::{Manifest, Scratch};
use reeve::Places;
use reeve::controller::Controller;
use reeve_kernel::sys;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long the controller may take for anything that it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A controller that does not outlive the bench.
pub struct Following {
    child: Child,
    folder: PathBuf,
    tree: PathBuf,
    /// What it logs, and when that was read.
    lines: Receiver<(Instant, Value)>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Following {
    /// Has a controller follow a folder with these manifests, and waits until it made a pass of which all zones came out settled.
    pub fn start(scratch: &Scratch, manifests: &[Manifest]) -> Result<Self> {
        let (places, tree) = (scratch.places()?, scratch.tree()?);
        let folder = scratch.folder.join("manifests");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        for manifest in manifests {
            std::fs::write(folder.join(format!("{}.yaml", manifest.name)), manifest.text(&tree))?;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
        command.arg("run").arg(&folder).args(["--log-format", "json", "--verbose"]);
        command.env("REEVE_STATE_DIR", places.state()).env("REEVE_RUN_DIR", places.run());
        command.env("REEVE_CGROUP", places.cgroup()).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if tell.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let following = Self { child, folder, tree, lines };
        Self::settled(&places)?;
        Ok(following)
    }

    fn settled(places: &Places) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut connected = loop {
            match Controller::connect(places)? {
                Some(connected) => break connected,
                None if Instant::now() > deadline => return Err("the controller does not answer".into()),
                None => settle(),
            }
        };
        connected.pass(PATIENCE, &reeve::progress::silent())?;
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Puts another manifest in the place of that of its zone.
    pub fn put(&self, manifest: &Manifest) -> Result<()> {
        let (file, beside) = (format!("{}.yaml", manifest.name), self.folder.join(".beside"));
        std::fs::write(&beside, manifest.text(&self.tree))?;
        Ok(std::fs::rename(&beside, self.folder.join(file))?)
    }

    /// Forgets what it logged so far.
    pub fn forget(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// The next record that `pick` makes something of, and when it came.
    pub fn heard<T>(&self, pick: impl Fn(&Value) -> Option<T>) -> Result<(Instant, T)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (at, line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))?;
            if let Some(found) = pick(&line) {
                return Ok((at, found));
            }
        }
    }

    /// Ends it, also where SIGINT is ignored because the bench runs in the background of a script.
    pub fn end(mut self) -> Result<()> {
        sys::kill(self.pid(), 15);
        self.child.wait()?;
        Ok(())
    }
}

/// What the controller with its socket here answers to a request for this path.
pub fn asked(socket: &Path, path: &str) -> Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: reeve\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no answer")?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("{path}: {}", String::from_utf8_lossy(&answer[..end])).into());
    }
    Ok(answer.split_off(end + 4))
}
