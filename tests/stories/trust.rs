//! Trust in certificates, and how often the system's authorities are read.

use crate::stories::conformance::complaint;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::pages::assert_same_file;
use crate::support::s3::S3Server;
use crate::support::sample::upload_sample;
use crate::support::servers::Server;
use crate::support::session::Session;
use crate::support::web::{nginx, nginx_with};
use crate::support::wire::Certificate;
use crate::support::written;
use litestream_vfs::store::StoreErrorKind;
use std::path::Path;
use std::process::Command;

#[test]
fn a_bundle_in_aws_ca_bundle_is_trusted_in_addition_to_the_system() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = Certificate::new(dir.path());
    let bucket = S3Server::start();
    upload_sample(&bucket, "app");
    let settings = format!(
        "ssl_certificate {}; ssl_certificate_key {}; location / {{ proxy_pass {}; proxy_set_header Host $http_host; }}",
        made.certificate.display(),
        made.key.display(),
        bucket.endpoint
    );
    let server = nginx_with(dir.path(), "", "ssl", &settings);
    let url = format!("s3://bucket/app?endpoint=127.0.0.1:{}", server.port).replace("127", "https://127");
    let mut environment = Destination::s3(&bucket, "app").environment;
    for bundle in [None, Some(made.certificate.display().to_string())] {
        let is_trusted = bundle.is_some();
        environment.extend(bundle.map(|bundle| ("AWS_CA_BUNDLE", bundle)));
        let mut session = Host::session(&Destination { url: String::new(), environment: environment.clone() });
        let opened = session.try_open(&url, &[("open_timeout", "0")]);
        let seen = opened.and_then(|number| session.try_query(number, "SELECT count(*) FROM orders"));
        assert_eq!(seen.is_ok_and(|seen| seen == "632"), is_trusted);
        assert_eq!(session.end().stderr.contains("UnknownIssuer"), !is_trusted);
    }
}

// Other systems ignore SSL_CERT_FILE.
#[cfg(target_os = "linux")]
#[test]
fn system_authorities_are_read_once_per_process_and_only_for_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = Certificate::new(dir.path());
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let settings = format!(
        "autoindex on; ssl_certificate {}; ssl_certificate_key {};",
        made.certificate.display(),
        made.key.display()
    );
    let (one, other) = (nginx_with(&sample, "", "ssl", &settings), nginx_with(&sample, "", "ssl", &settings));
    let destination = |authorities: &Path| {
        let authorities = authorities.to_str().expect("text").to_owned();
        Destination { url: String::new(), environment: vec![("SSL_CERT_FILE", authorities)] }
    };
    let mut session = Host::session(&destination(&made.certificate));
    let look = |session: &mut Session, url: &str| {
        let number = session.try_open(url, &[("open_timeout", "0")])?;
        session.try_query(number, "SELECT count(*) FROM orders")
    };
    let https = |server: &Server| format!("https://127.0.0.1:{}/replica", server.port);
    assert_eq!(look(&mut session, &https(&one)), Ok("632".to_owned()));
    // After the file is deleted, another server is trusted by the authorities that were read before.
    std::fs::write(&made.certificate, "").expect("a file is emptied");
    for url in [https(&other), https(&one).replace("replica", "./replica"), https(&other).replace("//", "//me@")] {
        assert_eq!(look(&mut session, &url), Ok("632".to_owned()), "{url}");
    }
    let mut late = Host::session(&destination(&made.certificate));
    assert!(look(&mut late, &https(&one)).is_err(), "a new process finds no authorities");

    // Reading from this pipe would block forever.
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let server = nginx(&sample, "autoindex on;");
    let bucket = S3Server::start();
    upload_sample(&bucket, "app");
    let mut plain = destination(&pipe);
    plain.environment.extend(Destination::s3(&bucket, "app").environment);
    let mut session = Host::session(&plain);
    for url in [format!("http://127.0.0.1:{}/replica", server.port), bucket.url("app")] {
        assert_eq!(look(&mut session, &url), Ok("632".to_owned()), "{url}");
    }
}

/// Serves the sample over TLS, with a certificate that the system does not trust.
// Other systems ignore SSL_CERT_FILE.
#[cfg(target_os = "linux")]
#[test]
fn a_self_signed_certificate_is_trusted_only_if_configured() {
    let dir = tempfile::tempdir().expect("a directory");
    let Certificate { certificate, key } = Certificate::new(dir.path());
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let settings = format!("autoindex on; ssl_certificate {certificate}; ssl_certificate_key {key};");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let server = nginx_with(&sample, "", "ssl", &settings);
    let url = format!("https://127.0.0.1:{}/replica", server.port);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (kind, text) = runtime.block_on(complaint(&url, |_| None));
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{text}");

    let sample = Destination::directory(&sample.join("replica"));
    let newest = sample.txids().pop().expect("a TXID");
    let (restored, served) = (dir.path().join("restored.db"), dir.path().join("served.db"));
    assert!(sample.restore(newest, &restored));
    let unverified = Destination { url: format!("{url}?skipVerify=true"), environment: Vec::new() };
    let trusted = Destination { url, environment: vec![("SSL_CERT_FILE", certificate)] };
    for (destination, warnings) in [(unverified, 1), (trusted, 0)] {
        let stderr = written::serialize(&destination, &newest.to_string(), &served).stderr;
        assert_eq!(stderr.lines().count(), warnings, "{stderr}");
        assert_same_file(&served, &restored);
    }
}
