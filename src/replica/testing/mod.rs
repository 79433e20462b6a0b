//! Tests of the replica as a whole, and what they share.

mod budgets;
mod damaged;
mod flaky;
mod half_written;
mod holes;
mod idle;
mod listed_versions;
pub(in crate::replica) mod one_page;
mod outage;
mod simulation;
