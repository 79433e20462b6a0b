//! Names of databases: which database a name means, and the full path that SQLite knows it by.

mod full_pathname;
pub mod journal_names;
mod meaning;
mod parameters;
mod path_identity;
mod relocate;
mod unresolved;

pub use full_pathname::{displayed, full_pathname, is_relocated, meaning_of_opened};
pub use meaning::{Meaning, VFS};
