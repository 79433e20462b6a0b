//! Ctrl-C and requests to terminate: the first one interrupts the running statement. Without a statement, or the second time, the program
//! ends at once.

use crate::failure::{self, Failure};
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
        _ => std::process::exit(Failure::Interrupted.exit_code().into()),
    }
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
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
