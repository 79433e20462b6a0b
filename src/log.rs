//! The log: lines on stderr, or in the file in `LITESTREAM_LOG_FILE`. Never on stdout, which belongs to the host.

use crate::runtime::PerProcess;
use crate::store::one_line;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Once;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Starts logging, at the first open in the process, with the settings in the environment. If the host is a Rust program with a global
/// subscriber, that subscriber stays.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let (level, invalid_level) = parse_level(std::env::var("LITESTREAM_LOG_LEVEL").ok());
        let path = std::env::var_os("LITESTREAM_LOG_FILE").filter(|path| !path.is_empty());
        let log = Log { path: path.map(PathBuf::from), file: PerProcess::new() };
        let file_error = log.file().err();
        let subscriber = fmt::Subscriber::builder().with_max_level(level).with_writer(log);
        // A line that cannot be written is lost: reporting it on stderr would panic if stderr cannot be written either.
        let subscriber = subscriber.with_ansi(false).with_target(false).log_internal_errors(false).finish();
        if tracing::subscriber::set_global_default(subscriber.with(logged(level))).is_ok() {
            invalid_level.iter().chain(&file_error).for_each(|warning| tracing::warn!("{warning}"));
        }
    });
}

/// Returns what is logged at a level. Of the libraries below it is logged what helps to find a fault: what fails in them, and is tried again
/// or reported with its reason here, is no warning to a user.
fn logged(level: Level) -> Targets {
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    if level >= Level::DEBUG { own.with_default(level) } else { own }
}

/// Parses the value of `LITESTREAM_LOG_LEVEL`. Returns a warning too if it is invalid.
fn parse_level(name: Option<String>) -> (Level, Option<String>) {
    match name.as_deref().filter(|name| !name.is_empty()).map(Level::from_str) {
        None => (Level::WARN, None),
        Some(Ok(level)) => (level, None),
        Some(Err(_)) => {
            let name = name.unwrap_or_default();
            (Level::WARN, Some(format!("LITESTREAM_LOG_LEVEL is '{name}'; write error, warn, info, debug or trace")))
        }
    }
}

/// The destination of log lines.
struct Log {
    path: Option<PathBuf>,
    /// The file after it was opened. Until then lines go to stderr.
    file: PerProcess<File>,
}

impl Log {
    /// Returns the log file; None if none is set, or a warning if it cannot be opened.
    fn file(&self) -> Result<Option<&File>, String> {
        let Some(path) = &self.path else { return Ok(None) };
        let opened = self.file.get_or_try_init(|| OpenOptions::new().create(true).append(true).open(path));
        opened.map(Some).map_err(|cause| format!("cannot log to LITESTREAM_LOG_FILE {}: {cause}", path.display()))
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.file().ok().flatten().map_or(Line::Stderr, Line::File)
    }
}

/// Formats an event as one line, without control characters.
fn one_log_line(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    format!("{}\n", one_line(text.strip_suffix('\n').unwrap_or(&text))).into_bytes()
}

/// A writer of one line, with one system call. It takes no lock, because another thread may hold the lock while the process forks, and the
/// child would wait forever. It needs no new file descriptor, so that it can report that none is left.
enum Line<'a> {
    File(&'a File),
    Stderr,
}

impl Write for Line<'_> {
    #[cfg(unix)]
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        use std::os::fd::AsFd;
        let bytes = &one_log_line(event);
        let written = match self {
            Line::File(file) => append(file.as_fd(), bytes),
            Line::Stderr => append(rustix::stdio::stderr(), bytes),
        };
        written.map(|_| event.len())
    }

    #[cfg(not(unix))]
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let bytes = &one_log_line(event);
        let written = match self {
            Line::File(file) => file.write(bytes),
            Line::Stderr => io::stderr().write(bytes),
        };
        written.map(|_| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends to a file, if the limit on the size of files allows it.
#[cfg(unix)]
fn append(to: std::os::fd::BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let metadata = rustix::fs::fstat(to)?;
    if rustix::fs::FileType::from_raw_mode(metadata.st_mode).is_file() {
        let size = u64::try_from(metadata.st_size).unwrap_or(0);
        crate::pread::may_grow_to(size.saturating_add(bytes.len() as u64))?;
    }
    Ok(rustix::io::write(to, bytes)?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let line = one_log_line("ERROR a\nb\r\u{1b}[2J\u{2028}c\n".as_bytes());
        assert_eq!(String::from_utf8(line).expect("text"), "ERROR a\u{fffd}b\u{fffd}\u{fffd}[2J\u{fffd}c\n");
    }

    #[test]
    fn lines_of_libraries_are_logged_from_debug_on() {
        for (level, library) in
            [(Level::ERROR, false), (Level::WARN, false), (Level::INFO, false), (Level::DEBUG, true)]
        {
            assert_eq!(logged(level).would_enable("async_nats::connector", &Level::ERROR), library, "{level}");
            assert!(logged(level).would_enable(module_path!(), &level), "{level}");
        }
        assert!(!logged(Level::WARN).would_enable(module_path!(), &Level::INFO));
    }

    #[test]
    fn writing_a_line_takes_no_lock() {
        let _held = io::stderr().lock();
        let (done, written) = mpsc::channel();
        std::thread::spawn(move || done.send(Line::Stderr.write(b"").is_ok()));
        assert_eq!(written.recv_timeout(Duration::from_secs(60)), Ok(true));
    }

    #[test]
    fn a_file_that_can_be_opened_later_is_used_then() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("later/log");
        let log = Log { path: Some(path.clone()), file: PerProcess::new() };
        let warning = log.file().expect_err("its directory does not exist");
        assert!(warning.contains("LITESTREAM_LOG_FILE") && warning.contains("later/log"), "{warning}");
        assert!(matches!(log.make_writer(), Line::Stderr));
        std::fs::create_dir(dir.path().join("later")).expect("a directory");
        log.make_writer().write_all(b"a line\n").expect("a write");
        log.make_writer().write_all(b"another\n").expect("a write");
        assert_eq!(std::fs::read_to_string(path).expect("text"), "a line\nanother\n");
    }
}
