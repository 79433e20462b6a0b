//! The LTX files of a replica: lists them, selects those that make up a state, reads their headers and indexes, and
//! verifies their checksums.
//!
//! | module | contents |
//! |---|---|
//! | `listing` | lists the files of all levels |
//! | `plan` | selects the files that make up a state; a pure function of a listing |
//! | `ltx_file` | a file whose header and index have been read, and how many bytes a first request reads |
//! | `loader` | reads headers and indexes, and recognizes files that were read before |
//! | `integrity` | compares the pages that have been fetched with the checksum of their file |
//! | `whole` | reads a file from start to end to verify it |
//! | `damage` | remembers damaged files, so that `plan` can avoid them |

pub(in crate::replica) mod damage;
pub(in crate::replica) mod integrity;
pub(in crate::replica) mod listing;
pub(in crate::replica) mod loader;
pub(in crate::replica) mod ltx_file;
pub(in crate::replica) mod plan;
pub(in crate::replica) mod whole;
