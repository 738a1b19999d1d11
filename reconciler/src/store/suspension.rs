//! `suspended.json` in a zone's part of the state folder: what somebody said outlives the controller and a boot of the host.

use std::path::Path;

use reeve_state::suspension::Suspension;

use super::files::{self, Content, Durability};
use crate::error::Result;

const FILE: &str = "suspended.json";

/// What is written of a zone whose part of the state folder is `folder`; none where nobody suspended it. A file that is not
/// usable still says that somebody did.
pub fn read(folder: &Path) -> Option<Suspension> {
    match files::read_json(&folder.join(FILE)) {
        Ok(Content::Absent) => None,
        Ok(Content::Value(suspension)) => Some(suspension),
        Ok(Content::Bad(why)) => Some(unreadable(why)),
        Err(error) => Some(unreadable(error.to_string())),
    }
}

fn unreadable(why: String) -> Suspension {
    Suspension { reason: format!("by whom and why cannot be read ({why})"), owner: "somebody".into(), ..<_>::default() }
}

/// Writes it, synced. The folder must be there.
///
/// # Errors
/// The file that could not be written.
pub fn write(folder: &Path, suspension: &Suspension) -> Result<()> {
    files::replace_json(&folder.join(FILE), suspension, Durability::Synced)
}

/// Removes it, synced.
///
/// # Errors
/// The file that could not be removed.
pub fn remove(folder: &Path) -> Result<()> {
    files::remove(&folder.join(FILE))?;
    files::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use reeve_state::Timestamp;

    use super::*;

    #[test]
    fn it_is_kept_and_a_bad_file_is_no_leave_to_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()), None);
        let suspension =
            Suspension { reason: "r".into(), owner: "o".into(), since: Timestamp(1), until: Some(Timestamp(9)) };
        write(folder.path(), &suspension).expect("written");
        assert_eq!(read(folder.path()), Some(suspension));
        std::fs::write(folder.path().join(FILE), "{").expect("torn");
        let torn = read(folder.path()).expect("still suspended");
        assert!(torn.until.is_none() && torn.reason.contains(FILE), "{torn:?}");
        remove(folder.path()).expect("removed");
        assert_eq!(read(folder.path()), None);
    }
}
