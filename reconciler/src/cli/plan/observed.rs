//! Plans for hosts that are not at hand, from what they published: for a change that is still to be agreed to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reeve::published::{self, Published};
use reeve::source;
use reeve_schema::{Catalog, Limits, SourceFile};
use reeve_state::plan::document::ObservedHost;

use super::{Arguments, HostPlan, Shown, Source};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::time;

/// Plans for every host that published one of the files.
pub fn plan(arguments: &Arguments, to: &Source) -> Result<Shown, Failure> {
    let now = reeve::store::now();
    let mut hosts: BTreeMap<String, (PathBuf, Published)> = BTreeMap::new();
    for path in &arguments.observed {
        let published = published::read(path, arguments.allowed_signers.as_deref())?;
        let name = published.snapshot.host.clone();
        if let Some((other, _)) = hosts.get(&name) {
            let message = format!("{} and {} are both of host {name}", other.display(), path.display());
            return Err(Failure::new(message).help("one file for each host, the newest"));
        }
        hosts.insert(name, (path.clone(), published));
    }
    let files = files(to)?;
    let catalog = Catalog::read(&files, &Limits::default());
    let (source, commit) = match to {
        Source::Git(git) => (git.to_string(), git.commit()?),
        Source::Files(manifests) => (manifests.path.display().to_string(), None),
        Source::Host => (String::new(), None),
    };
    if arguments.allowed_signers.is_none() {
        output::complain("warning: no signature was verified; --allowed-signers FILE names the hosts' public keys");
    }
    let max_age = u64::try_from(arguments.max_age.duration().as_millis()).unwrap_or(u64::MAX);
    let mut shown = Shown { source, commit: commit.clone(), hosts: Vec::new(), now };
    for (name, (_, Published { snapshot, verified })) in hosts {
        let mut set = published::set_for(&catalog, &snapshot)?;
        match to {
            Source::Git(git) => git.take_in(&mut set)?,
            Source::Files(_) | Source::Host => source::take_in(&mut set)?,
        }
        let planned = published::plan(&snapshot, &set, commit.clone(), now);
        let age = now.since(snapshot.at);
        let too_old = age > max_age;
        if too_old {
            let limit = time::span(max_age);
            let ago = time::age(snapshot.at, now);
            output::complain(&format!("warning: host {name} looked {ago} ago, longer than {limit} (--max-age)"));
        }
        let host = ObservedHost {
            name,
            observed_at: snapshot.at.utc(),
            age_seconds: age / 1000,
            too_old,
            verified,
            commit: snapshot.commit,
        };
        shown.hosts.push(HostPlan { host: Some(host), planned });
    }
    Ok(shown)
}

/// The set for all hosts.
fn files(to: &Source) -> Result<Vec<SourceFile>, Failure> {
    Ok(match to {
        Source::Git(git) => git.read()?,
        Source::Files(manifests) => source::read_all(std::slice::from_ref(&manifests.path))?,
        Source::Host => Vec::new(),
    })
}
