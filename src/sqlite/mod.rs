//! The VFS: SQLite's calls in, [`crate::replica`]'s views out. The only unsafe code.
//!
//! `entry` registers a VFS in the SQLite library that loads the extension; `vfs` decides whose a name is (`names`) and opens
//! it; `file` answers SQLite's reads and locks from a pinned view; `pragma`, `functions` and `tables` ask the same file
//! about itself. Nothing here is global but two tables of addresses and paths, and neither is ever locked, so that a fork finds
//! nothing held: every SQLite library in the process has its own `registration::Registration`.

mod access;
mod anchor;
mod api;
mod argument;
mod control;
pub mod entry;
mod errors;
mod ffi;
mod file;
mod fork;
mod functions;
mod guard;
mod interrupt;
mod journal_names;
mod memory;
mod methods;
mod names;
mod page_one;
mod path_identity;
mod pathname;
mod pragma;
mod registration;
mod report;
mod role;
mod tables;
mod undecided;
mod unresolved;
mod vfs;
