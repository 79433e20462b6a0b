//! Deletions in Azure, whose responses are in the body of another one.

use super::*;
use crate::store::StoreError;
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;

/// Returns the response to a batch, whose only part has this ID and status.
fn deleted(id: u8, status: &str, headers: &str, body: &str) -> String {
    let part =
        format!("Content-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {status}\r\n{headers}\r\n{body}");
    answer("202 Accepted", "content-type: multipart/mixed; boundary=b\r\n", &format!("--b\r\n{part}\r\n--b--\r\n"))
}

/// Returns the response to a HEAD request for an object that exists.
fn found() -> String {
    answer("200 OK", "etag: \"a\"\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "")
}

async fn delete(server: &Canned) -> Result<(), StoreError> {
    store("abs://me@box", server).delete(ObjectName::File(Level::ZERO, name())).await
}

#[tokio::test]
async fn a_refusal_in_a_batch_is_an_error_of_its_kind() {
    let code = |code: &str| format!("<Error><Code>{code}</Code></Error>");
    let denied = |id| deleted(id, "403 Forbidden", "", &code("AuthorizationFailure"));
    let missing = || deleted(0, "404 Not Found", "x-ms-error-code: BlobNotFound\r\n", "");
    let immutable = deleted(0, "409 Conflict", "", &code("BlobImmutableDueToPolicy"));
    let leased = deleted(0, "412 Precondition Failed", "", &code("LeaseIdMissing"));
    let busy = deleted(0, "503 Busy", "Retry-After: 60\r\n", "");
    for (responses, kind, clause) in [
        (vec![denied(0), found()], StoreErrorKind::Denied, "denies access (AuthorizationFailure)"),
        (vec![immutable, found()], StoreErrorKind::Protocol, "rejects the request (BlobImmutableDueToPolicy)"),
        (vec![leased, found()], StoreErrorKind::Protocol, "rejects the request (LeaseIdMissing)"),
        (vec![busy, found()], StoreErrorKind::Unreachable, "it requests a pause of 60 seconds"),
        (vec![missing(), answer("403 Forbidden", "", "")], StoreErrorKind::Denied, "denies access (status 403)"),
        (vec![denied(1), denied(1), found()], StoreErrorKind::Protocol, "a deletion that was not requested"),
    ] {
        let requests = responses.len();
        let server = Canned::start(responses);
        let error = delete(&server).await.expect_err(clause);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(clause), "{error}");
        assert_eq!(server.answered.load(Ordering::Relaxed), requests, "{clause}");
    }
    delete(&Canned::start(vec![missing(), answer("404 Not Found", "", "")])).await.expect("it is missing");
}

#[tokio::test]
async fn a_deletion_on_a_busy_server_is_retried() {
    let busy = || deleted(0, "503 Busy", "", "");
    let server = Canned::start(vec![busy(), busy(), deleted(0, "202 Accepted", "x-ms-version: 1\r\n", "")]);
    delete(&server).await.expect("the third response");
    assert_eq!(server.answered.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_deletion_is_repeated_over_a_new_connection_after_an_invalid_response() {
    let reused = Arc::new(AtomicBool::new(false));
    let is_reused = reused.clone();
    let server = Canned::start_with(move |number, stream| match number {
        0 => {
            // The connection stays open for a while.
            let page = answer("200 OK", "", "<html>Sign in</html>").replace("connection: close\r\n", "");
            stream.write_all(page.as_bytes())?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            is_reused.store(stream.read(&mut [0])? > 0, Ordering::Relaxed);
            Ok(())
        }
        _ => stream.write_all(deleted(0, "202 Accepted", "", "").as_bytes()),
    });
    delete(&server).await.expect("the second response");
    assert!(!reused.load(Ordering::Relaxed), "the second request came over the same connection");
}
