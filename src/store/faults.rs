//! What each store makes of each fault of a server, over real sockets. `faults.txt` has the results: the kind of the error, or what was
//! returned. If they change on purpose, `LITESTREAM_VFS_WRITE_MATRIX=1` writes the file again.

use super::canned::{Canned, answer, endless, trickle};
use super::{Location, ObjectName, Store, StoreError, StoreErrorKind, Version};
use crate::ltx::{FileName, Level, Txid};
use futures_util::future::join_all;
use std::ffi::OsString;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than the deadline of a request and the time of its connections.
const LONGEST: Duration = Duration::from_secs(25);

/// The length of the file, and of the range that is read.
const LENGTH: usize = 100;

/// When the files were written.
const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// The part of a sign-in page that must not be shown.
const SECRET: &str = "Please sign in";

/// A store with an HTTP server.
#[derive(Clone, Copy, PartialEq, Debug)]
enum CannedScheme {
    S3,
    Azure,
    Gcs,
    Http,
    Webdav,
}

const SCHEMES: [(CannedScheme, &str); 5] = [
    (CannedScheme::S3, "s3"),
    (CannedScheme::Azure, "abs"),
    (CannedScheme::Gcs, "gs"),
    (CannedScheme::Http, "http"),
    (CannedScheme::Webdav, "webdav"),
];

/// What is requested.
#[derive(Clone, Copy, PartialEq, Debug)]
enum CannedRequest {
    Read,
    /// Of one version.
    ReadVersion,
    List,
}

const REQUESTS: [(CannedRequest, &str); 3] =
    [(CannedRequest::Read, "read"), (CannedRequest::ReadVersion, "read of a version"), (CannedRequest::List, "list")];

const FAULTS: [&str; 19] = [
    "none",
    "connection refused",
    "connection reset",
    "hangs before the header",
    "hangs in the body",
    "trickles",
    "truncated body",
    "shorter range",
    "long body",
    "endless body",
    "other version",
    "401",
    "403",
    "404",
    "412",
    "429, pause of 60 s",
    "501",
    "503, pause of 60 s",
    "sign-in page",
];

fn name(txid: u64) -> FileName {
    FileName::of(Txid(txid))
}

/// Returns a store that sends its requests to an endpoint.
fn store(scheme: CannedScheme, endpoint: &str) -> Arc<dyn Store> {
    let host = endpoint.trim_start_matches("http://");
    let url = match scheme {
        CannedScheme::S3 => format!("s3://bucket/app?endpoint={endpoint}"),
        CannedScheme::Azure => format!("abs://me@box/app?endpoint={endpoint}&anonymous=true"),
        CannedScheme::Gcs => format!("gs://bucket/app?endpoint={endpoint}"),
        CannedScheme::Http => format!("http://{host}/app"),
        CannedScheme::Webdav => format!("webdav://{host}/app"),
    };
    let variable =
        |name: &str| name.starts_with("AWS_").then(|| OsString::from("key")).filter(|_| name.contains("KEY"));
    Location::parse_with(&url, variable).expect("a location").connect().expect("a store")
}

/// Returns a correct response: two files, the second one first, or the range of a file.
fn right(scheme: CannedScheme, request: CannedRequest) -> String {
    let files = [name(2), name(1)];
    let body = |entry: &dyn Fn(FileName) -> String| files.map(entry).concat();
    if request != CannedRequest::List {
        let headers =
            format!("content-range: bytes 0-{}/{LENGTH}\r\netag: \"a\"\r\nlast-modified: {DATE}\r\n", LENGTH - 1);
        return answer("206 Partial Content", &headers, &"x".repeat(LENGTH));
    }
    let (status, content) = match scheme {
        CannedScheme::S3 | CannedScheme::Gcs => {
            let level = if scheme == CannedScheme::S3 { "app/0000" } else { "app/ltx/0" };
            let entry = |name: FileName| {
                format!(
                    "<Contents><Key>{level}/{name}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>\
                     <ETag>\"a\"</ETag><Size>{LENGTH}</Size></Contents>"
                )
            };
            ("200 OK", format!("<ListBucketResult>{}</ListBucketResult>", body(&entry)))
        }
        CannedScheme::Azure => {
            let entry = |name: FileName| {
                format!(
                    "<Blob><Name>app/ltx/0/{name}</Name><Properties><Last-Modified>{DATE}</Last-Modified>\
                     <Etag>a</Etag><Content-Length>{LENGTH}</Content-Length><Content-Type>x</Content-Type></Properties></Blob>"
                )
            };
            ("200 OK", format!("<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>", body(&entry)))
        }
        CannedScheme::Http => ("200 OK", body(&|name| format!("<a href=\"{name}\">{name}</a>"))),
        CannedScheme::Webdav => {
            let entry = |name: FileName| {
                format!(
                    "<response><href>/app/ltx/0/{name}</href><propstat><prop><getcontentlength>{LENGTH}</getcontentlength>\
                     <getetag>\"a\"</getetag><resourcetype/></prop></propstat></response>"
                )
            };
            ("207 Multi-Status", format!("<multistatus xmlns=\"DAV:\">{}</multistatus>", body(&entry)))
        }
    };
    answer(status, &format!("etag: \"a\"\r\nlast-modified: {DATE}\r\n"), &content)
}

/// Responds to a request.
fn respond(fault: &str, right: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let status =
        |status: &str, headers: &str| answer(status, headers, &format!("<html>{SECRET}<input type='password'></html>"));
    let (head, body) = right.split_once("\r\n\r\n").expect("a response");
    let response = match fault {
        "hangs before the header" => {
            std::thread::sleep(LONGEST);
            return Ok(());
        }
        "hangs in the body" => {
            stream.write_all(&right.as_bytes()[..head.len() + 4 + body.len() / 2])?;
            std::thread::sleep(LONGEST);
            return Ok(());
        }
        "connection reset" => return Ok(()),
        "trickles" => return trickle(right, stream),
        "truncated body" => right[..head.len() + 4 + body.len() / 2].to_owned(),
        "shorter range" => {
            right.replace("bytes 0-99/", "bytes 0-97/").replace("length: 100", "length: 98").replacen("xxx", "x", 1)
        }
        "long body" => right.replace("length: 100", "length: 103") + "yyy",
        "endless body" => {
            let (line, headers) = head.split_once("\r\n").expect("a status");
            let headers =
                headers.lines().filter(|line| !line.starts_with("content-length") && !line.starts_with("connection"));
            let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
            return endless(line.trim_start_matches("HTTP/1.1 "), &headers, stream);
        }
        "other version" => right.replace("\"a\"", "\"b\""),
        "401" => status("401 Unauthorized", ""),
        "403" => status("403 Forbidden", ""),
        "404" => status("404 Not Found", ""),
        "412" => status("412 Precondition Failed", ""),
        "429, pause of 60 s" => status("429 Too Many Requests", "retry-after: 60\r\n"),
        "501" => status("501 Not Implemented", ""),
        "503, pause of 60 s" => status("503 Service Unavailable", "retry-after: 60\r\n"),
        "sign-in page" => status("200 OK", "content-type: text/html\r\n"),
        _ => right.to_owned(),
    };
    stream.write_all(response.as_bytes())
}

/// Sends a request to a server with a fault. Returns what the store makes of it.
async fn outcome(scheme: CannedScheme, request: CannedRequest, fault: &'static str) -> String {
    let healthy = right(scheme, request);
    let mut server = Canned::start_with(move |_, stream| respond(fault, &healthy, stream));
    // The port of a client. Nobody listens there, and no other server gets it while the connection exists.
    let client = (fault == "connection refused").then(|| {
        TcpStream::connect(server.endpoint.trim_start_matches("http://")).expect("a connection to the server")
    });
    if let Some(client) = &client {
        server.endpoint = format!("http://{}", client.local_addr().expect("an address"));
    }
    let (store, started) = (store(scheme, &server.endpoint), Instant::now());
    let version = Version("a".into());
    let result = match request {
        CannedRequest::List => store.list(Level::ZERO, Txid(1)).await.map(|files| {
            assert!(files.is_sorted_by_key(|file| file.name), "{scheme:?} {fault}: {files:?}");
            format!("{} files", files.len())
        }),
        _ => {
            let expected = (request == CannedRequest::ReadVersion).then_some(&version);
            let chunk = store.read(Level::ZERO, name(1), 0..LENGTH as u64, expected).await;
            chunk.map(
                |chunk| if chunk.bytes.len() == LENGTH { "the bytes".to_owned() } else { "a shorter file".to_owned() },
            )
        }
    };
    assert!(started.elapsed() < LONGEST, "{scheme:?} {request:?} {fault}: {:?}", started.elapsed());
    result.unwrap_or_else(|error| describe(scheme, fault, &error))
}

/// Returns the kind of an error, which must name the server or the file, and must not show the response.
fn describe(scheme: CannedScheme, fault: &str, error: &StoreError) -> String {
    let text = error.to_string();
    assert!(!text.contains(SECRET), "{scheme:?} {fault}: {text}");
    println!("{scheme:?} {fault}: {text}");
    format!("{:?}", error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_server_is_an_error_of_its_kind() {
    let mut rows = Vec::new();
    for (scheme, scheme_name) in SCHEMES {
        for (request, request_name) in REQUESTS {
            rows.push(async move {
                let outcomes = join_all(FAULTS.map(|fault| tokio::spawn(outcome(scheme, request, fault)))).await;
                let outcomes: Vec<String> = outcomes.into_iter().map(|outcome| outcome.expect("no panic")).collect();
                (format!("{scheme_name}, {request_name}"), outcomes)
            });
        }
    }
    let columns = join_all(rows).await;
    let mut table = String::new();
    for (column, outcomes) in &columns {
        table += &format!("{column}\n");
        for (fault, outcome) in FAULTS.iter().zip(outcomes) {
            table += &format!("    {fault:24} {outcome}\n");
        }
    }
    super::golden::compare(&table, "src/store/faults.txt", include_str!("faults.txt"));
}

/// The first response is lost after the request was carried out, and a later try is refused.
#[tokio::test]
async fn a_refusal_does_not_show_what_an_earlier_try_has_created() {
    for scheme in [CannedScheme::S3, CannedScheme::Azure, CannedScheme::Gcs] {
        for (lost, expected) in [(true, StoreErrorKind::Unreachable), (false, StoreErrorKind::Denied)] {
            let denied = answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
            let server = Canned::start_with(move |number, stream| match number {
                0 if lost => Ok(()),
                _ => stream.write_all(denied.as_bytes()),
            });
            let object = ObjectName::File(Level::ZERO, name(1));
            let error = store(scheme, &server.endpoint).create(object, "file".into()).await.expect_err("a refusal");
            assert_eq!(error.kind(), expected, "{scheme:?}: {error}");
            assert!(error.to_string().contains("AccessDenied"), "{error}");
        }
    }
}
