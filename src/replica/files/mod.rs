//! The files of a replica: which there are, which of them make a state, and their headers and indexes.
//!
//! | module | contents |
//! |---|---|
//! | `listing` | lists the files of all levels |
//! | `plan` | chooses the files that make a state (a pure function) |
//! | `ltx_file` | a file whose header and index have been read |
//! | `loader` | reads headers and indexes |
//! | `integrity`, `whole` | checks the bytes of a file against its checksums |
//! | `damage` | remembers damaged files, so that plans avoid them |

pub(in crate::replica) mod damage;
pub(in crate::replica) mod integrity;
pub(in crate::replica) mod listing;
pub(in crate::replica) mod loader;
pub(in crate::replica) mod ltx_file;
pub(in crate::replica) mod plan;
pub(in crate::replica) mod whole;
