//! What SQLite's connections see of a replica.

pub(in crate::replica) mod connection;
pub(in crate::replica) mod opening;
pub(in crate::replica) mod registry;
pub(in crate::replica) mod reports;
pub(in crate::replica) mod status;
