//! Listings of directories.

use super::error::SftpError;
use super::session::Session;
use super::wire::{Attributes, FileKind, SftpRequest, SftpResponse};
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use crate::store::bounds::check_names;
use crate::store::timeouts::Allowance;
use futures_util::future::join_all;

/// Returns the files of a directory whose min TXID is at least `from`, ascending by name. Sends several requests at a time, because a
/// response contains about a hundred names.
pub(super) async fn list(
    session: &Session,
    directory: &str,
    level: Level,
    from: Txid,
    allowance: &Allowance,
) -> Result<Vec<Listed>, SftpError> {
    const CONCURRENT_REQUESTS: usize = 4;
    /// About the size of a name and its attributes in bytes.
    const ENTRY_SIZE: u64 = 256;
    let open = session.open(SftpRequest::OpenDirectory(directory.to_owned())).await?;
    let mut files = Vec::new();
    let mut count = 0;
    let mut is_complete = false;
    while !is_complete {
        let requests = (0..CONCURRENT_REQUESTS).map(|_| session.request(SftpRequest::ReadDirectory(open.handle())));
        for response in join_all(requests).await {
            match response {
                Ok(SftpResponse::Names(names)) => {
                    count += names.len();
                    check_names(count).map_err(|what| SftpError::invalid_response(&what))?;
                    allowance.extend(names.len() as u64 * ENTRY_SIZE);
                    for (name, attributes) in names {
                        let name = std::str::from_utf8(&name).ok().and_then(FileName::parse);
                        let Some(name) = name.filter(|name| name.min >= from) else { continue };
                        files.extend(file(session, directory, level, name, attributes).await?);
                    }
                }
                Ok(_) => return Err(SftpError::invalid_response("no names")),
                Err(error) if error.is_end => is_complete = true,
                Err(error) => return Err(error),
            }
        }
    }
    files.sort_unstable_by_key(|file| file.name);
    Ok(files)
}

/// Returns a file of a directory, or None if it is not a regular file. A symbolic link is followed. If the server rejects that, because
/// the target does not exist, is the link itself or is not readable, returns None: such a link must not hide the other files.
async fn file(
    session: &Session,
    directory: &str,
    level: Level,
    name: FileName,
    attributes: Attributes,
) -> Result<Option<Listed>, SftpError> {
    let attributes = if attributes.is(FileKind::Link) {
        match session.attributes(SftpRequest::Stat(format!("{directory}/{name}"))).await {
            Err(error) if error.is_rejection => return Ok(None),
            result => result?,
        }
    } else {
        attributes
    };
    Ok(attributes.is(FileKind::Regular).then(|| Listed {
        level,
        name,
        size: attributes.size,
        version: Some(attributes.version()),
        modified_ms: attributes.modified_ms(),
    }))
}
