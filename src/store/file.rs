//! Replicas in a directory, read with plain system calls on threads that may block (`blocking`).

use super::blocking::{Blocking, Call};
use super::paths::Layout;
use super::url::{clean, cut};
use super::{Chunk, Listed, OLDER_FORMAT, Store, StoreError, StoreErrorKind, Version};
use crate::ltx::{FileName, Level, Txid};
use crate::pread::read_exact_at;
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fs::{self, File, Metadata, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use std::{env, fmt, io};

/// The directories that a `file` URL may mean, most likely first.
///
/// Litestream 0.5 takes the text of the URL for the path: it writes `file:///srv/a%20b` and `file:///srv/a b` to a
/// directory called `a%20b`, and `file://replica` to `/replica`. A person means `a b`, and `replica` in the current
/// directory. The first of these that exists is the replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileConfig {
    candidates: Vec<PathBuf>,
}

impl FileConfig {
    /// Reads what follows `file:`.
    pub fn parse(rest: &str) -> Result<FileConfig, String> {
        let (text, _query) = cut(rest, '?');
        let (absolute, text) = match text.strip_prefix("//") {
            Some(text) => (true, text),
            None => (text.starts_with('/'), text),
        };
        if text.is_empty() {
            return Err("it names no directory, write file:///srv/replica".to_owned());
        }
        let (path, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let written = format!("{}{fragment}", as_go_writes(path));
        let local = text.strip_prefix("localhost").filter(|text| text.starts_with('/')).unwrap_or(text);
        let meant = percent_decode_str(local).decode_utf8_lossy();
        let current = env::current_dir().map_err(|error| format!("there is no current directory: {error}"));
        let mut candidates = vec![if absolute { rooted(&written) } else { beneath(current.clone()?, &written) }];
        let meant = if local.starts_with('/') { rooted(&meant) } else { beneath(current?, &meant) };
        if meant != candidates[0] {
            candidates.push(meant);
        }
        Ok(FileConfig { candidates })
    }

    /// The directories that it may mean.
    pub fn candidates(&self) -> &[PathBuf] {
        &self.candidates
    }

    fn directory(&self) -> &Path {
        let found = if self.candidates.len() > 1 { self.candidates.iter().find(|path| path.is_dir()) } else { None };
        found.unwrap_or(&self.candidates[0])
    }
}

/// An absolute path, cleaned. `/C:/replica` is `C:/replica` where drives have letters.
fn rooted(path: &str) -> PathBuf {
    let path = clean(path);
    let drive = path.as_bytes().get(1) == Some(&b':') && path.starts_with(|c: char| c.is_ascii_alphabetic());
    if cfg!(windows) && drive { PathBuf::from(path) } else { PathBuf::from(format!("/{path}")) }
}

/// A path that is relative to `directory`, cleaned; it may lead out of it.
fn beneath(mut directory: PathBuf, path: &str) -> PathBuf {
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(directory.pop()),
            segment => directory.push(segment),
        }
    }
    directory
}

/// The path of a URL as Go's `net/url` prints it: as it was written where that is valid, else encoded anew.
fn as_go_writes(path: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    const KEPT_IN_PATHS: AsciiSet = KEPT.remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b'/');
    const ENCODED: AsciiSet = KEPT_IN_PATHS.remove(b':').remove(b';').remove(b'=').remove(b'@');
    if path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&b)) {
        return path.to_owned();
    }
    utf8_percent_encode(&percent_decode_str(path).decode_utf8_lossy(), &ENCODED).to_string()
}

/// A replica in a directory.
#[derive(Debug)]
pub(super) struct FileStore {
    shown: Arc<str>,
    place: Arc<FileConfig>,
    blocking: Blocking,
}

impl FileStore {
    pub fn new(shown: Arc<str>, place: FileConfig) -> FileStore {
        FileStore { shown, place: Arc::new(place), blocking: Blocking::new() }
    }

    fn error(&self, below: &str, error: io::Error) -> StoreError {
        let place = format!("{}/{below}", self.shown);
        let (kind, cause) = match error.kind() {
            io::ErrorKind::NotFound => return StoreError::missing(place),
            io::ErrorKind::PermissionDenied => (StoreErrorKind::Denied, "this process may not read it".to_owned()),
            io::ErrorKind::NotADirectory => {
                (StoreErrorKind::Config, "a part of the path is a file, no directory".to_owned())
            }
            io::ErrorKind::UnexpectedEof => {
                (StoreErrorKind::Unreachable, "it became shorter while it was read".to_owned())
            }
            _ => (StoreErrorKind::Unreachable, error.to_string()),
        };
        StoreError::new(kind, place, cause).caused_by(error)
    }
}

/// The files of a level; None if the replica is a file.
fn entries(place: &FileConfig, level: Level, range: &Range<Txid>, call: &Call) -> io::Result<Option<Vec<Listed>>> {
    let root = place.directory();
    let entries = match fs::read_dir(root.join(Layout::Decimal.level(level))) {
        // Windows says so of a path through a file, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if root.is_file() { None } else { Some(Vec::new()) });
        }
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        call.gets_on();
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(FileName::parse) else { continue };
        if !range.contains(&name.min) {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => files.push(listed(level, name, &metadata)),
            // A directory is no file of ours.
            Ok(_) => {}
            Err(error) if is_of_the_entry(&error) => {
                tracing::debug!("{}: {error}, so it is left out", entry.path().display());
            }
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable_by_key(|file| file.name);
    Ok(Some(files))
}

/// Opens a file of the replica. A directory, a pipe, a socket or a device under its name is none: that is
/// [`NotFound`](io::ErrorKind::NotFound), as a listing leaves it out. To open a pipe waits for nobody.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let is_socket = |error: &io::Error| cfg!(unix) && error.raw_os_error() == Some(NO_SUCH_DEVICE);
    let file = options.open(path);
    let file = file.map_err(|error| if is_socket(&error) { io::ErrorKind::NotFound.into() } else { error })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// What the system says when a socket is opened.
#[cfg(unix)]
const NO_SUCH_DEVICE: i32 = libc::ENXIO;
#[cfg(not(unix))]
const NO_SUCH_DEVICE: i32 = 0;

/// The version of a file, and a part of it if the version is the expected one. The part is read into `buffer`, as far as that is
/// long enough.
fn part(
    path: &Path,
    range: Range<u64>,
    expected: Option<&Version>,
    mut buffer: Vec<u8>,
) -> io::Result<(Version, Option<Chunk>)> {
    let (file, metadata) = open(path)?;
    let (version, file_size) = (version(&metadata), metadata.len());
    if expected.is_some_and(|expected| *expected != version) {
        return Ok((version, None));
    }
    let end = range.end.min(file_size);
    let length = usize::try_from(end.saturating_sub(range.start)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    buffer.resize(length, 0);
    // Whoever keeps the part must not keep room for what the file does not have.
    buffer.shrink_to_fit();
    read_exact_at(&file, &mut buffer, range.start)?;
    let modified_ms = modified_ms(&metadata);
    Ok((version.clone(), Some(Chunk { bytes: buffer.into(), file_size, version, modified_ms })))
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[async_trait]
impl Store for FileStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let place = self.place.clone();
        let listed = self.blocking.run(&self.shown, 0, move |call| entries(&place, level, &range, call)).await?;
        match listed {
            Ok(Some(files)) => Ok(files),
            Ok(None) => Err(StoreError::new(StoreErrorKind::Config, self.shown.clone(), "it is a file, no directory")),
            Err(error) => Err(self.error(&Layout::Decimal.level(level), error)),
        }
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let below = Layout::Decimal.file(level, name);
        let shown = format!("{}/{below}", self.shown);
        // Who asks for all there is has the time that a large file takes.
        let length = range.end.saturating_sub(range.start).min(LARGE);
        let (place, file, wanted) = (self.place.clone(), below.clone(), expected.cloned());
        // Made here: each thread that allocates large buffers keeps memory for itself.
        let buffer = if length < LARGE { vec![0; length as usize] } else { Vec::new() };
        let read = move |_: &Call| part(&place.directory().join(file), range, wanted.as_ref(), buffer);
        let read = self.blocking.run(&shown, length, read).await?;
        let (version, chunk) = read.map_err(|error| self.error(&below, error))?;
        version.check(expected, &shown)?;
        chunk.ok_or_else(|| StoreError::missing(shown))
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let place = self.place.clone();
        self.blocking.run(&self.shown, 0, move |_| place.directory().join(OLDER_FORMAT).is_dir()).await
    }
}

const LARGE: u64 = 64 * 1024 * 1024;

/// Whether one entry alone cannot be looked at, which must not hide the others: it was deleted meanwhile, or is a link to
/// nothing, to itself, through a file, or to where this process may not look. Whoever needs that file is told so by the read.
fn is_of_the_entry(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidFilename
    )
}

fn listed(level: Level, name: FileName, metadata: &Metadata) -> Listed {
    let modified_ms = modified_ms(metadata);
    Listed { level, name, size: metadata.len(), version: Some(version(metadata)), modified_ms }
}

fn modified_ms(metadata: &Metadata) -> i64 {
    i64::try_from(modified_ns(metadata) / 1_000_000).unwrap_or(i64::MAX)
}

/// Inode, size and time of the last change together change with every rewrite.
fn version(metadata: &Metadata) -> Version {
    Version(format!("{:x}-{:x}-{:x}", inode(metadata), metadata.len(), modified_ns(metadata)).into())
}

fn modified_ns(metadata: &Metadata) -> u128 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_nanos()
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_url_means_what_litestream_wrote_or_what_a_person_meant() {
        let current = env::current_dir().expect("a directory");
        let here = |path: &str| current.join(path).to_str().expect("text").to_owned();
        let relative = here("relative/dir");
        let opaque = here("replica");
        let beside = current.parent().expect("a parent").join("replica").to_str().expect("text").to_owned();
        let cases: [(&str, &[&str]); 12] = [
            ("///srv/replica", &["/srv/replica"]),
            ("///srv//x/../replica/?a=b", &["/srv/replica"]),
            ("/srv/replica", &["/srv/replica"]),
            ("///srv/a%20b", &["/srv/a%20b", "/srv/a b"]),
            ("///srv/a b", &["/srv/a%20b", "/srv/a b"]),
            ("///srv/a+b@1,(x)", &["/srv/a+b@1,(x)"]),
            ("///srv/a#b", &["/srv/a#b"]),
            ("//relative/dir", &["/relative/dir", &relative]),
            ("//localhost/srv/a", &["/localhost/srv/a", "/srv/a"]),
            ("replica", &[&opaque]),
            ("./x/../replica", &[&opaque]),
            ("../replica", &[&beside]),
        ];
        for (rest, paths) in cases {
            let place = FileConfig::parse(rest).expect(rest);
            let candidates: Vec<_> = place.candidates.iter().map(|path| path.to_str().expect("text")).collect();
            assert_eq!(candidates, paths, "{rest}");
        }
    }

    #[tokio::test]
    async fn a_pipe_a_socket_and_a_directory_under_the_name_of_a_file_are_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let level = dir.path().join("ltx/0");
        fs::create_dir_all(&level).expect("a level");
        let name = |txid| FileName { min: Txid(txid), max: Txid(txid) };
        let path = |txid| level.join(name(txid).to_string());
        fs::write(path(1), b"bytes").expect("a file");
        fs::create_dir(path(2)).expect("a directory");
        let _socket = std::os::unix::net::UnixListener::bind(path(3)).expect("a socket");
        let made = std::process::Command::new("mkfifo").arg(path(4)).status().expect("mkfifo runs");
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", path(5)).expect("a link to a device");
        let place = FileConfig::parse(&format!("//{}", dir.path().display())).expect("a place");
        let store = FileStore::new("file:///replica".into(), place);
        let listed = store.list(Level::ZERO, Txid(1)).await.expect("it is listed");
        assert_eq!(listed.iter().map(|file| file.name).collect::<Vec<_>>(), [name(1)]);
        assert_eq!(store.read(Level::ZERO, name(1), 1..99, None).await.expect("a file").bytes, "ytes");
        for txid in 2..=5 {
            let error = store.read(Level::ZERO, name(txid), 0..9, None).await.expect_err("no file");
            assert_eq!(error.kind(), StoreErrorKind::NotFound, "{error}");
        }
    }

    /// Small files of level 0 are asked for with a long range, and kept.
    #[tokio::test]
    async fn a_part_takes_no_more_memory_than_the_file_has_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (level, name) = (dir.path().join("ltx/0"), FileName { min: Txid(1), max: Txid(1) });
        fs::create_dir_all(&level).expect("a level");
        fs::write(level.join(name.to_string()), [7; 600]).expect("a file");
        let place = FileConfig::parse(&format!("//{}", dir.path().display())).expect("a place");
        let store = FileStore::new("file:///replica".into(), place);
        let part = store.read(Level::ZERO, name, 0..128 << 10, None).await.expect("a file").bytes;
        let part = Vec::from(part);
        assert_eq!((part.len(), part.capacity()), (600, 600));
    }

    #[test]
    fn what_the_system_answers_becomes_what_a_caller_can_do() {
        let place = FileConfig::parse("///srv/replica").expect("a place");
        let store = FileStore::new("file:///srv/replica".into(), place);
        let told = |kind: io::ErrorKind| store.error("ltx/0", kind.into());
        for (system, kind) in [
            (io::ErrorKind::NotFound, StoreErrorKind::NotFound),
            (io::ErrorKind::PermissionDenied, StoreErrorKind::Denied),
            (io::ErrorKind::NotADirectory, StoreErrorKind::Config),
            (io::ErrorKind::UnexpectedEof, StoreErrorKind::Unreachable),
            (io::ErrorKind::TimedOut, StoreErrorKind::Unreachable),
        ] {
            assert_eq!(told(system).kind(), kind, "{system:?}");
        }
        let text = told(io::ErrorKind::PermissionDenied).to_string();
        assert_eq!(text, "file:///srv/replica/ltx/0: this process may not read it");
    }
}
