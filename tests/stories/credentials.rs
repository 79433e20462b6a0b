//! Temporary credentials: the client fetches new ones before they expire, and reports the issuer's errors.
//!
//! Each new key makes the previous one expire, and the server checks signatures: only the newest key is accepted.

use crate::stories::conformance::{at, complaint, name, names};
use crate::support::keys::{Issuer, ROLE, TOKEN};
use crate::support::s3::S3Server;
use litestream_vfs::ltx::{Level, Txid};
use litestream_vfs::store::{Store, StoreErrorKind};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A source of temporary keys.
type Way = (&'static str, fn(&Issuer, &Path) -> Vec<(&'static str, String)>);

const WAYS: [Way; 4] = [
    ("the instance", |issuer, _| vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("{}/", issuer.endpoint))]),
    ("the container", |issuer, token| {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/pod", issuer.endpoint)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text(token)),
        ]
    }),
    ("a web identity", |issuer, token| {
        vec![
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(token)),
            ("AWS_ROLE_ARN", ROLE.to_owned()),
            ("AWS_ENDPOINT_URL_STS", issuer.endpoint.clone()),
        ]
    }),
    ("a program", |issuer, token| {
        // A program that prints what the container service returns.
        let address = issuer.endpoint.trim_start_matches("http://").replace(':', "/");
        let program = format!(
            "#!/bin/bash\nexec 3<>/dev/tcp/{address}\nprintf 'GET /pod HTTP/1.1\\r\\nauthorization: {TOKEN}\\r\\n\\r\\n' >&3\n\
             answer=$(cat <&3)\n[[ $answer == *' 200 OK'* ]] || {{ echo \"$answer\" | tail -1 >&2; exit 1; }}\n\
             echo \"${{answer##*$'\\n'}}\" | sed 's/\"Token\"/\"SessionToken\"/'\n"
        );
        let (program_file, config) = (token.with_file_name("program"), token.with_file_name("config"));
        std::fs::write(&program_file, program).expect("a file is written");
        let line = format!("[default]\ncredential_process = bash {}\n", text(&program_file));
        std::fs::write(&config, line).expect("a file is written");
        vec![("AWS_CONFIG_FILE", text(&config))]
    }),
];

fn text(path: &Path) -> String {
    path.to_str().expect("the paths of tests are text").to_owned()
}

struct Sandbox {
    server: S3Server,
    issuer: Issuer,
    /// The file of a valid token.
    token: PathBuf,
    _dir: tempfile::TempDir,
}

impl Sandbox {
    fn new(minutes: i64) -> Sandbox {
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start());
        let (token, issuer) = (dir.path().join("token"), Issuer::start(&server.keys, minutes));
        std::fs::write(&token, TOKEN).expect("a file is written");
        Sandbox { server, issuer, token, _dir: dir }
    }

    fn url(&self) -> String {
        self.server.url("app")
    }

    fn variables(&self, way: &Way) -> impl Fn(&str) -> Option<OsString> {
        let set = way.1(&self.issuer, &self.token);
        move |name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into())
    }

    fn store(&self, way: &Way) -> Arc<dyn Store> {
        at(&self.url(), self.variables(way))
    }

    /// Returns the session tokens of the requests since the last call, each once.
    fn used(&self) -> Vec<String> {
        let mut used: Vec<String> =
            self.server.take_requests().into_iter().map(|request| request.token.expect("a token")).collect();
        used.dedup();
        used
    }
}

#[tokio::test]
async fn lasting_keys_are_fetched_once_and_expiring_keys_again() {
    for way in &WAYS {
        let sandbox = Sandbox::new(60);
        let store = sandbox.store(way);
        for _ in 0..5 {
            assert_eq!(names(&*store, Level::ZERO, 0).await, [], "{}", way.0);
        }
        assert_eq!(sandbox.used(), ["of-KEY0"], "{}", way.0);

        // The keys are valid for four more minutes, which is short enough to renew them.
        sandbox.issuer.last_for(4);
        let store = sandbox.store(way);
        let begun = Instant::now();
        while sandbox.issuer.issued().len() < 4 {
            assert_eq!(names(&*store, Level::ZERO, 0).await, [], "{}", way.0);
            let missing = store.read(Level::ZERO, name(1, 1), 0..9, None).await.expect_err("no file");
            assert_eq!(missing.kind(), StoreErrorKind::NotFound, "{}: {missing}", way.0);
            assert!(begun.elapsed() < Duration::from_secs(60), "{} was not contacted again", way.0);
        }
        assert!(sandbox.used().starts_with(&["of-KEY1".to_owned(), "of-KEY2".to_owned(), "of-KEY3".to_owned()]));
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_and_a_failing_issuer_is_named() {
    for way in &WAYS {
        let sandbox = Sandbox::new(60);
        let store = sandbox.store(way);
        assert_eq!(names(&*store, Level::ZERO, 0).await, []);
        sandbox.server.keys.expire_all();
        let error = store.list(Level::ZERO, Txid(0)).await.expect_err("it ended");
        assert_eq!(error.kind(), StoreErrorKind::Denied);
        assert!(error.to_string().contains("denies access (ExpiredToken: The provided token has expired)"), "{error}");

        // Without keys, no request is sent to the bucket.
        sandbox.issuer.last_for(4);
        let store = sandbox.store(way);
        assert_eq!(names(&*store, Level::ZERO, 0).await, []);
        sandbox.issuer.refuse();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let error = store.read(Level::ZERO, name(1, 1), 0..9, None).await.expect_err("no keys");
        assert_eq!(error.kind(), StoreErrorKind::Denied, "{}: {error}", way.0);
        let text = error.to_string();
        assert!(text.contains("there are no credentials: ") && !text.contains("hush"), "{text}");
        let who = if way.0 == "a program" { "the credential_process of the profile" } else { &sandbox.issuer.endpoint };
        assert!(text.contains(who) && text.contains("there is no role any more"), "{}: {text}", way.0);
    }
}

#[tokio::test]
async fn errors_of_a_token_are_reported() {
    let sandbox = Sandbox::new(60);
    let answers = |token: &'static str| {
        std::fs::write(&sandbox.token, token).expect("a file is written");
        let complaints = WAYS[1..3].iter().map(|way| complaint_of(&sandbox, way));
        complaints.collect::<Vec<_>>()
    };
    let mut texts = Vec::new();
    for asked in answers("a-wrong-token") {
        texts.push(asked.await);
    }
    assert!(texts[0].contains(&format!("{} refuses: status 401", sandbox.issuer.endpoint)), "{texts:?}");
    assert!(texts[1].contains("refuses: InvalidIdentityToken: No such identity"), "{texts:?}");
    std::fs::remove_file(&sandbox.token).expect("a file is deleted");
    for way in &WAYS[1..3] {
        let text = complaint_of(&sandbox, way).await;
        let file = text.contains(&format!("token file '{}'", sandbox.token.display()));
        assert!(file && text.contains("No such file"), "{text}");
    }
}

async fn complaint_of(sandbox: &Sandbox, way: &Way) -> String {
    let (kind, text) = complaint(&sandbox.url(), sandbox.variables(way)).await;
    assert_eq!(kind, StoreErrorKind::Denied, "{text}");
    assert!(text.contains("there are no credentials: ") && !text.contains("wrong-token"), "{text}");
    text
}
