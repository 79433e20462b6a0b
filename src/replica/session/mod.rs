//! The connections of this process, and the replicas that they share.
//!
//! | module | contents |
//! |---|---|
//! | `connection` | a connection: reads pages of the newest state or of a fixed one |
//! | `writing` | writes through a connection |
//! | `reports` | what else a connection reports: past states, files, differences |
//! | `status` | the status of a replica |
//! | `opening` | opens a replica within a time limit |
//! | `wait` | threads of the host wait for jobs of the runtime |
//! | `registry` | one replica for all connections with the same URL and credentials |
//! | `shared` | such a replica: the first reader connects, and its journal is used by all |
//! | `readers` | its readers, and the tasks that run for them |
//! | `idle` | what replicas without readers keep |
//! | `usage` | how often readers found their pages in the cache |
//! | `memory` | returns free memory to the operating system |

pub(in crate::replica) mod connection;
mod idle;
pub(in crate::replica) mod memory;
pub(in crate::replica) mod opening;
mod readers;
mod registry;
mod reports;
mod shared;
pub(in crate::replica) mod status;
#[cfg(test)]
mod tests;
mod usage;
pub(in crate::replica) mod wait;
mod writing;
