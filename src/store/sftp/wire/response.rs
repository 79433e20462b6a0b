//! Responses of the server.

use super::TIMES;
use crate::store::Version;
use bytes::Bytes;

/// The type of the response to [`INIT`](super::INIT).
const VERSION: u8 = 2;

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
    use super::super::request::{FSYNC, HARD_LINK, put_string};
    use super::*;

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
