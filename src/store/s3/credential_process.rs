//! Credentials from the command in `credential_process`.

use crate::store::cloud;
use crate::store::environment::Secret;
use crate::store::error::short;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Runs a command for credentials, and again before they expire.
#[derive(Debug)]
pub(super) struct CredentialProcess {
    command: Secret,
    cached: Mutex<Option<CachedCredential>>,
}

/// Credentials that the command printed.
#[derive(Debug)]
struct CachedCredential {
    credential: Arc<AwsCredential>,
    /// None if they do not expire.
    expiration: Option<DateTime<Utc>>,
    fetched: Instant,
}

impl CachedCredential {
    /// Returns whether the credentials can be used without running the command again.
    fn is_usable(&self) -> bool {
        const MARGIN: TimeDelta = TimeDelta::minutes(5);
        /// The minimum time between two runs, so that a command whose credentials expire soon is not run for every request.
        const MIN_INTERVAL: Duration = Duration::from_secs(1);
        let lasts = |longer: TimeDelta| self.expiration.is_none_or(|expiration| expiration - longer > Utc::now());
        lasts(MARGIN) || self.fetched.elapsed() < MIN_INTERVAL && lasts(TimeDelta::zero())
    }
}

impl CredentialProcess {
    /// `command` is a line for the shell.
    pub fn new(command: Secret) -> CredentialProcess {
        CredentialProcess { command, cached: Mutex::new(None) }
    }
}

#[async_trait]
impl CredentialProvider for CredentialProcess {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut cached = self.cached.lock().await;
        if let Some(usable) = cached.as_ref().filter(|cached| cached.is_usable()) {
            return Ok(usable.credential.clone());
        }
        let command = self.command.clone();
        let finished = tokio::task::spawn_blocking(move || run(&command.0)).await;
        let result = finished.unwrap_or_else(|_| Err("the command could not be started".to_owned()));
        Ok(cached.insert(result.map_err(cloud::no_credentials)?).credential.clone())
    }
}

/// Runs the command and parses its output. Errors contain nothing of stdout, and stderr only if the command fails.
fn run(command: &str) -> Result<CachedCredential, String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let output = Command::new(shell).args([flag, command]).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{} ({})", output.status, short(&String::from_utf8_lossy(&output.stderr))));
    }
    let printed: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|_| "its output is not JSON".to_owned())?;
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
    Ok(CachedCredential { credential: Arc::new(credential), expiration, fetched: Instant::now() })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test(start_paused = true)]
    async fn the_command_runs_again_before_its_credentials_expire() {
        let dir = tempfile::tempdir().expect("a directory");
        let count = dir.path().join("count");
        let provider = |minutes: i64| {
            let end = (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339();
            let json = format!(r#"{{"Version":1,"AccessKeyId":"id","SecretAccessKey":"hush","Expiration":"{end}"}}"#);
            CredentialProcess::new(Secret(format!("echo x >> '{}'; echo '{json}'", count.display())))
        };
        let runs = || fs::read_to_string(&count).unwrap_or_default().lines().count();
        for (minutes, times) in [(60, 1), (4, 3)] {
            let provider = provider(minutes);
            for _ in 0..2 {
                assert_eq!(provider.get_credential().await.expect("credentials").key_id, "id");
                assert_eq!(provider.get_credential().await.expect("credentials").key_id, "id");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            assert_eq!(runs(), times, "{minutes} minutes");
        }
        for (command, clause) in
            [("echo oh no >&2; exit 3", "(oh no)"), ("echo hush", "not JSON"), ("echo '{}'", "has no AccessKeyId")]
        {
            let process = CredentialProcess::new(Secret(command.to_owned()));
            let error = process.get_credential().await.expect_err(command).to_string();
            assert!(error.contains(clause) && !error.contains("hush"), "{error}");
        }
    }
}
