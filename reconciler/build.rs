//! Builds zoneadmd, static and small, with a Cargo of its own, and hands its path to the library that embeds it: one
//! `cargo build` makes all that running needs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = manifest_dir.parent().expect("the reconciler is a member of the workspace").to_owned();
    for path in ["zoneadmd/Cargo.toml", "zoneadmd/src", "kernel/Cargo.toml", "kernel/src", "build.rs"] {
        println!("cargo::rerun-if-changed={}", manifest_dir.join(path).display());
    }
    println!("cargo::rerun-if-changed={}", workspace.join("Cargo.lock").display());
    println!("cargo::rerun-if-env-changed=CARGO_NET_OFFLINE");

    let host = variable("HOST");
    let target = variable("TARGET");
    assert!(host.starts_with("x86_64") && target == host, "Reeve is built on x86_64 Linux, for the machine it runs on");
    let target_dir = PathBuf::from(variable("OUT_DIR")).join("zoneadmd");
    build(&workspace, &target, &target_dir);
    let program = target_dir.join(&target).join("release/zoneadmd");
    println!("cargo::rustc-env=ZONEADMD={}", program.display());
}

/// Runs the nested Cargo. It gets none of the variables by which the outer one (or Clippy, or a coverage tool) steers
/// its own compilations: they are about this build, not about that one.
fn build(workspace: &Path, target: &str, target_dir: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let steers = [
            "CARGO_CFG_",
            "CARGO_FEATURE_",
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_PROFILE_",
            "CARGO_BUILD_",
            "CARGO_TARGET_",
        ];
        let named = [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CLIPPY_ARGS",
            "RUSTC",
            "RUSTDOC",
            "TARGET",
            "HOST",
            "OUT_DIR",
            "PROFILE",
            "OPT_LEVEL",
            "DEBUG",
            "NUM_JOBS",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_LLVM_COV",
            "CARGO_CRATE_NAME",
            "CARGO_BIN_NAME",
        ];
        if steers.iter().any(|prefix| name.starts_with(prefix)) || named.contains(&name) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--locked", "--package", "zoneadmd", "--target", target, "--target-dir"])
        .arg(target_dir)
        // Static, so that it needs nothing of the host after exec, and at a fixed address, which spares it relocations
        // (reference: 171 KiB PSS against 253 for a dynamic one).
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "building zoneadmd failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name} for build scripts"))
}
