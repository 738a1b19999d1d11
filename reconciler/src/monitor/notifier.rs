//! Telling receivers of notifications, for who has no Prometheus: one task for each, which looks at what the controller tells when
//! that is new, and sends what its receiver was not told yet. A receiver that does not answer is tried again, later each time;
//! nobody waits for it.
//!
//! Requests are made by curl(1), a program within bounds, as git is: there is no TLS of Reeve's own. All that it is told comes to
//! its standard input, because an address may be a secret (Slack's are).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reeve_schema::configuration::{NotificationForm, NotifiedCondition, Receiver};
use reeve_state::Timestamp;
use reeve_state::condition::ConditionType;
use reeve_state::notification::{self, Form, Ledger, Notification, Timing, Troubles};

use super::board::{Board, Told};
use crate::bounded::{self, Bounds};
use crate::error::{Error, OnFile, Result};
use crate::secrets::hmac_sha256;
use crate::store::files::{self, Durability};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What happens within this time is told together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How long a receiver that did not answer is left alone; then twice as long each time.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// How often Alertmanager is told what lasts.
const AGAIN_MS: u64 = 120_000;
/// The most that is told in one request.
const ITEMS: usize = 100;

/// Someone who is told.
struct Herald {
    receiver: Receiver,
    on: Vec<ConditionType>,
    timing: Timing,
    host: String,
    secret: Option<Vec<u8>>,
    ledger: Ledger,
    /// Where the ledger is kept, so that the next controller tells nothing twice.
    file: PathBuf,
}

/// Tells these receivers from now on of what is on the board of this host. What they were told is kept in `folder`.
///
/// # Errors
/// A secret that cannot be read or is too short.
pub fn start(receivers: &[Receiver], board: &Arc<Board>, host: &str, folder: &Path) -> Result<()> {
    let mut heralds = Vec::new();
    for (number, receiver) in receivers.iter().enumerate() {
        heralds.push(herald(receiver, host, folder.join(format!("notified-{number}.json")))?);
    }
    for herald in heralds {
        tokio::spawn(tell(herald, Arc::clone(board)));
    }
    Ok(())
}

fn herald(receiver: &Receiver, host: &str, file: PathBuf) -> Result<Herald> {
    let secret = match &receiver.secret_file {
        Some(path) => {
            let path = Path::new(path);
            let secret = std::fs::read(path).on("read", path)?.trim_ascii_end().to_vec();
            if secret.len() < 16 {
                let what = "has less than 16 bytes; make one: head -c 32 /dev/urandom | base64";
                return Err(Error::refused(format!("{} {what}", path.display())));
            }
            Some(secret)
        }
        None => None,
    };
    let again_ms = (receiver.form == NotificationForm::Alertmanager).then_some(AGAIN_MS);
    // One that cannot be read is that of nobody who was told.
    let kept = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    let ledger = kept.filter(|kept| kept.url == receiver.url).map(|kept| kept.ledger).unwrap_or_default();
    Ok(Herald {
        receiver: receiver.clone(),
        on: conditions(&receiver.conditions),
        timing: Timing { after_ms: receiver.after.millis().into(), again_ms },
        host: host.to_owned(),
        secret,
        ledger,
        file,
    })
}

fn conditions(named: &[NotifiedCondition]) -> Vec<ConditionType> {
    let is_named = |kind: &ConditionType| named.is_empty() || named.iter().any(|one| one.as_str() == kind.as_str());
    notification::USUAL.into_iter().filter(is_named).collect()
}

/// The ledger as it is kept, and whose it is.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    url: String,
    ledger: Ledger,
}

async fn tell(mut herald: Herald, board: Arc<Board>) {
    let mut news = board.news();
    let mut failures: u32 = 0;
    loop {
        let troubles = herald.troubles(&board.now());
        let now = crate::store::now();
        let mut changed = herald.ledger.note(&troubles, now);
        let mut due = herald.ledger.due(&troubles, herald.timing, now);
        due.truncate(ITEMS);
        let mut wait = herald.wait(&troubles, now);
        if !due.is_empty() {
            let (request, items) = (herald.request(&due, now), due.len());
            let sent = tokio::task::spawn_blocking(move || send(&request)).await;
            let sent = sent.unwrap_or_else(|error| Err(error.to_string()));
            board.change(|told| told.counters.notified(sent.is_ok()));
            match sent {
                Ok(()) => {
                    herald.ledger.sent(&due, now);
                    (failures, changed, wait) = (0, true, Duration::ZERO);
                    tracing::debug!("told a receiver of {items}");
                }
                Err(why) => {
                    wait = BACKOFF_FIRST.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
                    if failures == 0 {
                        tracing::warn!("a receiver of notifications was not told: {why}; it is tried again");
                    }
                    failures = failures.saturating_add(1);
                }
            }
        }
        if changed {
            herald.keep().await;
        }
        if failures > 0 {
            // What is new meanwhile is told with the rest.
            tokio::time::sleep(wait).await;
            continue;
        }
        tokio::select! {
            changed = news.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(TOGETHER).await;
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Herald {
    /// What is not as it should be, and is to be told.
    fn troubles(&self, told: &Told) -> Troubles {
        let mut troubles = Troubles::new();
        for (name, zone) in told.zones.iter() {
            notification::add(&mut troubles, Some(name), &zone.status.conditions, &self.on);
        }
        let source = told.source.as_ref().map(|source| source.conditions.as_slice()).unwrap_or_default();
        notification::add(&mut troubles, None, source, &self.on);
        troubles
    }

    /// How long nothing is due.
    fn wait(&self, troubles: &Troubles, now: Timestamp) -> Duration {
        let wake = self.ledger.wake(troubles, self.timing);
        wake.map_or(Duration::from_secs(3600), |wake| Duration::from_millis(wake.since(now).clamp(10, 3_600_000)))
    }

    /// What curl is told, on its standard input (curl(1), `--config`).
    fn request(&self, due: &[Notification], now: Timestamp) -> String {
        let form = match self.receiver.form {
            NotificationForm::Generic => Form::Generic,
            NotificationForm::Slack => Form::Slack,
            NotificationForm::Alertmanager => Form::Alertmanager,
        };
        let body = notification::body(form, &self.host, due, now).to_string();
        let mut lines = vec![
            option("url", &self.receiver.url),
            option("header", "Content-Type: application/json"),
            option("data-binary", &body),
        ];
        if let Some(secret) = &self.secret {
            let signature = hmac_sha256(secret, body.as_bytes());
            lines.push(option("header", &format!("X-Reeve-Signature-256: sha256={signature}")));
        }
        lines.concat()
    }

    /// Keeps the ledger, for the next controller.
    async fn keep(&self) {
        let kept = Kept { url: self.receiver.url.clone(), ledger: self.ledger.clone() };
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || {
            files::replace_json(&file, &kept, Durability::Volatile).map_err(|error| error.to_string())
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("{}: {error}", self.file.display()),
            Err(error) => tracing::warn!("{}: {error}", self.file.display()),
        }
    }
}

/// A line of curl's configuration.
pub(super) fn option(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
    format!("{name} = \"{value}\"\n")
}

/// Makes one request. Nothing but success is success; a redirection is none.
fn send(request: &str) -> std::result::Result<(), String> {
    let mut curl = bounded::command("curl");
    curl.args(["--disable", "--silent", "--show-error", "--fail", "--output", "/dev/null", "--config", "-"]);
    curl.args(["--proto", "=http,https", "--connect-timeout", "5", "--max-time", "15"]);
    let bounds = Bounds { time: PATIENCE, output: 64 << 10, ..Bounds::default() };
    let ended = bounded::run(&mut curl, request.as_bytes(), &bounds).map_err(|error| error.to_string())?;
    match ended.good() {
        true => Ok(()),
        false if ended.late => Err("it took too long".into()),
        // curl names the host at most, never the whole address.
        false => Err(ended.said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_is_told_cannot_be_broken_out_of() {
        assert_eq!(option("header", "a\"\nurl = \"b\\"), "header = \"a\\\"\\nurl = \\\"b\\\\\"\n");
    }
}
