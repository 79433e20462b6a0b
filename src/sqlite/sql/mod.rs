//! The SQL functions and virtual tables.

mod argument;
pub mod functions;
mod literal;
pub mod tables;
