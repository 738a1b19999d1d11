//! What is taken for the value of a secret, and what is said of encrypted files that are not there.

use reeve_schema::{Limits, SourceFile, load};

use super::*;

#[test]
fn a_value_is_text_without_its_last_line_end() {
    for (bytes, is) in [("a", "a"), ("a\n", "a"), ("a\n\n", "a\n"), ("\n", ""), ("", ""), ("a\r\n", "a\r")] {
        assert_eq!(value("x", bytes.into()).as_deref(), Ok(is), "{bytes:?}");
    }
    let secret = "hunter2";
    for bytes in [format!("{secret}\0").into_bytes(), [secret.as_bytes(), &[0xff]].concat(), vec![b'a'; BYTES_MAX + 1]]
    {
        let why = value("the file", bytes).expect_err("no value");
        assert!(why.contains("the file") && !why.contains(secret), "{why}");
    }
}

#[test]
fn files_that_cannot_be_had_are_problems_where_they_are_named() {
    let text = "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {name: z}\nspec:\n  root: {hostUsr: {}}\n  init:\n    \
                env:\n      A: {fromAge: gone.age}\n      B: {fromAge: plain.age}\n      C: {fromAge: large.age}\n      \
                D: {fromAge: d/right.age}\n      E: {fromAge: unreadable.age}\n";
    let file = SourceFile { path: "HEAD:zones/z.yaml".into(), text: text.into() };
    let mut set = load(&[file], &reeve_schema::HostSelf::default(), "/zones", &Limits::default()).expect("a set");
    let taken = take_in(&mut set, &mut |file| match file.in_source("HEAD:").as_str() {
        "zones/gone.age" => Ok(None),
        "zones/plain.age" => Ok(Some(b"hunter2".to_vec())),
        "zones/large.age" => Ok(Some([age_file(), vec![b' '; BYTES_MAX]].concat())),
        "zones/d/right.age" => Ok(Some(age_file())),
        "zones/unreadable.age" => Err(Error::refused("EIO")),
        other => panic!("{other}"),
    });
    let Err(LoadError::Problems(Problems(problems))) = taken else { panic!("{taken:?}") };
    let told: Vec<(usize, &str)> = problems.iter().map(|problem| (problem.line, problem.field.as_str())).collect();
    let fields = ["A", "B", "C", "E"].map(|name| format!("spec.init.env.{name}.fromAge"));
    assert_eq!(told, [(8, &*fields[0]), (9, &*fields[1]), (10, &*fields[2]), (12, &*fields[3])]);
    assert!(problems[0].message.contains("there is no file") && problems[1].help.contains("age --encrypt"));
    assert!(!Problems(problems).to_string().contains("hunter2"));
    // What is there is known without being opened.
    let zone = fill_in(set.zones.values().next().expect("a zone"));
    let EnvValue::FromAge(secret) = &zone.spec.init.env["D"] else { panic!("{zone:?}") };
    assert_eq!((secret.ciphertext.clone(), &secret.value), (Some(sha256(&age_file())), &None));
}

#[test]
fn encrypted_files_stay_for_as_long_as_a_zone_or_a_plan_may_need_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let day_before = std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for (name, old) in [("used", true), ("unused", true), ("new", false), ("torn.new-4194303999-1", false)] {
        let file = std::fs::File::create(dir.path().join(name)).expect("create");
        if old {
            file.set_modified(day_before).expect("utimens");
        }
    }
    let manifest = serde_json::json!({"spec": {"init": {"env": {
        "A": {"fromAge": "a.age", "ciphertext": "used", "value": "00"}, "B": "text", "C": {"fromFile": "/c"}}}}});
    Kept(dir.path().to_owned()).prune(&kept::names_in(&manifest).collect()).expect("prune");
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("the folder").map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["new", "used"]);
    Kept(dir.path().join("none")).prune(&BTreeSet::new()).expect("no folder is fine");
    assert!(Kept(dir.path().to_owned()).get(Some("used")).expect_err("not what its name says").contains("damaged"));
}

fn age_file() -> Vec<u8> {
    b"age-encryption.org/v1\n-> X25519 ...".to_vec()
}
