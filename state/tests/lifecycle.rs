//! The table: what SEED T2 to T7 ask for, its error text, and what is generated from it.

use reeve_state::lifecycle::{EDGES, IllegalTransition, diagram, edge_for, help, legal, step};
use reeve_state::{Transition, ZoneState};

use Transition as T;
use ZoneState::{Configured, Down, Installed, Ready, Running, ShuttingDown};

#[test]
fn every_move_that_is_not_listed_here_is_refused() {
    let legal_moves = [
        (None, vec![T::Configure]),
        (Some(Configured), vec![T::Install, T::Unconfigure]),
        (Some(Installed), vec![T::Ready, T::Uninstall]),
        (Some(Ready), vec![T::Boot, T::Halt]),
        (Some(Running), vec![T::Stop, T::InitExited, T::Halt, T::Reboot]),
        (Some(ShuttingDown), vec![T::Halt]),
        (Some(Down), vec![T::Halt]),
    ];
    for (from, moves) in legal_moves {
        assert_eq!(legal(from), moves, "{from:?}");
        for transition in T::ALL {
            match step(from, transition) {
                Ok(_) => assert!(moves.contains(&transition), "{transition} from {from:?}"),
                Err(error) => {
                    assert!(!moves.contains(&transition), "{transition} from {from:?}");
                    assert_eq!(error.legal(), moves);
                }
            }
        }
    }
}

#[test]
fn no_move_is_in_the_table_twice() {
    for (index, edge) in EDGES.iter().enumerate() {
        assert!(!EDGES[..index].iter().any(|e| e.from == edge.from && e.transition == edge.transition), "{edge:?}");
    }
}

#[test]
fn a_halt_passes_shutting_down_and_down_and_ends_in_installed() {
    for from in [Running, Ready, ShuttingDown, Down] {
        let edge = edge_for(Some(from), T::Halt).expect("halt is legal");
        assert_eq!(edge.to, Some(Installed));
        let whole = [ShuttingDown, Down];
        assert!(whole.ends_with(edge.via), "{:?}", edge.via);
    }
}

#[test]
fn the_error_names_the_state_and_the_legal_moves() {
    let text = |from, transition| IllegalTransition { from, transition }.to_string();
    assert_eq!(text(Some(Ready), T::Reboot), "reboot: not possible from state ready; from there: boot, halt");
    assert_eq!(text(Some(Down), T::Boot), "boot: not possible from state down; from there: halt");
    assert_eq!(text(None, T::Halt), "halt: not possible from state none; from there: configure");
    assert_eq!(
        text(Some(Running), T::Uninstall),
        "uninstall: not possible from state running; from there: stop, halt, reboot"
    );
}

#[test]
fn names_are_one_word_the_same_in_text_and_json() {
    for state in ZoneState::ALL {
        assert_eq!(serde_json::to_string(&state).expect("json"), format!("\"{state}\""));
    }
    assert_eq!(ShuttingDown.to_string(), "shutting_down");
    assert_eq!(format!("{:<14}|", ShuttingDown), "shutting_down |");
}

#[test]
fn the_diagram_has_every_edge_once() {
    let text = diagram();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    for (index, line) in lines.iter().enumerate() {
        assert!(!lines[..index].contains(line), "twice: {line}");
    }
    for line in [
        "    [*] --> configured: configure",
        "    ready --> running: boot",
        "    running --> shutting_down: halt",
        "    shutting_down --> down: halt",
        "    down --> installed: halt",
        "    configured --> [*]: unconfigure",
    ] {
        assert!(lines.contains(&line), "{line} in\n{text}");
    }
}

#[test]
fn the_help_has_a_line_for_each_edge() {
    let text = help();
    assert_eq!(text.lines().count(), EDGES.len());
    assert!(text.contains("running > shutting_down > down > installed > ready > running"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 140 && line.trim_end() == line), "{text}");
}
