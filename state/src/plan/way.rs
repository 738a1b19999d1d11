//! How states lie above each other, and the way from one to another: down, then up, along the table.

use crate::lifecycle::{Transition, ZoneState};

use ZoneState::{Configured, Down, Installed, Ready, Running, ShuttingDown};

/// How high a state is: what a teardown lowers and a bring-up raises. A halting zone counts as just above Installed.
pub(super) fn height(state: Option<ZoneState>) -> u8 {
    match state {
        None => 0,
        Some(Configured) => 1,
        Some(Installed) => 2,
        Some(Down | ShuttingDown) => 3,
        Some(Ready) => 4,
        Some(Running) => 5,
    }
}

/// The lower of two states.
pub(super) fn lower(a: Option<ZoneState>, b: Option<ZoneState>) -> Option<ZoneState> {
    if height(a) <= height(b) { a } else { b }
}

/// The transitions from a state down to a lower one.
pub(super) fn down(from: Option<ZoneState>, bottom: Option<ZoneState>) -> Vec<Transition> {
    let mut path = Vec::new();
    match (from, height(bottom)) {
        (Some(Running), 4) => path.push(Transition::Stop),
        (Some(Running | Ready | ShuttingDown | Down), 0..=2) => path.push(Transition::Halt),
        _ => {}
    }
    if height(from) >= 2 && height(bottom) <= 1 {
        path.push(Transition::Uninstall);
    }
    if height(from) >= 1 && height(bottom) == 0 {
        path.push(Transition::Unconfigure);
    }
    path
}

/// The transitions from a state up to a higher one.
pub(super) fn up(bottom: Option<ZoneState>, target: Option<ZoneState>) -> Vec<Transition> {
    [(1, Transition::Configure), (2, Transition::Install), (4, Transition::Ready), (5, Transition::Boot)]
        .into_iter()
        .filter(|(reaches, _)| (height(bottom) + 1..=height(target)).contains(reaches))
        .map(|(_, transition)| transition)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step;

    #[test]
    fn every_way_down_and_up_follows_the_table() {
        let all: Vec<Option<ZoneState>> = std::iter::once(None).chain(ZoneState::ALL.map(Some)).collect();
        let rests: Vec<_> = all.iter().copied().filter(|s| !s.is_some_and(ZoneState::is_halting)).collect();
        for from in &all {
            for bottom in rests.iter().filter(|b| height(**b) <= height(*from)) {
                for target in rests.iter().filter(|t| height(**t) >= height(*bottom)) {
                    let path: Vec<_> = down(*from, *bottom).into_iter().chain(up(*bottom, *target)).collect();
                    let end = path.iter().try_fold(*from, |at, t| step(at, *t));
                    assert_eq!(end, Ok(*target), "{from:?} {bottom:?} {target:?} {path:?}");
                }
            }
        }
    }
}
