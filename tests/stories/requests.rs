//! The requests for an idle replica: one for each poll regardless of the number of readers, and none without readers.

use crate::support::bank;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::wait_until;
use crate::support::s3::{Manner, Request, S3Server};
use crate::support::session::Session;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const POLL: Duration = Duration::from_millis(100);

/// A database with two replicas on one server.
struct Banks {
    server: S3Server,
    one: Destination,
    many: Destination,
    _dir: TempDir,
}

impl Banks {
    fn start(untagged: bool) -> Banks {
        let manner = Manner { untagged, ..Manner::default() };
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start_with(manner));
        let destination = |name: &str| {
            let destination = Destination::s3(&server, name);
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("a directory");
            let conn = bank::create(&path.join("app.db"));
            let primary = Primary::start(&path.join("app.db"), &destination, Schedule::QUIET);
            for _ in 0..3 {
                bank::transfer(&conn);
                primary.sync();
            }
            drop(primary);
            destination
        };
        let (one, many) = (destination("one"), destination("many"));
        Banks { server, one, many, _dir: dir }
    }

    /// Opens this many connections, and reads with each.
    fn open(&self, session: &mut Session, destination: &Destination, connections: usize) {
        for _ in 0..connections {
            let number = session.open(&destination.url, &[("poll_interval", "100ms")]);
            session.query(number, bank::STATE_SQL);
        }
    }

    /// Returns the requests for each replica since the last call.
    fn take_requests(&self) -> (Vec<Request>, Vec<Request>) {
        // A listing has the path in its query, with an encoded slash.
        let is_of_one = |request: &Request| request.uri.contains("one/") || request.uri.contains("one%2F");
        self.server.take_requests().into_iter().partition(is_of_one)
    }

    /// Returns whether there were requests for the first replica since the last call.
    fn is_asked(&self) -> bool {
        !self.server.take_requests().is_empty()
    }
}

/// Checks that every request belongs to a poll: it reads the file after the newest one, checks that the newest one is
/// unchanged, or lists level 0.
fn assert_polls(requests: &[Request], elapsed: Duration) {
    let is_list = |request: &&Request| request.operation == "ListObjectsV2";
    let is_check = |request: &&Request| request.operation == "GetObject" && request.if_match.is_some();
    let is_ask = |request: &&Request| request.operation == "GetObject" && request.if_match.is_none();
    let next = requests.iter().find(is_ask).expect("most polls read by name").uri.clone();
    assert!(
        requests.iter().filter(is_ask).all(|request| request.uri == next),
        "they read the next file: {requests:#?}"
    );
    let checks: Vec<&Request> = requests.iter().filter(is_check).collect();
    let is_byte = |check: &&&Request| check.uri == checks[0].uri && check.range.as_deref() == Some("bytes=0-0");
    assert_eq!(checks.iter().filter(is_byte).count(), checks.len(), "{checks:#?}");
    assert!(checks.len() >= requests.len() / 8, "{} of {} requests are checks", checks.len(), requests.len());
    let lists = requests.iter().filter(is_list).count();
    assert!(lists <= requests.len() / 30 + 2, "{lists} of {} requests are listings: {requests:#?}", requests.len());
    assert_eq!(requests.iter().filter(is_ask).count() + checks.len() + lists, requests.len(), "{requests:#?}");
    // The interval may be up to a quarter shorter. On a slow machine there are fewer polls.
    let most = elapsed.as_millis() / (POLL.as_millis() * 3 / 4) + 3;
    assert!(requests.len() as u128 <= most, "{} requests in {elapsed:?}", requests.len());
}

/// With many connections, with and without ETags in listings.
#[test]
fn an_idle_replica_costs_one_request_per_poll_and_publishes_nothing() {
    for untagged in [false, true] {
        let banks = Banks::start(untagged);
        let mut session = Host::session(&banks.one);
        banks.open(&mut session, &banks.one, 1);
        banks.open(&mut session, &banks.many, 50);
        // The first poll without newer files lists level 0.
        wait_until("both have settled", || {
            let (one, many) = banks.take_requests();
            let has_listed = |requests: &[Request]| requests.iter().any(|request| request.operation == "ListObjectsV2");
            !has_listed(&one) && !has_listed(&many) && !one.is_empty() && !many.is_empty()
        });
        let version = |session: &mut Session| session.query(0, "PRAGMA data_version");
        let before = version(&mut session);
        let started = Instant::now();
        let (mut of_one, mut of_many) = (Vec::new(), Vec::new());
        wait_until("both are polled for a while", || {
            let (one, many) = banks.take_requests();
            of_one.extend(one);
            of_many.extend(many);
            of_one.len().min(of_many.len()) >= 65
        });
        assert_polls(&of_one, started.elapsed());
        assert_polls(&of_many, started.elapsed());
        assert_eq!(version(&mut session), before, "SQLite keeps its cache without a change");
    }
}

#[test]
fn no_request_is_sent_after_the_last_connection_is_closed() {
    let banks = Banks::start(false);
    let mut session = Host::session(&banks.one);
    banks.open(&mut session, &banks.one, 1);
    banks.open(&mut session, &banks.many, 50);
    session.close();
    wait_until("the requests in progress end", || {
        std::thread::sleep(POLL * 3);
        !banks.is_asked()
    });
    std::thread::sleep(POLL * 15);
    assert_eq!(banks.server.take_requests(), [], "no connection is open");
    banks.open(&mut session, &banks.one, 1);
    assert!(banks.is_asked(), "a new reader checks the replica");
    wait_until("it is polled again", || banks.is_asked());
}

#[test]
fn the_status_counts_the_requests_that_the_server_sees() {
    let banks = Banks::start(false);
    banks.take_requests();
    let mut session = Host::session(&banks.one);
    session.open(&banks.one.url, &[("poll_interval", "1h")]);
    // With max_staleness, every transaction of the second checks the replica.
    session.open(&banks.one.url, &[("poll_interval", "1h"), ("max_staleness", "1ms")]);
    let mut requests = Vec::new();
    for (connection, sql) in
        [(0, bank::STATE_SQL), (0, "PRAGMA integrity_check"), (1, bank::STATE_SQL), (1, bank::STATE_SQL)]
    {
        session.query(connection, sql);
        let status: serde_json::Value =
            serde_json::from_str(&session.query(0, "PRAGMA litestream_status")).expect("the status is JSON");
        requests.extend(banks.server.take_requests());
        let seen = |operation: &str| requests.iter().filter(|request| request.operation == operation).count() as u64;
        assert_eq!(status["reads"].as_u64(), Some(seen("GetObject")), "{sql}");
        assert_eq!(status["lists"].as_u64(), Some(seen("ListObjectsV2")), "{sql}");
    }
}
