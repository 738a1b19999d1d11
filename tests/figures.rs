//! Figures 4A to 4G of the seed as one walk, except the stuck zone of 4A.

mod harness;

use harness::{Host, SLEEPER, kernel, shown};
use std::os::unix::fs::PermissionsExt;

/// The rows of `zoneadm list`, as words.
fn list(host: &Host, flags: &str) -> Vec<Vec<String>> {
    let output = host.by_name("zoneadm", &["list", flags]);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn row<'a>(rows: &'a [Vec<String>], zone: &str) -> &'a [String] {
    rows.iter().find(|row| row.get(1).is_some_and(|name| name == zone)).unwrap_or_else(|| panic!("{zone}: {rows:?}"))
}

/// What `pgrep -lf zoneadmd` would show of this host's zones: the command lines of its zoneadmd processes.
fn zoneadmds(host: &Host) -> Vec<String> {
    let mut lines: Vec<String> =
        kernel::processes(&host.cgroup().join("zoneadmd")).into_iter().map(kernel::command_line).collect();
    lines.sort();
    lines
}

#[test]
fn figure_4a_lists_every_zone_with_its_state_and_one_zoneadmd_for_each_active_one() {
    let host = Host::new("figure4a");
    host.zone("fun", "installed", "");
    host.zone("nofun", "ready", "");
    host.zone("lucky", "running", SLEEPER);
    host.apply();
    let rows = list(&host, "-civ");
    assert_eq!(rows[0], ["ID", "NAME", "STATUS", "PATH"]);
    assert_eq!(rows[1], ["0", "global", "running", "/"]);
    assert_eq!(row(&rows, "fun")[..3], ["-", "fun", "installed"]);
    assert_eq!(row(&rows, "nofun")[2], "ready");
    assert_eq!(row(&rows, "lucky")[2], "running");
    let ids: Vec<u32> = ["nofun", "lucky"].map(|zone| row(&rows, zone)[0].parse().expect("an ID")).to_vec();
    assert!(ids[0] >= 1 && ids[1] >= 1 && ids[0] != ids[1], "{ids:?}");
    assert_eq!(zoneadmds(&host), ["zoneadmd lucky", "zoneadmd nofun"]);
    let active: Vec<String> = list(&host, "-v").into_iter().skip(1).map(|row| row[1].clone()).collect();
    assert!(!active.contains(&"fun".to_owned()) && active.contains(&"lucky".to_owned()), "{active:?}");
    host.finish();
}

#[test]
fn figures_4b_to_4g_walk_one_zone_from_its_configuration_to_a_reboot() {
    let host = Host::new("figures");
    let path = host.folder().join("aux0/my-zone");
    std::fs::create_dir_all(&path).expect("zonepath");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let spec = format!("zonepath: {}\n{}{SLEEPER}", path.display(), harness::net(10));
    host.zone("my-zone", "installed", &spec);
    let manifests = host.manifests();
    let manifests = manifests.to_str().expect("UTF-8");

    // 4C: verify is refused until the zonepath has mode 700, and says what to do.
    let refused = host.reeve(&["verify", manifests]);
    assert_eq!(refused.status.code(), Some(1), "{}", shown(&refused));
    assert!(shown(&refused).contains(&format!("chmod 700 {}", path.display())), "{}", shown(&refused));
    let blocked = host.reeve(&["apply", manifests]);
    assert!(!blocked.status.success() && shown(&blocked).contains("chmod 700"), "{}", shown(&blocked));
    assert_eq!(host.state("my-zone"), "configured", "a failed install leaves Configured");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    host.ok(&["verify", manifests]);

    host.apply();
    assert_eq!(row(&list(&host, "-iv"), "my-zone")[..3], ["-", "my-zone", "installed"]);
    let root = path.join("root").metadata().expect("root").permissions().mode() & 0o7777;
    assert_eq!(root, 0o755);

    // 4D: ready.
    zoneadm(&host, &["-z", "my-zone", "ready"]);
    let rows = list(&host, "-v");
    let first: u32 = row(&rows, "my-zone")[0].parse().expect("an ID");
    assert_eq!(row(&rows, "my-zone")[2..], ["ready".to_owned(), path.display().to_string()]);
    assert!(kernel::at_work(&host.cgroup().join("zone.my-zone")).len() == 1, "zsched and no user process");

    // 4E: boot. 4F: halt.
    zoneadm(&host, &["-z", "my-zone", "boot"]);
    assert_eq!(row(&list(&host, "-v"), "my-zone")[..3], [first.to_string(), "my-zone".into(), "running".into()]);
    zoneadm(&host, &["-z", "my-zone", "halt"]);
    assert_eq!(row(&list(&host, "-civ"), "my-zone")[..3], ["-", "my-zone", "installed"]);
    assert!(zoneadmds(&host).is_empty());

    // 4G: booted from Installed it passes through Ready; a reboot gives a new ID.
    zoneadm(&host, &["-z", "my-zone", "boot"]);
    let second: u32 = row(&list(&host, "-v"), "my-zone")[0].parse().expect("an ID");
    zoneadm(&host, &["-z", "my-zone", "reboot"]);
    let rows = list(&host, "-v");
    let third: u32 = row(&rows, "my-zone")[0].parse().expect("an ID");
    assert_eq!(row(&rows, "my-zone")[2], "running");
    assert!(first != second && second != third && first != third, "{first} {second} {third}");
    host.finish();
}

#[test]
fn a_transition_that_is_not_in_the_table_is_refused_with_the_legal_moves() {
    let host = Host::new("illegal");
    host.zone("z", "installed", SLEEPER);
    host.apply();
    let refused = host.reeve(&["stop", "z"]);
    let text = shown(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    for word in ["installed", "ready", "uninstall"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    let refused = host.by_name("zoneadm", &["-z", "z", "reboot"]);
    assert!(!refused.status.success() && shown(&refused).contains("installed"), "{}", shown(&refused));
    host.finish();
}

fn zoneadm(host: &Host, arguments: &[&str]) {
    let output = host.by_name("zoneadm", arguments);
    assert!(output.status.success(), "zoneadm {arguments:?}: {}", shown(&output));
}
