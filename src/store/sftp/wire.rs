//! The packets of SFTP version 3, the one that every server speaks.
//!
//! Each begins with its length (u32), a kind (u8) and the number of the request that it is or answers (u32). A string is
//! its length (u32) and its bytes. `draft-ietf-secsh-filexfer-02` has the rest.

use bytes::Bytes;

/// Longest packet that is taken from a server. Ours ask for less than that at once.
pub const LONGEST: u32 = 512 * 1024;

/// Longest handle that a server may give.
pub const LONGEST_HANDLE: usize = 256;

/// A handle of a server's, or a path: any bytes.
type Text = Bytes;

/// What is asked.
#[derive(Clone, Debug)]
pub enum SftpRequest {
    Open(String),
    Close(Text),
    Read { handle: Text, offset: u64, length: u32 },
    StatHandle(Text),
    OpenDirectory(String),
    ReadDirectory(Text),
    Stat(String),
}

/// What is answered.
#[derive(Debug)]
pub enum SftpResponse {
    Status { code: u32, message: String },
    Handle(Text),
    Data(Bytes),
    Names(Vec<(Text, Attributes)>),
    Attributes(Attributes),
}

/// What a server tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Attributes {
    pub size: u64,
    /// As Unix has it; None if the server does not tell.
    pub mode: Option<u32>,
    /// Seconds since 1970.
    pub modified: u32,
}

impl Attributes {
    /// Whether it is of that kind, as far as the server tells.
    pub fn is(&self, kind: FileKind) -> bool {
        self.mode.map_or(kind == FileKind::Regular, |mode| mode & 0o170_000 == kind as u32)
    }
}

/// Kinds of files, as they stand in the mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    Regular = 0o100_000,
    Directory = 0o040_000,
    Link = 0o120_000,
}

/// The packet that begins a conversation: version 3.
pub const HELLO: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];
/// The kind of the packet that answers it.
pub const HELLO_BACK: u8 = 2;

impl SftpRequest {
    /// The packet, its length in front.
    pub fn packet(&self, number: u32) -> Vec<u8> {
        let kind = match self {
            SftpRequest::Open(_) => 3,
            SftpRequest::Close(_) => 4,
            SftpRequest::Read { .. } => 5,
            SftpRequest::StatHandle(_) => 8,
            SftpRequest::OpenDirectory(_) => 11,
            SftpRequest::ReadDirectory(_) => 12,
            SftpRequest::Stat(_) => 17,
        };
        let mut packet = vec![0, 0, 0, 0, kind];
        packet.extend(number.to_be_bytes());
        match self {
            SftpRequest::Open(path) => {
                const READ: u32 = 1;
                const NO_ATTRIBUTES: u32 = 0;
                text(&mut packet, path.as_bytes());
                packet.extend(READ.to_be_bytes());
                packet.extend(NO_ATTRIBUTES.to_be_bytes());
            }
            SftpRequest::OpenDirectory(path) | SftpRequest::Stat(path) => text(&mut packet, path.as_bytes()),
            SftpRequest::Close(handle) | SftpRequest::StatHandle(handle) | SftpRequest::ReadDirectory(handle) => {
                text(&mut packet, handle);
            }
            SftpRequest::Read { handle, offset, length } => {
                text(&mut packet, handle);
                packet.extend(offset.to_be_bytes());
                packet.extend(length.to_be_bytes());
            }
        }
        let length = (packet.len() - 4) as u32;
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    }
}

fn text(packet: &mut Vec<u8>, text: &[u8]) {
    packet.extend((text.len() as u32).to_be_bytes());
    packet.extend(text);
}

/// Takes a packet apart that follows its length: the number of the request, and the answer to it. None if it is none.
pub fn answer(packet: Bytes) -> Option<(u32, SftpResponse)> {
    let mut rest = Unparsed(packet);
    let (kind, number) = (rest.byte()?, rest.number()?);
    let answer = match kind {
        101 => SftpResponse::Status { code: rest.number()?, message: rest.message() },
        102 => SftpResponse::Handle(rest.text()?),
        103 => SftpResponse::Data(rest.text()?),
        104 => {
            let count = rest.number()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = rest.text()?;
                let _as_ls_shows_it = rest.text()?;
                names.push((name, rest.attributes()?));
            }
            SftpResponse::Names(names)
        }
        105 => SftpResponse::Attributes(rest.attributes()?),
        _ => return None,
    };
    Some((number, answer))
}

/// What is left of a packet.
struct Unparsed(Bytes);

impl Unparsed {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?[..].try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?[..].try_into().ok()?))
    }

    fn text(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Old servers leave the text of a status out.
    fn message(&mut self) -> String {
        self.text().map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    fn attributes(&mut self) -> Option<Attributes> {
        const SIZE: u32 = 1;
        const OWNERS: u32 = 2;
        const MODE: u32 = 4;
        const TIMES: u32 = 8;
        const MORE: u32 = 1 << 31;
        let flags = self.number()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = self.long()?;
        }
        if flags & OWNERS != 0 {
            self.long()?;
        }
        if flags & MODE != 0 {
            attributes.mode = Some(self.number()?);
        }
        if flags & TIMES != 0 {
            self.number()?;
            attributes.modified = self.number()?;
        }
        if flags & MORE != 0 {
            for _ in 0..self.number()? {
                self.text()?;
                self.text()?;
            }
        }
        Some(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_bytes() {
        let read = SftpRequest::Read { handle: Bytes::from_static(b"h"), offset: 0x102, length: 7 };
        let expected = [0, 0, 0, 22, 5, 0, 0, 0, 9, 0, 0, 0, 1, b'h', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7];
        assert_eq!(read.packet(9), expected);
        let open = SftpRequest::Open("a".to_owned()).packet(1);
        assert_eq!(open, [0, 0, 0, 18, 3, 0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn names_come_with_what_is_told_of_them_and_a_cut_packet_is_none() {
        let mut packet = vec![104, 0, 0, 0, 3, 0, 0, 0, 1];
        text(&mut packet, b"name");
        text(&mut packet, b"-rw-r--r-- name");
        packet.extend([0x80, 0, 0, 0xf]);
        packet.extend(5u64.to_be_bytes());
        packet.extend([0; 8]);
        packet.extend(0o100_644u32.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        packet.extend([0, 0, 0, 1]);
        text(&mut packet, b"more");
        text(&mut packet, b"");
        for length in 0..packet.len() {
            assert!(answer(Bytes::copy_from_slice(&packet[..length])).is_none(), "{length} bytes of it");
        }
        let Some((3, SftpResponse::Names(names))) = answer(packet.into()) else { panic!("no names") };
        let attributes = Attributes { size: 5, mode: Some(0o100_644), modified: 2 };
        assert_eq!(names, [(Bytes::from_static(b"name"), attributes)]);
        assert!(attributes.is(FileKind::Regular) && !attributes.is(FileKind::Link));
    }
}
