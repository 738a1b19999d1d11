//! Valid zones by chance: every field there or not, every rule kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use reeve_schema::address::{Cidr, Mac};
use reeve_schema::manifest::*;
use reeve_schema::name::{Hostname, LinkName, ZoneName};
use reeve_schema::quantity::{Quantity, TimeSpan};
use reeve_schema::signal::Signal;

/// Text of a type that parses itself.
fn parsed<T: std::str::FromStr + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T>
where
    T::Err: std::fmt::Debug,
{
    pattern.prop_map(|text| text.parse().unwrap())
}

/// Text without zero bytes, such as arguments have; short ones that YAML might take for something else come often.
fn text() -> impl Strategy<Value = String> {
    let tricky = select(vec![
        "", "~", "null", "true", "no", "12", "1.5", "- a", "a: b", "# c", "'", "\"", "\n", " x ", "\t", "*a", "&a",
    ]);
    prop_oneof![tricky.prop_map(str::to_owned), any::<String>().prop_map(|text| text.replace('\0', "0"))]
}

fn path() -> impl Strategy<Value = String> {
    "(/[a-z0-9_][a-zA-Z0-9 _.:#-]{0,8}[a-z0-9]){1,3}".prop_map(|path| format!("/x{path}"))
}

fn key() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_./-]{0,12}"
}

fn fs(index: usize, tmpfs: bool, special: String, plain: Vec<&str>, size: Option<u64>, mode: Option<u16>) -> Fs {
    let mut options: Vec<FsOption> = plain.into_iter().map(|option| option.parse().unwrap()).collect();
    if tmpfs {
        options.extend(size.and_then(Quantity::from_bytes).map(FsOption::Size));
        options.extend(mode.map(|mode| format!("mode={mode:o}").parse::<FsOption>().unwrap()));
    }
    Fs {
        dir: format!("/mnt/{index}"),
        fs_type: if tmpfs { FsType::Tmpfs } else { FsType::Loopback },
        special: (!tmpfs).then_some(special),
        options,
    }
}

fn file_systems() -> impl Strategy<Value = Vec<Fs>> {
    let plain = prop_oneof![
        subsequence(vec!["ro", "nosuid", "nodev", "noexec"], 0..=4),
        subsequence(vec!["rw", "nosuid", "nodev", "noexec"], 0..=4),
    ];
    let one = (any::<bool>(), path(), plain, of(1_u64..1 << 50), of(0_u16..0o10000));
    vec(one, 0..4).prop_map(|all| {
        let one = |(index, (tmpfs, special, plain, size, mode))| fs(index, tmpfs, special, plain, size, mode);
        all.into_iter().enumerate().map(one).collect()
    })
}

/// What an interface is made of: bridge, host part, family (none: no address), whether it has a router, hardware address.
type Parts = (LinkName, u16, Option<bool>, bool, Option<Mac>);

/// An interface with an address of its own; `routed` says which families have a default router.
fn interface(index: usize, (physical, host, v6, router, mac): Parts, routed: &mut [bool; 2]) -> Net {
    let base = 0x0a00_0000 + ((u32::try_from(index).unwrap() + 1) << 16) + u32::from(host) + 1;
    let address = v6.map(|v6| match v6 {
        false => (IpAddr::V4(Ipv4Addr::from_bits(base)), 8),
        true => (IpAddr::V6(Ipv6Addr::from_bits((0xfd << 120) + u128::from(base))), 64),
    });
    let routes = router && v6.is_some_and(|v6| !std::mem::replace(&mut routed[usize::from(v6)], true));
    let defrouter = address.filter(|_| routes).map(|(address, _)| match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits((0xfd << 120) + 1)),
    });
    // The index makes hardware addresses unlike each other.
    let mac = mac.map(|mac| format!("{}{index:02x}", &mac.to_string()[..15]).parse().unwrap());
    let address = address.and_then(|(address, prefix)| Cidr::new(address, prefix));
    Net { physical, address, defrouter, mac }
}

/// Interfaces; the first of each family may have a default router.
fn interfaces() -> impl Strategy<Value = Vec<Net>> {
    let mac = of(parsed::<Mac>("02(:[0-9a-f]{2}){5}"));
    let one = (parsed::<LinkName>("[a-z][a-z0-9.-]{0,14}"), any::<u16>(), of(any::<bool>()), any::<bool>(), mac);
    vec(one, 0..4).prop_map(|all| {
        let mut routed = [false, false];
        all.into_iter().enumerate().map(|(index, parts)| interface(index, parts, &mut routed)).collect()
    })
}

fn init() -> impl Strategy<Value = Init> {
    let what = prop_oneof![
        Just((vec![], None, vec![])),
        (path(), vec(text(), 0..4)).prop_map(|(program, args)| (vec![], Some(program), args)),
        (path(), vec(text(), 0..4)).prop_map(|(program, args)| ([vec![program], args].concat(), None, vec![])),
    ];
    let value = prop_oneof![
        text().prop_map(EnvValue::Text),
        path().prop_map(|from_file| EnvValue::FromFile(FileSecret { from_file, value: None })),
        "([a-z][a-z0-9_]{0,5}/){0,2}[a-z0-9]{1,8}\\.age".prop_map(|from_age| EnvValue::FromAge(AgeSecret {
            from_age,
            ciphertext: None,
            value: None
        })),
    ];
    let env = btree_map("[A-Za-z_][A-Za-z0-9_]{0,12}", value, 0..4);
    let restart = select(vec![Restart::Always, Restart::OnFailure, Restart::Never]);
    let signal = of(parsed::<Signal>("SIG(TERM|INT|RTMIN|RTMIN\\+[1-9]|RTMIN\\+30)"));
    let times = (10..=TimeSpan::MAX_MILLIS, 10..=TimeSpan::MAX_MILLIS, 1000..=TimeSpan::MAX_MILLIS);
    let crash_loop = of((0..=1000_u32, times)).prop_map(|limits| {
        limits.map_or_else(CrashLoop::default, |(give_up_after, (one, other, reset_after))| CrashLoop {
            give_up_after,
            backoff: TimeSpan::from_millis(one.min(other)),
            max_backoff: TimeSpan::from_millis(one.max(other)),
            reset_after: TimeSpan::from_millis(reset_after),
        })
    });
    (what, env, (restart, crash_loop), signal, 0..=TimeSpan::MAX_MILLIS).prop_map(
        |((command, program, args), env, (restart, crash_loop), halt_signal, millis)| Init {
            command,
            program,
            args,
            env,
            restart,
            crash_loop,
            halt_signal,
            halt_timeout: TimeSpan::from_millis(millis),
        },
    )
}

fn root() -> impl Strategy<Value = Root> {
    prop_oneof![Just(Root::HostUsr(HostUsrRoot {})), path().prop_map(|path| Root::Directory(DirectoryRoot { path }))]
}

fn approval() -> impl Strategy<Value = Approval> {
    let price = select(vec![GatePrice::Live, GatePrice::Restart, GatePrice::Rebuild, GatePrice::Reinstall]);
    let gate = |wait: Vec<WaitFor>| (price.clone(), select(wait)).prop_map(|(from, wait)| Gate { from, wait });
    let kind = select(vec![WindowKind::Allow, WindowKind::Deny]);
    let schedule = parsed("[1-5]?[0-9] (1?[0-9]|\\*/[2-9]) \\* \\* ([0-6]|\\*)");
    let window = (kind, schedule, parsed("[1-9][0-9]?m|[1-9]h30m|[1-9]d"), select(vec!["UTC", "Europe/Berlin"]));
    let window = window
        .prop_map(|(kind, schedule, duration, zone)| {
            let time_zone = zone.parse().unwrap();
            Window { kind, schedule, duration, time_zone }
        })
        .boxed();
    prop_oneof![
        (of(gate(vec![WaitFor::Approval])), of(gate(vec![WaitFor::Approval]))).prop_map(|(changes, drift)| Approval {
            changes,
            drift,
            windows: vec![]
        }),
        (gate(vec![WaitFor::Window, WaitFor::Both]), vec(window.clone(), 1..4))
            .prop_map(|(changes, windows)| Approval { changes: Some(changes), drift: None, windows }),
        (gate(vec![WaitFor::Window, WaitFor::Both]), vec(window, 1..4)).prop_map(|(drift, windows)| Approval {
            changes: None,
            drift: Some(drift),
            windows
        }),
    ]
}

/// A valid zone.
pub fn zone() -> impl Strategy<Value = Zone> {
    let name =
        "[A-Za-z0-9][-_.A-Za-z0-9]{0,62}".prop_filter("reserved", |name| name != "global" && !name.starts_with("SUNW"));
    let metadata = (name, btree_map(key(), text(), 0..3), btree_map(key(), text(), 0..3));
    let metadata = metadata.prop_map(|(name, labels, annotations)| Metadata {
        name: name.parse::<ZoneName>().unwrap(),
        labels,
        annotations,
    });
    let limits = (
        of((20_u32..50, 1_u64..100).prop_map(|(shift, n)| n << shift)),
        of((1_u32..10_000).prop_map(|n| f64::from(n) / 100.0)),
        of(1_u64..=65535),
        of(1_u32..),
    );
    let handling = || select(vec![Handling::Heal, Handling::Warn, Handling::Ignore]);
    let field = select(Drift::FIELDS.to_vec()).prop_map(|field| format!("{field}.x"));
    let drift = (of(handling()), btree_map(field, handling(), 0..3), 1_u32..=3600)
        .prop_map(|(default, fields, max_per_hour)| Drift { default, fields, max_per_hour });
    let words = (
        select(vec![DesiredState::Installed, DesiredState::Ready, DesiredState::Running]),
        select(vec![Deletion::Halt, Deletion::Keep, Deletion::Delete]),
        of(path().prop_map(|path| format!("/zp{path}"))),
        of(parsed::<Hostname>("[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?(\\.[a-z]{1,10})?")),
        of(drift),
    );
    let parts = (metadata, root(), file_systems(), interfaces(), limits, words, init(), of(approval()));
    parts.prop_map(|(metadata, root, fs, net, (memory, cpu, cpu_shares, max_processes), words, init, approval)| {
        let (state, deletion, zonepath, hostname, drift) = words;
        let capped_memory = memory.and_then(Quantity::from_bytes).map(|physical| CappedMemory { physical });
        let capped_cpu = cpu.map(|ncpus| CappedCpu { ncpus });
        let spec = ZoneSpec {
            state,
            hosts: None,
            zonepath,
            root,
            fs,
            net,
            capped_memory,
            capped_cpu,
            cpu_shares,
            max_processes,
            hostname,
            init,
            approval,
            health: None,
            depends_on: Vec::new(),
            deletion,
            drift,
        };
        Zone { api_version: ApiVersion::V1Alpha1, kind: Kind::Zone, metadata, spec }
    })
}
