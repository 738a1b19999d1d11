//! What a commit changes, so that it can be told who may. A commit is compared with each commit that it was made from; of a
//! merge that counts which is otherwise than a merge without a hand comes out: who merges and takes an old version of
//! somebody's file changes that file. And manifests count that are otherwise than on all sides.

use std::collections::BTreeMap;
use std::path::Path;

use reeve_schema::subjects::{Subject, changed, subjects};
use reeve_schema::{Limits, SourceFile};
use reeve_state::source::RejectedReason;

use super::commit::Commit;
use super::owners::Change;
use super::store::Store;
use super::{Refusal, Stop};
use crate::bounded::{self, Bounds};
use crate::git::objects::{Found, Objects};
use crate::source::is_manifest;

/// How much is read of a list of changes, in bytes.
const LIST_MAX: usize = 16 << 20;
/// The name of an object that is not there, as git writes it.
const NOTHING: char = '0';

/// With what a commit is compared.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// With all that it was made from.
    Parents,
    /// With one commit.
    Commit(&'a str),
}

/// A path with the objects before and after.
type Paths = BTreeMap<String, (String, String)>;

/// A file with what it was before. Of several, [`Otherwise`] says which of its manifests count.
struct Changed {
    path: String,
    before: Vec<String>,
    after: String,
    counts: Otherwise,
}

/// Which manifests count as changed, where a file is compared with several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// Those that are otherwise than in any of them.
    ThanAny,
    /// Those that are otherwise than in all of them.
    ThanAll,
}

/// The files that a commit changes.
///
/// # Errors
/// [`Stop::Refusal`] for a merge of more than two, of which nobody can tell what it changes; what git cannot do.
pub fn changes(store: &Store, commit: &Commit, against: Against<'_>) -> Result<Vec<Change>, Stop> {
    let files = match (against, commit.parents.as_slice()) {
        (Against::Commit(other), _) => with_one(compare(store, other, &commit.id)?),
        (Against::Parents, []) => with_one(compare_root(store, &commit.id)?),
        (Against::Parents, [parent]) => with_one(compare(store, parent, &commit.id)?),
        (Against::Parents, [one, other]) => merged(store, one, other, &commit.id)?,
        (Against::Parents, parents) => {
            let count = parents.len();
            let message = format!(
                "it merges {count} commits at once, so that nobody can tell who changed what; merge them one by one"
            );
            return Err(Refusal::new(RejectedReason::NotOwner, message).into());
        }
    };
    let mut objects = store.objects()?;
    files.into_iter().filter_map(|file| change(&mut objects, file).transpose()).collect()
}

fn with_one(paths: Paths) -> Vec<Changed> {
    let one = |(path, (old, after))| Changed { path, before: vec![old], after, counts: Otherwise::ThanAny };
    paths.into_iter().map(one).collect()
}

/// What a merge changes by hand: what is otherwise than git merges it by itself, so that who takes an old version of a file
/// changes that file; and manifests that are otherwise than on either side, wherever git's merge of lines put them.
fn merged(store: &Store, one: &str, other: &str, merge: &str) -> Result<Vec<Changed>, Stop> {
    let (first, second) = (compare(store, one, merge)?, compare(store, other, merge)?);
    let sides = |path: &String, counts| {
        let found: Vec<&(String, String)> = [&first, &second].into_iter().filter_map(|side| side.get(path)).collect();
        let after = found.first()?.1.clone();
        Some(Changed { path: path.clone(), before: found.iter().map(|(old, _)| old.clone()).collect(), after, counts })
    };
    let both = first.keys().filter(|path| second.contains_key(*path));
    let mut files: Vec<Changed> = both.filter_map(|path| sides(path, Otherwise::ThanAll)).collect();
    let mut git = store.git();
    git.args(["merge-tree", "--write-tree", "--allow-unrelated-histories", "--no-messages", one, other]);
    let ended = bounded::run(&mut git, b"", &Bounds { file: 64 << 20, output: LIST_MAX, ..Bounds::default() })?;
    let text = ended.text();
    let tree = text.lines().next().filter(|tree| !tree.is_empty());
    match (ended.status.code(), tree) {
        (Some(0), Some(tree)) => files.extend(with_one(compare(store, tree, merge)?)),
        // There are conflicts, and marks of them in the tree. Who resolves one answers for all that is otherwise than on
        // any side.
        (Some(1), Some(tree)) => {
            files.extend(compare(store, tree, merge)?.keys().filter_map(|path| sides(path, Otherwise::ThanAny)));
        }
        // What cannot be merged without a hand was all done by hand.
        _ => files.extend(first.keys().chain(second.keys()).filter_map(|path| sides(path, Otherwise::ThanAny))),
    }
    Ok(files)
}

fn compare(store: &Store, from: &str, to: &str) -> Result<Paths, Stop> {
    list(&store.ask(&["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", from, to], LIST_MAX)?)
}

fn compare_root(store: &Store, commit: &str) -> Result<Paths, Stop> {
    let shown = store.ask(
        &["diff-tree", "-r", "-z", "--raw", "--root", "--no-renames", "--no-abbrev", "--no-commit-id", commit],
        LIST_MAX,
    )?;
    list(&shown)
}

/// `:MODE MODE OBJECT OBJECT LETTER`, zero, path, zero, and so on (git-diff-tree(1)).
fn list(shown: &[u8]) -> Result<Paths, Stop> {
    let mut parts = shown.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let mut paths = Paths::new();
    while let (Some(facts), Some(path)) = (parts.next(), parts.next()) {
        let facts = String::from_utf8_lossy(facts);
        let words: Vec<&str> = facts.split(' ').collect();
        let [_, _, old, new, _] = words.as_slice() else {
            return Err(crate::Error::refused(format!("git listed what is not understood: {facts:?}")).into());
        };
        // A path that is no text matches no pattern but `**`.
        paths.insert(String::from_utf8_lossy(path).into_owned(), ((*old).to_owned(), (*new).to_owned()));
    }
    Ok(paths)
}

/// What is another in a file; none where nothing counts.
fn change(objects: &mut Objects, file: Changed) -> Result<Option<Change>, Stop> {
    let Changed { path, before, after, counts } = file;
    let manifest = is_manifest(Path::new(&path));
    let mut subjects: Option<Vec<Subject>> = None;
    if manifest {
        let after = documents(objects, &path, &after)?;
        for old in &before {
            let before = documents(objects, &path, old)?;
            let (Some(before), Some(after)) = (before, &after) else {
                return Ok(Some(Change { path, subjects: None, is_manifest: true }));
            };
            let now = changed(&before, after);
            subjects = Some(match (subjects, counts) {
                (None, _) => now,
                (Some(all), Otherwise::ThanAny) => [all, now].concat(),
                (Some(all), Otherwise::ThanAll) => {
                    let also =
                        |one: &Subject| now.iter().any(|other| (&one.kind, &one.name) == (&other.kind, &other.name));
                    all.into_iter().filter(also).collect()
                }
            });
        }
    }
    let subjects = subjects.unwrap_or_default();
    // A file that git merged by itself is otherwise than on both sides, and nobody's hand was in it.
    let counts = counts == Otherwise::ThanAny || !subjects.is_empty();
    Ok(counts.then_some(Change { path, subjects: Some(subjects), is_manifest: manifest }))
}

/// The documents of one side; none where they cannot be told.
fn documents(objects: &mut Objects, path: &str, object: &str) -> Result<Option<Vec<Subject>>, Stop> {
    if object.chars().all(|c| c == NOTHING) {
        return Ok(Some(Vec::new()));
    }
    let limits = Limits::default();
    match objects.read(object, "blob", limits.file_bytes)? {
        Found::Bytes(bytes) => Ok(String::from_utf8(bytes)
            .ok()
            .and_then(|text| subjects(&SourceFile { path: path.to_owned(), text }, &limits))),
        Found::TooLarge(size) => {
            let message = format!("{path} has {size} bytes, {} is the most", limits.file_bytes);
            Err(Refusal::new(RejectedReason::TooLarge, message).into())
        }
        // A submodule, or what is there no more.
        Found::Not(_) => Ok(None),
        Found::Ended(said) => Err(Refusal::new(RejectedReason::ObjectMissing, format!("{path}: {said}")).into()),
    }
}
