//! What ATTACH may open. The SQL may come from someone other than the application.

#[cfg(feature = "sftp")]
use crate::support::extension::open;
use crate::support::extension::{connect, sample_url, uri};
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
#[cfg(feature = "sftp")]
use crate::support::programs::wait_until;
use crate::support::s3::S3Server;
use crate::support::sample::upload_sample;
use crate::support::session::Session;
use rusqlite::Connection;
use std::io::ErrorKind;
use std::net::TcpListener;

const COUNT: &str = "SELECT count(*) FROM orders";
const COUNT_ATTACHED: &str = "SELECT count(*) FROM other.orders";

fn attach(session: &mut Session, connection: usize, url: &str) -> Result<String, String> {
    let uri = uri(url, &[("open_timeout", "0")]);
    session.try_query(connection, &format!("ATTACH '{uri}' AS other"))
}

/// Starts a process with credentials for every backend, and these variables.
fn session(variables: &[(&'static str, String)]) -> Session {
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("OSS_ACCESS_KEY_ID", "me"),
        ("OSS_ACCESS_KEY_SECRET", "hush"),
        ("AZURE_STORAGE_KEY", "aHVzaA=="),
        ("LITESTREAM_NATS_TOKEN", "hush"),
        ("LITESTREAM_HTTP_USERNAME", "me"),
        ("LITESTREAM_HTTP_PASSWORD", "hush"),
        ("LITESTREAM_WEBDAV_PASSWORD", "hush"),
        ("LITESTREAM_SFTP_PASSWORD", "hush"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}"),
    ];
    let mut environment: Vec<_> = credentials.map(|(name, value)| (name, value.to_owned())).to_vec();
    environment.retain(|(name, _)| variables.iter().all(|(other, _)| other != name));
    environment.extend_from_slice(variables);
    Host::session(&Destination { url: String::new(), environment })
}

/// A local port that notices connections.
struct Trap(TcpListener);

impl Trap {
    fn new() -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        Trap(listener)
    }

    fn host(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    fn was_reached(&self) -> bool {
        !matches!(self.0.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// Returns URLs whose server would get credentials of the environment.
fn urls_to(host: &str) -> Vec<String> {
    vec![
        format!("s3://bucket/app?endpoint=http://{host}"),
        format!("s3://bucket.{host}/app"),
        format!("oss://bucket/app?endpoint=http://{host}"),
        #[cfg(feature = "gcs")]
        format!("gs://bucket/app?endpoint=http://{host}"),
        #[cfg(feature = "azure")]
        format!("abs://me@box/app?endpoint=http://{host}"),
        #[cfg(feature = "http")]
        format!("http://{host}/app"),
        #[cfg(feature = "webdav")]
        format!("webdav://me@{host}/app"),
        #[cfg(feature = "nats")]
        format!("nats://{host}/app"),
        #[cfg(feature = "sftp")]
        format!("sftp://me@{host}/app?insecure-host-key=true"),
    ]
}

#[test]
fn attach_sends_no_environment_credentials_to_a_server_named_only_in_sql() {
    let trap = Trap::new();
    let urls = urls_to(&trap.host());
    let mut session = session(&[]);
    let connection = session.open(&sample_url(), &[]);
    for url in &urls {
        attach(&mut session, connection, url).expect_err(url);
        let sql = format!("VACUUM INTO '{}'", uri(url, &[("open_timeout", "0")]));
        session.try_query(connection, &sql).expect_err(url);
        assert!(!trap.was_reached(), "{url}: the server was contacted");
    }
    assert_eq!(session.query(connection, COUNT), "632", "the main database still works");
    let stderr = session.end().stderr;
    let refusals = stderr.matches("ATTACH may not send the credentials of this environment to ").count();
    assert_eq!(refusals, urls.len() * 2, "{stderr}");
    assert!(
        stderr.contains(&trap.host()) && stderr.contains("LITESTREAM_ALLOWED_URLS") && !stderr.contains("hush"),
        "{stderr}"
    );
}

/// Starts a bucket with the sample at two paths, and returns its credentials.
fn bucket() -> (S3Server, Vec<(&'static str, String)>) {
    let server = S3Server::start();
    upload_sample(&server, "app");
    upload_sample(&server, "tenants/1");
    let environment = Destination::s3(&server, "app").environment;
    (server, environment)
}

#[test]
fn sql_may_attach_what_the_application_has_opened() {
    let (server, keys) = bucket();
    let mut session = session(&keys);
    let local = session.open(&sample_url(), &[]);
    attach(&mut session, local, &server.url("app")).expect_err("only SQL has named the server");
    assert_eq!(server.take_requests(), []);

    let main = session.open(&server.url("app"), &[]);
    assert_eq!(session.query(main, COUNT), "632");
    for connection in [local, main] {
        attach(&mut session, connection, &server.url("tenants/1")).expect("the application has named the server");
        assert_eq!(session.query(connection, COUNT_ATTACHED), "632");
    }
}

#[test]
fn sql_may_attach_what_the_environment_names() {
    let (server, keys) = bucket();
    for (name, value) in [
        ("AWS_ENDPOINT_URL_S3", server.endpoint.clone()),
        ("LITESTREAM_REPLICA_URL", server.url("tenants")),
        ("LITESTREAM_ALLOWED_URLS", format!("file:///,s3://bucket/tenants?endpoint={}", server.endpoint)),
    ] {
        let mut session = session(&[&keys[..], &[(name, value)]].concat());
        let connection = session.open(&sample_url(), &[]);
        attach(&mut session, connection, &server.url("tenants/1")).expect(name);
        assert_eq!(session.query(connection, COUNT_ATTACHED), "632", "{name}");
    }
}

#[test]
fn only_allowed_urls_are_opened() {
    let (server, keys) = bucket();
    let list = ("LITESTREAM_ALLOWED_URLS", format!("s3://bucket/tenants/?endpoint={}", server.endpoint));
    let mut session = session(&[&keys[..], &[list]].concat());
    for url in [server.url("app"), server.url("tenants/../app"), sample_url(), "https://127.0.0.1:1/app".to_owned()] {
        session.try_open(&url, &[("open_timeout", "0")]).expect_err(&url);
    }
    let connection = session.open(&server.url("tenants/1"), &[]);
    assert_eq!(session.query(connection, COUNT), "632");
    attach(&mut session, connection, &sample_url()).expect_err("it is not in the list");
    let stderr = session.end().stderr;
    assert_eq!(stderr.matches("LITESTREAM_ALLOWED_URLS does not allow this URL").count(), 5, "{stderr}");
    assert!(server.take_requests().iter().all(|request| request.uri.contains("tenants")));
}

#[test]
fn attach_can_be_switched_off() {
    let (server, keys) = bucket();
    // By the main database, even if the URI of the attached one differs.
    let mut session = self::session(&keys);
    let closed = session.open(&server.url("app"), &[("attach", "off")]);
    assert_eq!(session.query(closed, COUNT), "632");
    let open = session.open(&server.url("app"), &[]);
    server.take_requests();
    for parameters in [&[][..], &[("attach", "on")]] {
        let sql = format!("ATTACH '{}' AS other", uri(&server.url("tenants/1"), parameters));
        session.try_query(closed, &sql).expect_err("it is off");
    }
    assert!(server.take_requests().iter().all(|request| !request.uri.contains("tenants")), "no request was sent");
    session.query(closed, "ATTACH ':memory:' AS own");
    attach(&mut session, open, &server.url("tenants/1")).expect("another connection may attach");
    assert_eq!(session.query(open, COUNT_ATTACHED), "632");
    let stderr = session.end().stderr;
    assert_eq!(stderr.matches("may not attach replicas: attach is off").count(), 2, "{stderr}");

    // By the environment, unless the main database overrides it.
    let mut session = self::session(&[&keys[..], &[("LITESTREAM_ATTACH", "off".to_owned())]].concat());
    let closed = session.open(&sample_url(), &[]);
    let open = session.open(&sample_url(), &[("attach", "on"), ("txid", "")]);
    assert_eq!((session.query(closed, COUNT), session.query(open, COUNT)), ("632".to_owned(), "632".to_owned()));
    attach(&mut session, closed, &sample_url()).expect_err("it is off");
    attach(&mut session, open, &sample_url()).expect("the application has it on");
}

/// SQLite does not open the file of a shared cache again.
#[test]
fn attach_that_is_off_shares_no_open_replica() {
    let shared = [("cache", "shared")];
    let off = ("LITESTREAM_ATTACH", "off".to_owned());
    let attached = format!("ATTACH '{}' AS other", uri(&sample_url(), &shared));
    let by_uri = |session: &mut Session| session.open(&sample_url(), &[("attach", "off")]);
    let in_environment: fn(&mut Session) -> usize = Session::open_memory;
    for (variables, closed) in [(vec![], by_uri as fn(&mut Session) -> usize), (vec![off], in_environment)] {
        for closed_first in [false, true] {
            let mut session = session(&variables);
            let early = closed_first.then(|| closed(&mut session));
            let open = session.open(&sample_url(), &shared);
            assert_eq!(session.query(open, COUNT), "632");
            let closed = early.unwrap_or_else(|| closed(&mut session));
            session.try_query(closed, &attached).expect_err("it is off");
            session.query(closed, "SELECT 1");
            assert_eq!(session.query(open, COUNT), "632");
            let stderr = session.end().stderr;
            assert!(stderr.contains("may not attach replicas: attach is off"), "{stderr}");
        }
    }
}

/// A file that is opened only after SQLite names the connection still reports its error from the open.
#[test]
fn an_open_that_fails_after_xopen_reports_its_error() {
    let mut session = session(&[]);
    let error = session.try_open("s3://bucket/app?endpoint=http://127.0.0.1:1", &[("open_timeout", "0")]);
    let error = error.expect_err("no server listens there");
    assert!(error.contains("cannot open ") && error.contains("cannot connect to http://127.0.0.1:1"), "{error}");
    // The failed open leaves nothing behind.
    let connection = session.open(&sample_url(), &[]);
    assert_eq!(session.query(connection, COUNT), "632");
}

/// With `SQLITE_ENABLE_API_ARMOR`, as in this process, SQLite's functions fail for a connection that is still being opened.
#[cfg(feature = "sftp")]
#[test]
fn attach_is_recognised_in_builds_with_api_armor() {
    let trap = Trap::new();
    let there = uri(&format!("sftp://me@{}/app?insecure-host-key=true", trap.host()), &[("open_timeout", "0")]);
    for conn in [connect(&sample_url(), &[]), open(":memory:").expect("memory can be opened")] {
        conn.execute("ATTACH ? AS other", [&there]).expect_err("only SQL names the server");
        assert!(!trap.was_reached(), "the server was contacted");
    }
    // The server is contacted, but it does not speak SSH.
    let listener = trap.0.try_clone().expect("a socket");
    let hangs_up = std::thread::spawn(move || {
        let reached = wait_for(|| listener.accept().ok());
        drop(reached);
    });
    let error = open(&there).expect_err("it is not an SSH server").to_string();
    assert!(error.contains("cannot open "), "{error}");
    hangs_up.join().expect("the application may name any server");
}

#[cfg(feature = "sftp")]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until("a client connects", || {
        found = found.take().or_else(&mut look);
        found.is_some()
    });
    found.expect("it was just there")
}

#[test]
fn a_shared_cache_can_be_opened_and_attached() {
    let (server, keys) = bucket();
    let mut session = session(&keys);
    let shared = [("cache", "shared")];
    let (one, two) = (session.open(&server.url("app"), &shared), session.open(&server.url("app"), &shared));
    assert_eq!((session.query(one, COUNT), session.query(two, COUNT)), ("632".to_owned(), "632".to_owned()));
    let sql = format!("ATTACH '{}' AS other", uri(&server.url("tenants/1"), &shared));
    session.query(one, &sql);
    assert_eq!(session.query(one, COUNT_ATTACHED), "632");
    let trap = Trap::new();
    let foreign = uri(&format!("s3://bucket/app?endpoint=http://{}", trap.host()), &shared);
    session.try_query(two, &format!("ATTACH '{foreign}' AS other")).expect_err("only SQL names the server");
    assert!(!trap.was_reached(), "the server was contacted");
    assert_eq!(session.query(two, COUNT), "632");
}

/// After BEGIN, SQLite does not lock the file for a connection that has read nothing, but it may have done so for another one.
#[test]
fn a_transaction_has_one_state_whatever_other_connections_of_its_cache_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let write = connect(&destination.url, &[("write_enabled", "1")]);
    write.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").expect("written");
    let shared = [("cache", "shared")];
    let (one, two) = (connect(&destination.url, &shared), connect(&destination.url, &shared));
    let text = |conn: &Connection, sql: &str| -> String { conn.query_row(sql, [], |row| row.get(0)).expect(sql) };
    two.execute_batch("BEGIN").expect("begun");
    assert_eq!(text(&two, "SELECT group_concat(a) FROM t"), "1");
    one.execute_batch("BEGIN").expect("begun");
    let txid = text(&one, "SELECT litestream_txid()");
    two.execute_batch("COMMIT").expect("ended");
    write.execute_batch("INSERT INTO t VALUES (2)").expect("written");
    assert_eq!(text(&one, "SELECT group_concat(a) FROM t"), "1", "the state of {txid}");
    assert_eq!(text(&one, "SELECT litestream_txid()"), txid);
    one.execute_batch("COMMIT").expect("ended");
    assert_eq!(text(&one, "SELECT group_concat(a) FROM t"), "1,2");
}
