//! Credentials that have to be requested.

use super::*;

#[tokio::test]
async fn credentials_that_do_not_end_are_refused() {
    let instance = Canned::start_with(|_, stream| endless("200 OK", "", stream));
    let metadata = |name: &str| (name == "AWS_METADATA_ENDPOINT").then(|| OsString::from(&instance.endpoint));
    let store = Location::parse_with("s3://bucket/app", metadata).expect("a location").connect().expect("a store");
    let error = store.list(Level::ZERO, Txid(0)).await.expect_err("no credentials");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(error.to_string().contains("more than the 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn the_credentials_of_an_instance_are_renewed_before_they_expire() {
    let ok = |body: &str| answer("200 OK", "", body);
    let keys = |minutes: i64| {
        let end = (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
        ok(&format!(
            r#"{{"AccessKeyId":"me","SecretAccessKey":"hush","Token":"t","Expiration":"{end}","Code":"Success","LastUpdated":"{end}"}}"#
        ))
    };
    // A token, the role, and its keys. Keys that expire within minutes are not used a second time.
    let instance = Canned::start(vec![ok("token"), ok("role"), keys(3), ok("token"), ok("role"), keys(60)]);
    let bucket = Canned::start(vec![ok("<ListBucketResult></ListBucketResult>")]);
    let url = format!("s3://bucket/app?endpoint={}", bucket.endpoint);
    let metadata = |name: &str| (name == "AWS_METADATA_ENDPOINT").then(|| OsString::from(&instance.endpoint));
    let store = Location::parse_with(&url, metadata).expect("a location").connect().expect("a store");
    for _ in 0..3 {
        assert_eq!(store.list(Level::ZERO, Txid(0)).await.expect("a listing"), []);
        // `object_store` requests credentials at most once per 100 ms.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(instance.answered.load(Ordering::Relaxed), 6);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_command_for_credentials_that_hangs_is_named_and_runs_once() {
    let home = tempfile::tempdir().expect("a directory");
    let (runs, config) = (home.path().join("runs"), home.path().join("config"));
    let command = format!("echo $$ >> {}; sleep 60", runs.display());
    std::fs::write(&config, format!("[default]\ncredential_process = {command}\n")).expect("a file");
    let bucket = Canned::start(vec![answer("200 OK", "", "<ListBucketResult></ListBucketResult>")]);
    let url = format!("s3://bucket/app?endpoint={}", bucket.endpoint);
    let variable = |name: &str| (name == "AWS_CONFIG_FILE").then(|| config.clone().into_os_string());
    let store = Location::parse_with(&url, variable).expect("a location").connect().expect("a store");
    for _ in 0..3 {
        let error = store.list(Level::ZERO, Txid(0)).await.expect_err("no credentials");
        assert_eq!(error.kind(), StoreErrorKind::Denied);
        let cause = "there are no credentials: the credential_process of the profile provides none (no answer within";
        assert!(error.to_string().contains(cause), "{error}");
    }
    // The clock of the requests is paused, but the command takes its time to start.
    let begun = std::time::Instant::now();
    let pids = loop {
        match std::fs::read_to_string(&runs) {
            Ok(pids) if pids.ends_with('\n') => break pids,
            _ if begun.elapsed().as_secs() < 60 => std::thread::sleep(std::time::Duration::from_millis(10)),
            _ => panic!("the command was not run"),
        }
    };
    let group = rustix::process::Pid::from_raw(pids.trim().parse().expect("one run")).expect("not zero");
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it hangs");
    assert_eq!(bucket.answered.load(Ordering::Relaxed), 0);
}
