//! Values written as text: what each type takes, the one form it prints, and what it refuses.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use reeve_schema::address::{Cidr, Mac};
use reeve_schema::manifest::Init;
use reeve_schema::name::{Hostname, LinkName, ZoneName};
use reeve_schema::quantity::{FileMode, Quantity, TimeSpan};
use reeve_schema::signal::Signal;

/// Checks texts with the form they print, which must itself be taken and print as it is; and texts that are refused.
#[track_caller]
fn check<T: FromStr + Display + PartialEq + Debug>(taken: &[(&str, &str)], refused: &[&str])
where
    T::Err: Display,
{
    for (text, form) in taken {
        let value: T = text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(value.to_string(), *form);
        assert_eq!(form.parse::<T>().ok().as_ref(), Some(&value));
    }
    for text in refused {
        assert!(text.parse::<T>().is_err(), "{text:?} is taken");
    }
}

#[test]
fn quantities() {
    check::<Quantity>(
        &[
            ("512Mi", "512Mi"),
            ("1g", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1000", "1000"),
            ("8388607Ti", "8388607Ti"),
        ],
        &[
            "",
            "0",
            "0Gi",
            "-1",
            "+1",
            "1.5Gi",
            "1 Gi",
            "Gi",
            "1G",
            "1MB",
            "8388608Ti",
            "99999999999999999999",
            "1gi",
            "٣",
        ],
    );
    assert_eq!("2k".parse::<Quantity>().unwrap().bytes(), 2048);
}

#[test]
fn time_spans() {
    check::<TimeSpan>(
        &[
            ("10s", "10s"),
            ("90s", "1m30s"),
            ("1500ms", "1s500ms"),
            ("0s", "0s"),
            ("0ms", "0s"),
            ("60m", "1h"),
            ("1m30s", "1m30s"),
        ],
        &["", "10", "s", "10s5", "1s1m", "1s1s", "61m", "-1s", "1.5s", "1 s", "1d", "99999999999999999999s", "1h1ms"],
    );
}

#[test]
fn modes_and_signals() {
    check::<FileMode>(&[("755", "0755"), ("1777", "1777"), ("0", "0000")], &["", "8", "07777", "+1", "0x1"]);
    check::<Signal>(
        &[("SIGTERM", "SIGTERM"), ("SIGRTMIN", "SIGRTMIN+0"), ("SIGRTMIN+03", "SIGRTMIN+3")],
        &["", "TERM", "15", "SIGKILL", "SIGSTOP", "SIGSEGV", "SIGRTMIN+31", "SIGRTMIN-1", "SIGRTMIN+", "SIGRTMAX"],
    );
    assert_eq!("SIGRTMIN+3".parse::<Signal>().unwrap().number(), 37);
    let init = |program: Option<&str>| Init { program: program.map(str::to_owned), ..Init::default() };
    assert_eq!(init(None).signal(), Signal::TERM);
    assert_eq!(init(Some("/sbin/init")).signal(), Signal::SYSTEMD_HALT);
    assert_eq!(init(Some("/sbin/runit")).signal(), Signal::TERM);
}

#[test]
fn addresses() {
    check::<Cidr>(
        &[
            ("10.0.0.1/8", "10.0.0.1/8"),
            ("10.0.0.0/31", "10.0.0.0/31"),
            ("10.0.0.1/32", "10.0.0.1/32"),
            ("FD77:0::1/64", "fd77::1/64"),
        ],
        &[
            "",
            "10.0.0.1",
            "10.0.0.1/",
            "/8",
            "10.0.0.1/8/8",
            "10.0.0.0/8",
            "10.255.255.255/8",
            "::1/128",
            "ff02::1/64",
            "10.0.0.01/8",
            "0.0.0.0/0",
        ],
    );
    let cidr: Cidr = "10.77.3.10/22".parse().unwrap();
    assert!(cidr.contains("10.77.0.1".parse().unwrap()) && !cidr.contains("10.77.4.1".parse().unwrap()));
    assert!(!cidr.contains("::1".parse().unwrap()));
    check::<Mac>(
        &[("02:00:5E:10:00:01", "02:00:5e:10:00:01")],
        &["", "00:00:00:00:00:00", "03:00:00:00:00:01", "2:0:0:0:0:1", "02:00:00:00:00:+1", "02-00-00-00-00-01"],
    );
}

#[test]
fn names() {
    let long = "x".repeat(64);
    check::<ZoneName>(
        &[("web", "web"), ("1a.b_c-D", "1a.b_c-D"), ("Global", "Global")],
        &["", "global", "SUNWx", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", &long],
    );
    check::<LinkName>(
        &[("reeve0", "reeve0"), ("br-x.1@!", "br-x.1@!")],
        &["", ".", "..", "a/b", "a:b", "a b", "a%d", "abcdefghijklmnop"],
    );
    check::<Hostname>(
        &[("a", "a"), ("A-1.example.org", "A-1.example.org")],
        &["", ".", "a.", "-a", "a-", "a_b", "ä", &format!("{long}x")],
    );
}

#[test]
fn messages_are_short_and_printable() {
    let long = format!("{}\n\u{1b}[31m", "9".repeat(1 << 20));
    for error in [
        long.parse::<Quantity>().unwrap_err(),
        long.parse::<TimeSpan>().unwrap_err(),
        long.parse::<Signal>().unwrap_err(),
        long.parse::<Cidr>().unwrap_err(),
        long.parse::<Mac>().unwrap_err(),
    ] {
        assert!(error.to_string().len() < 1000 && !error.to_string().contains(char::is_control), "{error}");
    }
}
