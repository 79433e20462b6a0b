//! The packets of SFTP version 3, which every server supports.
//!
//! A packet begins with its length (u32), its type (u8) and the id of the request (u32), which the response repeats. A string is
//! its length (u32) and its bytes. The specification is `draft-ietf-secsh-filexfer-02`.

use crate::store::Version;
use bytes::Bytes;

/// Length in bytes of the longest packet that is accepted from a server. No request needs a longer response.
pub const LONGEST_PACKET: u32 = 512 * 1024;

/// Length in bytes of the longest handle that the protocol permits.
pub const LONGEST_HANDLE: usize = 256;

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

/// The flag of attributes that contain the times of a file.
const TIMES: u32 = 8;

/// The name of OpenSSH's extension for hard links.
pub const HARD_LINK: &str = "hardlink@openssh.com";
/// The name of OpenSSH's extension for `fsync`.
pub const FSYNC: &str = "fsync@openssh.com";

/// A response of the server.
#[derive(Debug)]
pub enum SftpResponse {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<(Bytes, Attributes)>),
    Attributes(Attributes),
}

/// The attributes of a file. An attribute that the server does not send is 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Attributes {
    /// In bytes.
    pub size: u64,
    /// The mode of Unix; None if the server does not send it.
    pub mode: Option<u32>,
    /// Time of the last modification in seconds since 1970.
    pub modified: u32,
}

impl Attributes {
    /// Returns true if the file is of this kind. A file without a mode counts as a regular file.
    pub fn is(&self, kind: FileKind) -> bool {
        self.mode.map_or(kind == FileKind::Regular, |mode| mode & 0o170_000 == kind as u32)
    }

    /// Returns a version made of size and time. Litestream sets the time to that of the transaction, so it differs after a rewrite.
    pub fn version(&self) -> Version {
        Version(format!("{:x}-{:x}", self.size, self.modified).into())
    }

    pub fn modified_ms(&self) -> i64 {
        i64::from(self.modified) * 1000
    }
}

/// The kind of a file, as in the file type bits of its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    Regular = 0o100_000,
    Directory = 0o040_000,
    Link = 0o120_000,
}

/// The packet that begins a session, `SSH_FXP_INIT` with version 3.
pub const INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];
/// The type of the response to [`INIT`].
pub const VERSION: u8 = 2;

impl SftpRequest {
    /// Returns the packet, including its length.
    pub fn packet(&self, id: u32) -> Vec<u8> {
        let packet_type = match self {
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
        };
        let mut packet = vec![0, 0, 0, 0, packet_type];
        packet.extend(id.to_be_bytes());
        const NO_ATTRIBUTES: u32 = 0;
        match self {
            SftpRequest::Open(path) | SftpRequest::Create(path) => {
                const READ: u32 = 1;
                const WRITE_NEW: u32 = 0x02 | 0x08 | 0x20;
                let flags = if matches!(self, SftpRequest::Open(_)) { READ } else { WRITE_NEW };
                put_string(&mut packet, path.as_bytes());
                packet.extend(flags.to_be_bytes());
                packet.extend(NO_ATTRIBUTES.to_be_bytes());
            }
            SftpRequest::OpenDirectory(path) | SftpRequest::Stat(path) | SftpRequest::Remove(path) => {
                put_string(&mut packet, path.as_bytes());
            }
            SftpRequest::SetTimes { path, seconds } => {
                put_string(&mut packet, path.as_bytes());
                packet.extend(TIMES.to_be_bytes());
                packet.extend(seconds.to_be_bytes());
                packet.extend(seconds.to_be_bytes());
            }
            SftpRequest::MakeDirectory(path) => {
                put_string(&mut packet, path.as_bytes());
                packet.extend(NO_ATTRIBUTES.to_be_bytes());
            }
            SftpRequest::Rename(from, to) => {
                put_string(&mut packet, from.as_bytes());
                put_string(&mut packet, to.as_bytes());
            }
            SftpRequest::HardLink(from, to) => {
                put_string(&mut packet, HARD_LINK.as_bytes());
                put_string(&mut packet, from.as_bytes());
                put_string(&mut packet, to.as_bytes());
            }
            SftpRequest::Sync(handle) => {
                put_string(&mut packet, FSYNC.as_bytes());
                put_string(&mut packet, handle);
            }
            SftpRequest::Write { handle, offset, bytes } => {
                put_string(&mut packet, handle);
                packet.extend(offset.to_be_bytes());
                put_string(&mut packet, bytes);
            }
            SftpRequest::Close(handle) | SftpRequest::StatHandle(handle) | SftpRequest::ReadDirectory(handle) => {
                put_string(&mut packet, handle);
            }
            SftpRequest::Read { handle, offset, length } => {
                put_string(&mut packet, handle);
                packet.extend(offset.to_be_bytes());
                packet.extend(length.to_be_bytes());
            }
        }
        let length = (packet.len() - 4) as u32;
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    }
}

fn put_string(packet: &mut Vec<u8>, string: &[u8]) {
    packet.extend((string.len() as u32).to_be_bytes());
    packet.extend(string);
}

/// Parses a packet without its length. Returns the id of the request and the response, or None if the packet is invalid.
pub fn parse_response(packet: Bytes) -> Option<(u32, SftpResponse)> {
    let mut rest = Unparsed(packet);
    let (packet_type, id) = (rest.byte()?, rest.u32()?);
    let response = match packet_type {
        101 => SftpResponse::Status { code: rest.u32()?, message: rest.message() },
        102 => SftpResponse::Handle(rest.string()?),
        103 => SftpResponse::Data(rest.string()?),
        104 => {
            let count = rest.u32()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = rest.string()?;
                let _long_name = rest.string()?;
                names.push((name, rest.attributes()?));
            }
            SftpResponse::Names(names)
        }
        105 => SftpResponse::Attributes(rest.attributes()?),
        _ => return None,
    };
    Some((id, response))
}

/// Parses the packet of the type [`VERSION`]. Returns the names of the server's extensions, or None if it is another packet.
pub fn parse_version(packet: Bytes) -> Option<Vec<String>> {
    let mut rest = Unparsed(packet);
    if rest.byte()? != VERSION {
        return None;
    }
    let _version = rest.u32();
    let names = std::iter::from_fn(|| {
        let (name, _data) = (rest.string()?, rest.string()?);
        Some(String::from_utf8_lossy(&name).into_owned())
    });
    Some(names.collect())
}

/// The rest of a packet.
struct Unparsed(Bytes);

impl Unparsed {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?[..].try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?[..].try_into().ok()?))
    }

    fn string(&mut self) -> Option<Bytes> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Returns the message of a status, which old servers omit.
    fn message(&mut self) -> String {
        self.string().map(|message| String::from_utf8_lossy(&message).into_owned()).unwrap_or_default()
    }

    fn attributes(&mut self) -> Option<Attributes> {
        const SIZE: u32 = 1;
        const OWNERS: u32 = 2;
        const MODE: u32 = 4;
        const EXTENSIONS: u32 = 1 << 31;
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = self.u64()?;
        }
        if flags & OWNERS != 0 {
            self.u64()?;
        }
        if flags & MODE != 0 {
            attributes.mode = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            self.u32()?;
            attributes.modified = self.u32()?;
        }
        if flags & EXTENSIONS != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Some(attributes)
    }
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

    #[test]
    fn the_extensions_of_a_server_are_parsed() {
        let mut packet = vec![VERSION, 0, 0, 0, 3];
        for text in [HARD_LINK, "1", FSYNC, "1"] {
            put_string(&mut packet, text.as_bytes());
        }
        assert_eq!(parse_version(packet.clone().into()), Some(vec![HARD_LINK.to_owned(), FSYNC.to_owned()]));
        assert_eq!(parse_version(Bytes::from_static(&[VERSION, 0, 0, 0, 3])), Some(Vec::new()));
        packet[0] = 101;
        assert_eq!(parse_version(packet.into()), None);
    }

    #[test]
    fn names_are_parsed_with_their_attributes_and_a_truncated_packet_is_invalid() {
        let mut packet = vec![104, 0, 0, 0, 3, 0, 0, 0, 1];
        put_string(&mut packet, b"name");
        put_string(&mut packet, b"-rw-r--r-- name");
        packet.extend([0x80, 0, 0, 0xf]);
        packet.extend(5u64.to_be_bytes());
        packet.extend([0; 8]);
        packet.extend(0o100_644u32.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        packet.extend([0, 0, 0, 1]);
        put_string(&mut packet, b"more");
        put_string(&mut packet, b"");
        for length in 0..packet.len() {
            assert!(parse_response(Bytes::copy_from_slice(&packet[..length])).is_none(), "the first {length} bytes");
        }
        let Some((3, SftpResponse::Names(names))) = parse_response(packet.into()) else { panic!("no names") };
        let attributes = Attributes { size: 5, mode: Some(0o100_644), modified: 2 };
        assert_eq!(names, [(Bytes::from_static(b"name"), attributes)]);
        assert!(attributes.is(FileKind::Regular) && !attributes.is(FileKind::Link));
    }
}
