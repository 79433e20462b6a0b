//! Where log lines go: stderr, or the file that `LITESTREAM_LOG_FILE` names. Never stdout, which is the host's.

use std::fs::OpenOptions;
use std::io;
use std::str::FromStr;
use std::sync::{Mutex, Once};
use tracing::Level;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Starts logging at the first open of the process, as the environment says then. A host in Rust that has set a
/// subscriber of its own keeps it.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let (level, unreadable) = level(std::env::var("LITESTREAM_LOG_LEVEL").ok());
        let (writer, unwritable) = writer(std::env::var_os("LITESTREAM_LOG_FILE"));
        let subscriber = fmt::Subscriber::builder().with_max_level(level).with_writer(writer);
        let subscriber = subscriber.with_ansi(false).with_target(false).finish();
        if tracing::subscriber::set_global_default(subscriber).is_ok() {
            unreadable.iter().chain(&unwritable).for_each(|complaint| tracing::warn!("{complaint}"));
        }
    });
}

fn level(name: Option<String>) -> (Level, Option<String>) {
    match name.as_deref().filter(|name| !name.is_empty()).map(Level::from_str) {
        None => (Level::WARN, None),
        Some(Ok(level)) => (level, None),
        Some(Err(_)) => {
            let name = name.unwrap_or_default();
            (Level::WARN, Some(format!("LITESTREAM_LOG_LEVEL is '{name}'; write error, warn, info, debug or trace")))
        }
    }
}

fn writer(path: Option<std::ffi::OsString>) -> (BoxMakeWriter, Option<String>) {
    let stderr = || BoxMakeWriter::new(io::stderr);
    let Some(path) = path.filter(|path| !path.is_empty()) else { return (stderr(), None) };
    match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(file) => (BoxMakeWriter::new(Mutex::new(file)), None),
        Err(cause) => (stderr(), Some(format!("cannot log to LITESTREAM_LOG_FILE {}: {cause}", path.display()))),
    }
}
