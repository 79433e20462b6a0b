//! The SQLite file format, as far as fetching needs it.

pub(in crate::replica) mod btree;
pub(in crate::replica) mod cells;
pub(in crate::replica) mod freelist;
pub(in crate::replica) mod record;
