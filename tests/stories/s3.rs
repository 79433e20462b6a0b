//! A replica in an S3 bucket, written by Litestream, and the same files in a directory.

use crate::support::extension::connect;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, served_bytes};
use crate::support::s3::{Request, S3Server};
use crate::support::sample::upload_sample;
use crate::support::workload;
use crate::support::written::serialize;
use std::path::Path;

#[test]
fn a_bucket_and_a_directory_show_the_same_database() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = S3Server::start();
    let bucket = Destination::s3(&server, "app");
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "PRAGMA auto_vacuum = FULL");
    let primary = Primary::start(&database, &bucket, Schedule::BUSY);
    for step in workload::STEPS {
        workload::run(&conn, step);
        primary.sync();
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    primary.wait_for_levels(&[0, 1, 2, 9]);
    primary.stop();

    let directory = Destination::directory(&dir.path().join("replica"));
    copy_to_directory(&bucket, &server, &dir.path().join("replica"));
    assert_eq!(directory.files(), bucket.files(), "the same files");

    let (restored, served) = (dir.path().join("restored.db"), dir.path().join("served.db"));
    let txids = bucket.txids();
    let mut compared = 0;
    // Each state takes a process, so only every third one and the newest are compared.
    for txid in txids.iter().rev().step_by(3) {
        if !bucket.restore(*txid, &restored) {
            continue;
        }
        let text = txid.to_string();
        assert_same_bytes(&connect(&directory.url, &[("txid", &text)]), &restored);
        serialize(&bucket, &text, &served);
        let from_directory = served_bytes(&connect(&directory.url, &[("txid", &text)]));
        let from_bucket = std::fs::read(&served).expect("the host wrote it");
        assert!(
            differ_only_in_counters(&from_bucket, &from_directory),
            "{text} from the bucket and from the directory"
        );
        compared += 1;
    }
    assert!(compared >= 5, "{compared} states compared");
}

/// Runs a host with only these credentials, and returns its requests.
fn requests_with(server: &S3Server, credentials: &[(&str, &str)]) -> Vec<Request> {
    let host = Host::python("repeated.py").arg(server.url("sample")).arg("1").arg("1");
    let host = credentials.iter().fold(host, |host, (name, value)| host.env(name, value));
    assert_eq!(host.succeed(), "ok\n");
    server.take_requests()
}

#[test]
fn credentials_come_from_the_environment() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let (id, secret) = (server.access_key.as_str(), server.secret_key.as_str());
    let amazons = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    let litestreams = [("LITESTREAM_ACCESS_KEY_ID", id), ("LITESTREAM_SECRET_ACCESS_KEY", secret)];
    for pair in [amazons, litestreams] {
        let requests = requests_with(&server, &pair);
        assert!(!requests.is_empty() && requests.iter().all(|request| request.token.is_none()), "{requests:?}");
    }
    for (pair, token) in [(amazons, "AWS_SESSION_TOKEN"), (litestreams, "LITESTREAM_SESSION_TOKEN")] {
        let requests = requests_with(&server, &[pair[0], pair[1], (token, "a-token")]);
        let all_signed_with_it = requests.iter().all(|request| request.token.as_deref() == Some("a-token"));
        assert!(!requests.is_empty() && all_signed_with_it, "{requests:?}");
    }
}

#[test]
fn credentials_come_from_a_profile() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let home = tempfile::tempdir().expect("a directory");
    let (id, secret) = (&server.access_key, &server.secret_key);
    let json =
        format!(r#"{{"Version": 1, "AccessKeyId": "{id}", "SecretAccessKey": "{secret}", "SessionToken": "tok"}}"#);
    std::fs::create_dir(home.path().join(".aws")).expect("a directory");
    std::fs::write(home.path().join("keys.json"), json).expect("a file");
    let config = format!("[profile tool]\ncredential_process = cat {}/keys.json\n", home.path().display());
    std::fs::write(home.path().join(".aws/config"), config).expect("a file");
    let keys = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(home.path().join(".aws/credentials"), keys).expect("a file");
    let at_home = ("HOME", home.path().to_str().expect("text"));
    let requests = requests_with(&server, &[at_home]);
    assert!(!requests.is_empty() && requests.iter().all(|request| request.token.is_none()), "{requests:?}");
    let requests = requests_with(&server, &[at_home, ("AWS_PROFILE", "tool")]);
    let all_signed_with_it = requests.iter().all(|request| request.token.as_deref() == Some("tok"));
    assert!(!requests.is_empty() && all_signed_with_it, "{requests:?}");
}

/// Each process assigns its own change counters of page 1.
fn differ_only_in_counters(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a[..24] == b[..24] && a[28..92] == b[28..92] && a[96..] == b[96..]
}

/// Copies the objects of a bucket to a directory with Litestream's layout: `<level in four hex digits>` becomes `ltx/<level>`.
fn copy_to_directory(bucket: &Destination, server: &S3Server, to: &Path) {
    for (level, min, max) in bucket.files() {
        let name = format!("{min}-{max}.ltx");
        let target = to.join("ltx").join(level.to_string());
        std::fs::create_dir_all(&target).expect("a directory is made");
        let object = server.object(&format!("app/{level:04x}/{name}"));
        std::fs::write(target.join(&name), object).expect("a file is written");
    }
}
