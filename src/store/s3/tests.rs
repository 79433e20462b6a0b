//! Tests of responses that a correct server never sends.

use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::{MOST_EMPTY_PAGES, MOST_NAMES};
use crate::store::canned::{Canned, answer, endless, part, trickle};
use crate::store::{Listed, Location, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::ffi::OsString;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Canned {
    fn store(&self) -> Arc<dyn Store> {
        let url = format!("s3://bucket/app?endpoint={}", self.endpoint);
        let keys = |name: &str| name.ends_with("KEY").then(|| OsString::from("hush"));
        let id = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| OsString::from("me"));
        let location = Location::parse_with(&url, |name| id(name).or_else(|| keys(name))).expect("a location");
        location.connect().expect("a store")
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = FileName::of(Txid(1));
        self.store().read(Level::ZERO, name, range, None).await.map(|chunk| chunk.bytes)
    }

    async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.store().list(Level::ZERO, Txid(0)).await
    }
}

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce\n your request rate.</Message></Error>";

#[tokio::test]
async fn a_request_to_a_busy_server_is_retried() {
    let busy = answer("503 Service Unavailable", "", SLOW_DOWN);
    let server = Canned::start(vec![busy.clone(), busy, part("0-3/9", "abcd")]);
    assert_eq!(server.read(0..4).await.expect("the third response"), "abcd");
    assert_eq!(server.answered.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_unreachable() {
    let server = Canned::start(vec![answer("503 Service Unavailable", "", SLOW_DOWN)]);
    let error = server.read(0..4).await.expect_err("no response");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    let url = "s3://bucket/app/0000/0000000000000001-0000000000000001.ltx";
    let cause = "is temporarily unavailable (SlowDown: Please reduce your request rate)";
    assert_eq!(error.to_string(), format!("{url}: {} {cause}", server.endpoint));
    assert_eq!(server.answered.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn an_interrupted_body_is_continued_or_unreachable() {
    let cut = part("0-7/9", "abcdefgh").replace("efgh", "");
    let server = Canned::start(vec![cut.clone(), part("4-7/9", "efgh")]);
    assert_eq!(server.read(0..8).await.expect("both halves"), "abcdefgh");
    let nothing = part("0-7/9", "abcdefgh").replace("abcdefgh", "");
    let error = Canned::start(vec![nothing]).read(0..8).await.expect_err("never a byte");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn invalid_responses_are_refused() {
    for (response, clause) in [
        (answer("200 OK", "etag: \"a\"\r\n", "abcdefghi"), "non-partial response"),
        (part("1-4/9", "bcde"), "got 1..5"),
        (part("0-2/9", "abc"), "got 0..3"),
        (answer("206 Partial Content", "etag: \"a\"\r\n", "abcd"), "Content-Range"),
        (answer("400 Bad Request", "", "<Error><Code>InvalidArgument</Code></Error>"), "(InvalidArgument)"),
    ] {
        let error = Canned::start(vec![response]).read(0..4).await.expect_err(clause);
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
    }
    for body in ["", "<html>Sign in</html>", "{}"] {
        let error = Canned::start(vec![answer("200 OK", "", body)]).list().await;
        assert_eq!(error.map_err(|error| error.kind()), Err(StoreErrorKind::Protocol), "{body}");
    }
}

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
async fn credentials_that_do_not_end_are_refused() {
    let instance = Canned::start_with(|_, stream| endless("200 OK", "", stream));
    let metadata = |name: &str| (name == "AWS_METADATA_ENDPOINT").then(|| OsString::from(&instance.endpoint));
    let store = Location::parse_with("s3://bucket/app", metadata).expect("a location").connect().expect("a store");
    let error = store.list(Level::ZERO, Txid(0)).await.expect_err("no credentials");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(error.to_string().contains("more than the 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_pause_that_the_server_requests_is_granted() {
    let busy = |after: &str| answer("503 Service Unavailable", &format!("retry-after: {after}\r\n"), SLOW_DOWN);
    let server = Canned::start(vec![busy("1"), part("0-3/9", "abcd")]);
    let start = std::time::Instant::now();
    assert_eq!(server.read(0..4).await.expect("the second response"), "abcd");
    assert!(start.elapsed() >= std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let server = Canned::start(vec![busy("60").replace("503 Service Unavailable", status)]);
        let error = server.read(0..4).await.expect_err("no time for that");
        assert_eq!(error.kind(), StoreErrorKind::Unreachable);
        let clause = "it requests a pause of 60 seconds, but the request may take 10 seconds in total";
        assert!(error.to_string().contains(clause), "{error}");
        assert_eq!(server.answered.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_invalid_response_is_retried_once() {
    let valid = || part("0-3/9", "abcd");
    let whole =
        |checksum: &str| part("0-3/4", "abcd").replace("etag", &format!("x-amz-checksum-crc32c: {checksum}\r\netag"));
    for invalid in [
        answer("200 OK", "content-type: text/html\r\n", "<html>Sign in</html>"),
        answer("200 OK", "", ""),
        part("1-4/9", "bcde"),
        part("0-2/9", "abc"),
        part("0-3/9", "abc"),
        part("0-3/9", "abcdefg"),
        whole("AAAAAA=="),
    ] {
        let server = Canned::start(vec![invalid.clone(), valid()]);
        assert_eq!(server.read(0..4).await.expect(&invalid), "abcd");
        assert_eq!(server.answered.load(Ordering::Relaxed), 2);
    }
    assert_eq!(Canned::start(vec![whole("ksgKMQ==")]).read(0..4).await.expect("a right checksum"), "abcd");
    let listing = answer("200 OK", "", "<ListBucketResult></ListBucketResult>");
    for invalid in ["", "<html>Sign in</html>", "<ListBucketResult><Contents><Key>"] {
        let server = Canned::start(vec![answer("200 OK", "", invalid), listing.clone()]);
        assert_eq!(server.list().await.expect(invalid), []);
    }
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
async fn a_slow_response_is_retried() {
    let listing = answer("200 OK", "", "<ListBucketResult></ListBucketResult>");
    let server = Canned::start_with(move |number, stream| match number {
        0 => trickle(&listing, stream),
        _ => stream.write_all(listing.as_bytes()),
    });
    assert_eq!(server.list().await.expect("the second response"), []);
}

#[tokio::test]
async fn a_redirect_without_a_region_is_an_error() {
    let server =
        Canned::start(vec![answer("301 Moved Permanently", "", "<Error><Code>PermanentRedirect</Code></Error>")]);
    let error = server.list().await.expect_err("a redirection");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().ends_with("(PermanentRedirect); add the region of the bucket to the URL"), "{error}");
}

#[tokio::test]
async fn an_invalid_region_is_not_used() {
    for header in ["x.evil.example/", "evil#", "a b", "", &"a".repeat(65)] {
        let header = format!("x-amz-bucket-region: {header}\r\n");
        let server =
            Canned::start(vec![answer("301 Moved Permanently", &header, "<Error><Region>evil?</Region></Error>")]);
        let error = server.list().await.expect_err("a redirection");
        assert!(error.to_string().ends_with("add the region of the bucket to the URL"), "{error}");
        assert_eq!(server.answered.load(Ordering::Relaxed), 1, "{header}");
    }
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

#[tokio::test]
async fn a_server_without_tls_is_unreachable_over_https() {
    let mut server = Canned::start(vec![part("0-3/9", "abcd")]);
    server.endpoint = server.endpoint.replace("http:", "https:");
    let error = server.read(0..4).await.expect_err("no handshake");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains(&format!("cannot connect to {}: ", server.endpoint)), "{error}");
}

#[test]
fn invalid_settings_are_refused_without_showing_them() {
    let connect = |url: &str, bundle: &'static str| {
        let variable = |name: &str| (name == "AWS_CA_BUNDLE").then(|| OsString::from(bundle));
        let error = Location::parse_with(url, variable).expect("a location").connect().expect_err(url);
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
        error.to_string()
    };
    let text = connect("s3://bucket/app", "/no/such/bundle.pem");
    assert!(
        text.starts_with("s3://bucket/app: cannot read /no/such/bundle.pem, which AWS_CA_BUNDLE names: "),
        "{text}"
    );
    let text = connect("s3://bucket/app?sseCustomerKey=hush!", "");
    assert!(text.starts_with("s3://bucket/app?sseCustomerKey=***: ") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn an_endpoint_may_have_a_path() {
    let mut server = Canned::start(vec![answer("200 OK", "", "<ListBucketResult></ListBucketResult>")]);
    // The endpoint of Supabase has this path.
    server.endpoint += "/storage/v1/s3";
    assert_eq!(server.list().await.expect("a listing"), []);
    let requests = server.requests.lock().expect("no panic").concat();
    assert!(requests.starts_with("GET /storage/v1/s3/bucket?list-type=2&"), "{requests}");
}

#[tokio::test]
async fn the_credentials_of_an_instance_are_renewed_before_they_expire() {
    let ok = |body: &str| answer("200 OK", "", body);
    let keys = |minutes: i64| {
        let end = (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
        ok(&format!(
            r#"{{"AccessKeyId":"me","SecretAccessKey":"hush","Token":"t","Expiration":"{end}","Code":"Success","LastUpdated":"{end}"}}"#
        ))
    };
    // A token, the role, and its keys. Keys that expire within minutes are not used a second time.
    let instance = Canned::start(vec![ok("token"), ok("role"), keys(3), ok("token"), ok("role"), keys(60)]);
    let bucket = Canned::start(vec![ok("<ListBucketResult></ListBucketResult>")]);
    let url = format!("s3://bucket/app?endpoint={}", bucket.endpoint);
    let metadata = |name: &str| (name == "AWS_METADATA_ENDPOINT").then(|| OsString::from(&instance.endpoint));
    let store = Location::parse_with(&url, metadata).expect("a location").connect().expect("a store");
    for _ in 0..3 {
        assert_eq!(store.list(Level::ZERO, Txid(0)).await.expect("a listing"), []);
        // `object_store` requests credentials at most once per 100 ms.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(instance.answered.load(Ordering::Relaxed), 6);
}
