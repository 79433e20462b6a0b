//! A reader of a bank, in a process of its own, that is told what to do and checked for what it sees.

use super::bank::{Bank, LOOK};
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
        let mut session = Host::session(&bank.place);
        session.open(&bank.place.url, &[&[("poll_interval", "100ms")], parameters].concat());
        session.must(0, "PRAGMA cache_size = 4");
        let mut reader = Reader { session };
        reader.sees_the_newest(bank);
        reader
    }

    pub fn must(&mut self, sql: &str) -> String {
        self.session.must(0, sql)
    }

    pub fn txid(&mut self) -> Txid {
        self.must("PRAGMA litestream_txid").parse().expect("a TXID")
    }

    /// What it sees, a state that was, or that it cannot be read.
    pub fn look(&mut self, states: &BTreeSet<String>) -> Result<String, String> {
        let state = self.session.ask(0, LOOK)?;
        assert!(states.contains(&state), "there never was a state {state}");
        Ok(state)
    }

    /// What it sees, or a clear failure.
    pub fn look_or_fail(&mut self, states: &BTreeSet<String>) -> Option<String> {
        match self.look(states) {
            Ok(state) => Some(state),
            Err(error) => {
                assert_eq!(error, "disk I/O error", "what cannot be read is an I/O error");
                None
            }
        }
    }

    /// Waits until it sees the newest state, and everything of it.
    pub fn sees_the_newest(&mut self, bank: &Bank) {
        let newest = bank.state();
        wait_until("the reader sees the newest state", || {
            self.look_or_fail(&bank.states).is_some_and(|state| state == newest)
        });
        assert_eq!(self.must("PRAGMA integrity_check"), "ok");
    }

    /// Ends a transaction. After an I/O error SQLite has done so itself.
    pub fn leave(&mut self) {
        let _ = self.session.ask(0, "ROLLBACK");
    }

    /// Begins a transaction.
    pub fn begin(&mut self, bank: &Bank) -> String {
        self.must("BEGIN");
        self.look(&bank.states).expect("a state")
    }
}
