//! The terminal at standard input in raw mode, and back as it was on every way out.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// How the terminal was before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, until dropped. A panic ends it, too, before its message is printed (a release build aborts, so that nothing
/// is dropped).
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Enters it.
    ///
    /// # Errors
    /// ENOTTY where standard input is no terminal.
    pub fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                hook(panic);
            }));
        });
        let before = tcgetattr(stdin())?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let raw = Self(());
        raw.again()?;
        Ok(raw)
    }

    /// Enters it once more, after somebody else (a shell, while this process was stopped) had the terminal.
    ///
    /// # Errors
    /// As [`Raw::enter`].
    pub fn again(&self) -> io::Result<()> {
        let mut raw = tcgetattr(stdin())?;
        raw.make_raw();
        Ok(tcsetattr(stdin(), OptionalActions::Drain, &raw)?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &before);
    }
}
