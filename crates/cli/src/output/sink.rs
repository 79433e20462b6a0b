//! Stdout with a buffer that no row stays in for long.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The writers flush it after each row. It passes that on if the last time was this long ago, and otherwise this much later.
const INTERVAL: Duration = Duration::from_millis(50);

pub struct Sink {
    out: Arc<Mutex<BufWriter<Stdout>>>,
    is_terminal: bool,
    flushed: Option<Instant>,
    /// Wakes the thread that flushes later. None until it is needed.
    later: Option<SyncSender<()>>,
}

fn lock(out: &Mutex<BufWriter<Stdout>>) -> MutexGuard<'_, BufWriter<Stdout>> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    pub fn stdout() -> Sink {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Sink { out: Arc::new(Mutex::new(BufWriter::new(stdout))), is_terminal, flushed: None, later: None }
    }

    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes what is in the buffer.
    pub fn finish(&mut self) -> io::Result<()> {
        lock(&self.out).flush()
    }

    /// Has a thread flush soon, or flushes now if there can be no thread.
    fn flush_later(&mut self) -> io::Result<()> {
        let later = match &self.later {
            Some(later) => later,
            None => {
                let (later, wanted) = mpsc::sync_channel(1);
                let out = self.out.clone();
                match thread::Builder::new().spawn(move || flush_when_wanted(&out, &wanted)) {
                    Ok(_) => self.later.insert(later),
                    Err(_) => return self.finish(),
                }
            }
        };
        // If it is full, the thread is about to flush.
        let _ = later.try_send(());
        Ok(())
    }
}

fn flush_when_wanted(out: &Mutex<BufWriter<Stdout>>, wanted: &Receiver<()>) {
    for () in wanted {
        thread::sleep(INTERVAL);
        // What could not be written stays in the buffer, and the next row reports the error.
        let _ = lock(out).flush();
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.out).write(bytes)
    }

    /// Ends a row.
    fn flush(&mut self) -> io::Result<()> {
        if !self.is_terminal && self.flushed.is_some_and(|flushed| flushed.elapsed() < INTERVAL) {
            return self.flush_later();
        }
        lock(&self.out).flush()?;
        self.flushed = Some(Instant::now());
        Ok(())
    }
}
