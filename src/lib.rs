//! A SQLite VFS that reads a database straight out of its Litestream replica.
//!
//! Four layers, each importing only from those before it: [`ltx`] (the file format), [`store`] (object stores),
//! [`replica`] (views, fetching, following), `sqlite` (the VFS). `ARCHITECTURE.md` tells how a read and a piece of
//! news flow through them.

pub mod config;
pub mod error;
mod lock;
mod log;
pub mod ltx;
mod pread;
mod process;
mod progress;
pub mod replica;
mod runtime;
pub mod sqlite;
pub mod store;
pub mod time;
