//! Requests to the server.

use super::TIMES;
use bytes::Bytes;

/// The name of OpenSSH's extension for hard links.
pub const HARD_LINK: &str = "hardlink@openssh.com";
/// The name of OpenSSH's extension for `fsync`.
pub const FSYNC: &str = "fsync@openssh.com";

/// A request to the server.
#[derive(Clone, Debug)]
pub enum SftpRequest {
    Open(String),
    Close(Bytes),
    Read {
        handle: Bytes,
        offset: u64,
        length: u32,
    },
    StatHandle(Bytes),
    OpenDirectory(String),
    ReadDirectory(Bytes),
    Stat(String),
    /// Opens a new file for writing. Fails if it exists.
    Create(String),
    Write {
        handle: Bytes,
        offset: u64,
        bytes: Bytes,
    },
    /// Sets both times of a file, in seconds since 1970.
    SetTimes {
        path: String,
        seconds: u32,
    },
    Remove(String),
    MakeDirectory(String),
    /// Renames a file. Version 3 of the protocol says that this fails if the new name exists.
    Rename(String, String),
    /// The extension [`HARD_LINK`]: gives a file a second name. Fails if the name exists.
    HardLink(String, String),
    /// The extension [`FSYNC`]: makes the content of an open file durable.
    Sync(Bytes),
}

impl SftpRequest {
    /// Returns the packet, including its length.
    pub fn packet(&self, id: u32) -> Vec<u8> {
        let mut packet = vec![0, 0, 0, 0, self.packet_type()];
        packet.extend(id.to_be_bytes());
        self.put_body(&mut packet);
        let length = (packet.len() - 4) as u32;
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    fn packet_type(&self) -> u8 {
        match self {
            SftpRequest::Open(_) => 3,
            SftpRequest::Close(_) => 4,
            SftpRequest::Read { .. } => 5,
            SftpRequest::StatHandle(_) => 8,
            SftpRequest::OpenDirectory(_) => 11,
            SftpRequest::ReadDirectory(_) => 12,
            SftpRequest::Stat(_) => 17,
            SftpRequest::Create(_) => 3,
            SftpRequest::Write { .. } => 6,
            SftpRequest::SetTimes { .. } => 9,
            SftpRequest::Remove(_) => 13,
            SftpRequest::MakeDirectory(_) => 14,
            SftpRequest::Rename(..) => 18,
            SftpRequest::HardLink(..) | SftpRequest::Sync(_) => 200,
        }
    }

    /// Appends what follows the id of the request.
    fn put_body(&self, packet: &mut Vec<u8>) {
        const NO_ATTRIBUTES: u32 = 0;
        match self {
            SftpRequest::Open(path) | SftpRequest::Create(path) => {
                const READ: u32 = 1;
                const WRITE_NEW: u32 = 0x02 | 0x08 | 0x20;
                let flags = if matches!(self, SftpRequest::Open(_)) { READ } else { WRITE_NEW };
                put_string(packet, path.as_bytes());
                packet.extend(flags.to_be_bytes());
                packet.extend(NO_ATTRIBUTES.to_be_bytes());
            }
            SftpRequest::OpenDirectory(path) | SftpRequest::Stat(path) | SftpRequest::Remove(path) => {
                put_string(packet, path.as_bytes());
            }
            SftpRequest::SetTimes { path, seconds } => {
                put_string(packet, path.as_bytes());
                packet.extend(TIMES.to_be_bytes());
                packet.extend(seconds.to_be_bytes());
                packet.extend(seconds.to_be_bytes());
            }
            SftpRequest::MakeDirectory(path) => {
                put_string(packet, path.as_bytes());
                packet.extend(NO_ATTRIBUTES.to_be_bytes());
            }
            SftpRequest::Rename(from, to) => {
                put_string(packet, from.as_bytes());
                put_string(packet, to.as_bytes());
            }
            SftpRequest::HardLink(from, to) => {
                put_string(packet, HARD_LINK.as_bytes());
                put_string(packet, from.as_bytes());
                put_string(packet, to.as_bytes());
            }
            SftpRequest::Sync(handle) => {
                put_string(packet, FSYNC.as_bytes());
                put_string(packet, handle);
            }
            SftpRequest::Write { handle, offset, bytes } => {
                put_string(packet, handle);
                packet.extend(offset.to_be_bytes());
                put_string(packet, bytes);
            }
            SftpRequest::Close(handle) | SftpRequest::StatHandle(handle) | SftpRequest::ReadDirectory(handle) => {
                put_string(packet, handle);
            }
            SftpRequest::Read { handle, offset, length } => {
                put_string(packet, handle);
                packet.extend(offset.to_be_bytes());
                packet.extend(length.to_be_bytes());
            }
        }
    }
}

/// Appends a string.
pub(super) fn put_string(packet: &mut Vec<u8>, string: &[u8]) {
    packet.extend((string.len() as u32).to_be_bytes());
    packet.extend(string);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_encoded() {
        let read = SftpRequest::Read { handle: Bytes::from_static(b"h"), offset: 0x102, length: 7 };
        let expected = [0, 0, 0, 22, 5, 0, 0, 0, 9, 0, 0, 0, 1, b'h', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7];
        assert_eq!(read.packet(9), expected);
        let open = SftpRequest::Open("a".to_owned()).packet(1);
        assert_eq!(open, [0, 0, 0, 18, 3, 0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
