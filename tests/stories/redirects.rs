//! No client follows a redirect to another server, so that no credentials, tokens or keys are sent there.

use crate::stories::conformance::{at, name};
use crate::support::recorder::Recorder;
use litestream_vfs::ltx::{Level, Txid};
use litestream_vfs::store::StoreErrorKind;
use std::ffi::OsString;

/// Starts a server that redirects every request to the same path of `destination`, with a secret in the query.
fn redirector(status: &'static str, destination: &str) -> Recorder {
    let destination = destination.to_owned();
    Recorder::start(move |head| {
        let path = head.target.split('?').next().unwrap_or_default();
        let line = format!("{status}\r\nlocation: {destination}{path}?sig=hush");
        (Box::leak(line.into_boxed_str()), "<html>hush</html>".to_owned())
    })
}

/// A client of the crate: its name, its URL, and its environment variables. `ENDPOINT` stands for the endpoint.
type Client = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const KEYS: (&str, &str) = ("AWS_ACCESS_KEY_ID", "hush-id");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "hush");

const CLIENTS: &[Client] = &[
    (
        "a bucket of S3",
        "s3://bucket/app?endpoint=ENDPOINT&sseCustomerKey=aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=",
        &[KEYS, SECRET, ("AWS_SESSION_TOKEN", "hush")],
    ),
    ("a public bucket", "s3://bucket/app?endpoint=ENDPOINT&anonymous=true", &[]),
    (
        "Alibaba",
        "oss://bucket/app?endpoint=ENDPOINT",
        &[("OSS_ACCESS_KEY_ID", "hush"), ("OSS_ACCESS_KEY_SECRET", "hush"), ("OSS_SESSION_TOKEN", "hush")],
    ),
    #[cfg(feature = "gcs")]
    ("Google", "gs://bucket/app?endpoint=ENDPOINT", &[]),
    #[cfg(feature = "azure")]
    ("Azure with a signature", "abs://me@box/app?endpoint=ENDPOINT&sas=sig%3Dhush", &[]),
    #[cfg(feature = "azure")]
    ("Azure with a key", "abs://me@box/app?endpoint=ENDPOINT", &[("AZURE_STORAGE_KEY", "aHVzaA==")]),
    #[cfg(feature = "http")]
    ("a web server", "http://me:hush@HOST/app", &[]),
    #[cfg(feature = "webdav")]
    ("WebDAV", "webdav://me:hush@HOST/app", &[]),
    (
        "the instance",
        "s3://bucket/app?endpoint=http://127.0.0.1:1",
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ENDPOINT")],
    ),
    (
        "the container",
        "s3://bucket/app?endpoint=http://127.0.0.1:1",
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "ENDPOINT/pod"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/dev/null"),
        ],
    ),
    (
        "a web identity",
        "s3://bucket/app?endpoint=http://127.0.0.1:1",
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
            ("AWS_ENDPOINT_URL_STS", "ENDPOINT"),
        ],
    ),
    #[cfg(feature = "azure")]
    (
        "the identity of a machine at Azure",
        "abs://me@box/app?endpoint=http://127.0.0.1:1",
        &[("AZURE_MSI_ENDPOINT", "ENDPOINT/token")],
    ),
];

/// Returns the error of a client whose server redirects.
async fn refused((what, url, variables): &Client, server: &Recorder) -> (StoreErrorKind, String) {
    let host = server.endpoint.trim_start_matches("http://");
    let filled = |text: &str| text.replace("ENDPOINT", &server.endpoint).replace("HOST", host);
    let variable = |name: &str| {
        let found = variables.iter().find(|(set, _)| *set == name);
        found.map(|(_, value)| OsString::from(filled(value)))
    };
    let store = at(&filled(url), variable);
    let listed = store.list(Level::ZERO, Txid(0)).await.expect_err(what);
    let read = store.read(Level::ZERO, name(1, 1), 0..9, None).await.expect_err(what);
    assert_eq!(read.kind(), listed.kind(), "{what}: {read}");
    for error in [&listed, &read] {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hush"), "{what}: {text}");
    }
    assert!(!server.take().is_empty(), "{what} sends a request to the server");
    (listed.kind(), listed.to_string())
}

#[tokio::test]
async fn no_client_follows_a_redirect_to_another_server() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let foreign = Recorder::start(|_| ("200 OK", "hush".to_owned()));
        let server = redirector(status, &foreign.endpoint);
        for client in CLIENTS {
            let (_, text) = refused(client, &server).await;
            let went = foreign.take();
            assert!(went.is_empty(), "{}: {:?} was sent to the other server", client.0, went);
            let words = format!("redirects to {}, which is not followed", foreign.endpoint);
            assert!(text.contains(&words), "{}: {text}", client.0);
        }
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn a_web_server_may_redirect_to_itself_up_to_five_times() {
    let server = Recorder::start(|head| match (head.header("authorization"), head.target.as_str()) {
        (Some("Basic bWU6aHVzaA=="), "/files/app/ltx/0/") => ("200 OK", String::new()),
        (Some(_), "/app/ltx/0/") => ("301 Moved Permanently\r\nlocation: /files/app/ltx/0/", String::new()),
        (Some(_), "/loop/ltx/0/") => ("302 Found\r\nlocation: /loop/ltx/0/", String::new()),
        _ => ("404 Not Found", String::new()),
    });
    let url = |path: &str| format!("{}/{path}", server.endpoint.replace("//", "//me:hush@"));
    assert_eq!(at(&url("app"), |_| None).list(Level::ZERO, Txid(0)).await.expect("a listing"), []);
    assert!(server.take().iter().all(|head| head.header("referer").is_none()), "a Referer could contain a secret");

    let error = at(&url("loop"), |_| None).list(Level::ZERO, Txid(0)).await.expect_err("a loop");
    assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
    assert!(error.to_string().contains("redirects more than 5 times"), "{error}");
    assert_eq!(server.take().len(), 6);
}

/// A server is identified by scheme, host and port.
#[cfg(feature = "http")]
#[tokio::test]
async fn a_redirect_between_http_and_https_is_not_followed() {
    let server = Recorder::start(|head| {
        let host = head.header("host").unwrap_or_default();
        let line = format!("301 Moved Permanently\r\nlocation: https://{host}{}", head.target);
        (Box::leak(line.into_boxed_str()), String::new())
    });
    let url = format!("{}/app", server.endpoint);
    let error = at(&url, |_| None).list(Level::ZERO, Txid(0)).await.expect_err("a redirect");
    let there = server.endpoint.replace("http:", "https:");
    assert!(error.to_string().contains(&format!("redirects to {there}, which is not followed")), "{error}");
}
