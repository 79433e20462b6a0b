//! Replicas on an SSH server.

mod config;
mod connection;
mod error;
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use config::SftpConfig;

use super::bounds::check_names;
use super::paths::Layout;
use super::reconnect::Link;
use super::timeouts::Allowance;
use super::{Chunk, Listed, OLDER_FORMAT, Store, StoreError, StoreErrorKind, Version};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use connection::SftpConnection;
use error::SftpError;
use futures_util::future::{join_all, try_join};
use futures_util::{StreamExt, TryStreamExt, stream};
use session::{Open, Session};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use wire::{Attributes, FileKind, SftpRequest, SftpResponse};

/// A replica on an SSH server, read over one connection.
pub(super) struct SftpStore {
    shown: Arc<str>,
    place: SftpConfig,
    link: Link<SftpConnection>,
    /// Where the replica was found.
    root: RwLock<Option<Arc<str>>>,
}

impl fmt::Debug for SftpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpStore").field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Display for SftpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl SftpStore {
    pub fn new(shown: Arc<str>, place: SftpConfig) -> SftpStore {
        SftpStore { shown, place, link: Link::default(), root: RwLock::new(None) }
    }

    /// Asks something, over a new connection if the one there was has broken. It may take as long as `allowance` says.
    async fn ask<T, F>(
        &self,
        allowance: &Allowance,
        question: impl Fn(Arc<SftpConnection>) -> F,
    ) -> Result<T, SftpError>
    where
        F: Future<Output = Result<T, SftpError>>,
    {
        let tries = async {
            let (connection, is_new) = self.connected().await?;
            match question(connection).await {
                Err(failure) if failure.is_lost && !is_new => question(self.connected().await?.0).await,
                answer => answer,
            }
        };
        match allowance.limit(tries).await {
            Some(answer) => answer,
            None => {
                // Whatever is wrong with the connection, the next question gets another.
                self.link.disconnect().await;
                let (server, seconds) = (self.place.server(), allowance.deadline().as_secs());
                let cause = format!("the connection to {server} failed: no answer within {seconds} seconds");
                Err(SftpError::new(StoreErrorKind::Unreachable, cause))
            }
        }
    }

    /// The connection, and whether it was made just now.
    async fn connected(&self) -> Result<(Arc<SftpConnection>, bool), SftpError> {
        self.link.connected(SftpConnection::has_ended, SftpConnection::open(&self.place)).await
    }

    /// The directory that holds the replica; None if there is none. Litestream takes the path of one URL to begin at the
    /// server's root when it writes, and where the user's sessions begin when it restores: they are one on most servers.
    async fn root(&self, session: &Session) -> Result<Option<Arc<str>>, SftpError> {
        let found = self.root.read().clone();
        if found.is_some() {
            return Ok(found);
        }
        for path in [format!("/{}", self.place.path), self.place.path.clone()] {
            match session.attributes(SftpRequest::Stat(path.clone())).await {
                Ok(there) if there.mode.is_none() || there.is(FileKind::Directory) => {
                    *self.root.write() = Some(path.clone().into());
                    return Ok(Some(path.into()));
                }
                Ok(_) => return Err(SftpError::new(StoreErrorKind::Config, "it is a file, no directory")),
                Err(failure) if failure.is_missing() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Store for SftpStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let allowance = &Allowance::of(LISTING);
        let list = |connection: Arc<SftpConnection>| async move {
            let session = &connection.session;
            let Some(root) = self.root(session).await? else { return Ok(Vec::new()) };
            let directory = format!("{root}/{}", Layout::Decimal.level(level));
            match entries(session, &directory, level, from, allowance).await {
                Err(failure) if failure.is_missing() => Ok(Vec::new()),
                answer => answer,
            }
        };
        self.ask(allowance, list).await.map_err(|failure| failure.error(self.shown.clone()))
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
        // Who asks for all there is, however much, has the time that a large file takes.
        let length = range.end.saturating_sub(range.start).min(LARGE);
        let read = |connection: Arc<SftpConnection>| {
            let (below, range) = (&below, range.clone());
            async move {
                let session = &connection.session;
                let Some(root) = self.root(session).await? else { return Ok(None) };
                let file = session.open(SftpRequest::Open(format!("{root}/{below}"))).await?;
                contents(&file, range, expected).await.map(Some)
            }
        };
        let (attributes, bytes) = match self.ask(&Allowance::of(length), read).await {
            Ok(Some(read)) => read,
            Ok(None) => return Err(StoreError::missing(shown)),
            Err(failure) => return Err(failure.error(shown)),
        };
        let version = version(&attributes);
        version.check(expected, &shown)?;
        Ok(Chunk { bytes, file_size: attributes.size, version, modified_ms: i64::from(attributes.modified) * 1000 })
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let look = |connection: Arc<SftpConnection>| async move {
            let session = &connection.session;
            let Some(root) = self.root(session).await? else { return Ok(false) };
            match session.attributes(SftpRequest::Stat(format!("{root}/{OLDER_FORMAT}"))).await {
                Ok(_) => Ok(true),
                Err(failure) if failure.is_missing() => Ok(false),
                Err(failure) => Err(failure),
            }
        };
        self.ask(&Allowance::of(0), look).await.map_err(|failure| failure.error(self.shown.clone()))
    }
}

/// About the length of a listing of a thousand files.
const LISTING: u64 = 256 * 1024;

const LARGE: u64 = 64 * 1024 * 1024;

/// The files of a directory. Asks for several parts at once: a server gives about a hundred names at a time.
async fn entries(
    session: &Session,
    directory: &str,
    level: Level,
    from: Txid,
    allowance: &Allowance,
) -> Result<Vec<Listed>, SftpError> {
    const AT_ONCE: usize = 4;
    /// About the length of what is told of a file.
    const ENTRY: u64 = 256;
    let open = session.open(SftpRequest::OpenDirectory(directory.to_owned())).await?;
    let mut files = Vec::new();
    let mut count = 0;
    let mut is_complete = false;
    while !is_complete {
        let parts = (0..AT_ONCE).map(|_| session.ask(SftpRequest::ReadDirectory(open.handle.clone())));
        for part in join_all(parts).await {
            match part {
                Ok(SftpResponse::Names(names)) => {
                    count += names.len();
                    check_names(count).map_err(|what| SftpError::nonsense(&what))?;
                    allowance.extend(names.len() as u64 * ENTRY);
                    for (name, attributes) in names {
                        let name = std::str::from_utf8(&name).ok().and_then(FileName::parse);
                        let Some(name) = name.filter(|name| name.min >= from) else { continue };
                        files.extend(file(session, directory, level, name, attributes).await?);
                    }
                }
                Ok(_) => return Err(SftpError::nonsense("no names")),
                Err(failure) if failure.is_end => is_complete = true,
                Err(failure) => return Err(failure),
            }
        }
    }
    files.sort_unstable_by_key(|file| file.name);
    Ok(files)
}

/// What is told of a name; None if it is no file. Behind a link is what it leads to, if that can be told: a link to nothing, to
/// itself or to what the user may not see must not hide the other files.
async fn file(
    session: &Session,
    directory: &str,
    level: Level,
    name: FileName,
    attributes: Attributes,
) -> Result<Option<Listed>, SftpError> {
    let attributes = if attributes.is(FileKind::Link) {
        match session.attributes(SftpRequest::Stat(format!("{directory}/{name}"))).await {
            Err(failure) if failure.is_refusal => return Ok(None),
            answer => answer?,
        }
    } else {
        attributes
    };
    Ok(attributes.is(FileKind::Regular).then(|| Listed {
        level,
        name,
        size: attributes.size,
        version: Some(version(&attributes)),
        modified_ms: i64::from(attributes.modified) * 1000,
    }))
}

/// Size and time. Litestream sets the time to that of the transaction, so that a rewrite has another.
fn version(attributes: &Attributes) -> Version {
    Version(format!("{:x}-{:x}", attributes.size, attributes.modified).into())
}

/// A range of an open file, cut at its end, and what the server tells of the file. The beginning is asked for before the
/// length is known; of another version than the expected one, nothing else is.
async fn contents(
    file: &Open<'_>,
    range: Range<u64>,
    expected: Option<&Version>,
) -> Result<(Attributes, Bytes), SftpError> {
    const BEGINNING: u64 = 512 * 1024;
    let beginning = range.start..range.end.min(range.start.saturating_add(BEGINNING));
    let attributes = file.session.attributes(SftpRequest::StatHandle(file.handle.clone()));
    let (attributes, mut bytes) = try_join(attributes, part(file, beginning.clone())).await?;
    let end = range.end.min(attributes.size);
    if expected.is_none_or(|expected| *expected == version(&attributes)) {
        if beginning.end < end {
            bytes.unsplit(part(file, beginning.end..end).await?);
        }
        let length = end.saturating_sub(range.start);
        if (bytes.len() as u64) < length {
            return Err(SftpError::new(StoreErrorKind::Unreachable, "it became shorter while it was read"));
        }
        // It may have grown as well.
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    }
    Ok((attributes, bytes.freeze()))
}

/// The bytes of a range that exist, many requests at a time.
async fn part(file: &Open<'_>, range: Range<u64>) -> Result<BytesMut, SftpError> {
    /// What every server gives at once.
    const PIECE: u64 = 32 * 1024;
    const AT_ONCE: usize = 64;
    let starts = (range.start..range.end).step_by(PIECE as usize);
    let pieces = starts.map(|start| piece(file, start..range.end.min(start + PIECE)));
    stream::iter(pieces)
        .buffered(AT_ONCE)
        .try_fold(BytesMut::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await
}

/// The bytes of a short range that exist. Servers may give less than asked for.
async fn piece(file: &Open<'_>, range: Range<u64>) -> Result<BytesMut, SftpError> {
    let mut bytes = BytesMut::new();
    loop {
        let offset = range.start + bytes.len() as u64;
        if offset >= range.end {
            return Ok(bytes);
        }
        let length = u32::try_from(range.end - offset).unwrap_or(u32::MAX);
        match file.session.ask(SftpRequest::Read { handle: file.handle.clone(), offset, length }).await {
            Ok(SftpResponse::Data(data)) if data.is_empty() => return Ok(bytes),
            Ok(SftpResponse::Data(data)) if data.len() > length as usize => {
                return Err(SftpError::nonsense("more data than was asked for"));
            }
            Ok(SftpResponse::Data(data)) => bytes.extend_from_slice(&data),
            Ok(_) => return Err(SftpError::nonsense("no data")),
            Err(failure) if failure.is_end => return Ok(bytes),
            Err(failure) => return Err(failure),
        }
    }
}
