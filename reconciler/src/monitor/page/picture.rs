//! The states and the ways between them as a picture, made from the one table (`lifecycle::EDGES`): where each state is, which
//! arrows there are and what stands at them follows from its rows. The way of a zone is drawn into it.

use std::collections::BTreeMap;

use askama::Template;
use reeve_state::lifecycle::{EDGES, edge_for, state_name};
use reeve_state::{Transition, ZoneState};

/// Half the width and half the height of a state.
const HALF: (i32, i32) = (62, 17);
/// From one state to the one above it.
const ROW: i32 = 92;
/// The middle of the states that zones rest in, and of those on the way of a halt.
const COLUMNS: [i32; 2] = [196, 420];
/// How far beside the middle the arrows up and down are.
const ASIDE: i32 = 26;
/// Above the uppermost state.
const MARGIN: i32 = 44;

/// A state that may be none.
type State = Option<ZoneState>;

/// A state in the picture.
struct Node {
    x: i32,
    y: i32,
    name: &'static str,
    class: &'static str,
}

impl Node {
    fn left(&self) -> i32 {
        self.x - HALF.0
    }

    fn top(&self) -> i32 {
        self.y - HALF.1
    }
}

/// An arrow, and the transitions that begin with it.
struct Arrow {
    path: String,
    class: &'static str,
    label: String,
    x: i32,
    y: i32,
    anchor: &'static str,
}

/// States that belong together.
struct Band {
    y: i32,
    height: i32,
    words: &'static str,
}

/// See the module.
#[derive(Template)]
#[template(path = "picture.html")]
pub struct Picture {
    width: i32,
    height: i32,
    title: String,
    about: String,
    bands: Vec<Band>,
    nodes: Vec<Node>,
    arrows: Vec<Arrow>,
}

/// The picture of a zone in this state, which goes (or is to go) this way from `from`.
pub fn picture(here: State, from: State, path: &[Transition]) -> Picture {
    let places = places();
    let legs = legs(from, path);
    let is_on_way = |state: State| legs.iter().any(|(a, b)| *a == state || *b == state);
    let nodes = places.iter().map(|(state, (x, y))| {
        let class = if *state == here {
            "here"
        } else if is_on_way(*state) {
            "way"
        } else {
            ""
        };
        Node { x: *x, y: *y, name: state_name(*state), class }
    });
    let arrows = pairs().into_iter().map(|((a, b), labels)| {
        let names: Vec<&str> = labels.into_iter().map(Transition::as_str).collect();
        let class = if legs.contains(&(a, b)) { "way" } else { "" };
        arrow(places[&a], places[&b], names.join(", "), class)
    });
    Picture {
        width: COLUMNS[1] + HALF.0 + 18,
        height: places.values().map(|(_, y)| y).max().copied().unwrap_or_default() + HALF.1 + 10,
        title: format!("The zone is {}", state_name(here)),
        about: about(here, from, &legs, path),
        bands: bands(&places),
        nodes: nodes.collect(),
        arrows: arrows.collect(),
    }
}

/// Every step from state to state that a transition takes, with those transitions that begin with it.
fn pairs() -> Vec<((State, State), Vec<Transition>)> {
    let mut out: Vec<((State, State), Vec<Transition>)> = Vec::new();
    for edge in EDGES {
        for (number, leg) in legs(edge.from, &[edge.transition]).into_iter().enumerate() {
            let known = out.iter().position(|(pair, _)| *pair == leg);
            let index = known.unwrap_or_else(|| {
                out.push((leg, Vec::new()));
                out.len() - 1
            });
            if number == 0 && !out[index].1.contains(&edge.transition) {
                out[index].1.push(edge.transition);
            }
        }
    }
    out
}

/// The steps from state to state of a path; as far as the table has it.
fn legs(from: State, path: &[Transition]) -> Vec<(State, State)> {
    let (mut at, mut out) = (from, Vec::new());
    for transition in path {
        let Some(edge) = edge_for(at, *transition) else { break };
        for state in edge.via.iter().copied().map(Some).chain([edge.to]) {
            out.push((at, state));
            at = state;
        }
    }
    out
}

/// Where each state is: those that zones rest in above each other, as many moves up as they are from none; those that are only
/// seen on the way beside them, between where that way begins and ends.
fn places() -> BTreeMap<State, (i32, i32)> {
    let mut rank: BTreeMap<State, i32> = BTreeMap::from([(None, 0)]);
    while let Some(edge) =
        EDGES.iter().find(|edge| edge.via.is_empty() && rank.contains_key(&edge.from) && !rank.contains_key(&edge.to))
    {
        rank.insert(edge.to, rank[&edge.from] + 1);
    }
    let top = rank.values().max().copied().unwrap_or_default();
    let y = |rank: i32| MARGIN + (top - rank) * ROW;
    let mut out: BTreeMap<State, (i32, i32)> =
        rank.iter().map(|(state, rank)| (*state, (COLUMNS[0], y(*rank)))).collect();
    for edge in EDGES {
        let (Some(begin), Some(end)) = (rank.get(&edge.from), rank.get(&edge.to)) else { continue };
        let count = edge.via.len() as i32 + 1;
        for (state, number) in edge.via.iter().zip(1..) {
            let way = (y(*end) - y(*begin)) * number / count;
            out.entry(Some(*state)).or_insert((COLUMNS[1], y(*begin) + way));
        }
    }
    out
}

/// The two tiers, and what is only on the disk.
fn bands(places: &BTreeMap<State, (i32, i32)>) -> Vec<Band> {
    let band = |words, of: &dyn Fn(ZoneState) -> bool| {
        let inside: Vec<i32> = places.iter().filter(|(s, _)| s.is_some_and(of)).map(|(_, (_, y))| *y).collect();
        let (top, bottom) = (inside.iter().min().copied()?, inside.iter().max().copied()?);
        Some(Band { y: top - HALF.1 - 10, height: bottom - top + 2 * (HALF.1 + 10), words })
    };
    let runs = |state| state == ZoneState::Running;
    let all = [
        band("tier 2", &runs),
        band("tier 1", &|state| state.is_active() && !runs(state)),
        band("disk", &|state| !state.is_active()),
    ];
    all.into_iter().flatten().collect()
}

/// An arrow from a place to another: straight where they are above each other, else along the side and around the corner.
fn arrow((ax, ay): (i32, i32), (bx, by): (i32, i32), label: String, class: &'static str) -> Arrow {
    let new = |path, x, y, anchor| Arrow { path, class, label, x, y, anchor };
    let gap = HALF.1 + 3;
    let middle = (ay + by) / 2 + 5;
    if ax == bx {
        let up = by < ay;
        // Where arrows lead both ways they are beside each other; the column of a halt has one way only.
        let x = if ax == COLUMNS[1] {
            ax
        } else if up {
            ax - ASIDE
        } else {
            ax + ASIDE
        };
        let (begin, end) = if up { (ay - HALF.1, by + gap) } else { (ay + HALF.1, by - gap) };
        let (at, anchor) = if up { (x - 8, "end") } else { (x + 8, "start") };
        new(format!("M{x} {begin}V{end}"), at, middle, anchor)
    } else if ax < bx && by > ay {
        // Down to the side: over it, then down into it.
        let begin = ax + HALF.0;
        new(format!("M{begin} {ay}H{bx}V{}", by - gap), (begin + bx) / 2, ay - 8, "middle")
    } else if ax < bx {
        let (begin, end) = (ax + HALF.0, bx - HALF.0 - 3);
        new(format!("M{begin} {ay}H{}L{end} {by}", begin + 20), (begin + end) / 2 + 14, ay + 2, "start")
    } else {
        // Back: down, then into it from the side.
        let end = bx + HALF.0 + 3;
        new(format!("M{ax} {}V{by}H{end}", ay + HALF.1), (ax + end) / 2, by - 8, "middle")
    }
}

/// The picture in words.
fn about(here: State, from: State, legs: &[(State, State)], path: &[Transition]) -> String {
    let mut out =
        format!("The states that a zone can have, and the transitions between them. It is {}", state_name(here));
    if legs.is_empty() {
        return out + ".";
    }
    let names: Vec<&str> = path.iter().map(|transition| transition.as_str()).collect();
    let states: Vec<&str> = legs.iter().map(|(_, to)| state_name(*to)).collect();
    out += &format!("; its way from {} is {}: {}.", state_name(from), names.join(", "), states.join(", "));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_every_way_of_the_table_is_in_it() {
        let picture = picture(Some(ZoneState::Ready), Some(ZoneState::Ready), &[]);
        let names: Vec<&str> = picture.nodes.iter().map(|node| node.name).collect();
        for state in ZoneState::ALL {
            assert!(names.contains(&state.as_str()), "{state}");
        }
        for edge in EDGES {
            let named = |arrow: &Arrow| arrow.label.split(", ").any(|name| name == edge.transition.as_str());
            assert!(picture.arrows.iter().any(named), "{}", edge.transition);
        }
        for (number, node) in picture.nodes.iter().enumerate() {
            let apart = |other: &Node| (node.x - other.x).abs() > 2 * HALF.0 || (node.y - other.y).abs() > 2 * HALF.1;
            assert!(picture.nodes[..number].iter().all(apart), "{} lies on another", node.name);
        }
    }

    #[test]
    fn the_way_of_a_zone_is_drawn_into_it() {
        let way = |from, path: &[Transition]| {
            let picture = picture(from, from, path);
            let lit = picture.nodes.iter().filter(|node| node.class == "way").map(|node| node.name);
            (lit.collect::<Vec<_>>().join(" "), picture.arrows.iter().filter(|arrow| arrow.class == "way").count())
        };
        let halt = [Transition::Halt];
        assert_eq!(way(Some(ZoneState::Running), &halt), ("installed shutting_down down".into(), 3));
        assert_eq!(way(Some(ZoneState::Down), &halt), ("installed".into(), 1));
        let (states, arrows) = way(Some(ZoneState::Running), &[Transition::Reboot]);
        assert_eq!((states.as_str(), arrows), ("installed ready shutting_down down", 5));
        // What the table does not have is not drawn.
        assert_eq!(way(None, &halt), (String::new(), 0));
    }
}
