//! Listings.

use super::*;
use crate::store::bounds::{MOST_EMPTY_PAGES, MOST_NAMES};

#[tokio::test]
async fn an_interrupted_listing_is_retried() {
    let whole = answer("200 OK", "", "<ListBucketResult></ListBucketResult>");
    let cut = whole.replace("</ListBucketResult>", "");
    let server = Canned::start(vec![cut, whole]);
    assert_eq!(server.list().await.expect("the second response"), []);
    assert_eq!(server.answered.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_listing_that_repeats_a_page_is_refused() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>\
                </ListBucketResult>";
    let server = Canned::start(vec![answer("200 OK", "", page)]);
    let error = server.list().await.expect_err("no end");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().ends_with("the listing does not end"), "{error}");
}

#[tokio::test]
async fn a_truncated_listing_without_a_token_is_refused() {
    // Version 1 of the interface, whose next page begins at a marker.
    let page = |truncated: &str, token: &str| {
        let entry = "<Contents><Key>app/0000/0000000000000001-0000000000000001.ltx</Key><Size>1</Size>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>";
        let markers = "<Marker></Marker><NextMarker>app/0000/0000000000000001-0000000000000001.ltx</NextMarker>";
        let body = format!("<IsTruncated>{truncated}</IsTruncated>{markers}{token}{entry}");
        answer("200 OK", "", &format!("<ListBucketResult>{body}</ListBucketResult>"))
    };
    for (truncated, token) in [("true", ""), (" true\n", ""), ("true", "<NextContinuationToken/>")] {
        let error = Canned::start(vec![page(truncated, token)]).list().await.expect_err("a part of a listing");
        assert_eq!(error.kind(), StoreErrorKind::Protocol);
        let cause = "a truncated listing without a token; the server must support ListObjectsV2";
        assert!(error.to_string().ends_with(cause), "{error}");
    }
    let whole = page("false", "");
    assert_eq!(Canned::start(vec![whole.clone()]).list().await.expect("all files").len(), 1);
    let first = page("true", "<NextContinuationToken>x</NextContinuationToken>");
    assert_eq!(Canned::start(vec![first, whole]).list().await.expect("two pages").len(), 2);
}

#[tokio::test]
async fn a_listing_that_does_not_end_is_refused() {
    let page = |number: usize, names: usize| {
        let names = (0..names).map(|name| {
            let txid = number * names + name + 1;
            format!(
                "<Contents><Key>app/0000/{txid:016x}-{txid:016x}.ltx</Key><Size>1</Size>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        });
        let names: String = names.collect();
        let next = format!("<NextContinuationToken>{number}</NextContinuationToken>");
        answer(
            "200 OK",
            "",
            &format!("<ListBucketResult><IsTruncated>true</IsTruncated>{next}{names}</ListBucketResult>"),
        )
    };
    let cases = [
        (0, MOST_EMPTY_PAGES + 1, "the listing does not end"),
        (1000, MOST_NAMES / 1000 + 1, "turn Litestream's retention on"),
    ];
    for (names, pages, clause) in cases {
        let server = Canned::start_with(move |number, stream| stream.write_all(page(number, names).as_bytes()));
        let error = server.list().await.expect_err(clause);
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
        assert_eq!(server.answered.load(Ordering::Relaxed), pages);
    }
}
