//! The configuration of an SFTP replica, from its URL and the environment.

use super::host_key::{self, HostTrust};
use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::url::{UrlParts, UserInfo, split_port};
use std::ffi::OsString;
use std::path::PathBuf;

/// Server, path and credentials of a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct SftpConfig {
    pub user: String,
    pub host: String,
    pub port: u16,
    /// The path of the replica, never empty, without a slash at either end.
    pub path: String,
    pub password: Option<Secret>,
    pub key: Option<KeyFile>,
    /// Key files that are tried if neither a password nor a key is set.
    pub default_keys: Vec<PathBuf>,
    /// The socket or pipe of the SSH agent.
    pub agent: Option<OsString>,
    pub trust: HostTrust,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct KeyFile {
    pub path: PathBuf,
    pub passphrase: Option<Secret>,
}

impl SftpConfig {
    /// Parses a URL. `shown` is the URL without secrets, for warnings.
    pub fn parse(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<SftpConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let (user, password) = match parts.user_info()? {
            Some(UserInfo { user: Some(user), password }) => (user, password),
            _ => return Err("the URL has no user; write sftp://user@host/path".to_owned()),
        };
        let mut setting = |parameter: &str, variable: &str| match parameters.take(parameter) {
            None => environment.text(variable),
            value => Ok(value),
        };
        let password = match password {
            None => setting("password", "LITESTREAM_SFTP_PASSWORD")?,
            password => password,
        };
        let key = setting("keyPath", "LITESTREAM_SFTP_KEY_PATH")?;
        let passphrase = setting("keyPassphrase", "LITESTREAM_SFTP_KEY_PASSPHRASE")?.map(Secret);
        let host_key = setting("hostKey", "LITESTREAM_SFTP_HOST_KEY")?;
        let home = environment.raw("HOME").or_else(|| environment.raw("USERPROFILE")).map(PathBuf::from);
        let in_home = |names: &[&str]| -> Vec<PathBuf> {
            home.iter().flat_map(|home| names.iter().map(|name| home.join(".ssh").join(name))).collect()
        };
        let trust = match (parameters.flag("insecureHostKey")?, host_key) {
            (Some(true), _) => HostTrust::Any,
            (_, Some(key)) => HostTrust::Key(host_key::parse_setting(&key)?),
            (_, None) => HostTrust::KnownHosts([in_home(&["known_hosts"]), vec![SYSTEM_KNOWN_HOSTS.into()]].concat()),
        };
        let (host, port) = host_and_port(parts.host)?;
        parameters.warn_of_the_rest(&["concurrentwrites"], shown);
        if parts.path.is_empty() {
            return Err("the URL has no path; write sftp://user@host/path".to_owned());
        }
        Ok(SftpConfig {
            user,
            host,
            port,
            path: parts.path.clone(),
            password: password.map(Secret),
            key: key.map(|path| KeyFile { path: path.into(), passphrase }),
            default_keys: in_home(&["id_ed25519", "id_ecdsa", "id_rsa"]),
            agent: environment.raw("SSH_AUTH_SOCK"),
            trust,
        })
    }

    /// See [`Location::recipient`](crate::store::Location::recipient). A key file that the URL points to belongs to this machine, so the
    /// key does not count as part of the URL.
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let has_password = parts.user_info().ok()?.is_some_and(|info| info.password.is_some());
        let is_from_url = has_password || Parameters::of(&parts.query).take("password").is_some();
        if is_from_url && self.key.is_none() {
            return None;
        }
        let verified = match &self.trust {
            HostTrust::KnownHosts(_) => String::new(),
            HostTrust::Key(key) => format!(" with the host key {key}"),
            HostTrust::Any => " whatever its host key is".to_owned(),
        };
        Some(format!("sftp://{}{verified}", self.server()))
    }

    /// Returns host and port in the form of known_hosts, which errors show as well.
    pub fn server(&self) -> String {
        match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        }
    }
}

const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = split_port(text);
    let port = port.map_or(Ok(22), str::parse).map_err(|_| "the port is not a number from 1 to 65535".to_owned())?;
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" => Err("the URL has no host; write sftp://user@host/path".to_owned()),
        host => Ok((host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<SftpConfig, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        SftpConfig::parse(&UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBacRMgKuIGKU+/VmFeHtjiDJ1T2uMT7vkmRgSnvSSVu";
    const FINGERPRINT: &str = "SHA256:zlIUXYXk5PQQs35GRK370WyR+ng9zhahbZrn9ZOHsZI";

    #[test]
    fn a_url_has_user_host_port_and_path() {
        let of = |url: &str| {
            let config = parse(url, &[]).expect(url);
            let password = config.password.map(|password| password.0).unwrap_or_default();
            (config.user, password, config.host, config.port, config.path)
        };
        let expect = |user: &str, password: &str, host: &str, port, path: &str| {
            (user.to_owned(), password.to_owned(), host.to_owned(), port, path.to_owned())
        };
        assert_eq!(of("sftp://me@host/srv/app"), expect("me", "", "host", 22, "srv/app"));
        assert_eq!(of("sftp://me:p%40ss@host:2222/app"), expect("me", "p@ss", "host", 2222, "app"));
        assert_eq!(of("SFTP://me@[::1]:23//app/"), expect("me", "", "::1", 23, "app"));
        assert_eq!(of("sftp://me@[::1]/app"), expect("me", "", "::1", 22, "app"));
    }

    #[test]
    fn credentials_come_from_the_url_or_the_environment() {
        let config =
            parse("sftp://me@h/p?key-path=/k&keyPassphrase=hush", &[("SSH_AUTH_SOCK", "/agent")]).expect("a config");
        let passphrase = Some(Secret("hush".to_owned()));
        assert_eq!(config.key, Some(KeyFile { path: "/k".into(), passphrase }));
        assert_eq!(config.agent, Some("/agent".into()));
        let variables = [("LITESTREAM_SFTP_PASSWORD", "hush"), ("LITESTREAM_SFTP_KEY_PATH", "/k")];
        let config = parse("sftp://me@h/p", &variables).expect("a config");
        assert_eq!(config.password, Some(Secret("hush".to_owned())));
        assert_eq!(config.key, Some(KeyFile { path: "/k".into(), passphrase: None }));
    }

    #[test]
    fn the_host_key_is_checked_against_the_setting_or_known_hosts() {
        let trust = |url: &str| parse(url, &[("HOME", "/home/me")]).expect(url).trust;
        let files = vec!["/home/me/.ssh/known_hosts".into(), SYSTEM_KNOWN_HOSTS.into()];
        assert_eq!(trust("sftp://me@h/p"), HostTrust::KnownHosts(files));
        assert_eq!(trust("sftp://me@h/p?insecure-host-key=true"), HostTrust::Any);
        for key in [KEY, FINGERPRINT] {
            let url = format!("sftp://me@h/p?host-key={}", key.replace(' ', "%20").replace('+', "%2B"));
            assert_eq!(trust(&url), HostTrust::Key(key.to_owned()));
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_with_the_reason() {
        for (url, part) in [
            ("sftp://host/path", "no user"),
            ("sftp://me@/path", "no host"),
            ("sftp://me@host", "no path"),
            ("sftp://me@host:70000/path", "port"),
            ("sftp://me@host/path?host-key=x", "host-key is neither"),
            ("sftp://me@host/path?insecureHostKey=perhaps", "insecureHostKey is 'perhaps'"),
        ] {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.contains(part), "{error}");
        }
    }
}
