//! Paths as manifests write them: one spelling per place, so that two can be compared part by part.

use crate::source::shown;
use crate::text::TextError;

/// Longest path, in bytes (`PATH_MAX` less the ending zero).
const MOST: usize = 4095;

/// Whether a path is absolute and in its one spelling: no `.`, `..`, empty part or ending `/`, no control characters.
/// `example` is shown where it is not.
pub(crate) fn check(path: &str, example: &str) -> Result<(), TextError> {
    let rule = format!("an absolute path, such as {example}");
    if path.len() > MOST {
        return Err(TextError::new(format!("the path has more than {MOST} bytes"), &rule));
    }
    if !path.starts_with('/') {
        return Err(TextError::new(format!("`{}` is not an absolute path", shown(path)), &rule));
    }
    if path.chars().any(char::is_control) {
        return Err(TextError::new(format!("`{}` has a control character in it", shown(path)), &rule));
    }
    if parts(path).any(|part| part == "..") {
        return Err(TextError::new(format!("`{}` contains `..`", shown(path)), "the path without `..`"));
    }
    let plain = format!("/{}", parts(path).filter(|part| *part != ".").collect::<Vec<_>>().join("/"));
    if path != plain {
        return Err(TextError::new(
            format!("`{}` has another, shorter spelling", shown(path)),
            format!("`{}`", shown(&plain)),
        ));
    }
    Ok(())
}

/// Whether a path is relative and in its one spelling: no `.`, `..`, empty part or ending `/`, no control characters.
/// `example` is shown where it is not.
pub(crate) fn check_relative(path: &str, example: &str) -> Result<(), TextError> {
    let rule = format!("a path from the top of the repository on, such as {example}");
    let error = |what: &str| Err(TextError::new(format!("`{}` {what}", shown(path)), &rule));
    if path.len() > MOST {
        return Err(TextError::new(format!("the path has more than {MOST} bytes"), &rule));
    }
    if path.starts_with('/') {
        return error("is an absolute path");
    }
    if path.chars().any(char::is_control) {
        return error("has a control character in it");
    }
    if parts(path).any(|part| part == "..") {
        return error("contains `..`");
    }
    let plain = parts(path).filter(|part| *part != ".").collect::<Vec<_>>().join("/");
    match () {
        () if plain.is_empty() => error("names nothing"),
        () if plain != path => Err(TextError::new(
            format!("`{}` has another, shorter spelling", shown(path)),
            format!("`{}`", shown(&plain)),
        )),
        () => Ok(()),
    }
}

/// Whether a path is one from a manifest's folder on, in its one spelling, to a file whose name has this ending: below the
/// folder, and not hidden, as hidden files are not read. `example` is shown where it is not.
pub(crate) fn check_beside(path: &str, ending: &str, example: &str) -> Result<(), TextError> {
    let rule = format!("a path from the manifest's folder on, such as {example}");
    let wrong = |what: &str| Err(TextError::new(format!("`{}` {what}", shown(path)), &rule));
    match path {
        _ if path.len() > MOST => Err(TextError::new(format!("the path has more than {MOST} bytes"), &rule)),
        _ if path.starts_with('/') => wrong("is an absolute path"),
        _ if path.chars().any(char::is_control) => wrong("has a control character in it"),
        _ if path.split('/').any(|part| part == "..") => wrong("contains `..`"),
        _ if path.split('/').any(|part| part == "." || part.is_empty()) => wrong("has another, shorter spelling"),
        _ if path.split('/').any(|part| part.starts_with('.')) => wrong("is hidden: such files are not read"),
        _ if !path.ends_with(ending) => wrong(&format!("does not end in `{ending}`")),
        _ => Ok(()),
    }
}

/// The parts of a path, empty ones left out.
pub(crate) fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Whether `path` is `of` or lies below it.
pub(crate) fn within(path: &str, of: &str) -> bool {
    let mut path = parts(path);
    parts(of).all(|part| path.next() == Some(part))
}

/// Whether one of two paths lies in the other.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    within(a, b) || within(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_goes_by_parts() {
        assert!(within("/a/b", "/a") && within("/a", "/a") && within("/a", "/"));
        assert!(!within("/ab", "/a") && !within("/a", "/a/b"));
    }

    #[test]
    fn beside_is_below_the_folder() {
        for good in ["a.age", "a b/c.age", "a/b/c..age"] {
            assert!(check_beside(good, ".age", "").is_ok(), "{good}");
        }
        for bad in ["", "a", ".age", "/a.age", "../a.age", "a/../b.age", "./a.age", "a//b.age", ".a/b.age", "a\n.age"] {
            assert!(check_beside(bad, ".age", "").is_err(), "{bad}");
        }
    }

    #[test]
    fn one_spelling() {
        for good in ["/", "/a", "/a b/c..d", "/..a"] {
            assert!(check(good, "").is_ok(), "{good}");
        }
        for bad in ["", "a", "/a/", "//", "/a//b", "/./a", "/a/..", "/a\n", "/a\u{7f}"] {
            assert!(check(bad, "").is_err(), "{bad}");
        }
        for good in ["a", "a b/c..d", "..a/.b"] {
            assert!(check_relative(good, "").is_ok(), "{good}");
        }
        for bad in ["", ".", "./a", "/a", "a/", "a//b", "a/..", "../a", "a\n"] {
            assert!(check_relative(bad, "").is_err(), "{bad}");
        }
    }
}
