//! How answers that a well-behaved web server never gives are taken.

use crate::ltx::{FileName, Level, Txid};
use crate::store::canned::{Canned, answer, part};
use crate::store::{Error, ErrorKind, Location, Store};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Canned {
    fn site(&self) -> Arc<dyn Store> {
        let url = format!("{}/app", self.endpoint);
        Location::parse_with(&url, |_| None).expect("a location").connect().expect("a store")
    }

    async fn read_of_site(&self, range: Range<u64>) -> Result<Bytes, Error> {
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
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
    }
}

#[tokio::test]
async fn who_may_not_read_is_told_from_what_is_not_there() {
    for (status, kind) in [
        ("401 Unauthorized", ErrorKind::Denied),
        ("403 Forbidden", ErrorKind::Denied),
        ("404 Not Found", ErrorKind::NotFound),
        ("410 Gone", ErrorKind::NotFound),
        ("412 Precondition Failed", ErrorKind::Changed),
        ("400 Bad Request", ErrorKind::Protocol),
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
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("a part that is not the one asked for"), "{error}");
    }
}
