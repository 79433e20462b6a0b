//! Replicas in a directory, read with system calls on threads that may block (see [`blocking`](super::blocking)).

mod config;
mod directory;
mod write;

pub(super) use config::FileConfig;

use super::blocking::{Blocking, Call};
use super::create::{OBJECT_LENGTH, unless_missing};
use super::paths::Layout;
use super::{Chunk, Creation, Listed, OLDER_FORMAT, ObjectName, Store, StoreError, StoreErrorKind, Version};
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::{fmt, io};

/// The maximum length of a read that is considered for its deadline and its buffer. A range may extend far beyond the end of the
/// file.
const LARGE: u64 = 64 * 1024 * 1024;

/// A replica in a directory.
#[derive(Debug)]
pub(super) struct FileStore {
    /// The masked URL of the replica.
    shown: Arc<str>,
    config: Arc<FileConfig>,
    blocking: Blocking,
}

impl FileStore {
    pub fn new(shown: Arc<str>, config: FileConfig) -> FileStore {
        FileStore { shown, config: Arc::new(config), blocking: Blocking::new() }
    }

    /// Reads a range of the file at a path relative to the replica, as [`Store::read`] does.
    async fn read_at(&self, path: String, range: Range<u64>, expected: Option<&Version>) -> Result<Chunk, StoreError> {
        let shown = format!("{}/{path}", self.shown);
        let length = range.end.saturating_sub(range.start).min(LARGE);
        let (config, file, wanted) = (self.config.clone(), path.clone(), expected.cloned());
        // The buffer is allocated on this thread, because each thread that allocates large buffers retains memory.
        let buffer = if length < LARGE { vec![0; length as usize] } else { Vec::new() };
        let read = move |_: &Call| directory::read(&config.directory().join(file), range, wanted.as_ref(), buffer);
        let read = self.blocking.run(&shown, length, read).await?;
        let (version, chunk) = read.map_err(|error| self.error(&path, error))?;
        version.check(expected, &shown)?;
        chunk.ok_or_else(|| StoreError::missing(shown))
    }

    /// Converts the error of a system call. `path` is relative to the replica.
    fn error(&self, path: &str, error: io::Error) -> StoreError {
        let url = format!("{}/{path}", self.shown);
        let (kind, cause) = match error.kind() {
            io::ErrorKind::NotFound => return StoreError::missing(url),
            io::ErrorKind::PermissionDenied => {
                (StoreErrorKind::Denied, "this process has no permission to read it".to_owned())
            }
            io::ErrorKind::NotADirectory => {
                (StoreErrorKind::Config, "a part of the path is a file and not a directory".to_owned())
            }
            io::ErrorKind::UnexpectedEof => {
                (StoreErrorKind::Unreachable, "the file became shorter while it was read".to_owned())
            }
            _ => (StoreErrorKind::Unreachable, error.to_string()),
        };
        StoreError::new(kind, url, cause).caused_by(error)
    }

    /// As [`FileStore::error`], for a call that writes.
    fn write_error(&self, path: &str, error: io::Error) -> StoreError {
        let (kind, cause) = match error.kind() {
            io::ErrorKind::PermissionDenied => (StoreErrorKind::Denied, "this process has no permission to write it"),
            io::ErrorKind::ReadOnlyFilesystem => (StoreErrorKind::ReadOnly, "the file system is read-only"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (StoreErrorKind::Unreachable, "the disk is full")
            }
            io::ErrorKind::Unsupported => (StoreErrorKind::Config, "the file system supports no hard links"),
            _ => return self.error(path, error),
        };
        StoreError::new(kind, format!("{}/{path}", self.shown), cause).caused_by(error)
    }
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
        let config = self.config.clone();
        let list = move |call: &Call| directory::list(&config, level, &range, call);
        match self.blocking.run(&self.shown, 0, list).await? {
            Ok(Some(files)) => Ok(files),
            Ok(None) => {
                let cause = "it is a file and not a directory";
                Err(StoreError::new(StoreErrorKind::Config, self.shown.clone(), cause))
            }
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
        self.read_at(Layout::Decimal.file(level, name), range, expected).await
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        unless_missing(self.read_at(object.path(Layout::Decimal), 0..OBJECT_LENGTH, None).await)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let path = object.path(Layout::Decimal);
        let (config, file, length) = (self.config.clone(), path.clone(), bytes.len() as u64);
        let create = move |_: &Call| write::create(&config.directory().join(file), &bytes);
        let created = self.blocking.run(&self.shown, length, create).await?;
        created.map_err(|error| self.write_error(&path, error))
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        let path = object.path(Layout::Decimal);
        let (config, file) = (self.config.clone(), path.clone());
        let delete = move |_: &Call| write::delete(&config.directory().join(file));
        let deleted = self.blocking.run(&self.shown, 0, delete).await?;
        deleted.map_err(|error| self.write_error(&path, error))
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let config = self.config.clone();
        self.blocking.run(&self.shown, 0, move |_| config.directory().join(OLDER_FORMAT).is_dir()).await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::store::bounds::MOST_NAMES;
    use std::fs;

    #[tokio::test]
    async fn pipes_sockets_devices_and_directories_are_not_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let level = dir.path().join("ltx/0");
        fs::create_dir_all(&level).expect("a level");
        let name = |txid| FileName::of(Txid(txid));
        let path = |txid| level.join(name(txid).to_string());
        fs::write(path(1), b"bytes").expect("a file");
        fs::create_dir(path(2)).expect("a directory");
        let _socket = std::os::unix::net::UnixListener::bind(path(3)).expect("a socket");
        let made = std::process::Command::new("mkfifo").arg(path(4)).status().expect("mkfifo runs");
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", path(5)).expect("a link to a device");
        let config = FileConfig::parse(&format!("//{}", dir.path().display())).expect("a configuration");
        let store = FileStore::new("file:///replica".into(), config);
        let listed = store.list(Level::ZERO, Txid(1)).await.expect("it is listed");
        assert_eq!(listed.iter().map(|file| file.name).collect::<Vec<_>>(), [name(1)]);
        assert_eq!(store.read(Level::ZERO, name(1), 1..99, None).await.expect("a file").bytes, "ytes");
        for txid in 2..=5 {
            let error = store.read(Level::ZERO, name(txid), 0..9, None).await.expect_err("no file");
            assert_eq!(error.kind(), StoreErrorKind::NotFound, "{error}");
        }
    }

    #[tokio::test]
    async fn listings_are_limited_in_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let level = dir.path().join("ltx/0");
        fs::create_dir_all(&level).expect("a level");
        (0..=MOST_NAMES).for_each(|number| drop(fs::File::create(level.join(number.to_string())).expect("a file")));
        let config = FileConfig::parse(&format!("//{}", dir.path().display())).expect("a configuration");
        let store = FileStore::new("file:///replica".into(), config);
        let error = store.list(Level::ZERO, Txid(1)).await.expect_err("too many names");
        assert!(error.to_string().contains("more than 16000 names"), "{error}");
    }

    /// Small files of level 0 are read with a long range and then kept in memory.
    #[tokio::test]
    async fn a_long_range_of_a_short_file_uses_no_extra_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (level, name) = (dir.path().join("ltx/0"), FileName::of(Txid(1)));
        fs::create_dir_all(&level).expect("a level");
        fs::write(level.join(name.to_string()), [7; 600]).expect("a file");
        let config = FileConfig::parse(&format!("//{}", dir.path().display())).expect("a configuration");
        let store = FileStore::new("file:///replica".into(), config);
        let part = store.read(Level::ZERO, name, 0..128 << 10, None).await.expect("a file").bytes;
        let part = Vec::from(part);
        assert_eq!((part.len(), part.capacity()), (600, 600));
    }

    #[test]
    fn errors_of_the_system_become_kinds() {
        let config = FileConfig::parse("///srv/replica").expect("a configuration");
        let store = FileStore::new("file:///srv/replica".into(), config);
        let convert = |kind: io::ErrorKind| store.error("ltx/0", kind.into());
        for (system, kind) in [
            (io::ErrorKind::NotFound, StoreErrorKind::NotFound),
            (io::ErrorKind::PermissionDenied, StoreErrorKind::Denied),
            (io::ErrorKind::NotADirectory, StoreErrorKind::Config),
            (io::ErrorKind::UnexpectedEof, StoreErrorKind::Unreachable),
            (io::ErrorKind::TimedOut, StoreErrorKind::Unreachable),
        ] {
            assert_eq!(convert(system).kind(), kind, "{system:?}");
        }
        let text = convert(io::ErrorKind::PermissionDenied).to_string();
        assert_eq!(text, "file:///srv/replica/ltx/0: this process has no permission to read it");
    }
}
