//! Credentials from the command in `credential_process`.

use super::command;
use crate::store::cloud;
use crate::store::environment::Secret;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

/// How long the command may run, as in Amazon's own tools.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a command for credentials, and again before they expire.
///
/// There is one run at a time. A request that gives up does not end it: the next one waits for the same run.
#[derive(Debug)]
pub(super) struct CredentialProcess {
    command: Secret,
    limit: Duration,
    readers: Arc<Semaphore>,
    /// Locked while the command runs.
    last: Arc<Mutex<Option<FinishedRun>>>,
}

/// The last run of the command.
#[derive(Debug)]
struct FinishedRun {
    result: Result<PrintedCredential, String>,
    ended: Instant,
}

/// Credentials that the command printed.
#[derive(Debug)]
struct PrintedCredential {
    credential: Arc<AwsCredential>,
    /// None if they do not expire.
    expiration: Option<DateTime<Utc>>,
}

impl FinishedRun {
    /// Returns the result, or None if a request that began at `asked` has to run the command again.
    fn result_at(&self, asked: Instant) -> Option<Result<Arc<AwsCredential>, String>> {
        const MARGIN: TimeDelta = TimeDelta::minutes(5);
        /// The minimum time between two runs, so that a command whose credentials expire soon is not run for every request.
        const MIN_INTERVAL: Duration = Duration::from_secs(1);
        let lasts = |longer: TimeDelta| {
            let printed = self.result.as_ref().ok();
            printed.is_some_and(|printed| printed.expiration.is_none_or(|expiration| expiration - longer > Utc::now()))
        };
        let is_new = self.ended.elapsed() < MIN_INTERVAL && lasts(TimeDelta::zero());
        let was_awaited = self.ended >= asked;
        (was_awaited || is_new || lasts(MARGIN))
            .then(|| self.result.as_ref().map(|printed| printed.credential.clone()).map_err(String::clone))
    }
}

impl CredentialProcess {
    /// `command` is a line for the shell.
    pub fn new(command: Secret) -> CredentialProcess {
        let readers = Arc::new(Semaphore::new(command::READERS));
        CredentialProcess { command, limit: LIMIT, readers, last: Arc::default() }
    }

    async fn credential(&self) -> Result<Arc<AwsCredential>, String> {
        let asked = Instant::now();
        let last = self.last.clone().lock_owned().await;
        if let Some(result) = last.as_ref().and_then(|last| last.result_at(asked)) {
            return result;
        }
        self.start(last)?;
        let last = self.last.lock().await;
        last.as_ref().and_then(|last| last.result_at(asked)).unwrap_or_else(|| Err("its thread panicked".to_owned()))
    }

    /// Runs the command. It has its own thread, because those of the runtime also look up hosts and read files, and must not all wait for
    /// commands.
    fn start(&self, mut last: OwnedMutexGuard<Option<FinishedRun>>) -> Result<(), String> {
        let (command, limit, readers) = (self.command.clone(), self.limit, self.readers.clone());
        let run = move || {
            let result = command::run(&command.0, limit, &readers).and_then(|printed| parse(&printed));
            *last = Some(FinishedRun { result, ended: Instant::now() });
        };
        let started = thread::Builder::new().name("litestream-vfs".to_owned()).spawn(run);
        started.map(drop).map_err(|error| format!("no thread can be started: {error}"))
    }
}

#[async_trait]
impl CredentialProvider for CredentialProcess {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.credential().await.map_err(cloud::no_credentials)
    }
}

/// Parses the output of the command. Errors contain nothing of it.
fn parse(printed: &[u8]) -> Result<PrintedCredential, String> {
    let printed: serde_json::Value =
        serde_json::from_slice(printed).map_err(|_| "its output is not JSON".to_owned())?;
    let text = |key: &str| printed[key].as_str().map(str::to_owned);
    let required = |key: &str| text(key).ok_or_else(|| format!("its output has no {key}"));
    let credential = AwsCredential {
        key_id: required("AccessKeyId")?,
        secret_key: required("SecretAccessKey")?,
        token: text("SessionToken"),
    };
    let expiration = match text("Expiration") {
        Some(time) => Some(time.parse().map_err(|_| "the Expiration in its output is not a time".to_owned())?),
        None => None,
    };
    Ok(PrintedCredential { credential: Arc::new(credential), expiration })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use tokio::time::{sleep, timeout};

    /// A directory with a file that gets a line for each run of the command.
    struct Runs(tempfile::TempDir);

    impl Runs {
        fn new() -> Runs {
            Runs(tempfile::tempdir().expect("a directory"))
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("runs")
        }

        fn count(&self) -> usize {
            fs::read_to_string(self.file()).unwrap_or_default().lines().count()
        }

        fn provider(&self, rest: &str) -> CredentialProcess {
            CredentialProcess::new(Secret(format!("echo x >> '{}'; {rest}", self.file().display())))
        }
    }

    /// Returns a command that prints credentials.
    fn print(minutes: i64) -> String {
        let end = (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339();
        format!(r#"echo '{{"Version":1,"AccessKeyId":"id","SecretAccessKey":"hush","Expiration":"{end}"}}'"#)
    }

    #[tokio::test]
    async fn the_command_runs_again_before_its_credentials_expire() {
        for (minutes, times) in [(60, 1), (4, 2)] {
            let runs = Runs::new();
            let provider = runs.provider(&print(minutes));
            for pause in [0, 0, 1100] {
                sleep(Duration::from_millis(pause)).await;
                assert_eq!(provider.get_credential().await.expect("credentials").key_id, "id");
            }
            assert_eq!(runs.count(), times, "{minutes} minutes");
        }
    }

    #[tokio::test]
    async fn invalid_output_is_an_error_that_does_not_show_it() {
        for (command, clause) in
            [("echo oh no >&2; exit 3", "(oh no)"), ("echo hush", "not JSON"), ("echo '{}'", "has no AccessKeyId")]
        {
            let process = CredentialProcess::new(Secret(command.to_owned()));
            let error = process.get_credential().await.expect_err(command).to_string();
            assert!(error.contains(clause) && !error.contains("hush"), "{error}");
        }
    }

    async fn give_up(provider: &CredentialProcess) {
        for _ in 0..3 {
            let given_up = timeout(Duration::from_millis(50), provider.get_credential()).await;
            assert!(given_up.is_err(), "{given_up:?}");
        }
    }

    #[tokio::test]
    async fn requests_that_give_up_share_one_run_with_later_ones() {
        let runs = Runs::new();
        let slow = runs.provider(&format!("sleep 3; {}", print(60)));
        give_up(&slow).await;
        assert_eq!(slow.get_credential().await.expect("credentials").key_id, "id");
        assert_eq!(runs.count(), 1);

        let runs = Runs::new();
        let hangs = CredentialProcess { limit: Duration::from_secs(3), ..runs.provider("sleep 60") };
        give_up(&hangs).await;
        let error = hangs.get_credential().await.expect_err("it hangs").to_string();
        assert!(error.contains("it was ended because it took more than 3 seconds"), "{error}");
        assert_eq!(runs.count(), 1);
    }
}
