//! The SQLite side: the VFS, its files, and the SQL functions, pragmas and tables. The only layer with unsafe code.
//!
//! | module | contents |
//! |---|---|
//! | `entry` | the entry points, and [`register`](entry::register) for programs that link SQLite |
//! | `vfs` | the methods of the VFS, and its registration in a SQLite library |
//! | `names` | which database a name means, and the full path that SQLite knows it by |
//! | `open` | opening a replica, and whether the connection may open it |
//! | `file` | an open replica: reads, writes, locks and file controls |
//! | `transfer` | the arguments of `xRead` and `xWrite` |
//! | `journal` | the rollback journal of a replica that is written |
//! | `sql` | SQL functions and virtual tables |
//! | `control` | the operations that functions, tables and pragmas run on a file |
//! | `api`, `ffi` | SQLite's routines and C types |
//!
//! Each SQLite library in the process has its own `registration::Registration`. The few tables that all of them share use atomics instead
//! of locks, so that a fork at any moment leaves them usable in the child.

mod api;
mod control;
pub mod entry;
mod errors;
mod ffi;
mod file;
mod fork;
mod guard;
mod journal;
mod memory;
mod names;
mod open;
mod registration;
mod sql;
mod transfer;
mod vfs;
