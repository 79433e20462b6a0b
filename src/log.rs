//! Where log lines go: stderr, or the file that `LITESTREAM_LOG_FILE` names. Never stdout, which is the host's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Once};
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
    let stderr = || BoxMakeWriter::new(|| OneLine(Stderr));
    let Some(path) = path.filter(|path| !path.is_empty()) else { return (stderr(), None) };
    match OpenOptions::new().create(true).append(true).open(&path) {
        // Without a lock, which the child of a fork would wait for in vain; a line is one write to the file's end.
        Ok(file) => (
            BoxMakeWriter::new({
                let file = Arc::new(file);
                move || OneLine(SharedFile(file.clone()))
            }),
            None,
        ),
        Err(cause) => (stderr(), Some(format!("cannot log to LITESTREAM_LOG_FILE {}: {cause}", path.display()))),
    }
}

/// The text with every control character, line breaks above all, replaced: names and answers of others cannot begin a line.
pub(crate) fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.replace(breaks, "\u{fffd}")
}

/// Writes each event as one line, whatever is in it.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = format!("{}\n", one_line(text.strip_suffix('\n').unwrap_or(&text)));
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct SharedFile(Arc<File>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error without the lock that Rust puts before it: another thread may hold that while the process forks, and
/// the child would wait for it for ever.
struct Stderr;

impl Write for Stderr {
    #[cfg(unix)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use std::os::fd::AsFd;
        std::fs::File::from(io::stderr().as_fd().try_clone_to_owned()?).write(bytes)
    }

    #[cfg(not(unix))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let mut written = OneLine(Vec::new());
        assert_eq!(written.write("ERROR a\nb\r\u{1b}[2J\u{2028}c\n".as_bytes()).expect("it is written"), 19);
        assert_eq!(String::from_utf8(written.0).expect("text"), "ERROR a\u{fffd}b\u{fffd}\u{fffd}[2J\u{fffd}c\n");
    }

    #[test]
    fn a_line_waits_for_no_lock() {
        let _held = io::stderr().lock();
        let (done, written) = mpsc::channel();
        std::thread::spawn(move || done.send(Stderr.write(b"").is_ok()));
        assert_eq!(written.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
