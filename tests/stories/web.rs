//! Replicas behind web servers: WebDAV, written there by Litestream itself, and plain files with ranges.

use crate::stories::conformance::{Dated, REPLICA, at, check, complaint, name, names};
use crate::support::litestream::Place;
use crate::support::pages::assert_same_file;
use crate::support::programs::program;
use crate::support::servers::Server;
use crate::support::wire::Certificate;
use crate::support::written;
use litestream_vfs::ltx::Level;
use litestream_vfs::store::ErrorKind;
use std::path::Path;

/// A WebDAV server over a directory, for one user.
fn dav(root: &Path) -> Server {
    Server::start("wsgidav", |port, dir| {
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nverbose: 0\nprovider_mapping: {{'/': '{}'}}\n\
             http_authenticator: {{accept_basic: true, accept_digest: false, default_to_digest: false}}\n\
             simple_dc: {{user_mapping: {{'*': {{replica: {{password: 'p@ss'}}}}}}}}\n",
            root.display()
        );
        std::fs::write(Path::new(dir).join("config.yaml"), config).expect("a file is written");
        vec!["--config".to_owned(), format!("{dir}/config.yaml")]
    })
}

/// The same by nginx, to which Litestream can write.
fn nginx_dav(root: &Path, passwords: &Path) -> Server {
    std::fs::write(passwords, "replica:{PLAIN}p@ss\n").expect("a file is written");
    let settings = format!(
        "dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS; client_max_body_size 0; \
         auth_basic replicas; auth_basic_user_file {};",
        passwords.display()
    );
    let module = program("ngx_http_dav_ext_module.so");
    nginx_with(root, &format!("load_module {};", module.display()), "", &settings)
}

/// A web server over a directory.
fn nginx(root: &Path, settings: &str) -> Server {
    nginx_with(root, "", "", settings)
}

fn nginx_with(root: &Path, modules: &str, listen: &str, settings: &str) -> Server {
    Server::start("nginx", |port, dir| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {dir}/{kind}; ")).concat();
        let config = format!(
            "{modules} daemon off; pid {dir}/pid; user root; events {{}} http {{ access_log off; {temporary} \
             server {{ listen 127.0.0.1:{port} {listen}; root {}; {settings} }} }}",
            root.display()
        );
        std::fs::write(Path::new(dir).join("config"), config).expect("a file is written");
        ["-e", "stderr", "-p", dir, "-c", &format!("{dir}/config")].map(str::to_owned).to_vec()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webdav_server_is_a_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let store = at(&format!("webdav://replica:p%40ss@127.0.0.1:{}/{REPLICA}", server.port), |_| None);
    check(&*store, &Dated::new(dir.path().join("backups/my app"))).await;
}

#[tokio::test]
async fn a_webdav_server_lets_in_its_user_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let base = format!("127.0.0.1:{}/app", server.port);
    let from_the_environment = |name: &str| match name {
        "LITESTREAM_WEBDAV_USERNAME" => Some("replica".into()),
        "LITESTREAM_WEBDAV_PASSWORD" => Some("p@ss".into()),
        _ => None,
    };
    assert_eq!(names(&*at(&format!("webdav://{base}"), from_the_environment), Level::ZERO, 0).await, []);
    for wrong in [format!("webdav://{base}"), format!("webdav://replica:hush@{base}")] {
        let (kind, text) = complaint(&wrong, |_| None).await;
        assert_eq!(kind, ErrorKind::Denied);
        assert!(text.contains(&format!("http://127.0.0.1:{} denies access (401", server.port)), "{text}");
    }
}

#[test]
fn what_litestream_writes_over_webdav_is_served_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let server = nginx_dav(&root, &dir.path().join("passwords"));
    let url = format!("webdav://replica:p%40ss@127.0.0.1:{}/app", server.port);
    let place = Place { url, environment: Vec::new() };
    written::by_litestream(&place);
    let said = written::serves_what_is_restored(&place, &place);
    assert!(said.contains("user and password travel in the open") && !said.contains("p%40ss"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_web_server_with_ranges_is_a_store() {
    let dir = tempfile::tempdir().expect("a directory");
    for (index, replica) in [("autoindex on;", "backups/my app"), ("autoindex on; autoindex_format json;", "json")] {
        let server = nginx(dir.path(), index);
        let path = replica.replace(' ', "%20");
        let store = at(&format!("http://127.0.0.1:{}/{path}/", server.port), |_| None);
        check(&*store, &Dated::new(dir.path().join(replica))).await;
    }
}

#[tokio::test]
async fn a_web_server_that_cannot_serve_a_replica_says_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("app/ltx/0")).expect("a directory");
    let server = nginx(dir.path(), "");
    let (kind, text) = complaint(&format!("http://127.0.0.1:{}/app", server.port), |_| None).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.ends_with("shows no page for a directory; turn its index of directories on"), "{text}");
    let (kind, text) = complaint("http://127.0.0.1:1/app", |_| None).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(text.starts_with("http://127.0.0.1:1/app: cannot reach http://127.0.0.1:1: "), "{text}");

    let large = dir.path().join("app/ltx/9");
    std::fs::create_dir_all(&large).expect("a directory");
    std::fs::write(large.join(name(1, 1).to_string()), vec![0; 17 << 20]).expect("a file is written");
    std::fs::write(large.join(name(1, 2).to_string()), vec![7; 1 << 20]).expect("a file is written");
    let server = nginx(dir.path(), "autoindex on; max_ranges 0;");
    let store = at(&format!("http://127.0.0.1:{}/app", server.port), |_| None);
    let error = store.read(Level::SNAPSHOT, name(1, 1), 5..9, None).await.expect_err("a whole large file");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().ends_with("it has to serve ranges"), "{error}");
    let chunk = store.read(Level::SNAPSHOT, name(1, 2), 5..9, None).await.expect("a part of a small file");
    assert_eq!((&chunk.bytes[..], chunk.file_size), (&[7u8; 4][..], 1 << 20));
}

#[test]
fn what_litestream_wrote_is_served_by_a_plain_web_server_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = Place::directory(&dir.path().join("app"));
    written::by_litestream(&directory);
    let server = nginx(dir.path(), "autoindex on;");
    let place = Place { url: format!("http://127.0.0.1:{}/app", server.port), environment: Vec::new() };
    assert_eq!(written::serves_what_is_restored(&place, &directory), "");
}

/// The sample over TLS, with a certificate that no authority of the system's knows.
#[test]
fn a_server_whose_certificate_nobody_signed_is_believed_by_those_who_are_told_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let Certificate { certificate, key } = Certificate::new(dir.path());
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let settings = format!("autoindex on; ssl_certificate {certificate}; ssl_certificate_key {key};");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let server = nginx_with(&sample, "", "ssl", &settings);
    let url = format!("https://127.0.0.1:{}/replica", server.port);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (kind, text) = runtime.block_on(complaint(&url, |_| None));
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{text}");

    let sample = Place::directory(&sample.join("replica"));
    let newest = sample.txids().pop().expect("a TXID");
    let (restored, served) = (dir.path().join("restored.db"), dir.path().join("served.db"));
    assert!(sample.restore(newest, &restored));
    let unverified = Place { url: format!("{url}?skipVerify=true"), environment: Vec::new() };
    let told = Place { url, environment: vec![("SSL_CERT_FILE", certificate)] };
    for (place, warnings) in [(unverified, 1), (told, 0)] {
        let said = written::serialize(&place, &newest.to_string(), &served).stderr;
        assert_eq!(said.lines().count(), warnings, "{said}");
        assert_same_file(&served, &restored);
    }
}
