//! The state of the terminal that the line editor changes while it reads a line.

#[cfg(unix)]
mod saved {
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
    use std::io::{self, Write};
    use std::sync::OnceLock;

    static SAVED: OnceLock<Termios> = OnceLock::new();

    /// Saves the state, before the editor starts.
    pub fn save() {
        if let Ok(state) = tcgetattr(io::stdin()) {
            let _ = SAVED.set(state);
        }
    }

    /// Restores the state, if it was saved: the editor cannot do so when a signal ends the program.
    pub fn restore() {
        let Some(state) = SAVED.get() else { return };
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, state);
        // The editor marks what is pasted.
        let _ = io::stdout().write_all(b"\x1b[?2004l\r\n").and_then(|()| io::stdout().flush());
    }
}

/// The console of Windows restores itself.
#[cfg(not(unix))]
mod saved {
    pub fn save() {}

    pub fn restore() {}
}

pub use saved::{restore, save};
