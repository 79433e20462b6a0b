//! One replica, shared by all who read it.

use crate::config::{Settings, Target};
use crate::error::Error;
use crate::ltx::Txid;
use std::sync::Arc;
use std::time::Duration;

/// Asks whether the host wants the running call to stop.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// One immutable state of the database: which bytes of which files hold its pages.
#[derive(Debug)]
pub struct View {
    txid: Txid,
}

impl View {
    /// The last transaction this state includes.
    pub fn txid(&self) -> Txid {
        self.txid
    }

    /// When that transaction was written, in milliseconds since 1970.
    pub fn time_ms(&self) -> i64 {
        todo!()
    }

    /// Page size in bytes, a power of two from 512 to 65536.
    pub fn page_size(&self) -> u32 {
        todo!()
    }

    /// Size of the database in pages.
    pub fn commit(&self) -> u32 {
        todo!()
    }

    /// The number that stands for this state in page 1: two states that share it are the same.
    pub fn counter(&self) -> u32 {
        todo!()
    }
}

/// A decoded page, as it lies in the cache.
pub type Page = Arc<[u8]>;

/// One reader's place at a shared replica. While any is open, the replica is followed.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// Opens the replica, or joins it if the process has it open already. Blocks until there is a first view.
    pub fn open(settings: &Settings, interrupted: Interrupted<'_>) -> Result<Connection, Error> {
        let _ = (settings, interrupted);
        todo!()
    }

    /// The view a transaction that starts now should pin. Does no I/O, but in the child of a fork.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        todo!()
    }

    /// A page of `view`, 1 ≤ `pgno` ≤ its commit. The lock page reads as zeros.
    pub fn page(&self, view: &Arc<View>, pgno: u32, interrupted: Interrupted<'_>) -> Result<Page, Error> {
        let _ = (view, pgno, interrupted);
        todo!()
    }

    /// Moves to another moment, from the next [`Connection::view`] on. Answers the view found there.
    pub fn move_to(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        let _ = (target, interrupted);
        todo!()
    }

    /// Time since the replica last answered a poll; None before the first.
    pub fn lag(&self) -> Option<Duration> {
        todo!()
    }
}
