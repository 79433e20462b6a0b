//! Ranges of files: interrupted bodies, and their versions.

use super::*;
use crate::store::Version;

#[tokio::test]
async fn an_interrupted_body_is_continued_or_unreachable() {
    let cut = part("0-7/9", "abcdefgh").replace("efgh", "");
    let server = Canned::start(vec![cut.clone(), part("4-7/9", "efgh")]);
    assert_eq!(server.read(0..8).await.expect("both halves"), "abcdefgh");
    let nothing = part("0-7/9", "abcdefgh").replace("abcdefgh", "");
    let error = Canned::start(vec![nothing]).read(0..8).await.expect_err("never a byte");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
}

/// The server does not support If-Match, and the file is replaced between two responses.
#[tokio::test]
async fn a_range_is_never_continued_with_another_version() {
    let (old, new) = ("o".repeat(100), "n".repeat(100));
    let cut = part("0-99/100", &old).replace(&old, &old[..50]);
    let of_new = |range: &str, bytes: &str| part(range, bytes).replace("\"a\"", "\"b\"");
    let rest = of_new("50-99/100", &new[50..]);
    let error = Canned::start(vec![cut.clone(), rest.clone()]).read(0..100).await.expect_err("two versions");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("Requested 0..100, got 50..100"), "{error}");
    let responses = vec![cut.clone(), rest, of_new("0-99/100", &new)];
    assert_eq!(Canned::start(responses.clone()).read(0..100).await.expect("the new version"), new);
    for (expected, result) in [("a", Err(StoreErrorKind::Changed)), ("b", Ok(Bytes::from(new)))] {
        let (store, expected) = (Canned::start(responses.clone()).store(), Version(expected.into()));
        let chunk = store.read(Level::ZERO, FileName::of(Txid(1)), 0..100, Some(&expected)).await;
        assert_eq!(chunk.map(|chunk| chunk.bytes).map_err(|error| error.kind()), result);
    }
    let untagged = part("50-99/100", &old[50..]).replace("etag", "x-tag");
    let error = Canned::start(vec![cut, untagged]).read(0..100).await.expect_err("perhaps two versions");
    assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
}

#[tokio::test]
async fn a_range_of_which_only_the_end_of_the_body_is_missing_is_complete() {
    let chunked = |range: &str, body: &str| {
        format!(
            "HTTP/1.1 206 Partial Content\r\ntransfer-encoding: chunked\r\ncontent-range: bytes {range}\r\n\
             etag: \"a\"\r\n\r\n{:x}\r\n{body}\r\n",
            body.len()
        )
    };
    let server = Canned::start(vec![chunked("0-7/9", "abcdefgh")]);
    assert_eq!(server.read(0..8).await.expect("all bytes"), "abcdefgh");
    let server = Canned::start(vec![chunked("0-7/9", "abcd"), chunked("4-7/9", "efgh")]);
    assert_eq!(server.read(0..8).await.expect("both halves"), "abcdefgh");
    assert_eq!(server.answered.load(Ordering::Relaxed), 2);
    let server = Canned::start(vec![chunked("0-3/9", "abcdefgh"), part("0-7/9", "abcdefgh")]);
    assert_eq!(server.read(0..8).await.expect("the second response"), "abcdefgh");
}

#[tokio::test]
async fn a_body_longer_than_requested_is_refused_immediately() {
    let too_many = |headers: &str| {
        let headers = format!("etag: \"a\"\r\n{headers}");
        format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-3/9\r\nconnection: close\r\n{headers}\r\nabcdef"
        )
    };
    let servers = [
        Canned::start(vec![too_many("content-length: 99999999999999\r\n")]),
        Canned::start(vec![too_many("content-length: 6\r\n")]),
        Canned::start(vec![too_many("")]),
        Canned::start_with(|_, stream| endless("206 Partial Content", "content-range: bytes 0-3/9\r\n", stream)),
    ];
    for server in servers {
        let error = server.read(0..4).await.expect_err("too many bytes");
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("more than the 4 bytes that were requested"), "{error}");
    }
    let server = Canned::start_with(|_, stream| endless("200 OK", "content-type: application/xml\r\n", stream));
    let error = server.list().await.expect_err("no end");
    assert!(error.to_string().contains("more than the 16777216 bytes"), "{error}");
    let server = Canned::start_with(|_, stream| endless("500 Internal Server Error", "", stream));
    assert_eq!(server.list().await.map_err(|error| error.kind()), Err(StoreErrorKind::Unreachable));
}

#[tokio::test]
async fn a_response_without_the_tag_is_retried_once() {
    let name = FileName::of(Txid(1));
    let (right, bare) = (part("0-3/9", "abcd"), part("0-3/9", "abcd").replace("etag", "x-tag"));
    let server = Canned::start(vec![right.clone(), bare.clone(), right, bare]);
    let store = server.store();
    let tag = store.read(Level::ZERO, name, 0..4, None).await.expect("a file").version;
    assert_eq!(store.read(Level::ZERO, name, 0..4, Some(&tag)).await.expect("the file").version, tag);
    let error = store.read(Level::ZERO, name, 0..4, Some(&tag)).await.expect_err("never a tag");
    assert_eq!(error.kind(), StoreErrorKind::Changed);
}

#[tokio::test]
async fn tags_are_compared_without_quotes_and_are_optional() {
    let name = FileName::of(Txid(1));
    let weak = part("0-3/9", "abcd").replace("\"a\"", "W/\"a\"");
    let server = Canned::start(vec![part("0-3/9", "abcd"), weak, part("0-3/9", "abcd").replace("etag", "x-tag")]);
    let store = server.store();
    let first = store.read(Level::ZERO, name, 0..4, None).await.expect("a file").version;
    let second = store.read(Level::ZERO, name, 0..4, Some(&first)).await.expect("the same file").version;
    assert_eq!((first, &*second.0), (second.clone(), "a"));
    let untagged = store.read(Level::ZERO, name, 0..4, None).await.expect("a file").version;
    assert_eq!(store.read(Level::ZERO, name, 0..4, Some(&untagged)).await.expect("the same").version, untagged);
}
