//! What processes weigh: `pss_kib`, zoneadmd and zsched of a zone beside conmon of a container, and `controller_pss_kib`,
//! the controller that follows those zones. PSS: what only this process has in memory, and its part of what it shares.

use crate::Result;
use crate::containers;
use crate::following::Following;
use crate::hundred::Zones;
use crate::options::Options;
use crate::spawn::Program;
use crate::table::Table;
use crate::timing::settle;
use crate::zones::{Manifest, Scratch};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many zones and containers: what they share is shared by so many.
const COUNT: usize = 20;

/// Measures both rows and adds those that are wanted.
pub fn rows(options: &Options, scratch: &Scratch, table: &mut Table) -> Result<()> {
    if !options.wants("pss_kib") && !options.wants("controller_pss_kib") {
        return Ok(());
    }
    let zones = Zones::install(scratch, "weighed", COUNT, true)?;
    zones.apply("running")?;
    settle();
    let processes = supervisors(scratch)?;
    if processes.len() != 2 * COUNT {
        return Err(format!("{} zoneadmd and zsched for {COUNT} zones", processes.len()).into());
    }
    let weight = weigh(&processes)? / COUNT as f64;
    let controller = options.wants("controller_pss_kib").then(|| controller(scratch)).transpose()?;
    zones.apply("installed")?;
    zones.remove()?;
    if options.wants("pss_kib") {
        let conmon = conmons(scratch).map_err(|error| eprintln!("bench: conmon is left out of pss_kib: {error}")).ok();
        table.add("pss_kib", "KiB", weight, vec![("conmon", conmon)]);
    }
    if let Some(weight) = controller {
        table.add("controller_pss_kib", "KiB", weight, Vec::new());
    }
    Ok(())
}

/// zoneadmd and zsched of every zone, by the cgroups that they are in.
fn supervisors(scratch: &Scratch) -> Result<Vec<i32>> {
    let zones = scratch.cgroup()?.join("zones");
    let mut pids = processes(&zones.join("zoneadmd"))?;
    for entry in std::fs::read_dir(&zones)? {
        let zsched = entry?.path().join("zsched");
        if zsched.is_dir() {
            pids.extend(processes(&zsched)?);
        }
    }
    Ok(pids)
}

fn processes(cgroup: &Path) -> Result<Vec<i32>> {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// PSS of these processes together, in KiB.
fn weigh(pids: &[i32]) -> Result<f64> {
    let mut sum = 0.0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss in smaps_rollup")?;
        sum += pss.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(sum)
}

/// The weight of `reeve run` once all is quiet.
fn controller(scratch: &Scratch) -> Result<f64> {
    let manifest = |index: usize| {
        let net = Some(u16::try_from(index + 2)?);
        Ok(Manifest { net, ..Manifest::new(&format!("weighed-{index}")).state("running") })
    };
    let manifests = (0..COUNT).map(manifest).collect::<Result<Vec<Manifest>>>()?;
    let following = Following::start(scratch, &manifests)?;
    // Threads that have nothing to do end after five seconds.
    std::thread::sleep(Duration::from_secs(7));
    let weight = weigh(&[following.pid()])?;
    following.end()?;
    Ok(weight)
}

/// The weight of one conmon, of as many as there were zones, each with a container of crun.
fn conmons(scratch: &Scratch) -> Result<f64> {
    let folder = Path::new("/run/bench/conmon");
    let names: Vec<String> = (0..COUNT).map(|index| format!("conmon-{index}")).collect();
    for name in &names {
        let bundle = containers::bundle(scratch, "crun", name, None, &["/init"])?.display().to_string();
        let own = folder.join(name);
        std::fs::create_dir_all(&own)?;
        let file = |file: &str| own.join(file).display().to_string();
        let (own, log) = (own.display().to_string(), format!("k8s-file:{}", file("log")));
        let pid_file = file("pid");
        let mut arguments = vec!["--cid", name, "--cuuid", name, "--name", name, "--bundle", &bundle];
        arguments.extend(["--container-pidfile", &pid_file, "--log-path", &log, "--runtime", "/usr/bin/crun"]);
        arguments.extend(["--exit-dir", &own, "--full-attach", "--socket-dir-path", &own]);
        arguments.push("--runtime-arg=--root=/run/bench/crun");
        let conmon_pid_file = file("conmon.pid");
        arguments.extend(["--conmon-pidfile", &conmon_pid_file]);
        Program::new("conmon", &arguments)?.run()?;
    }
    let weighed = conmons_running(&names, folder);
    for name in &names {
        let _ = Program::new("crun", &["--root", "/run/bench/crun", "delete", "--force", name])?.run();
    }
    weighed
}

fn conmons_running(names: &[String], folder: &Path) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    for name in names {
        while !folder.join(name).join("pid").exists() {
            if Instant::now() > deadline {
                return Err(format!("conmon made no container {name}").into());
            }
            settle();
        }
        Program::new("crun", &["--root", "/run/bench/crun", "start", name])?.run()?;
    }
    settle();
    let pid = |name: &String| Ok(std::fs::read_to_string(folder.join(name).join("conmon.pid"))?.trim().parse()?);
    let pids = names.iter().map(pid).collect::<Result<Vec<i32>>>()?;
    Ok(weigh(&pids)? / names.len() as f64)
}
