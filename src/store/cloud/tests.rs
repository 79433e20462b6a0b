//! Servers that lack a function, requests that wait for others, and deletions.

#[cfg(feature = "azure")]
mod deletions;

use crate::ltx::{FileName, Level, Txid};
use crate::store::canned::{Canned, answer, part};
use crate::store::http::{Clients, MAX_IN_FLIGHT};
use crate::store::redirects::Redirects;
use crate::store::tls::Trust;
use crate::store::{Location, ObjectName, Store, StoreErrorKind};
use futures_util::future::join;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn name() -> FileName {
    FileName::of(Txid(1))
}

/// Returns a store in a bucket, whose requests are sent to a server without credentials.
fn store(bucket: &str, server: &Canned) -> Arc<dyn Store> {
    let url = format!("{bucket}/app?endpoint={}&anonymous=true", server.endpoint);
    Location::parse_with(&url, |_| None::<OsString>).expect("a location").connect().expect("a store")
}

#[tokio::test]
async fn a_server_without_a_function_is_named_after_one_request() {
    let refused = "<Error><Code>NotImplemented</Code><Message>A header implies functionality.</Message></Error>";
    let server = Canned::start(vec![answer("501 Not Implemented", "", refused)]);
    let store = store("s3://bucket", &server);
    let file = ObjectName::File(Level::ZERO, name());
    let created = store.create(file, "file".into()).await.map(drop);
    let read = store.read(Level::ZERO, name(), 0..4, None).await.map(drop);
    for (result, what) in [(created, "conditional writes"), (read, "this kind of request")] {
        let error = result.expect_err("a refusal");
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
        let reason = "(NotImplemented: A header implies functionality)";
        assert!(
            error.to_string().contains(&format!("{} does not support {what} {reason}", server.endpoint)),
            "{error}"
        );
    }
    assert_eq!(server.answered.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_other_requests_is_not_silence_of_the_server() {
    let server = Canned::start(vec![part("0-3/9", "abcd")]);
    let store = store("s3://bucket", &server);
    let clients = Clients::of(&server.endpoint, Trust::System(Vec::new()), None, Redirects::Refused).expect("clients");
    let mut permits = Vec::new();
    for _ in 0..MAX_IN_FLIGHT {
        permits.push(clients.permit().await);
    }
    let read = || store.read(Level::ZERO, name(), 0..4, None);
    let error = read().await.expect_err("no permit");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
    let cause = format!(
        "no request was sent to {} within 9 seconds, because other requests to it are in progress",
        server.endpoint
    );
    assert!(error.to_string().ends_with(&cause), "{error}");
    assert_eq!(server.answered.load(Ordering::Relaxed), 0);
    // More than the time of a try, but less than that of the request.
    let release = async {
        tokio::time::sleep(Duration::from_millis(7100)).await;
        // The server responds in real time.
        tokio::time::resume();
        drop(permits);
    };
    let (chunk, ()) = join(read(), release).await;
    assert_eq!(chunk.expect("a response").bytes, "abcd");
}
