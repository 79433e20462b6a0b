//! The packets of SFTP version 3, which every server supports.
//!
//! A packet begins with its length (u32), its type (u8) and the id of the request (u32), which the response repeats. A string is
//! its length (u32) and its bytes. The specification is `draft-ietf-secsh-filexfer-02`.
//!
//! | module | contents |
//! |---|---|
//! | `request` | encodes requests |
//! | `response` | parses responses, and the attributes of files |

mod request;
mod response;

pub use request::{FSYNC, HARD_LINK, SftpRequest};
pub use response::{Attributes, FileKind, SftpResponse, parse_response, parse_version};

/// Length in bytes of the longest packet that is accepted from a server. No request needs a longer response.
pub const LONGEST_PACKET: u32 = 512 * 1024;

/// Length in bytes of the longest handle that the protocol permits.
pub const LONGEST_HANDLE: usize = 256;

/// The packet that begins a session, `SSH_FXP_INIT` with version 3.
pub const INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];

/// The flag of attributes that contain the times of a file.
const TIMES: u32 = 8;
