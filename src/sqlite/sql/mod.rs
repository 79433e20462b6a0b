//! The SQL functions and virtual tables.

mod argument;
pub mod functions;
pub mod tables;
