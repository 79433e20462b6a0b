//! Profiles: the files `~/.aws/credentials` and `~/.aws/config` of Amazon's own tools.

use super::credentials::S3Credentials;
use crate::store::environment::{Environment, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings of a profile. The keys are in lower case.
type Profile = BTreeMap<String, String>;

/// Reads the region and the credentials of the profile that `AWS_PROFILE` names, or else of the profile `default`.
///
/// Returns None for what the profile does not set, and if there is no profile `default`. Fails if the named profile does not exist,
/// or gets its credentials in a way that is not supported.
pub(super) fn read(environment: &Environment<'_>) -> Result<(Option<String>, Option<S3Credentials>), String> {
    let named = environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])?;
    let name = named.as_deref().unwrap_or("default");
    let Some(profile) = profile(name, environment) else {
        return match named {
            Some(name) => Err(format!(
                "AWS_PROFILE names the profile '{name}', which does not exist in ~/.aws/config or ~/.aws/credentials"
            )),
            None => Ok((None, None)),
        };
    };
    let region = profile.get("region").cloned();
    let set = |key: &str| profile.get(key).cloned().map(Secret);
    let credentials = match (set("aws_access_key_id"), set("aws_secret_access_key"), set("credential_process")) {
        (Some(id), Some(secret), _) => Some(S3Credentials::Static { id, secret, token: set("aws_session_token") }),
        (_, _, Some(command)) => Some(S3Credentials::Process(command)),
        _ => {
            const UNSUPPORTED: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "login_session"];
            if let Some(key) = UNSUPPORTED.into_iter().find(|key| profile.contains_key(*key)) {
                return Err(format!(
                    "the profile '{name}' gets its credentials by {key}, which is not supported; add another profile with the \
                     line credential_process = aws configure export-credentials --profile {name} --format process, and \
                     name it in AWS_PROFILE"
                ));
            }
            None
        }
    };
    Ok((region, credentials))
}

/// Reads a profile from both files. The settings in `credentials` take precedence. Returns None if neither file has the profile.
fn profile(name: &str, environment: &Environment<'_>) -> Option<Profile> {
    let home = environment.raw("HOME").or_else(|| environment.raw("USERPROFILE")).map(PathBuf::from);
    let file = |variable: &str, name: &str| {
        let path = environment.raw(variable).map(PathBuf::from);
        let path = path.or_else(|| home.as_ref().map(|home| home.join(".aws").join(name)))?;
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

/// Returns the lines `key = value` in the section `[name]`, or None if there is no such section.
fn section(text: &str, name: &str) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut is_inside = false;
    for line in text.lines() {
        // An indented line belongs to the previous key.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;

    /// Creates a home directory with these two files.
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
    fn a_profile_combines_both_files() {
        let home = home(CONFIG, KEYS);
        assert_eq!(of(&home, None), Ok((Some("eu-west-1".to_owned()), keys("id", None))));
        assert_eq!(of(&home, Some("other")), Ok((None, keys("other", Some("t")))));
        let process = S3Credentials::Process(Secret("print-keys --for me".to_owned()));
        assert_eq!(of(&home, Some("tool")), Ok((Some("mars".to_owned()), Some(process))));
        let error = of(&home, Some("role")).expect_err("a role");
        assert!(error.contains("by role_arn") && error.contains("--profile role --format process"), "{error}");
        let error = of(&home, Some("nobody")).expect_err("no profile");
        assert!(error.starts_with("AWS_PROFILE names the profile 'nobody', which does not exist in"), "{error}");
        let empty = tempfile::tempdir().expect("a directory");
        assert_eq!(of(&empty, None), Ok((None, None)));
    }
}
