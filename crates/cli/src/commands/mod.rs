//! One module for each command.

pub mod changes;
pub mod completions;
pub mod diff;
pub mod export;
pub mod history;
pub mod hydrate;
pub mod man;
pub mod shell;
pub mod sql;
pub mod status;
pub mod undo;
pub mod verify;
