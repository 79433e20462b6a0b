//! Names of databases: which database a name means, and the full path that SQLite knows it by.

mod full_pathname;
pub mod journal_names;
mod meaning;
mod parameters;
mod path_identity;
mod relocate;
mod resolved;
mod text_name;
mod unresolved;

pub use full_pathname::full_pathname;
pub use meaning::{DEFAULT_VFS, Meaning, Selection, VFS};
pub use resolved::{displayed, is_relocated, meaning_of_opened, parameter};
