//! What a host gets, with the place of every value: for people who ask why a zone is as it is.

use super::{Catalog, HostSelf, without_hosts};
use crate::load::Origin;
use crate::manifest::Zone;
use crate::merge;
use crate::node::Value;
use crate::problem::Problem;
use crate::source::push_key;

/// A zone as a host gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The manifest, patched and without `hosts`.
    pub zone: Zone,
    /// Where its own manifest stands.
    pub origin: Origin,
    /// Every value that is written somewhere, in the order of the manifest; what overlays took away comes last.
    pub fields: Vec<FieldOrigin>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOrigin {
    /// The keys that lead to it. A list is one value.
    pub path: Vec<String>,
    /// The same as a dotted path, such as `spec.init.restart`.
    pub field: String,
    /// Where it is written.
    pub origin: Origin,
    /// The overlay that it is from; none: the zone's own manifest.
    pub overlay: Option<String>,
    /// Whether the overlay took the field away.
    pub removed: bool,
}

impl Catalog<'_> {
    /// As [`Catalog::for_host`], with the place of every value; in the order of the zones' names.
    ///
    /// # Errors
    /// As [`Catalog::for_host`].
    pub fn render(&self, host: &HostSelf, zonepaths: &str) -> Result<Vec<Rendered>, Vec<Problem>> {
        let mut report = self.report.clone();
        let members = self.members(host, zonepaths, true, &mut report, |_| true);
        if !report.is_empty() {
            return Err(report.finish());
        }
        let plain: Vec<usize> =
            members.iter().filter(|member| member.patched.is_none()).map(|member| member.index).collect();
        let trees = self.read_trees(&plain);
        let mut rendered: Vec<Rendered> = members
            .into_iter()
            .filter_map(|member| {
                let mut fields = Vec::new();
                let (tree, patch) = match &member.patched {
                    Some((tree, patch)) => (Some(tree), Some(patch)),
                    None => (trees.get(&member.index), None),
                };
                if let Some(tree) = tree {
                    merge::leaves(tree, &mut Vec::new(), &mut |path, node| {
                        if !path.starts_with(&["spec", "hosts"]) {
                            fields.push(self.field(path, node.place, false));
                        }
                    });
                }
                if let Some(patch) = patch {
                    merge::leaves(patch, &mut Vec::new(), &mut |path, node| {
                        if node.value == Value::Null {
                            fields.push(self.field(path, node.place, true));
                        }
                    });
                }
                let origin = self.origin(self.zones[member.index].place);
                Some(Rendered { zone: without_hosts(member.zone?.into_owned()), origin, fields })
            })
            .collect();
        rendered.sort_by(|a, b| a.zone.name().cmp(b.zone.name()));
        Ok(rendered)
    }

    fn field(&self, path: &[&str], place: crate::source::Place, removed: bool) -> FieldOrigin {
        let mut field = String::new();
        path.iter().for_each(|key| push_key(&mut field, key));
        FieldOrigin {
            path: path.iter().map(|key| (*key).to_owned()).collect(),
            field,
            origin: self.origin(place),
            overlay: self.overlay_at(place).map(str::to_owned),
            removed,
        }
    }
}
