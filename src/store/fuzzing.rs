//! Parsers that only the fuzz targets call directly.

use super::Listed;
use super::nats::NatsObject;
use super::sftp::{parse_response, parse_version};
use super::tries;
use crate::ltx::Level;
use bytes::Bytes;
use std::time::Duration;

/// Parses the response of an SFTP server.
pub fn sftp_response(packet: &[u8]) {
    let _ = parse_response(Bytes::copy_from_slice(packet));
}

/// Parses the first packet of an SFTP server.
pub fn sftp_version(packet: &[u8]) {
    let _ = parse_version(Bytes::copy_from_slice(packet));
}

/// Parses the metadata of an object in NATS. Returns the file that it describes.
pub fn nats_object(metadata: &[u8]) -> Option<Listed> {
    let object = NatsObject::parse(metadata)?;
    Level::all().find_map(|level| object.listed(level))
}

/// Parses the header `Retry-After` of a response whose header `Date` is `date`.
pub fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    tries::retry_after(value, date)
}
