//! Credentials from the files that Amazon's own tools keep: `~/.aws/credentials` and `~/.aws/config`.

use super::config::S3Credentials;
use crate::store::cloud;
use crate::store::environment::{Environment, Secret};
use crate::store::error::short;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What a profile says: its keys, in lower case.
type Profile = BTreeMap<String, String>;

/// What the files say of a region and of credentials, of the profile that `AWS_PROFILE` names or of `default`. Nothing
/// where there are no files, or none of them has the profile and nobody named it.
pub(super) fn read(environment: &Environment<'_>) -> Result<(Option<String>, Option<S3Credentials>), String> {
    let named = environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])?;
    let name = named.as_deref().unwrap_or("default");
    let Some(profile) = profile(name, environment) else {
        return match named {
            Some(name) => Err(format!("AWS_PROFILE names the profile '{name}', which no file of ~/.aws has")),
            None => Ok((None, None)),
        };
    };
    let region = profile.get("region").cloned();
    let set = |key: &str| profile.get(key).cloned().map(Secret);
    let credentials = match (set("aws_access_key_id"), set("aws_secret_access_key"), set("credential_process")) {
        (Some(id), Some(secret), _) => Some(S3Credentials::Static { id, secret, token: set("aws_session_token") }),
        (_, _, Some(command)) => Some(S3Credentials::Process(command)),
        _ => {
            const ELSEWHERE: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "login_session"];
            if let Some(key) = ELSEWHERE.into_iter().find(|key| profile.contains_key(*key)) {
                return Err(format!(
                    "the profile '{name}' gets its credentials by {key}, which is not done here; give another profile the \
                     line credential_process = aws configure export-credentials --profile {name} --format process, and \
                     name that one with AWS_PROFILE"
                ));
            }
            None
        }
    };
    Ok((region, credentials))
}

/// The profile as both files together have it; the file of credentials wins.
fn profile(name: &str, environment: &Environment<'_>) -> Option<Profile> {
    let home = environment.raw("HOME").or_else(|| environment.raw("USERPROFILE")).map(PathBuf::from);
    let file = |variable: &str, below: &str| {
        let path = environment.raw(variable).map(PathBuf::from);
        let path = path.or_else(|| home.as_ref().map(|home| home.join(".aws").join(below)))?;
        std::fs::read_to_string(path).ok()
    };
    let in_config = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let config = file("AWS_CONFIG_FILE", "config").and_then(|text| section(&text, &in_config));
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials").and_then(|text| section(&text, name));
    match (config, credentials) {
        (None, None) => None,
        (config, credentials) => {
            let mut profile = config.unwrap_or_default();
            profile.extend(credentials.unwrap_or_default());
            Some(profile)
        }
    }
}

/// The lines `key = value` below `[name]`; None if there is no such section.
fn section(text: &str, name: &str) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut is_inside = false;
    for line in text.lines() {
        // An indented line belongs to the key above it.
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.starts_with(['#', ';']) || is_nested {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            is_inside = header.0.split_whitespace().eq(name.split_whitespace());
            if is_inside {
                found.get_or_insert_default();
            }
        } else if let (true, Some((key, value))) = (is_inside, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or(value).trim();
            found.get_or_insert_default().insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    found
}

/// Asks a program for credentials, and again before they end.
#[derive(Debug)]
pub(super) struct Process {
    command: Secret,
    last: Mutex<Option<LookupResult>>,
}

#[derive(Debug)]
struct LookupResult {
    credential: Arc<AwsCredential>,
    /// None if they never end.
    end: Option<DateTime<Utc>>,
    asked: Instant,
}

impl LookupResult {
    /// Whether it will do for now, or it is time to ask again.
    fn is_good(&self) -> bool {
        const BEFORE_THE_END: TimeDelta = TimeDelta::minutes(5);
        /// A program that only has what ends soon is not run for every request.
        const A_WHILE: Duration = Duration::from_secs(1);
        let lasts = |longer: TimeDelta| self.end.is_none_or(|end| end - longer > Utc::now());
        lasts(BEFORE_THE_END) || self.asked.elapsed() < A_WHILE && lasts(TimeDelta::zero())
    }
}

impl Process {
    pub fn new(command: Secret) -> Process {
        Process { command, last: Mutex::new(None) }
    }
}

#[async_trait]
impl CredentialProvider for Process {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.is_good()) {
            return Ok(answer.credential.clone());
        }
        let command = self.command.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&command.0)).await;
        let answer = asked.unwrap_or_else(|_| Err("it could not be started".to_owned())).map_err(cloud::unsigned)?;
        Ok(last.insert(answer).credential.clone())
    }
}

/// Runs the program. What it prints is never shown, but for what it says on stderr if it fails.
fn ask(command: &str) -> Result<LookupResult, String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let output = Command::new(shell).args([flag, command]).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{} ({})", output.status, short(&String::from_utf8_lossy(&output.stderr))));
    }
    let printed: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|_| "it prints no JSON".to_owned())?;
    let text = |key: &str| printed[key].as_str().map(str::to_owned);
    let needed = |key: &str| text(key).ok_or_else(|| format!("it prints no {key}"));
    let credential = AwsCredential {
        key_id: needed("AccessKeyId")?,
        secret_key: needed("SecretAccessKey")?,
        token: text("SessionToken"),
    };
    let end = match text("Expiration") {
        Some(end) => Some(end.parse().map_err(|_| "it prints an Expiration that is no time".to_owned())?),
        None => None,
    };
    Ok(LookupResult { credential: Arc::new(credential), end, asked: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;

    /// A home with these two files.
    fn home(config: &str, credentials: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir(home.path().join(".aws")).expect("a directory");
        fs::write(home.path().join(".aws/config"), config).expect("a file");
        fs::write(home.path().join(".aws/credentials"), credentials).expect("a file");
        home
    }

    fn of(home: &tempfile::TempDir, profile: Option<&str>) -> Result<(Option<String>, Option<S3Credentials>), String> {
        read(&Environment(&|name| match name {
            "HOME" => Some(home.path().into()),
            "AWS_PROFILE" => profile.map(OsString::from),
            _ => None,
        }))
    }

    fn keys(id: &str, token: Option<&str>) -> Option<S3Credentials> {
        let secret = |text: &str| Secret(text.to_owned());
        Some(S3Credentials::Static { id: secret(id), secret: secret("s=1+/"), token: token.map(secret) })
    }

    const CONFIG: &str = "
        \n[default]\nregion = eu-west-1 # home\ns3 =\n  max_concurrent_requests = 20\n\
        \n[profile tool]\ncredential_process = print-keys --for me\nregion=mars\n\
        \n[ profile  role ]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n\n[sso-session x]\n";
    const KEYS: &str = "# keys\n[default]\naws_access_key_id=id\naws_secret_access_key = s=1+/\n\n\
        [other]\nAWS_ACCESS_KEY_ID = other\naws_secret_access_key = s=1+/\naws_session_token = t\n";

    #[test]
    fn a_profile_is_what_both_files_say_of_it() {
        let home = home(CONFIG, KEYS);
        assert_eq!(of(&home, None), Ok((Some("eu-west-1".to_owned()), keys("id", None))));
        assert_eq!(of(&home, Some("other")), Ok((None, keys("other", Some("t")))));
        let process = S3Credentials::Process(Secret("print-keys --for me".to_owned()));
        assert_eq!(of(&home, Some("tool")), Ok((Some("mars".to_owned()), Some(process))));
        let complaint = of(&home, Some("role")).expect_err("a role");
        assert!(
            complaint.contains("by role_arn") && complaint.contains("--profile role --format process"),
            "{complaint}"
        );
        let complaint = of(&home, Some("nobody")).expect_err("no profile");
        assert_eq!(complaint, "AWS_PROFILE names the profile 'nobody', which no file of ~/.aws has");
        let empty = tempfile::tempdir().expect("a directory");
        assert_eq!(of(&empty, None), Ok((None, None)));
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_program_is_asked_again_before_its_credentials_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let count = dir.path().join("count");
        let provider = |minutes: i64| {
            let end = (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339();
            let json = format!(r#"{{"Version":1,"AccessKeyId":"id","SecretAccessKey":"hush","Expiration":"{end}"}}"#);
            Process::new(Secret(format!("echo x >> '{}'; echo '{json}'", count.display())))
        };
        let asked = || fs::read_to_string(&count).unwrap_or_default().lines().count();
        for (minutes, times) in [(60, 1), (4, 3)] {
            let provider = provider(minutes);
            for _ in 0..2 {
                assert_eq!(provider.get_credential().await.expect("credentials").key_id, "id");
                assert_eq!(provider.get_credential().await.expect("credentials").key_id, "id");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            assert_eq!(asked(), times, "{minutes} minutes");
        }
        for (command, clause) in
            [("echo oh no >&2; exit 3", "(oh no)"), ("echo hush", "no JSON"), ("echo '{}'", "no AccessKeyId")]
        {
            let error = Process::new(Secret(command.to_owned())).get_credential().await.expect_err(command).to_string();
            assert!(error.contains(clause) && !error.contains("hush"), "{error}");
        }
    }
}
