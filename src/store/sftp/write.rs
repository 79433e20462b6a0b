//! Creation of files.
//!
//! The bytes are written to a temporary file, which then gets its name by a request that fails if the name exists: a hard link, or else
//! a rename of version 3 of the protocol (OpenSSH's extension `posix-rename` would replace a file). Not every server follows the
//! protocol, which [`probe_create`](crate::store::probe_create) finds out.

use super::error::SftpError;
use super::session::{OpenHandle, Session};
use super::wire::{FSYNC, HARD_LINK, SftpRequest};
use crate::random;
use crate::store::{Creation, StoreErrorKind, create};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Creates the file at `path`, which is relative to `root`, and the directories that lead to it.
///
/// The bytes are durable if the server supports `fsync@openssh.com`.
pub(super) async fn create(session: &Session, root: &str, path: &str, bytes: &Bytes) -> Result<Creation, SftpError> {
    let target = format!("{root}/{path}");
    let (directory, name) = target.rsplit_once('/').unwrap_or_default();
    let temporary = format!("{directory}/.{name}.{:016x}.tmp", random::number());
    let written = match write_new(session, &temporary, bytes).await {
        // A part of the directory is missing.
        Err(error) if error.is_not_found() => {
            make_directories(session, directory).await;
            write_new(session, &temporary, bytes).await
        }
        written => written,
    };
    let created = match written {
        Ok(()) => match give_name(session, &temporary, &target).await {
            Ok(creation) => sync_name(session, &target).await.map(|()| creation),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    // After a rename there is no such file. One that remains after a crash has a name that readers ignore.
    let _ = session.command(SftpRequest::Remove(temporary)).await;
    created
}

async fn write_new(session: &Session, path: &str, bytes: &Bytes) -> Result<(), SftpError> {
    /// The length in bytes that every server accepts in one request.
    const PIECE_LENGTH: usize = 32 * 1024;
    const CONCURRENT_REQUESTS: usize = 64;
    let file = session.open(SftpRequest::Create(path.to_owned())).await?;
    let pieces = (0..bytes.len()).step_by(PIECE_LENGTH).map(|start| write_piece(&file, bytes, start, PIECE_LENGTH));
    stream::iter(pieces).buffered(CONCURRENT_REQUESTS).try_collect::<()>().await?;
    if let Some(seconds) = create::time_of(bytes).and_then(|time| u32::try_from(time.timestamp()).ok()) {
        // Servers may refuse this. Then the file has the time of its creation.
        let _ = session.command(SftpRequest::SetTimes { path: path.to_owned(), seconds }).await;
    }
    if session.supports(FSYNC) {
        session.command(SftpRequest::Sync(file.handle())).await?;
    }
    Ok(())
}

async fn write_piece(file: &OpenHandle<'_>, bytes: &Bytes, start: usize, length: usize) -> Result<(), SftpError> {
    let piece = bytes.slice(start..bytes.len().min(start + length));
    let request = SftpRequest::Write { handle: file.handle(), offset: start as u64, bytes: piece };
    file.session.command(request).await
}

/// Gives a file its name, unless a file of this name exists.
async fn give_name(session: &Session, temporary: &str, target: &str) -> Result<Creation, SftpError> {
    let (from, to) = (temporary.to_owned(), target.to_owned());
    let by_link = session.supports(HARD_LINK);
    let request = if by_link { SftpRequest::HardLink(from, to) } else { SftpRequest::Rename(from, to) };
    match session.command(request).await {
        Ok(()) => Ok(Creation::Created),
        // Servers return the same status for an existing name as for other failures.
        Err(error) if error.is_rejection => match session.attributes(SftpRequest::Stat(target.to_owned())).await {
            Ok(_) => Ok(Creation::Exists),
            // The user could create the other file in this directory.
            Err(missing) if missing.is_not_found() && by_link && error.kind == StoreErrorKind::Denied => {
                let cause = "the server's file system supports no hard links";
                Err(SftpError::new(StoreErrorKind::Config, cause))
            }
            Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Makes a new name durable: on file systems with a journal, that of a file is with the file.
async fn sync_name(session: &Session, target: &str) -> Result<(), SftpError> {
    if !session.supports(FSYNC) {
        return Ok(());
    }
    let synced = match session.open(SftpRequest::Open(target.to_owned())).await {
        Ok(file) => session.command(SftpRequest::Sync(file.handle())).await,
        Err(error) => Err(error),
    };
    // The file exists, so this is no refusal to create it.
    match synced {
        // Another client has deleted it since.
        Err(error) if error.is_not_found() => Ok(()),
        synced => synced.map_err(SftpError::into_unreachable),
    }
}

/// Creates a directory and its parents. Directories that exist are refused by the server, so its responses are ignored.
async fn make_directories(session: &Session, directory: &str) {
    let ends = directory.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([directory.len()]);
    for end in ends {
        let _ = session.command(SftpRequest::MakeDirectory(directory[..end].to_owned())).await;
    }
}
