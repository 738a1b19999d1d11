//! The reference model: what zones may do, written from the seed (its states and transitions, T1 to T10) and from nothing
//! of the code that is tested. A zone is in a place, moves along edges, and after a pass is where its manifest wants it.

/// Where a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// There is none.
    Nowhere,
    /// It has a configuration.
    Configured,
    /// It has files.
    Installed,
    /// Its virtual platform stands.
    Ready,
    /// Its application environment runs.
    Running,
    /// Its processes are being ended.
    ShuttingDown,
    /// Its platform is being taken down.
    Down,
}

use Place::{Configured, Down, Installed, Nowhere, Ready, Running, ShuttingDown};

impl Place {
    /// As it is called everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Nowhere => "none",
            Configured => "configured",
            Installed => "installed",
            Ready => "ready",
            Running => "running",
            ShuttingDown => "shutting_down",
            Down => "down",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        [Nowhere, Configured, Installed, Ready, Running, ShuttingDown, Down]
            .into_iter()
            .find(|place| place.name() == name)
    }

    /// Whether a zone may go from here straight to there.
    pub fn borders(self, there: Self) -> bool {
        match self {
            Nowhere => matches!(there, Configured),
            Configured => matches!(there, Installed | Nowhere),
            Installed => matches!(there, Ready | Configured),
            Ready => matches!(there, Running | ShuttingDown),
            Running => matches!(there, Ready | ShuttingDown),
            // A teardown that was begun is finished first.
            ShuttingDown => matches!(there, Down),
            Down => matches!(there, Installed),
        }
    }

    /// Whether anything of it is in the kernel.
    pub fn is_active(self) -> bool {
        matches!(self, Ready | Running | ShuttingDown | Down)
    }
}

/// What somebody may ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    Install,
    Ready,
    Boot,
    Stop,
    Halt,
    Reboot,
    Uninstall,
    Unconfigure,
}

impl Asked {
    /// All of it.
    pub const ALL: [Self; 8] = [
        Self::Install,
        Self::Ready,
        Self::Boot,
        Self::Stop,
        Self::Halt,
        Self::Reboot,
        Self::Uninstall,
        Self::Unconfigure,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["install", "ready", "boot", "stop", "halt", "reboot", "uninstall", "unconfigure"][self as usize]
    }

    /// Where it takes a zone from `place`; none where it is refused.
    pub fn leads(self, place: Place) -> Option<Place> {
        match (self, place) {
            (Self::Install, Configured) | (Self::Halt, Ready | Running | ShuttingDown | Down) => Some(Installed),
            (Self::Ready, Installed) | (Self::Stop, Running) => Some(Ready),
            // Boot makes a zone ready first where it is not.
            (Self::Boot, Installed | Ready) | (Self::Reboot, Running) => Some(Running),
            (Self::Uninstall, Installed) => Some(Configured),
            (Self::Unconfigure, Configured) => Some(Nowhere),
            _ => None,
        }
    }
}

/// What a manifest wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    Installed,
    Ready,
    Running,
    /// The manifest is gone, and said before that the zone is to be removed with it.
    Gone,
}

impl Wish {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Installed, Self::Ready, Self::Running, Self::Gone];

    /// Where a pass takes the zone.
    pub fn place(self) -> Place {
        match self {
            Self::Installed => Installed,
            Self::Ready => Ready,
            Self::Running => Running,
            Self::Gone => Nowhere,
        }
    }
}
