//! Reads of files.

use super::error::SftpError;
use super::session::OpenHandle;
use super::wire::{Attributes, SftpRequest, SftpResponse};
use crate::store::{StoreErrorKind, Version};
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;

/// Returns the attributes of an open file and the bytes of a range, cut at the end of the file. The first bytes are requested
/// together with the attributes. If the file has another version than `expected`, only these are returned.
pub(super) async fn read(
    file: &OpenHandle<'_>,
    range: Range<u64>,
    expected: Option<&Version>,
) -> Result<(Attributes, Bytes), SftpError> {
    const FIRST_LENGTH: u64 = 512 * 1024;
    let first = range.start..range.end.min(range.start.saturating_add(FIRST_LENGTH));
    let attributes = file.session.attributes(SftpRequest::StatHandle(file.handle()));
    let (attributes, mut bytes) = try_join(attributes, read_range(file, first.clone())).await?;
    let end = range.end.min(attributes.size);
    if expected.is_none_or(|expected| *expected == attributes.version()) {
        if first.end < end {
            bytes.unsplit(read_range(file, first.end..end).await?);
        }
        let length = end.saturating_sub(range.start);
        if (bytes.len() as u64) < length {
            return Err(SftpError::new(StoreErrorKind::Unreachable, "the file was truncated while it was read"));
        }
        // The file may have grown since its attributes were read.
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    }
    Ok((attributes, bytes.freeze()))
}

/// Reads a range up to the end of the file, with many requests at a time.
async fn read_range(file: &OpenHandle<'_>, range: Range<u64>) -> Result<BytesMut, SftpError> {
    /// The length in bytes that every server returns in one response.
    const PIECE_LENGTH: u64 = 32 * 1024;
    const CONCURRENT_REQUESTS: usize = 64;
    let starts = (range.start..range.end).step_by(PIECE_LENGTH as usize);
    let pieces = starts.map(|start| read_piece(file, start..range.end.min(start.saturating_add(PIECE_LENGTH))));
    stream::iter(pieces)
        .buffered(CONCURRENT_REQUESTS)
        .try_fold(BytesMut::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await
}

/// Reads a short range up to the end of the file. Repeats the request for the rest, because a server may return fewer bytes than
/// requested.
pub(super) async fn read_piece(file: &OpenHandle<'_>, range: Range<u64>) -> Result<BytesMut, SftpError> {
    let mut bytes = BytesMut::new();
    loop {
        let offset = range.start + bytes.len() as u64;
        if offset >= range.end {
            return Ok(bytes);
        }
        let length = u32::try_from(range.end - offset).unwrap_or(u32::MAX);
        match file.session.request(SftpRequest::Read { handle: file.handle(), offset, length }).await {
            Ok(SftpResponse::Data(data)) if data.is_empty() => return Ok(bytes),
            Ok(SftpResponse::Data(data)) if data.len() > length as usize => {
                return Err(SftpError::invalid_response("more data than was requested"));
            }
            Ok(SftpResponse::Data(data)) => bytes.extend_from_slice(&data),
            Ok(_) => return Err(SftpError::invalid_response("no data")),
            Err(error) if error.is_end => return Ok(bytes),
            Err(error) => return Err(error),
        }
    }
}
