//! Replicas behind web servers: WebDAV, written there by Litestream itself, and plain files with ranges.

use crate::stories::conformance::{Dated, REPLICA, Writer, at, check, complaint, name, names};
use crate::stories::sample::upload_sample;
use crate::support::extension::connect;
use crate::support::hosts::Host;
use crate::support::litestream::{Place, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_same_file, content};
use crate::support::programs::{program, wait_until};
use crate::support::s3::S3Server;
use crate::support::servers::Server;
use crate::support::wire::Certificate;
use crate::support::workload;
use crate::support::written;
use async_trait::async_trait;
use litestream_vfs::ltx::{FileName, Level};
use litestream_vfs::store::ErrorKind;
use std::path::{Path, PathBuf};

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

/// What a log of requests tells of each.
const WIRE: &str = "log_format wire '$request_method|$uri|$http_cache_control|$http_if_match|$status';";

/// A cache before another server, which keeps whatever it was answered unless it is told not to.
fn nginx_cache(before: &Server, root: &Path, log: &Path) -> Server {
    let port = before.port;
    nginx(
        root,
        &format!(
            "access_log {} wire; location / {{ proxy_pass http://127.0.0.1:{port}; proxy_cache cache; \
             proxy_cache_valid any 1h; proxy_cache_bypass $http_cache_control; }}",
            log.display()
        ),
    )
}

fn nginx_with(root: &Path, modules: &str, listen: &str, settings: &str) -> Server {
    Server::start("nginx", |port, dir| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {dir}/{kind}; ")).concat();
        let config = format!(
            "{modules} daemon off; pid {dir}/pid; user root; events {{}} http {{ access_log off; {temporary} {WIRE} \
             proxy_cache_path {dir}/cache keys_zone=cache:1m; \
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

/// A directory with a manifest that is made anew with every file.
struct Told {
    files: Dated,
    root: PathBuf,
}

impl Told {
    fn tell(&self) {
        let (mut lines, ltx) = (String::new(), self.root.join("ltx"));
        for level in ltx.read_dir().expect("a directory").flatten().filter(|entry| entry.path().is_dir()) {
            for file in level.path().read_dir().expect("a directory").flatten() {
                let (level, name) = (level.file_name(), file.file_name());
                let (level, name) = (level.to_str().expect("text"), name.to_str().expect("text"));
                // What is no file of the format makes no line of a manifest.
                if FileName::parse(name).is_some() && file.path().is_file() {
                    lines += &format!("{level}/{name} {}\n", file.metadata().map_or(0, |metadata| metadata.len()));
                }
            }
        }
        std::fs::write(self.root.join("index.new"), lines).expect("a file is written");
        std::fs::rename(self.root.join("index.new"), ltx.join("index.txt")).expect("a file gets its name");
    }
}

#[async_trait]
impl Writer for Told {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        self.files.put(level, name, bytes).await;
        self.tell();
    }

    async fn delete(&self, level: Level, name: &str) {
        self.files.delete(level, name).await;
        self.tell();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_lists_nothing_is_a_store_by_its_manifest() {
    let dir = tempfile::tempdir().expect("a directory");
    for missing in [404, 403] {
        let server = nginx(dir.path(), &format!("location / {{ try_files $uri ={missing}; }}"));
        let store = at(&format!("http://127.0.0.1:{}/{missing}", server.port), |_| None);
        let root = dir.path().join(missing.to_string());
        std::fs::create_dir_all(root.join("ltx")).expect("a directory");
        let told = Told { files: Dated::new(root.clone()), root };
        told.tell();
        check(&*store, &told).await;
    }
}

#[tokio::test]
async fn a_web_server_that_cannot_serve_a_replica_says_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("app/ltx/0")).expect("a directory");
    let server = nginx(dir.path(), "");
    let (kind, text) = complaint(&format!("http://127.0.0.1:{}/app", server.port), |_| None).await;
    assert_eq!(kind, ErrorKind::Config);
    let lacks =
        "shows no page for a directory; turn its index of directories on, or put a list of the files in ltx/index.txt";
    assert!(text.ends_with(lacks), "{text}");
    let (kind, text) = complaint("http://127.0.0.1:1/app", |_| None).await;
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(text.starts_with("http://127.0.0.1:1/app: cannot reach http://127.0.0.1:1: "), "{text}");

    std::fs::write(dir.path().join("app/ltx/index.txt"), format!("0/{}", name(1, 1))).expect("a file is written");
    std::fs::write(dir.path().join("page.html"), "<html>Welcome</html>").expect("a file is written");
    let server = nginx(dir.path(), "location / { try_files $uri /page.html; }");
    let (kind, text) = complaint(&format!("http://127.0.0.1:{}/app", server.port), |_| None).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.ends_with("says of a file that is not there that it is; it has to answer 404"), "{text}");
    std::fs::remove_file(dir.path().join("app/ltx/index.txt")).expect("a file is deleted");

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

fn txid_of(conn: &rusqlite::Connection) -> String {
    conn.query_row("PRAGMA litestream_txid", [], |row| row.get(0)).expect("a view has a TXID")
}

/// What docs/backends.md says how to make one.
const MAKE_A_MANIFEST: &str = "find ltx -name '*.ltx' > index.new && mv index.new ltx/index.txt";

#[test]
fn a_host_that_lists_nothing_is_followed_by_name_alone_behind_a_cache_that_keeps_everything() {
    let guide = include_str!("../../docs/backends.md");
    assert!(guide.contains(MAKE_A_MANIFEST), "docs/backends.md shows the line that is tried here");
    let dir = tempfile::tempdir().expect("a directory");
    let (replica, log) = (dir.path().join("app"), dir.path().join("log"));
    let (directory, database) = (Place::directory(&replica), dir.path().join("app.db"));
    let local = workload::create(&database, "");
    let primary = Primary::start(&database, &directory, Schedule::QUIET);
    workload::run(&local, workload::STEPS[0]);
    primary.sync();
    let made = std::process::Command::new("sh").args(["-c", MAKE_A_MANIFEST]).current_dir(&replica).status();
    assert!(made.expect("a shell").success());
    let manifest = std::fs::read_to_string(replica.join("ltx/index.txt")).expect("a manifest");

    // As buckets do that nobody may list: what is not there is forbidden.
    let origin = nginx(dir.path(), "location / { try_files $uri =403; }");
    let cache = nginx_cache(&origin, dir.path(), &log);
    let url = format!("http://127.0.0.1:{}/app", cache.port);
    let follower = connect(&url, &[("poll_interval", "50ms")]);
    for step in &workload::STEPS[1..] {
        workload::run(&local, step);
        let newest = primary.sync().to_string();
        wait_until("the follower shows the newest state", || txid_of(&follower) >= newest);
        assert_eq!(content(&follower), content(&local));
        assert!(!manifest.contains(&newest), "only its name tells of it");
    }
    // Looks at level 0 and lists in between, and stays where it is.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let status: String = follower.query_row("PRAGMA litestream_status", [], |row| row.get(0)).expect("a status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["state"], &status["last_error"]), (&"following".into(), &serde_json::Value::Null), "{status}");

    let (restored, newest) = (dir.path().join("restored.db"), txid_of(&follower));
    assert!(directory.restore(newest.parse().expect("a TXID"), &restored));
    assert_same_bytes(&follower, &restored);
    let late = connect(&format!("{url}/"), &[("txid", &newest)]);
    assert_same_bytes(&late, &restored);

    let asked = std::fs::read_to_string(&log).expect("a log");
    for line in asked.lines() {
        let [method, path, cache_control, if_match, status] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!(cache_control == "no-cache" || method == "GET" && if_match != "-", "{line}");
        assert!(["200", "206", "304", "403"].contains(&status) && path.starts_with("/app/ltx/"), "{line}");
    }
    assert!(asked.contains(&format!("GET|/app/ltx/0/{newest}-{newest}.ltx|no-cache|")), "{asked}");
}

#[test]
fn a_newest_file_that_is_there_by_half_over_webdav_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (whole, database) = (Place::directory(&dir.path().join("whole")), dir.path().join("app.db"));
    let conn = workload::create(&database, "");
    let primary = Primary::start(&database, &whole, Schedule::QUIET);
    for step in &workload::STEPS[..4] {
        workload::run(&conn, step);
        primary.sync();
    }
    primary.stop();
    let (from, to) = (dir.path().join("whole/ltx/0"), dir.path().join("root/app/ltx/0"));
    std::fs::create_dir_all(&to).expect("a directory is made");
    let server = dav(&dir.path().join("root"));
    let url = format!("webdav://replica:p%40ss@127.0.0.1:{}/app", server.port);
    let mut follower: Option<(rusqlite::Connection, String)> = None;
    for txid in whole.txids() {
        let name = format!("{txid}-{txid}.ltx");
        let bytes = std::fs::read(from.join(&name)).expect("Litestream wrote it");
        let half = bytes.len() / 2;
        // The server makes the file when a PUT begins, and appends what comes.
        std::fs::write(to.join(&name), &bytes[..half]).expect("half of it is written");
        if let Some((conn, before)) = &follower {
            let told =
                || -> String { conn.query_row("PRAGMA litestream_status", [], |row| row.get(0)).expect("a status") };
            wait_until("it is looked at", || told().contains(&format!("{name} at level 0")));
            assert!(told().contains("is waited for") && told().contains("\"state\":\"following\""), "{}", told());
            assert_eq!(txid_of(conn), *before);
        }
        let mut file = std::fs::File::options().append(true).open(to.join(&name)).expect("it is there");
        std::io::Write::write_all(&mut file, &bytes[half..]).expect("the rest is written");
        let (conn, before) =
            follower.get_or_insert_with(|| (connect(&url, &[("poll_interval", "50ms")]), String::new()));
        wait_until("it is followed", || txid_of(conn) == txid.to_string());
        *before = txid.to_string();
    }
    let (conn, newest) = follower.expect("a follower");
    let restored = dir.path().join("restored.db");
    assert!(whole.restore(newest.parse().expect("a TXID"), &restored));
    assert_same_bytes(&conn, &restored);
}

#[test]
fn a_bundle_of_amazons_tools_is_trusted_besides_the_system() {
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
    let mut environment = Place::s3(&bucket, "app").environment;
    for bundle in [None, Some(made.certificate.display().to_string())] {
        let is_told = bundle.is_some();
        environment.extend(bundle.map(|bundle| ("AWS_CA_BUNDLE", bundle)));
        let mut session = Host::session(&Place { url: String::new(), environment: environment.clone() });
        let opened = session.ask_to_open(&url, &[("open_timeout", "0")]);
        let seen = opened.and_then(|number| session.ask(number, "SELECT count(*) FROM orders"));
        assert_eq!(seen.is_ok_and(|seen| seen == "632"), is_told);
        assert_eq!(session.end().stderr.contains("UnknownIssuer"), !is_told);
    }
}

#[test]
fn the_systems_authorities_are_read_once_a_process_and_not_at_all_without_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = Certificate::new(dir.path());
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let settings = format!(
        "autoindex on; ssl_certificate {}; ssl_certificate_key {};",
        made.certificate.display(),
        made.key.display()
    );
    let (one, other) = (nginx_with(&sample, "", "ssl", &settings), nginx_with(&sample, "", "ssl", &settings));
    let place = |authorities: &Path| {
        let authorities = authorities.to_str().expect("text").to_owned();
        Place { url: String::new(), environment: vec![("SSL_CERT_FILE", authorities)] }
    };
    let mut session = Host::session(&place(&made.certificate));
    let look = |session: &mut crate::support::session::Session, url: &str| {
        let number = session.ask_to_open(url, &[("open_timeout", "0")])?;
        session.ask(number, "SELECT count(*) FROM orders")
    };
    let https = |server: &Server| format!("https://127.0.0.1:{}/replica", server.port);
    assert_eq!(look(&mut session, &https(&one)), Ok("632".to_owned()));
    // With nothing to read any more, another server is believed by what was read before.
    std::fs::write(&made.certificate, "").expect("a file is emptied");
    for url in [https(&other), https(&one).replace("replica", "./replica"), https(&other).replace("//", "//me@")] {
        assert_eq!(look(&mut session, &url), Ok("632".to_owned()), "{url}");
    }
    let mut late = Host::session(&place(&made.certificate));
    assert!(look(&mut late, &https(&one)).is_err(), "who reads them now finds none");

    // Who reads from this pipe waits for ever.
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let server = nginx(&sample, "autoindex on;");
    let bucket = S3Server::start();
    upload_sample(&bucket, "app");
    let mut plain = place(&pipe);
    plain.environment.extend(Place::s3(&bucket, "app").environment);
    let mut session = Host::session(&plain);
    for url in [format!("http://127.0.0.1:{}/replica", server.port), bucket.url("app")] {
        assert_eq!(look(&mut session, &url), Ok("632".to_owned()), "{url}");
    }
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
