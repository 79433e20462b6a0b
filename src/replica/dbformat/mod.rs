//! The parts of the SQLite file format that fetching and comparing pages need.
//!
//! These functions read pages to decide what to fetch, so they skip content that violates the format instead of
//! failing.
//!
//! | module | contents |
//! |---|---|
//! | `header` | the fields at the beginning of page 1 |
//! | `btree` | kinds of pages, children of interior pages, overflow chains, trunk pages of the freelist |
//! | `plausible` | whether a page can belong to a database, which detects some corrupted pages |
//! | `cells` | the payloads in the cells of a b-tree page, and their overflow pages |
//! | `record` | the values of a record, and the rows of `sqlite_schema` |
//! | `page_set` | sets of page numbers |
//! | `freelist` | the set of free pages, which are never fetched ahead |

pub(in crate::replica) mod btree;
pub(in crate::replica) mod cells;
pub(in crate::replica) mod freelist;
pub mod fuzzing;
pub(crate) mod header;
pub(in crate::replica) mod page_set;
mod plausible;
pub(in crate::replica) mod record;
#[cfg(test)]
mod tests;

pub(in crate::replica) use plausible::is_plausible;
