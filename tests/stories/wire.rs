//! The requests to each provider: host, path, region of the signature, and headers. A proxy connects all hosts to one server,
//! which checks the signatures.

use crate::support::extension::uri;
use crate::support::hosts::Host;
use crate::support::keys::Issuer;
use crate::support::litestream::Destination;
use crate::support::s3::{Request, S3Server};
use crate::support::sample::upload_sample;
use crate::support::wire::{Certificate, Proxy};
use tempfile::TempDir;

struct Wire {
    server: S3Server,
    proxy: Proxy,
    dir: TempDir,
}

impl Wire {
    fn new() -> Wire {
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start());
        upload_sample(&server, "app");
        let to = server.endpoint.trim_start_matches("http://");
        let proxy = Proxy::start(to, &Certificate::new(dir.path()));
        Wire { server, proxy, dir }
    }

    /// Reads the whole sample in a process with these variables. Returns the requests, and what the process wrote to stderr.
    fn read(&self, url: &str, variables: &[(&str, &str)]) -> (Vec<Request>, String) {
        let outcome = self.dir.path().join("outcome");
        let host = Host::python("failing.py").arg(uri(url, &[("open_timeout", "0")])).arg(&outcome);
        let host = variables.iter().fold(host, |host, (name, value)| host.env(name, value));
        let host = ["HTTP_PROXY", "http_proxy"].iter().fold(host, |host, name| host.env(name, ""));
        let stderr = host.env("HTTPS_PROXY", &self.proxy.url).env("https_proxy", &self.proxy.url).run().stderr;
        let message = std::fs::read_to_string(&outcome).expect("the host wrote how it ended");
        assert_eq!(message, "read", "{url}: {stderr}");
        (self.server.take_requests(), stderr)
    }
}

/// A provider: the URL, the host, the path, and the region of the signature.
struct Provider(&'static str, &'static str, &'static str, &'static str);

const PROVIDERS: [Provider; 14] = [
    Provider("s3://bucket/app", "bucket.s3.us-east-1.amazonaws.com", "/app/", "us-east-1"),
    Provider("s3://bucket/app?region=eu-north-1", "bucket.s3.eu-north-1.amazonaws.com", "/app/", "eu-north-1"),
    Provider("s3://bucket.s3.eu-west-1.amazonaws.com/app", "bucket.s3.eu-west-1.amazonaws.com", "/app/", "eu-west-1"),
    Provider(
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/bucket/app",
        "bucket-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
        "/app/",
        "eu-west-1",
    ),
    Provider("s3://bucket.fra1.digitaloceanspaces.com/app", "bucket.fra1.digitaloceanspaces.com", "/app/", "fra1"),
    Provider(
        "s3://bucket.s3.us-west-1.backblazeb2.com/app",
        "s3.us-west-1.backblazeb2.com",
        "/bucket/app/",
        "us-west-1",
    ),
    Provider("s3://bucket.s3.filebase.com/app", "s3.filebase.com", "/bucket/app/", "us-east-1"),
    Provider("s3://bucket.s3.fr-par.scw.cloud/app", "bucket.s3.fr-par.scw.cloud", "/app/", "fr-par"),
    Provider("s3://bucket/app?endpoint=fly.storage.tigris.dev", "fly.storage.tigris.dev", "/bucket/app/", "us-east-1"),
    Provider("s3://bucket/app?endpoint=https://t3.storage.dev/", "t3.storage.dev", "/bucket/app/", "us-east-1"),
    Provider(
        "s3://bucket/app?endpoint=me.r2.cloudflarestorage.com&region=auto",
        "me.r2.cloudflarestorage.com",
        "/bucket/app/",
        "auto",
    ),
    Provider(
        "s3://bucket/app?endpoint=fsn1.your-objectstorage.com&force-path-style=false",
        "bucket.fsn1.your-objectstorage.com",
        "/app/",
        "us-east-1",
    ),
    Provider("s3://bucket/app?endpoint=storage.googleapis.com", "storage.googleapis.com", "/bucket/app/", "us-east-1"),
    Provider(
        "oss://bucket.oss-eu-central-1.aliyuncs.com/app",
        "bucket.s3.oss-eu-central-1.aliyuncs.com",
        "/app/",
        "oss-eu-central-1",
    ),
];

#[test]
fn each_provider_gets_requests_at_its_host_for_its_path_in_its_region() {
    let wire = Wire::new();
    let (id, secret) = (wire.server.access_key.as_str(), wire.server.secret_key.as_str());
    let keys = [
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("OSS_ACCESS_KEY_ID", id),
        ("OSS_ACCESS_KEY_SECRET", secret),
    ];
    for Provider(url, host, path, region) in PROVIDERS {
        let url = format!("{url}{}skipVerify=true", if url.contains('?') { '&' } else { '?' });
        let (requests, stderr) = wire.read(&url, &keys);
        assert_eq!(wire.proxy.take_servers(), [format!("{host}:443")], "{url}");
        assert!(requests.iter().any(|request| request.operation == "GetObject"), "{url}: {requests:?}");
        for request in &requests {
            let header = |name: &str| request.headers.get(name).map(|value| value.to_str().expect("text"));
            let is_listing = request.operation == "ListObjectsV2";
            let below = if is_listing { path.trim_end_matches("app/").trim_end_matches('/') } else { path };
            assert_eq!(header("host"), Some(host), "{url}");
            assert!(request.uri.starts_with(below), "{url}: {}", request.uri);
            let signature = header("authorization").expect("a signature");
            assert!(signature.contains(&format!("/{region}/s3/aws4_request")), "{url}: {signature}");
            let is_tigris = host.contains("tigris") || host.starts_with("t3.");
            assert_eq!(header("x-tigris-consistent"), is_tigris.then_some("true"), "{url}");
            // Google's servers change this header, so that it must not be signed.
            assert_eq!(header("accept-encoding"), None, "{url}");
        }
        let warning = stderr.lines().filter(|line| line.contains("skipVerify=true, so the certificate")).count();
        assert_eq!((warning, stderr.lines().count()), (1, 1), "{url}: {stderr}");
    }
}

/// A customer key and its MD5, in Base64.
const CUSTOMER_KEY: [&str; 2] = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "hRasmdxgYDKV3nvbahU1MA=="];

#[test]
fn a_customer_key_is_sent_with_every_read() {
    let wire = Wire::new();
    let keys = [
        ("AWS_ACCESS_KEY_ID", wire.server.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", wire.server.secret_key.as_str()),
    ];
    let [key, md5] = CUSTOMER_KEY;
    for name in ["sseCustomerKey", "sse-customer-key"] {
        let encoded = key.replace('=', "%3D");
        let url = format!("s3://bucket/app?skipVerify=true&{name}={encoded}&sseCustomerAlgorithm=AES256");
        let (requests, stderr) = wire.read(&url, &keys);
        let reads: Vec<&Request> = requests.iter().filter(|request| request.operation == "GetObject").collect();
        assert!(!reads.is_empty(), "{requests:?}");
        for read in reads {
            let header = |name: &str| {
                let name = format!("x-amz-server-side-encryption-customer-{name}");
                read.headers.get(name).map(|value| value.to_str().expect("text"))
            };
            assert_eq!((header("algorithm"), header("key"), header("key-md5")), (Some("AES256"), Some(key), Some(md5)));
        }
        assert!(!stderr.contains(key) && !stderr.contains(&encoded), "{stderr}");
    }
}

#[test]
fn writer_parameters_are_ignored_unknown_ones_reported_and_secrets_never_shown() {
    let wire = Wire::new();
    let [key, _] = CUSTOMER_KEY;
    let secret = wire.server.secret_key.as_str();
    let variables = [
        ("AWS_ACCESS_KEY_ID", wire.server.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_SESSION_TOKEN", "hush-token"),
        ("LITESTREAM_LOG_LEVEL", "trace"),
    ];
    let of_writers = [
        "signPayload",
        "sign-payload",
        "requireContentMD5",
        "concurrency",
        "part-size",
        "storageClass",
        "sse-customer-algorithm",
        "sseCustomerKeyMD5",
        "sse-kms-key-id",
    ];
    let mut url = format!("s3://bucket/app?skipVerify=true&colour=blue&sseCustomerKey={}", key.replace('=', "%3D"));
    of_writers.iter().for_each(|name| url += &format!("&{name}=3"));
    let (_, stderr) = wire.read(&url, &variables);
    for name in of_writers {
        let message = format!("'{}' applies only to writing", name.replace('-', "").to_lowercase());
        assert!(stderr.lines().any(|line| line.contains("DEBUG") && line.contains(&message)), "{message}: {stderr}");
    }
    let message = "the parameter 'colour' is unknown and is ignored";
    assert!(stderr.lines().any(|line| line.contains("WARN") && line.contains(message)), "{stderr}");

    let mut session = Host::session(&Destination {
        url: String::new(),
        environment: vec![("HTTPS_PROXY", wire.proxy.url.clone()), ("https_proxy", wire.proxy.url.clone())]
            .into_iter()
            .chain(variables.map(|(name, value)| (name, value.to_owned())))
            .collect(),
    });
    let number = session.open(&url, &[]);
    let mut shown = stderr;
    for statement in ["SELECT group_concat(file) FROM pragma_database_list", "PRAGMA litestream_status"] {
        shown += &session.query(number, statement);
    }
    assert!(session.try_query(number, "INSERT INTO orders DEFAULT VALUES").is_err_and(|error| !error.contains("hush")));
    shown += &session.end().stderr;
    for hidden in [secret, "hush-token", key, &key[..20]] {
        assert!(!shown.contains(hidden), "{hidden} is shown: {shown}");
    }
    assert!(shown.contains("TRACE") || shown.contains("DEBUG"), "{shown}");
}

/// The address of the container service is fixed, so the proxy redirects it as well.
#[test]
fn a_container_task_gets_its_credentials_from_the_container_service() {
    let wire = Wire::new();
    let issuer = Issuer::start(&wire.server.keys, 60);
    let outcome = wire.dir.path().join("outcome");
    let ended = Host::python("failing.py")
        .arg(uri(&wire.server.url("app"), &[("open_timeout", "0")]))
        .arg(&outcome)
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/task")
        .env("http_proxy", &issuer.endpoint)
        .env("HTTP_PROXY", &issuer.endpoint)
        .env("no_proxy", "127.0.0.1")
        .env("NO_PROXY", "127.0.0.1")
        .run();
    assert_eq!(std::fs::read_to_string(&outcome).expect("an outcome"), "read", "{}", ended.stderr);
    assert_eq!((ended.stderr.as_str(), issuer.issued()), ("", vec!["KEY0".to_owned()]));
    let requests = wire.server.take_requests();
    assert!(requests.iter().all(|request| request.token.as_deref() == Some("of-KEY0")), "{requests:?}");
}
