//! Who may change what (`trust.owners`): a change that no rule of its signer allows is refused. Pure.

use reeve_schema::configuration::Owner;
use reeve_schema::subjects::Subject;

/// One file that a commit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path from the top of the repository on.
    pub path: String,
    /// What of its manifests is another after it; none where that cannot be told, because one side is no manifest that can
    /// be read.
    pub subjects: Option<Vec<Subject>>,
    /// Whether the file is one of manifests.
    pub is_manifest: bool,
}

/// What is in a change that none of `signers` may do; none where they may do all of it.
pub fn not_allowed(owners: &[Owner], signers: &[String], change: &Change) -> Option<String> {
    let rules: Vec<&Owner> = owners
        .iter()
        .filter(|rule| rule.signers.iter().any(|name| name == "*" || signers.contains(name)))
        .filter(|rule| rule.paths.iter().any(|pattern| path_matches(pattern, &change.path)))
        .collect();
    let path = &change.path;
    if rules.is_empty() {
        return Some(path.clone());
    }
    if rules.iter().any(|rule| rule.zones.is_empty()) {
        return None;
    }
    // What lies beside manifests, an encrypted secret say, may be any zone's.
    if !change.is_manifest {
        return Some(format!("{path}, which is no manifest of a zone"));
    }
    let Some(subjects) = &change.subjects else {
        return Some(format!("{path}, whose manifests cannot be read, so that nobody can tell whose zones are in it"));
    };
    let may = |subject: &Subject| {
        subject.kind == "Zone"
            && rules.iter().any(|rule| rule.zones.iter().any(|zone| name_matches(zone, &subject.name)))
    };
    let other = subjects.iter().find(|subject| !may(subject))?;
    Some(format!("{} {} in {path}", other.kind.to_lowercase(), other.name))
}

/// Whether a path is one of a pattern: `*` stands for any part of a name, `**` for any folders.
fn path_matches(pattern: &str, path: &str) -> bool {
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**"], _) => true,
            (["**", rest @ ..], _) => (0..=path.len()).any(|from| parts(rest, &path[from..])),
            ([first, rest @ ..], [name, below @ ..]) => name_matches(first, name) && parts(rest, below),
            _ => false,
        }
    }
    // So that no pattern costs more than a path is long, over and over.
    let mut pattern: Vec<&str> = pattern.split('/').collect();
    pattern.dedup_by(|a, b| *a == "**" && a == b);
    parts(&pattern, &path.split('/').collect::<Vec<_>>())
}

/// Whether a name is one of a pattern, in which `*` stands for any characters.
fn name_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut rest = rest;
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, matches) in [
            ("zones/web.yaml", "zones/web.yaml", true),
            ("zones/*.yaml", "zones/web.yaml", true),
            ("zones/*.yaml", "zones/a/web.yaml", false),
            ("zones/**", "zones/a/b.yaml", true),
            ("zones/**", "zones", true),
            ("**", "anything/at/all", true),
            ("**/web.yaml", "web.yaml", true),
            ("**/web.yaml", "a/b/web.yaml", true),
            ("a/**/z", "a/z", true),
            ("a/**/**/z", "a/b/c/z", true),
            ("zones/web", "zones/web/x", false),
            ("zones", "zonesx", false),
        ] {
            assert_eq!(path_matches(pattern, path), matches, "{pattern} {path}");
        }
        for (pattern, name, matches) in [
            ("web", "web", true),
            ("web", "web1", false),
            ("web-*", "web-1", true),
            ("web-*", "web", false),
            ("*", "x", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axbyc", true),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(name_matches(pattern, name), matches, "{pattern} {name}");
        }
    }

    fn subject(kind: &str, name: &str) -> Subject {
        Subject { kind: kind.into(), name: name.into(), content: String::new() }
    }

    fn rule(signer: &str, path: &str, zones: &[&str]) -> Owner {
        Owner {
            signers: vec![signer.into()],
            paths: vec![path.into()],
            zones: zones.iter().map(|z| (*z).into()).collect(),
        }
    }

    #[test]
    fn a_zone_administrator_changes_his_zone_and_no_other() {
        let owners = [
            rule("root@x", "**", &[]),
            rule("ann@x", "zones/**", &["web", "web-*"]),
            rule("bob@x", "zones/db.yaml", &["db"]),
        ];
        let change = |path: &str, subjects: Option<Vec<Subject>>| Change {
            path: path.into(),
            subjects,
            is_manifest: path.ends_with(".yaml"),
        };
        let refused = |who: &str, change: &Change| not_allowed(&owners, &[who.to_owned()], change);
        let web = change("zones/web.yaml", Some(vec![subject("Zone", "web"), subject("Zone", "web-2")]));
        assert_eq!(refused("ann@x", &web), None);
        assert_eq!(refused("root@x", &web), None);
        assert_eq!(refused("bob@x", &web), Some("zones/web.yaml".into()));
        let both = change("zones/web.yaml", Some(vec![subject("Zone", "web"), subject("Zone", "db")]));
        assert_eq!(refused("ann@x", &both), Some("zone db in zones/web.yaml".into()));
        assert_eq!(refused("ann@x", &change("hosts/h1.yaml", Some(vec![]))), Some("hosts/h1.yaml".into()));
        assert_eq!(
            refused("ann@x", &change("zones/o.yaml", Some(vec![subject("Overlay", "web")]))),
            Some("overlay web in zones/o.yaml".into())
        );
        assert!(refused("ann@x", &change("zones/web.yaml", None)).unwrap().contains("cannot be read"));
        assert!(refused("ann@x", &change("zones/db.age", None)).unwrap().contains("no manifest"));
        assert_eq!(refused("root@x", &change("zones/db.age", None)), None);
        assert_eq!(refused("eve@x", &web), Some("zones/web.yaml".into()));
    }
}
