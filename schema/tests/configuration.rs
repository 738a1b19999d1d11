//! Configurations of hosts: all of `configuration/accept` loads, and each file of `configuration/reject` prints exactly
//! the problems of the `.txt` beside it (`UPDATE_GOLDEN=1` writes those anew; read the difference before you keep it).

use std::fs;
use std::path::{Path, PathBuf};

use reeve_schema::configuration::{Configuration, VerifyMode, load};
use reeve_schema::{Limits, Problem, Problems, SourceFile};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configuration").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn loaded(path: &Path) -> Result<Configuration, Vec<Problem>> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    load(&SourceFile { path: name, text: fs::read_to_string(path).unwrap() }, &Limits::default())
}

#[test]
fn accepted_and_read_back() {
    for path in files("accept") {
        let configuration =
            loaded(&path).unwrap_or_else(|problems| panic!("{}:\n{}", path.display(), Problems(problems)));
        let json = serde_json::to_string(&configuration).unwrap();
        assert_eq!(serde_json::from_str::<Configuration>(&json).unwrap(), configuration, "{json}");
    }
}

#[test]
fn rejected_as_expected() {
    let mut wrong = Vec::new();
    for path in files("reject") {
        let problems = loaded(&path).expect_err(&path.display().to_string());
        let printed = format!("{}\n", Problems(problems));
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &printed).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("--- {}\n{printed}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_is_read_and_has_its_default() {
    let of = |name: &str| files("accept").iter().find(|path| path.ends_with(name)).map(|path| loaded(path).unwrap());
    assert_eq!(of("least.yaml").unwrap(), Configuration::default());
    let full = of("full.yaml").unwrap();
    assert_eq!(full.host.name.as_deref(), Some("web1.example.org"));
    assert_eq!(full.host.labels["site"], "berlin");
    assert_eq!(full.trust.verify, VerifyMode::FirstParent);
    assert_eq!(full.trust.owners[0].paths[1], "hosts/*/web.yaml");
    let source = full.source.unwrap();
    assert_eq!((source.poll.millis(), source.timeout.millis()), (86_400_000, 3_600_000));
    assert_eq!(source.hook.unwrap().listen.to_string(), "[::1]:8420");
    assert!(source.allow_empty && source.max_size.bytes() == 1 << 30);
    let open = of("open.yaml").unwrap().source.unwrap();
    assert_eq!((open.timeout.millis(), open.max_size.bytes(), open.allow_empty), (60_000, 512 << 20, false));
}
