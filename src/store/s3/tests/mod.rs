//! Tests of responses that a correct server never sends.

mod credentials;
mod listings;
mod ranges;

use crate::ltx::{FileName, Level, Txid};
use crate::store::canned::{Canned, answer, endless, part, trickle};
use crate::store::{Creation, Listed, Location, ObjectName, Store, StoreError, StoreErrorKind};
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

/// It takes a second for each 128 KiB at most, and the server may need as long as for any response.
#[tokio::test]
async fn an_upload_may_take_longer_than_a_server_may_be_silent() {
    let server = Canned::start_with(|_, stream| {
        std::thread::sleep(std::time::Duration::from_secs(6));
        stream.write_all(answer("200 OK", "etag: \"a\"\r\n", "").as_bytes())
    });
    let object = ObjectName::File(Level::ZERO, FileName::of(Txid(1)));
    let created = server.store().create(object, vec![7; 1 << 20].into()).await.expect("a slow response");
    assert_eq!((created, server.answered.load(Ordering::Relaxed)), (Creation::Created, 1));
}

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
