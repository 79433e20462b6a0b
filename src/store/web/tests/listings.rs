//! Listings of plain web servers: files that were replaced, lengths that are missing, and manifests.

use super::*;
use crate::store::Version;
use std::sync::atomic::AtomicUsize;

/// The ETags of files of level 0, by TXID.
type Tags = Arc<Mutex<Vec<(u64, &'static str)>>>;

/// Responds to a request for a page, or for a file of level 0 with a length of 7 bytes.
fn respond(line: &str, tags: &[(u64, &str)]) -> String {
    let name = |txid: u64| FileName::of(Txid(txid)).to_string();
    if line.starts_with("GET /app/ltx/0/ ") {
        return answer("200 OK", "", &tags.iter().map(|(txid, _)| name(*txid) + "\n").collect::<String>());
    }
    match tags.iter().find(|(txid, _)| line.contains(&name(*txid))) {
        None => answer("404 Not Found", "", ""),
        Some((_, tag)) if line.starts_with("HEAD ") => answer("200 OK", &format!("etag: \"{tag}\"\r\n"), "7 bytes"),
        Some((_, tag)) => part("0-0/7", "x").replace("\"a\"", &format!("\"{tag}\"")),
    }
}

/// Starts a server with files 1 to 4 of level 0.
fn serve() -> (Canned, Tags) {
    let tags: Tags = Arc::new(Mutex::new((1..=4).map(|txid| (txid, "a")).collect()));
    let served = tags.clone();
    (Canned::start_by_line(move |line| respond(line, &served.lock().expect("no panic"))), tags)
}

fn set(tags: &Tags, txids: Range<u64>, tag: &'static str) {
    let mut tags = tags.lock().expect("no panic");
    tags.iter_mut().filter(|(txid, _)| txids.contains(txid)).for_each(|(_, old)| *old = tag);
}

/// Returns the versions in a listing of level 0.
async fn versions(store: &dyn Store, from: u64) -> String {
    let listed = store.list(Level::ZERO, Txid(from)).await.expect("a listing");
    assert!(listed.iter().all(|file| file.size == 7), "{listed:?}");
    listed.iter().map(|file| &*file.version.as_ref().expect("a version").0).collect()
}

async fn read_first(store: &dyn Store, txid: u64, expected: Option<&str>) -> Result<Version, StoreErrorKind> {
    let expected = expected.map(|tag| Version(tag.into()));
    let read = store.read(Level::ZERO, FileName::of(Txid(txid)), 0..1, expected.as_ref()).await;
    read.map(|chunk| chunk.version).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_replica_that_was_replaced_under_the_same_names_is_listed_with_its_new_versions() {
    for from in [1, 2, 4] {
        let (server, tags) = serve();
        let store = server.web_store();
        assert_eq!(versions(&*store, 1).await, "aaaa");
        set(&tags, 1..5, "b");
        let expected = "b".repeat(5 - from);
        assert_eq!(versions(&*store, from as u64).await, expected);
        assert_eq!(versions(&*store, from as u64).await, expected);
    }
}

#[tokio::test]
async fn a_listing_requests_the_first_and_the_last_file_that_was_found_before_and_all_others() {
    let (server, tags) = serve();
    let store = server.web_store();
    let heads = || server.take_lines().iter().filter(|line| line.starts_with("HEAD ")).count();
    versions(&*store, 1).await;
    assert_eq!(heads(), 4);
    tags.lock().expect("no panic").push((5, "a"));
    assert_eq!(versions(&*store, 1).await, "aaaaa");
    assert_eq!(heads(), 3, "1, 4 and 5");
    assert_eq!(versions(&*store, 5).await, "a");
    assert_eq!(heads(), 1);
}

/// One response of a proxy was once listed for as long as the file existed.
#[tokio::test]
async fn a_read_that_contradicts_a_listing_corrects_the_next_one() {
    let (server, tags) = serve();
    let store = server.web_store();
    assert_eq!(versions(&*store, 1).await, "aaaa");
    set(&tags, 2..3, "b");
    assert_eq!(read_first(&*store, 2, Some("a")).await, Err(StoreErrorKind::Changed));
    assert_eq!(versions(&*store, 1).await, "abaa");
    set(&tags, 3..4, "c");
    assert_eq!(read_first(&*store, 3, None).await, Ok(Version("c".into())));
    assert_eq!(versions(&*store, 1).await, "abca");
    server.take_lines();
    // A reader may still have a version that is not listed any more.
    assert_eq!(read_first(&*store, 2, Some("a")).await, Err(StoreErrorKind::Changed));
    assert_eq!(versions(&*store, 1).await, "abca");
    assert_eq!(server.take_lines().len(), 4, "the read, the page, the first and the last file");
}

/// `If-Match` never applies to a weak ETag.
#[tokio::test]
async fn a_file_with_a_weak_etag_is_read() {
    for (tag, expected) in [("a", Ok(Version("a".into()))), ("b", Err(StoreErrorKind::Changed))] {
        let weak = part("0-0/7", "x").replace("\"a\"", &format!("W/\"{tag}\""));
        let server = Canned::start(vec![answer("412 Precondition Failed", "", ""), weak]);
        assert_eq!(read_first(&*server.web_store(), 1, Some("a")).await, expected);
        assert_eq!(server.answered.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn listings_are_limited_in_names() {
    let names = crate::store::bounds::MOST_NAMES + 1;
    let manifest = with_manifest(vec![answer("200 OK", "", &"0/0 7 a\n".repeat(names))]);
    let error = manifest.web_store().list(Level::ZERO, Txid(1)).await.expect_err("too many names");
    assert!(error.kind() == StoreErrorKind::Protocol && error.to_string().contains("more than 16000 names"), "{error}");
    let responses = "<response></response>".repeat(names);
    let body = format!("<?xml version=\"1.0\"?><multistatus>{responses}</multistatus>");
    let server = Canned::start(vec![answer("207 Multi-Status", "", &body)]);
    let error = server.dav_store().list(Level::ZERO, Txid(1)).await.expect_err("too many names");
    assert!(error.kind() == StoreErrorKind::Protocol && error.to_string().contains("more than 16000 names"), "{error}");
}

/// The response to `HEAD` of a server that compresses what it sends.
const WITHOUT_LENGTH: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_file_without_a_length_is_listed_and_a_directory_is_not() {
    let [whole, empty, directory] = [1, 2, 3].map(|txid| FileName::of(Txid(txid)));
    let server = Canned::start_by_line(move |line| {
        let is_of = |name: FileName| line.contains(&name.to_string());
        match line {
            _ if line.starts_with("GET /app/ltx/0/ ") => answer("200 OK", "", &format!("{whole} {empty} {directory} ")),
            _ if is_of(directory) && line.contains("/ HTTP") => answer("200 OK", "", "a page"),
            _ if is_of(directory) => {
                answer("301 Moved Permanently", &format!("location: /app/ltx/0/{directory}/\r\n"), "")
            }
            _ if line.starts_with("HEAD ") => WITHOUT_LENGTH.to_owned(),
            _ if is_of(empty) => answer("416 Range Not Satisfiable", "content-range: bytes */0\r\n", ""),
            _ => part("0-0/7", "x"),
        }
    });
    let store = server.web_store();
    let listed = store.list(Level::ZERO, Txid(1)).await.expect("a listing");
    let sizes: Vec<_> = listed.iter().map(|file| (file.name, file.size)).collect();
    assert_eq!(sizes, [(whole, 7), (empty, 0)]);
    assert_eq!(listed[0].version, Some(Version("a".into())));
    let chunk = store.read(Level::ZERO, empty, 0..1, listed[1].version.as_ref()).await.expect("the listed version");
    assert_eq!((chunk.bytes.len(), chunk.file_size), (0, 0));
}

/// Starts a server whose directories have no pages, and that responds to requests for the manifest with these responses, of which the last
/// one is repeated.
fn with_manifest(responses: Vec<String>) -> Canned {
    let next = AtomicUsize::new(0);
    Canned::start_by_line(move |line| {
        if !line.starts_with("GET /app/ltx/index.txt ") {
            return answer("404 Not Found", "", "");
        }
        let number = next.fetch_add(1, Ordering::Relaxed).min(responses.len() - 1);
        responses[number].clone()
    })
}

/// A manifest with one file of level 1.
fn manifest() -> String {
    answer("200 OK", "", &format!("1/{} 7 a\n", FileName::of(Txid(1))))
}

#[tokio::test]
async fn only_a_missing_manifest_means_that_there_is_none() {
    let of = |status: &str| answer(status, "", "");
    let page = answer("200 OK", "", "<html>Sign in<input type=\"password\"></html>");
    for (response, expected) in [
        (of("404 Not Found"), Ok(0)),
        (of("410 Gone"), Ok(0)),
        (of("403 Forbidden"), Ok(0)),
        (of("401 Unauthorized"), Err(StoreErrorKind::Denied)),
        (of("429 Too Many Requests"), Err(StoreErrorKind::Unreachable)),
        (of("400 Bad Request"), Err(StoreErrorKind::Protocol)),
        (page, Err(StoreErrorKind::Protocol)),
        (manifest(), Ok(1)),
    ] {
        // Without a manifest, and after there was one.
        for (responses, is_known) in [(vec![response.clone()], false), (vec![manifest(), response.clone()], true)] {
            let server = with_manifest(responses);
            let store = server.web_store();
            let list = || async {
                store.list(Level::FIRST_COMPACTED, Txid(1)).await.map(|files| files.len()).map_err(|error| error.kind())
            };
            if is_known {
                assert_eq!(list().await, Ok(1));
            }
            assert_eq!(list().await, expected, "{response}");
        }
    }
}

#[tokio::test]
async fn a_page_instead_of_a_manifest_is_requested_again() {
    let page = answer("200 OK", "", "<html>Be right back</html>");
    let server = with_manifest(vec![manifest(), page.clone(), manifest(), page]);
    let store = server.web_store();
    for listing in 1..=2 {
        let listed = store.list(Level::FIRST_COMPACTED, Txid(1)).await.expect("a manifest");
        assert_eq!(listed.len(), 1, "listing {listing}");
    }
    server.take_lines();
    let error = store.list(Level::FIRST_COMPACTED, Txid(1)).await.expect_err("no manifest");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("ltx/index.txt is no list of files"), "{error}");
    assert_eq!(server.take_lines(), ["GET /app/ltx/index.txt"; 2]);
}

#[tokio::test]
async fn a_server_with_a_page_for_every_file_is_not_supported() {
    let server = Canned::start_by_line(|line| match line {
        _ if line.starts_with("GET /app/ltx/index.txt ") => manifest(),
        _ if line.starts_with("HEAD ") => WITHOUT_LENGTH.to_owned(),
        _ => answer("200 OK", "", "<html>Home</html>"),
    });
    let error = server.web_store().list(Level::FIRST_COMPACTED, Txid(1)).await.expect_err("no status 404");
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains("returns a page for a file that does not exist"), "{error}");
}

/// The file that no replica has is requested when a manifest is found first.
#[tokio::test]
async fn an_unavailable_server_is_not_taken_for_one_with_a_page_for_every_file() {
    let server = Canned::start_by_line(|line| match line {
        _ if line.starts_with("GET /app/ltx/index.txt ") => manifest(),
        _ if line.starts_with("HEAD ") => answer("503 Service Unavailable", "retry-after: 60\r\n", ""),
        _ => answer("404 Not Found", "", ""),
    });
    let error = server.web_store().list(Level::FIRST_COMPACTED, Txid(1)).await.expect_err("no response");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
}
