//! The VFS: SQLite's calls in, [`crate::replica`]'s views out. The only unsafe code.
//!
//! `entry` registers a VFS in the SQLite library that loads the extension; `vfs` decides whose a name is (`names`) and opens
//! it; `file` answers SQLite's reads and locks from a pinned view; `pragma`, `functions` and `tables` ask the same file
//! about itself. `access` says whether SQL may name what it names; where that has to be known first, a file is `deferred`.
//! What is global here is two tables of addresses and paths, which are never locked, so that a fork finds nothing held, and
//! the servers that the application has named, of which a forked child begins a list of its own. Every SQLite library in
//! the process has its own `registration::Registration`.

mod access;
mod api;
mod argument;
mod companions;
mod deferred;
mod entry;
mod errors;
mod ffi;
mod file;
mod fork;
mod functions;
mod guard;
mod methods;
mod names;
mod page_one;
mod pragma;
mod question;
mod registration;
mod report;
mod spelling;
mod tables;
mod vfs;

pub use entry::litestream_vfs_static_init;
