//! Stdout with a buffer that no row stays in for long.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

/// The writers flush it after each row. It passes that on if the last time was this long ago.
const INTERVAL: Duration = Duration::from_millis(50);

pub struct Sink {
    out: BufWriter<Stdout>,
    is_terminal: bool,
    flushed: Option<Instant>,
}

impl Sink {
    pub fn stdout() -> Sink {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Sink { out: BufWriter::new(stdout), is_terminal, flushed: None }
    }

    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes what is in the buffer.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    /// Ends a row.
    fn flush(&mut self) -> io::Result<()> {
        if self.is_terminal || self.flushed.is_none_or(|flushed| flushed.elapsed() >= INTERVAL) {
            self.out.flush()?;
            self.flushed = Some(Instant::now());
        }
        Ok(())
    }
}
