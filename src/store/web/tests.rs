//! How answers that a well-behaved web server never gives are taken.

use crate::ltx::{FileName, Level, Txid};
use crate::store::canned::{Canned, answer, endless, part};
use crate::store::{Location, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Canned {
    fn site(&self) -> Arc<dyn Store> {
        let url = format!("{}/app", self.endpoint);
        Location::parse_with(&url, |_| None).expect("a location").connect().expect("a store")
    }

    async fn read_of_site(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = FileName { min: Txid(1), max: Txid(1) };
        self.site().read(Level::ZERO, name, range, None).await.map(|chunk| chunk.bytes)
    }
}

#[tokio::test]
async fn a_server_that_is_busy_or_breaks_off_is_asked_again() {
    let busy = answer("503 Service Unavailable", "", "");
    let cut = part("0-7/9", "abcdefgh").replace("efgh", "");
    let server = Canned::start(vec![busy.clone(), cut.clone(), part("0-7/9", "abcdefgh")]);
    assert_eq!(server.read_of_site(0..8).await.expect("the third answer"), "abcdefgh");
    assert_eq!(server.answered.load(Ordering::Relaxed), 3);
    for (answers, clause) in [(busy, "cannot serve now (503 Service Unavailable)"), (cut, "cannot reach http://127")] {
        let error = Canned::start(vec![answers]).read_of_site(0..8).await.expect_err(clause);
        assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
    }
}

#[tokio::test]
async fn who_may_not_read_is_told_from_what_is_not_there() {
    for (status, kind) in [
        ("401 Unauthorized", StoreErrorKind::Denied),
        ("403 Forbidden", StoreErrorKind::Denied),
        ("404 Not Found", StoreErrorKind::NotFound),
        ("410 Gone", StoreErrorKind::NotFound),
        ("412 Precondition Failed", StoreErrorKind::Changed),
        ("400 Bad Request", StoreErrorKind::Protocol),
    ] {
        let error = Canned::start(vec![answer(status, "", "")]).read_of_site(0..8).await.expect_err(status);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("/app/ltx/0/0000000000000001-0000000000000001.ltx: "), "{error}");
    }
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_not_believed() {
    for nonsense in [part("1-4/9", "bcde"), part("0-2/9", "abc"), part("0-3/*", "abcd"), part("0-3/9", "abc")] {
        let error = Canned::start(vec![nonsense]).read_of_site(0..4).await.expect_err("nonsense");
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("a part that is not the one asked for"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_asked_for_once_more() {
    for nonsense in [part("1-4/9", "bcde"), part("0-2/9", "abc"), part("0-3/9", "abcdef")] {
        let server = Canned::start(vec![nonsense.clone(), part("0-3/9", "abcd")]);
        assert_eq!(server.read_of_site(0..4).await.expect(&nonsense), "abcd");
        assert_eq!(server.answered.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn answers_without_an_end_end() {
    let server =
        Canned::start_with(|_, stream| endless("206 Partial Content", "content-range: bytes 0-3/9\r\n", stream));
    let error = server.read_of_site(0..4).await.expect_err("too many bytes");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("more than the 4 bytes"), "{error}");
    let server = Canned::start_with(|_, stream| endless("200 OK", "", stream));
    let error = server.read_of_site(0..4).await.expect_err("a whole file without an end");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("it has to serve ranges"), "{error}");
}

#[tokio::test]
async fn a_server_is_left_alone_as_long_as_it_asks_for() {
    let busy = |after: u64| answer("429 Too Many Requests", &format!("retry-after: {after}\r\n"), "");
    let server = Canned::start(vec![busy(1), part("0-3/9", "abcd")]);
    let begun = std::time::Instant::now();
    assert_eq!(server.read_of_site(0..4).await.expect("the second answer"), "abcd");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    let server = Canned::start(vec![busy(60)]);
    let error = server.read_of_site(0..4).await.expect_err("no time for that");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains("requests a pause of 60 seconds"), "{error}");
    assert_eq!(server.answered.load(Ordering::Relaxed), 1);
}
