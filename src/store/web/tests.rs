//! Errors of web servers, and responses that a correct server never sends.

#[cfg(feature = "webdav")]
mod create;
mod listings;

use crate::ltx::{FileName, Level, Txid};
#[cfg(feature = "webdav")]
use crate::store::ObjectName;
use crate::store::canned::{Canned, answer, endless, part};
use crate::store::http::{Clients, MAX_IN_FLIGHT};
use crate::store::redirects::Redirects;
use crate::store::tls::Trust;
use crate::store::{Location, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

impl Canned {
    /// Starts a server whose responses depend on the first line of the request.
    fn start_by_line(respond: impl Fn(&str) -> String + Send + 'static) -> Canned {
        let lines = Arc::new(OnceLock::<Arc<Mutex<Vec<String>>>>::new());
        let requests = lines.clone();
        let server = Canned::start_with(move |_, stream| {
            let line = requests.wait().lock().expect("no panic").last().cloned();
            stream.write_all(respond(&line.expect("a request")).as_bytes())
        });
        lines.set(server.requests.clone()).expect("it is not set yet");
        server
    }

    /// Returns the first lines of the requests since the last call, without the version of HTTP.
    fn take_lines(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.requests.lock().expect("no panic"));
        lines.iter().map(|line| line.trim_end_matches(" HTTP/1.1").to_owned()).collect()
    }

    fn web_store(&self) -> Arc<dyn Store> {
        store(&self.endpoint)
    }

    #[cfg(feature = "webdav")]
    fn dav_store(&self) -> Arc<dyn Store> {
        store(&self.endpoint.replace("http", "webdav"))
    }

    async fn read_web(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = FileName::of(Txid(1));
        self.web_store().read(Level::ZERO, name, range, None).await.map(|chunk| chunk.bytes)
    }
}

fn store(server: &str) -> Arc<dyn Store> {
    Location::parse_with(&format!("{server}/app"), |_| None).expect("a location").connect().expect("a store")
}

#[tokio::test]
async fn an_unavailable_server_and_a_truncated_response_are_retried() {
    let busy = answer("503 Service Unavailable", "", "");
    let truncated = part("0-7/9", "abcdefgh").replace("efgh", "");
    let server = Canned::start(vec![busy.clone(), truncated.clone(), part("0-7/9", "abcdefgh")]);
    assert_eq!(server.read_web(0..8).await.expect("the third response"), "abcdefgh");
    assert_eq!(server.answered.load(Ordering::Relaxed), 3);
    for (response, clause) in
        [(busy, "is temporarily unavailable (503 Service Unavailable)"), (truncated, "cannot reach http://127")]
    {
        let error = Canned::start(vec![response]).read_web(0..8).await.expect_err(clause);
        assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
    }
}

#[tokio::test]
async fn each_status_is_an_error_of_its_kind() {
    for (status, kind) in [
        ("401 Unauthorized", StoreErrorKind::Denied),
        ("403 Forbidden", StoreErrorKind::Denied),
        ("404 Not Found", StoreErrorKind::NotFound),
        ("410 Gone", StoreErrorKind::NotFound),
        ("412 Precondition Failed", StoreErrorKind::Changed),
        ("400 Bad Request", StoreErrorKind::Protocol),
    ] {
        let error = Canned::start(vec![answer(status, "", "")]).read_web(0..8).await.expect_err(status);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("/app/ltx/0/0000000000000001-0000000000000001.ltx: "), "{error}");
    }
}

#[tokio::test]
async fn another_range_than_the_requested_one_is_an_error() {
    let parts = [("1-4/9", "bcde"), ("0-2/9", "abc"), ("0-3/*", "abcd"), ("0-3/9", "abc"), ("4-3/4", "")];
    for invalid in parts.map(|(range, body)| part(range, body)) {
        let error = Canned::start(vec![invalid]).read_web(0..4).await.expect_err("an invalid response");
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("another range than the requested one"), "{error}");
    }
}

/// A server can claim any length of a file.
#[tokio::test]
async fn a_range_that_no_file_has_is_empty() {
    let not_satisfiable = answer("416 Range Not Satisfiable", "content-range: bytes */9\r\n", "");
    let found = Canned::start(vec![part("0-0/9", "a"), not_satisfiable]).read_web(u64::MAX - 24..u64::MAX).await;
    assert_eq!(found.expect("an answer"), "");
}

#[tokio::test]
async fn an_invalid_response_is_retried_once() {
    for invalid in [part("1-4/9", "bcde"), part("0-2/9", "abc"), part("0-3/9", "abcdef")] {
        let server = Canned::start(vec![invalid.clone(), part("0-3/9", "abcd")]);
        assert_eq!(server.read_web(0..4).await.expect(&invalid), "abcd");
        assert_eq!(server.answered.load(Ordering::Relaxed), 2);
    }
}

/// The page of a proxy was once the whole file, and a shorter one.
#[tokio::test]
async fn a_page_instead_of_a_file_is_requested_once_more() {
    let page = answer("200 OK", "etag: \"b\"\r\n", "\n<html>Sign in</html>");
    let server = Canned::start(vec![page.clone(), part("0-3/9", "abcd")]);
    assert_eq!(server.read_web(0..4).await.expect("the second response"), "abcd");
    let server = Canned::start(vec![page]);
    let error = server.read_web(0..4).await.expect_err("a page");
    assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
    assert!(error.to_string().ends_with(" sends an invalid response: a page instead of the file"), "{error}");
    assert_eq!(server.answered.load(Ordering::Relaxed), 2);
}

/// A writer once took the page for a lease of somebody else.
#[cfg(feature = "webdav")]
#[tokio::test]
async fn a_page_instead_of_a_lease_is_requested_once_more() {
    let server = Canned::start(vec![answer("200 OK", "", "<html>Sign in</html>"), answer("200 OK", "", "{}")]);
    let read = server.dav_store().read_object(ObjectName::Lease).await.expect("the second response");
    assert_eq!(read.as_deref(), Some(&b"{}"[..]));
}

/// A server without ranges once had as little time for the whole file as for the range.
#[tokio::test]
async fn a_whole_file_may_take_longer_than_a_range() {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    const PIECES: usize = 16;
    let server = Canned::start_with(|_, stream| {
        let length = PIECE.len() * PIECES;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
        (0..PIECES).try_for_each(|_| {
            std::thread::sleep(Duration::from_millis(500));
            stream.write_all(&PIECE)
        })
    });
    assert_eq!(server.read_web(0..4).await.expect("the whole file"), "xxxx");
    assert_eq!(server.answered.load(Ordering::Relaxed), 1);
}

/// The server is not blamed for requests that it did not get.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_others_has_the_time_of_all_tries() {
    let server = Canned::start(vec![part("0-3/9", "abcd")]);
    let trust = Trust::System(Vec::new());
    let clients = Clients::of(&server.endpoint, trust, None, Redirects::WithinServer).expect("clients");
    let mut permits: Vec<_> = std::iter::from_fn(|| clients.permit().now_or_never()).collect();
    assert_eq!(permits.len(), MAX_IN_FLIGHT);
    let error = server.read_web(0..4).await.expect_err("no permit");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    let clause = "no turn within 10 seconds, because other requests to it are in progress";
    assert!(error.to_string().ends_with(clause), "{error}");
    assert_eq!(server.answered.load(Ordering::Relaxed), 0);
    // Longer than one try.
    let release = async {
        tokio::time::sleep(Duration::from_millis(7100)).await;
        tokio::time::resume();
        permits.pop();
    };
    let (read, ()) = join(server.read_web(0..4), release).await;
    assert_eq!(read.expect("a turn"), "abcd");
}

#[tokio::test]
async fn endless_responses_are_an_error() {
    let server =
        Canned::start_with(|_, stream| endless("206 Partial Content", "content-range: bytes 0-3/9\r\n", stream));
    let error = server.read_web(0..4).await.expect_err("too many bytes");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("more than the expected 4 bytes"), "{error}");
    let server = Canned::start_with(|_, stream| endless("200 OK", "", stream));
    let error = server.read_web(0..4).await.expect_err("an endless file");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("it must support range requests"), "{error}");
}

#[tokio::test]
async fn retry_after_is_observed_within_the_deadline() {
    let busy = |after: u64| answer("429 Too Many Requests", &format!("retry-after: {after}\r\n"), "");
    let server = Canned::start(vec![busy(1), part("0-3/9", "abcd")]);
    let begun = std::time::Instant::now();
    assert_eq!(server.read_web(0..4).await.expect("the second response"), "abcd");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let server = Canned::start(vec![busy(60)]);
    let error = server.read_web(0..4).await.expect_err("a pause beyond the deadline");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains("requests a pause of 60 seconds"), "{error}");
    assert_eq!(server.answered.load(Ordering::Relaxed), 1);
}
