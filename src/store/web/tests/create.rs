//! Creations over WebDAV on a server that is partly unavailable.

use super::*;
use crate::store::Creation;
use std::sync::atomic::AtomicUsize;

const BUSY: &str = "503 Service Unavailable";

/// Starts a server with locks. `respond` has the responses to some requests, which may depend on the number of the request.
fn dav(respond: impl Fn(&str, usize) -> Option<String> + Send + 'static) -> Canned {
    let (number, locks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Canned::start_by_line(move |line| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        match respond(line, number) {
            Some(response) => response,
            None if !line.starts_with("LOCK ") => answer("201 Created", "", ""),
            // The second lock is refused, as that of another client.
            None if locks.fetch_add(1, Ordering::Relaxed) == 1 => answer("423 Locked", "", ""),
            None => answer("200 OK", "lock-token: <urn:any>\r\n", ""),
        }
    })
}

async fn create(server: &Canned) -> Result<Creation, StoreError> {
    create_with(server, "file".into()).await
}

async fn create_with(server: &Canned, bytes: Bytes) -> Result<Creation, StoreError> {
    server.dav_store().create(ObjectName::File(Level::ZERO, FileName::of(Txid(1))), bytes).await
}

#[tokio::test]
async fn an_upload_may_take_longer_than_a_server_may_be_silent() {
    let server = dav(|line, _| {
        if line.starts_with("PUT ") {
            std::thread::sleep(Duration::from_secs(6));
        }
        None
    });
    let created = create_with(&server, vec![7; 1 << 20].into()).await.expect("a slow response");
    let lines = server.take_lines();
    let puts = lines.iter().filter(|line| line.starts_with("PUT ")).count();
    assert_eq!((created, puts), (Creation::Created, 1), "{lines:?}");
}

/// Each try wrote a draft, and each draft was once deleted by requests that took as long again.
#[tokio::test]
async fn all_requests_of_a_creation_have_one_deadline() {
    let server = dav(|line, number| {
        let is_busy = number == 0 || line.starts_with("PUT ") || line.starts_with("DELETE ");
        is_busy.then(|| answer(BUSY, "retry-after: 4\r\n", ""))
    });
    let error = create(&server).await.expect_err("the server is busy");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().ends_with("the file was not created within 10 seconds"), "{error}");
    let lines = server.take_lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT ")).count(), 2, "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("DELETE ")), "{lines:?}");
}

#[tokio::test]
async fn the_drafts_of_a_creation_are_deleted_unless_the_server_is_unavailable() {
    let refuse = |status: &'static str| {
        dav(move |line, _| (line.starts_with("MOVE ") || line.starts_with("HEAD ")).then(|| answer(status, "", "")))
    };
    for (status, kind, deletions) in
        [("404 Not Found", StoreErrorKind::Protocol, 1), (BUSY, StoreErrorKind::Unreachable, 0)]
    {
        let server = refuse(status);
        let error = create(&server).await.expect_err("a refusal");
        assert_eq!(error.kind(), kind, "{error}");
        let lines = server.take_lines();
        assert_eq!(lines.iter().filter(|line| line.starts_with("DELETE ")).count(), deletions, "{lines:?}");
    }
    // The response to the first PUT is lost, so it is not known whether it left a draft.
    let server = dav(|line, _| line.contains(".1.tmp").then(String::new).filter(|_| line.starts_with("PUT ")));
    assert_eq!(create(&server).await.expect("the second draft"), Creation::Created);
    let lines = server.take_lines();
    let deleted: Vec<_> = lines.iter().filter(|line| line.starts_with("DELETE ")).collect();
    assert!(deleted.len() == 1 && deleted[0].ends_with(".1.tmp"), "{lines:?}");
}

#[tokio::test]
async fn parents_are_not_created_while_the_server_is_unavailable() {
    let server = dav(|line, _| line.starts_with("MKCOL ").then(|| answer(BUSY, "", "")));
    let error = create(&server).await.expect_err("the server is busy");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
    assert_eq!(server.take_lines(), ["MKCOL /app/ltx/0/"; 4]);
    let server = dav(|line, _| line.starts_with("MKCOL ").then(|| answer("409 Conflict", "", "")));
    assert_eq!(create(&server).await.expect("the directories may exist"), Creation::Created);
    let lines = server.take_lines();
    let made: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("MKCOL ")).collect();
    assert_eq!(made, ["/app/ltx/0/", "/app/", "/app/ltx/", "/app/ltx/0/"]);
}

/// The server keeps the lock, and the client does not know its token.
#[tokio::test]
async fn a_lock_whose_response_was_lost_is_not_only_blamed_on_another_client() {
    let locks = AtomicUsize::new(0);
    let server = dav(move |line, _| {
        let is_lock = line.starts_with("LOCK ");
        match is_lock.then(|| locks.fetch_add(1, Ordering::Relaxed)) {
            // Those that find out whether the server has locks.
            None | Some(0 | 1) => None,
            Some(2) => Some(String::new()),
            Some(_) => Some(answer("423 Locked", "", "")),
        }
    });
    let error = create(&server).await.expect_err("the lock is held");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("the lock of ltx/0/.lock has been held for "), "{text}");
    let clause = "by another client, or by a request of this one whose response was lost; a lock of this library ends after \
                  30 seconds";
    assert!(text.ends_with(clause), "{text}");
}
