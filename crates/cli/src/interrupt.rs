//! Ctrl-C and requests to terminate: the first one interrupts the running statement. Without a statement, or the second time, the program
//! ends at once.

use crate::failure::{self, Failure};
use crate::terminal;
use rusqlite::{Connection, InterruptHandle};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};
use tokio::runtime::Builder;

/// The connection that runs statements.
static RUNNING: Mutex<Option<InterruptHandle>> = Mutex::new(None);
/// Whether its statements are to end.
static REQUESTED: AtomicBool = AtomicBool::new(false);

fn running() -> MutexGuard<'static, Option<InterruptHandle>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handles the signals of the process from now on.
pub fn install() -> Result<(), Failure> {
    let start = || {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _context = runtime.enter();
            Signals::new()?
        };
        thread::Builder::new().spawn(move || {
            runtime.block_on(async {
                loop {
                    signals.next().await;
                    handle();
                }
            });
        })
    };
    start().map(drop).map_err(|error: io::Error| Failure::Reason(format!("cannot handle Ctrl-C: {error}")))
}

fn handle() {
    match &*running() {
        Some(statement) if !REQUESTED.swap(true, Ordering::Relaxed) => statement.interrupt(),
        _ => {
            terminal::restore();
            std::process::exit(Failure::Interrupted.exit_code().into())
        }
    }
}

#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    /// A signal that was ignored when the program started stays so: `nohup` and shells that start a job in the background ask for this.
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let handled = kinds.into_iter().filter(|kind| (ignored >> (kind.as_raw_value() - 1)) & 1 == 0);
        handled.map(signal).collect::<io::Result<_>>().map(Signals)
    }

    async fn next(&mut self) {
        use std::task::Poll;
        std::future::poll_fn(|context| {
            let has_arrived = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if has_arrived { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Returns the signals that this process ignores, the first one in the lowest bit. Only Linux tells without unsafe code; elsewhere this is none.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let signals = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    signals.and_then(|signals| u64::from_str_radix(signals.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// While it exists, a signal interrupts the connection and leaves the rest to the command.
pub struct Interruptible<'c>(PhantomData<&'c Connection>);

impl Interruptible<'_> {
    pub fn new(connection: &Connection) -> Interruptible<'_> {
        failure::note_earlier();
        let mut running = running();
        REQUESTED.store(false, Ordering::Relaxed);
        *running = Some(connection.get_interrupt_handle());
        Interruptible(PhantomData)
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        *running() = None;
    }
}

/// Fails if a signal has arrived since the newest [`Interruptible`] was made. SQLite forgets an interrupt that arrives between two statements.
pub fn check() -> Result<(), Failure> {
    if REQUESTED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
}
