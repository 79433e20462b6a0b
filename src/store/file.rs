//! Replicas in a directory, read with plain system calls on the caller's thread: each takes microseconds.

use super::paths::Layout;
use super::url::{clean, cut};
use super::{Chunk, Error, ErrorKind, Listed, Store, Version};
use crate::ltx::{FileName, Level, Txid};
use crate::pread::read_exact_at;
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use std::{env, fmt};

/// The directories that a `file` URL may mean, most likely first.
///
/// Litestream 0.5 takes the text of the URL for the path: it writes `file:///srv/a%20b` and `file:///srv/a b` to a
/// directory called `a%20b`, and `file://replica` to `/replica`. A person means `a b`, and `replica` in the current
/// directory. The first of these that exists is the replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct FilePlace {
    candidates: Vec<PathBuf>,
}

impl FilePlace {
    /// Reads what follows `file:`.
    pub fn parse(rest: &str) -> Result<FilePlace, String> {
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
        Ok(FilePlace { candidates })
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
    place: FilePlace,
}

impl FileStore {
    pub fn new(shown: Arc<str>, place: FilePlace) -> FileStore {
        FileStore { shown, place }
    }

    fn error(&self, below: &str, error: &io::Error) -> Error {
        let place = format!("{}/{below}", self.shown);
        let (kind, cause) = match error.kind() {
            io::ErrorKind::NotFound => return Error::missing(place),
            io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "this process may not read it".to_owned()),
            io::ErrorKind::NotADirectory => {
                (ErrorKind::Config, "a part of the path is a file, no directory".to_owned())
            }
            io::ErrorKind::UnexpectedEof => (ErrorKind::Unreachable, "it became shorter while it was read".to_owned()),
            _ => (ErrorKind::Unreachable, error.to_string()),
        };
        Error::new(kind, place, cause)
    }

    fn entries(&self, level: Level, range: &Range<Txid>) -> io::Result<Vec<Listed>> {
        let root = self.place.directory();
        let mut files = Vec::new();
        for entry in fs::read_dir(root.join(Layout::Decimal.level(level)))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().and_then(FileName::parse) else { continue };
            if !range.contains(&name.min) {
                continue;
            }
            // What was deleted meanwhile, or is a link to nothing, is not there; a directory is no file of ours.
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => files.push(listed(level, name, &metadata)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        files.sort_unstable_by_key(|file| file.name);
        Ok(files)
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[async_trait]
impl Store for FileStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, Error> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, Error> {
        match self.entries(level, &range) {
            // Windows says so of a path through a file, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.place.directory().is_file() => {
                Ok(Vec::new())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Config, self.shown.clone(), "it is a file, no directory"))
            }
            result => result.map_err(|error| self.error(&Layout::Decimal.level(level), &error)),
        }
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, Error> {
        let below = Layout::Decimal.file(level, name);
        let failed = |error: io::Error| self.error(&below, &error);
        let file = File::open(self.place.directory().join(&below)).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let (version, file_size) = (version(&metadata), metadata.len());
        version.check(expected, &format!("{}/{below}", self.shown))?;
        let end = range.end.min(file_size);
        let length = usize::try_from(end.saturating_sub(range.start));
        let mut bytes = vec![0; length.map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?];
        read_exact_at(&file, &mut bytes, range.start).map_err(failed)?;
        Ok(Chunk { bytes: bytes.into(), file_size, version })
    }
}

fn listed(level: Level, name: FileName, metadata: &Metadata) -> Listed {
    let modified_ms = i64::try_from(modified_ns(metadata) / 1_000_000).unwrap_or(i64::MAX);
    Listed { level, name, size: metadata.len(), version: Some(version(metadata)), modified_ms }
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
            let place = FilePlace::parse(rest).expect(rest);
            let candidates: Vec<_> = place.candidates.iter().map(|path| path.to_str().expect("text")).collect();
            assert_eq!(candidates, paths, "{rest}");
        }
    }

    #[test]
    fn what_the_system_answers_becomes_what_a_caller_can_do() {
        let place = FilePlace::parse("///srv/replica").expect("a place");
        let store = FileStore::new("file:///srv/replica".into(), place);
        let told = |kind: io::ErrorKind| store.error("ltx/0", &kind.into());
        for (system, kind) in [
            (io::ErrorKind::NotFound, ErrorKind::NotFound),
            (io::ErrorKind::PermissionDenied, ErrorKind::Denied),
            (io::ErrorKind::NotADirectory, ErrorKind::Config),
            (io::ErrorKind::UnexpectedEof, ErrorKind::Unreachable),
            (io::ErrorKind::TimedOut, ErrorKind::Unreachable),
        ] {
            assert_eq!(told(system).kind(), kind, "{system:?}");
        }
        let text = told(io::ErrorKind::PermissionDenied).to_string();
        assert_eq!(text, "file:///srv/replica/ltx/0: this process may not read it");
    }
}
