//! A closer look at a zone: what its platform is like in every field that can drift. It costs more than the look from which the
//! state follows, so it is taken where drift is asked for: in the passes of `apply` and of the controller, in `plan`, `diff` and `drift`.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::platform::{self as kernel, Target};
use reeve_kernel::observe::start_time;
use reeve_kernel::observe::strangers::{self, Home, Stranger};
use reeve_state::observed::{Platform, Who, derive_state};
use reeve_state::{Fact, ZoneFacts, ZoneState};
use sha2::{Digest, Sha256};

use super::Looker;
use crate::error::{OnFile, Result};
use crate::store::files;

impl Looker {
    /// Looks at the platform of a zone that is installed or up. Processes that entered from outside are those that
    /// [`Looker::strangers`] found last, as far as they still live.
    pub fn closer(&self, facts: &mut ZoneFacts) {
        facts.platform = None;
        let Fact::Known(state) = derive_state(facts) else { return };
        let mut platform = Platform::default();
        match state {
            ZoneState::Installed => {}
            ZoneState::Ready | ZoneState::Running => self.inside(facts, &mut platform),
            _ => return,
        }
        self.own_files(facts, &mut platform);
        facts.platform = Some(platform.into());
    }

    fn inside(&self, facts: &ZoneFacts, platform: &mut Platform) {
        let (Fact::Known(zsched), Ok(cgroup)) = (&facts.zsched, self.places.zone_cgroup(&facts.name)) else { return };
        let links = facts.links.known().map(Vec::as_slice).unwrap_or_default();
        let (alias, cgroup) = (self.places.bridge_alias(), cgroup.display().to_string());
        let target = Target {
            zsched: zsched.pid,
            init: facts.init.known().map(|init| init.pid),
            host_links: links.iter().map(|link| link.host_name.as_str()).collect(),
            bridges: links.iter().filter_map(|link| link.master.as_deref()).collect(),
            bridge_alias: &alias,
            cgroup: &cgroup,
            environment: facts.environment,
        };
        let kept = self.strict.lock().ok().and_then(|mut kept| kept.take());
        let Some(mut rtnl) = kept.or_else(|| Rtnl::open().and_then(Rtnl::strict).ok()) else { return };
        let seen = kernel::look(&mut rtnl, &target);
        if let Ok(mut kept) = self.strict.lock() {
            *kept = Some(rtnl);
        }
        // A zsched that ended meanwhile was not what was looked at.
        if start_time(zsched.pid) != Some(zsched.start_time) {
            return;
        }
        (platform.looked, platform.fields) = (seen.looked, seen.fields);
        if facts.links.why_unknown().is_some() {
            // Which links there are to be looked at, and which bridges, is not known: nothing of them is missing.
            for group in ["net", "bridge"] {
                platform.looked.remove(group);
                platform.fields.retain(|field, _| Platform::group(field) != group);
            }
        }
        let strangers = self.entered.lock().ok().and_then(|entered| entered.get(&facts.name).cloned());
        let strangers = strangers.unwrap_or_default().into_iter();
        platform.strangers = strangers.filter(|who| start_time(who.pid) == Some(who.start_time)).collect();
        if let Some(number) = facts.environment {
            let members = strangers::members(&format!("{cgroup}/env.{number}/cgroup.procs"));
            let new = strangers::intruders(&members).into_iter().map(who);
            for who in new {
                if !platform.strangers.iter().any(|known| known.pid == who.pid) {
                    platform.strangers.push(who);
                }
            }
            platform.strangers.sort_by_key(|who| who.pid);
        }
        platform.looked.insert("processes".into());
    }

    /// Modes, owners and contents of what is on disk.
    fn own_files(&self, facts: &ZoneFacts, platform: &mut Platform) {
        let mut take = |group: &str, read: Result<Vec<(String, String)>>| {
            // What could not be read is not compared: it is not missing.
            if let Ok(fields) = read {
                platform.looked.insert(group.to_owned());
                platform.fields.extend(fields);
            }
        };
        if let Some(zonepath) = facts.zonepath.as_deref() {
            take("zonepath", zonepath_fields(Path::new(zonepath)));
        }
        let run = facts.zsched.is_known().then(|| self.places.zone_run(&facts.name));
        take("files", file_fields(&self.places.zone_state(&facts.name), run.as_deref()));
    }

    /// Looks through the processes of the host for those that entered one of these zones, and keeps what it found. Says which
    /// zones have others than before.
    pub fn strangers(&self, zones: &[Resident]) -> Vec<String> {
        let Ok(parent) = self.places.cgroup_parent() else { return Vec::new() };
        let homes: BTreeMap<String, Home> = zones.iter().map(|zone| (zone.name.clone(), zone.home(&parent))).collect();
        let found = strangers::strangers(&homes, &format!("/{}/", self.places.cgroup()));
        let found: BTreeMap<String, Vec<Who>> =
            found.into_iter().map(|(zone, all)| (zone, all.into_iter().map(who).collect())).collect();
        let Ok(mut kept) = self.entered.lock() else { return Vec::new() };
        let changed = homes.keys().filter(|zone| kept.get(*zone) != found.get(*zone)).cloned().collect();
        *kept = found;
        changed
    }

    /// Keeps that a process entered a zone.
    pub fn entered(&self, zone: &str, who: Who) {
        let Ok(mut kept) = self.entered.lock() else { return };
        let those = kept.entry(zone.to_owned()).or_default();
        those.retain(|other| other.pid != who.pid && start_time(other.pid) == Some(other.start_time));
        those.push(who);
        those.sort_by_key(|who| who.pid);
    }
}

/// A zone that is up, as far as strangers in it are looked for.
#[derive(Clone, Debug)]
pub struct Resident {
    name: String,
    namespaces: BTreeMap<String, u64>,
    init: Option<i32>,
    environment: Option<u32>,
}

impl Resident {
    /// Those of these zones that are up.
    pub fn all<'f>(zones: impl Iterator<Item = &'f ZoneFacts>) -> Vec<Self> {
        let up = zones.filter(|facts| facts.zsched.is_known());
        up.map(|facts| Self {
            name: facts.name.clone(),
            namespaces: facts.namespaces.known().cloned().unwrap_or_default(),
            init: facts.init.known().map(|init| init.pid),
            environment: facts.environment,
        })
        .collect()
    }

    fn home(&self, parent: &Path) -> Home {
        let kinds = ["mnt", "net", "pid"].into_iter();
        let mut namespaces: Vec<(&'static str, u64)> =
            kinds.filter_map(|kind| Some((kind, *self.namespaces.get(kind)?))).collect();
        if let Some(init) = self.init {
            let of = |kind: &'static str| Some((kind, strangers::namespace_number(&init.to_string(), kind)?));
            namespaces.extend(["mnt", "pid"].into_iter().filter_map(of));
        }
        let cgroup = parent.join(format!("zone.{}", self.name));
        let leaf = self.environment.map(|number| cgroup.join(format!("env.{number}/cgroup.procs")));
        let members = leaf.map(|leaf| strangers::members(&leaf.display().to_string())).unwrap_or_default();
        Home { namespaces, members }
    }
}

/// A stranger as the facts have it.
pub fn who(stranger: Stranger) -> Who {
    let Stranger { pid, start_time, comm, uid, login_uid, inside } = stranger;
    Who { pid, start_time, comm, uid, login_uid, inside }
}

/// Modes and owners of the zonepath and the root in it.
fn zonepath_fields(zonepath: &Path) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for (field, path) in [("zonepath", zonepath.to_owned()), ("zonepath.root", zonepath.join("root"))] {
        let Some(found) = status(&path)? else { continue };
        out.push((format!("{field}.mode"), format!("{:04o}", found.mode() & 0o7777)));
        out.push((format!("{field}.owner"), format!("{}:{}", found.uid(), found.gid())));
    }
    Ok(out)
}

/// Modes and owners of the zone's folders, and what Reeve's own files in them are.
fn file_fields(state: &Path, run: Option<&Path>) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for (name, folder) in [("state", Some(state)), ("run", run)] {
        let Some(folder) = folder else { continue };
        out.extend(access(folder)?.map(|access| (format!("files.{name}"), access)));
    }
    for name in ["zone.json", "installed.json"] {
        let path = state.join(name);
        if let (Some(content), Some(access)) = (files::read(&path)?, access(&path)?) {
            out.push((format!("files.{name}"), format!("{} {access}", digest(&content))));
        }
    }
    Ok(out)
}

/// What stat(2) says of a path itself; none where nothing is there.
fn status(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).on("stat", path),
    }
}

/// Mode and owner of a file in words; none where it is not there.
fn access(path: &Path) -> Result<Option<String>> {
    let words = |found: Metadata| format!("{:04o} {}:{}", found.mode() & 0o7777, found.uid(), found.gid());
    Ok(status(path)?.map(words))
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
