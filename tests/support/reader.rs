//! A reader of a bank, in a process of its own, that is told what to do and checked for what it sees.

use super::bank::{Bank, STATE_SQL};
use super::hosts::Host;
use super::programs::wait_until;
use super::session::Session;
use litestream_vfs::ltx::Txid;
use std::collections::BTreeSet;

/// A process with one connection, which polls often. SQLite keeps next to nothing itself.
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

    /// What it sees, a state that was, or that it cannot be read.
    pub fn read_state(&mut self, states: &BTreeSet<String>) -> Result<String, String> {
        let state = self.session.try_query(0, STATE_SQL)?;
        assert!(states.contains(&state), "there never was a state {state}");
        Ok(state)
    }

    /// What it sees, or a clear failure.
    pub fn read_state_or_io_error(&mut self, states: &BTreeSet<String>) -> Option<String> {
        match self.read_state(states) {
            Ok(state) => Some(state),
            Err(error) => {
                assert_eq!(error, "disk I/O error", "what cannot be read is an I/O error");
                None
            }
        }
    }

    /// Waits until it sees the newest state, and everything of it.
    pub fn wait_for_newest_state(&mut self, bank: &Bank) {
        let newest = bank.state();
        wait_until("the reader sees the newest state", || {
            self.read_state_or_io_error(&bank.states).is_some_and(|state| state == newest)
        });
        assert_eq!(self.query("PRAGMA integrity_check"), "ok");
    }

    /// Ends a transaction. After an I/O error SQLite has done so itself.
    pub fn roll_back(&mut self) {
        let _ = self.session.try_query(0, "ROLLBACK");
    }

    /// Begins a transaction.
    pub fn begin(&mut self, bank: &Bank) -> String {
        self.query("BEGIN");
        self.read_state(&bank.states).expect("a state")
    }
}
