//! Files of Reeve's that are torn, empty, somebody else's, of a newer version or of another boot: each in turn, of a zone
//! that runs. Such a file is set aside and said, never believed; the zone gets where its manifest wants it, with its data,
//! and the other zone does not notice.

use crate::Result;
use crate::harness;
use crate::inject::Tools;
use crate::scene::{Kind, Operation, Problem, Scene, problem};
use crate::tally::Tally;
use std::path::{Path, PathBuf};

/// How they are run again.
const AGAIN: &str = "--only files";

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Torn,
    Empty,
    Foreign,
    Newer,
    OtherBoot,
}

const DAMAGES: [Damage; 5] = [Damage::Torn, Damage::Empty, Damage::Foreign, Damage::Newer, Damage::OtherBoot];

/// The files: below the host's folder, whether a bad one is kept for a person to look at and said at once. (That of the ID
/// ranges is, when a range is given or given back.)
const FILES: [(&str, bool); 9] = [
    ("state/zones/z/zone.json", true),
    ("state/zones/z/installed.json", true),
    ("state/idmap.json", false),
    ("state/zonepaths/z/.reeve.json", false),
    ("run/zones/z/journal.json", false),
    ("run/zones/z/memory.json", false),
    ("run/zones/z/status.json", false),
    ("run/next-zone-id", false),
    ("state/lock", false),
];

/// Damages each file in each way; how often.
pub fn run(tools: &Tools, tally: &Tally) -> usize {
    let mut count = 0;
    for (file, kept) in FILES {
        let damaged = (|| -> Result<()> {
            let mut scene = Scene::new(tools)?;
            for damage in DAMAGES {
                scene.begin(Operation::Reboot)?;
                let Some(problems) = one(&mut scene, file, kept, damage)? else { continue };
                count += 1;
                tally.problems(AGAIN, &named(file, Some(damage), problems.clone()));
                if !problems.is_empty() {
                    return Ok(());
                }
            }
            tally.problems(AGAIN, &named(file, None, scene.finish()));
            Ok(())
        })();
        if let Err(why) = damaged {
            tally.problems(AGAIN, &named(file, None, vec![problem(Kind::Wrong, why)]));
        }
    }
    count
}

/// The problems, with what they are about.
fn named(file: &str, damage: Option<Damage>, problems: Vec<Problem>) -> Vec<Problem> {
    let what = damage.map_or_else(|| file.to_owned(), |damage| format!("{file}, {damage:?}"));
    problems.into_iter().map(|Problem { kind, text }| problem(kind, format!("{what}: {text}"))).collect()
}

/// None where the damage makes no difference to this file.
fn one(scene: &mut Scene, file: &str, kept: bool, damage: Damage) -> Result<Option<Vec<Problem>>> {
    let path = scene.host.folder().join(file);
    let before = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let after = damaged(&before, damage);
    if after == before {
        return Ok(None);
    }
    std::fs::write(&path, &after).map_err(|error| format!("{}: {error}", path.display()))?;
    let output = scene.reeve(&["apply", &scene.manifests()])?;
    let said = harness::shown(&output);
    let mut problems = Vec::new();
    if !output.status.success() {
        problems.push(problem(Kind::Lost, format!("apply: {}\n{said}", output.status)));
    }
    problems.extend(scene.look(Some("running")));
    // A configuration of another boot is as good as one of this.
    if kept && damage != Damage::OtherBoot {
        problems.extend(set_aside(&path, &after, &said));
    }
    Ok(Some(problems))
}

/// The bad file is beside its place, as it was, and that was said.
fn set_aside(path: &Path, content: &[u8], said: &str) -> Option<Problem> {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let asides: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&format!("{name}.bad-")))
        })
        .collect();
    let kept = asides.iter().any(|aside| std::fs::read(aside).is_ok_and(|found| found == content));
    if !kept {
        return Some(problem(Kind::Lost, format!("{} was bad and is not kept: {asides:?}", path.display())));
    }
    asides.iter().for_each(|aside| drop(std::fs::remove_file(aside)));
    (!said.contains(".bad-")).then(|| problem(Kind::Wrong, format!("nothing is said of {}:\n{said}", path.display())))
}

fn damaged(bytes: &[u8], damage: Damage) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    match damage {
        Damage::Torn => bytes[..bytes.len() / 2].to_vec(),
        Damage::Empty => Vec::new(),
        Damage::Foreign => b"{\"name\": \"somebody else's\"}\n".to_vec(),
        Damage::Newer => text.replacen("\"version\":1", "\"version\":99", 1).into_bytes(),
        Damage::OtherBoot => match text.split_once("\"bootId\":\"") {
            Some((start, rest)) => {
                let other = "00000000-0000-4000-8000-000000000000";
                format!("{start}\"bootId\":\"{other}{}", &rest[other.len()..]).into_bytes()
            }
            None => bytes.to_vec(),
        },
    }
}
