//! A reader of a bank in a separate process, with checks of the states that it reads.

use super::bank::{Bank, STATE_SQL};
use super::hosts::Host;
use super::programs::wait_until;
use super::session::Session;
use litestream_vfs::ltx::Txid;
use std::collections::BTreeSet;

/// A process with one connection, which polls often. SQLite's own cache has only four pages.
pub struct Reader {
    pub session: Session,
}

impl Reader {
    pub fn open(bank: &Bank, parameters: &[(&str, &str)]) -> Reader {
        let mut session = Host::session(&bank.destination);
        session.open(&bank.destination.url, &[&[("poll_interval", "100ms")], parameters].concat());
        session.query(0, "PRAGMA cache_size = 4");
        let mut reader = Reader { session };
        reader.wait_for_newest_state(bank);
        reader
    }

    pub fn query(&mut self, sql: &str) -> String {
        self.session.query(0, sql)
    }

    pub fn txid(&mut self) -> Txid {
        self.query("PRAGMA litestream_txid").parse().expect("a TXID")
    }

    /// Reads the state, which must be one that the primary had. Fails if it cannot be read.
    pub fn read_state(&mut self, states: &BTreeSet<String>) -> Result<String, String> {
        let state = self.session.try_query(0, STATE_SQL)?;
        assert!(states.contains(&state), "the primary never had the state {state}");
        Ok(state)
    }

    /// Reads the state; None if that fails with an I/O error.
    pub fn read_state_or_io_error(&mut self, states: &BTreeSet<String>) -> Option<String> {
        match self.read_state(states) {
            Ok(state) => Some(state),
            Err(error) => {
                assert_eq!(error, "disk I/O error", "an unreadable state is an I/O error");
                None
            }
        }
    }

    /// Waits until it reads the newest state, and checks the whole database.
    pub fn wait_for_newest_state(&mut self, bank: &Bank) {
        let newest = bank.state();
        wait_until("the reader sees the newest state", || {
            self.read_state_or_io_error(&bank.states).is_some_and(|state| state == newest)
        });
        assert_eq!(self.query("PRAGMA integrity_check"), "ok");
    }

    /// Ends the transaction. After an I/O error, SQLite has already done so.
    pub fn roll_back(&mut self) {
        let _ = self.session.try_query(0, "ROLLBACK");
    }

    /// Begins a transaction, and returns the state.
    pub fn begin(&mut self, bank: &Bank) -> String {
        self.query("BEGIN");
        self.read_state(&bank.states).expect("a state")
    }
}
