//! The server, path, and credentials that an `sftp` URL and the environment give.

use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::url::{UrlParts, UserInfo};
use russh::keys::ssh_key::Fingerprint;
use russh::keys::{HashAlg, PublicKey};
use std::ffi::OsString;
use std::path::PathBuf;

/// Where a replica lies on an SSH server, and how to get in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct SftpConfig {
    pub user: String,
    pub host: String,
    pub port: u16,
    /// The replica's path, never empty, without a slash at either end.
    pub path: String,
    pub password: Option<Secret>,
    pub key: Option<KeyFile>,
    /// Keys that are tried where neither a password nor a key was given.
    pub default_keys: Vec<PathBuf>,
    /// Where an agent listens.
    pub agent: Option<OsString>,
    pub trust: HostTrust,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct KeyFile {
    pub path: PathBuf,
    pub passphrase: Option<Secret>,
}

/// Whom to take for the server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum HostTrust {
    /// Who has a key that these files know under the server's name.
    KnownHosts(Vec<PathBuf>),
    /// Who has this key: an authorized-keys line or a fingerprint.
    Key(String),
    /// Anyone who answers.
    Anyone,
}

impl SftpConfig {
    pub fn parse(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<SftpConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let (user, password) = match parts.user_info()? {
            Some(UserInfo { user: Some(user), password }) => (user, password),
            _ => return Err("it names no user; write sftp://user@host/path".to_owned()),
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
            (Some(true), _) => HostTrust::Anyone,
            (_, Some(key)) => HostTrust::Key(check_host_key(&key)?),
            (_, None) => HostTrust::KnownHosts([in_home(&["known_hosts"]), vec![SYSTEM_WIDE.into()]].concat()),
        };
        let (host, port) = host_and_port(parts.host)?;
        parameters.warn_of_the_rest(&["concurrentwrites"], shown);
        if parts.path.is_empty() {
            return Err("it names no path; write sftp://user@host/path".to_owned());
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

    /// As [`Location::recipient`](crate::store::Location::recipient). A key that the URL points to is one of this machine.
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let password = parts.user_info().ok()?.is_some_and(|info| info.password.is_some());
        let is_own = password || Parameters::of(&parts.query).take("password").is_some();
        if is_own && self.key.is_none() {
            return None;
        }
        let verified = match &self.trust {
            HostTrust::KnownHosts(_) => String::new(),
            HostTrust::Key(key) => format!(" with the host key {key}"),
            HostTrust::Anyone => " whatever its host key is".to_owned(),
        };
        Some(format!("sftp://{}{verified}", self.server()))
    }

    /// Host and port, as known_hosts and complaints show them.
    pub fn server(&self) -> String {
        match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        }
    }
}

const SYSTEM_WIDE: &str = "/etc/ssh/ssh_known_hosts";

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an address, not one before a port.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = port.map_or(Ok(22), str::parse).map_err(|_| "its port is no number from 1 to 65535".to_owned())?;
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" => Err("it names no host; write sftp://user@host/path".to_owned()),
        host => Ok((host.to_owned(), port)),
    }
}

/// The key in a form that can be read, with the plus signs that a query turns into blanks.
fn check_host_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (algorithm, key) = text.split_once(' ').unwrap_or(("", text));
    let candidates = [text.to_owned(), text.replace(' ', "+"), format!("{algorithm} {}", key.replace(' ', "+"))];
    candidates
        .into_iter()
        .find(|text| text.parse::<Fingerprint>().is_ok() || PublicKey::from_openssh(text).is_ok())
        .ok_or_else(|| {
            "its host key is neither the line of an authorized-keys file (ssh-ed25519 AAAA…) nor a fingerprint (SHA256:…)"
                .to_owned()
        })
}

/// Whether this is the key, or has the fingerprint, of [`HostTrust::Key`].
pub(super) fn is_key(given: &str, key: &PublicKey) -> bool {
    match given.parse::<Fingerprint>() {
        Ok(fingerprint) => key.fingerprint(fingerprint.algorithm()) == fingerprint,
        Err(_) => PublicKey::from_openssh(given).is_ok_and(|given| given.key_data() == key.key_data()),
    }
}

/// The fingerprint as OpenSSH shows it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
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
    const PRINT: &str = "SHA256:zlIUXYXk5PQQs35GRK370WyR+ng9zhahbZrn9ZOHsZI";

    #[test]
    fn a_url_names_user_host_port_and_path() {
        let of = |url: &str| {
            let place = parse(url, &[]).expect(url);
            let password = place.password.map(|password| password.0).unwrap_or_default();
            (place.user, password, place.host, place.port, place.path)
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
        let place =
            parse("sftp://me@h/p?key-path=/k&keyPassphrase=hush", &[("SSH_AUTH_SOCK", "/agent")]).expect("a place");
        let passphrase = Some(Secret("hush".to_owned()));
        assert_eq!(place.key, Some(KeyFile { path: "/k".into(), passphrase }));
        assert_eq!(place.agent, Some("/agent".into()));
        let variables = [("LITESTREAM_SFTP_PASSWORD", "hush"), ("LITESTREAM_SFTP_KEY_PATH", "/k")];
        let place = parse("sftp://me@h/p", &variables).expect("a place");
        assert_eq!(place.password, Some(Secret("hush".to_owned())));
        assert_eq!(place.key, Some(KeyFile { path: "/k".into(), passphrase: None }));
    }

    #[test]
    fn a_server_is_known_by_its_key_or_by_the_users_files() {
        let trust = |url: &str| parse(url, &[("HOME", "/home/me")]).expect(url).trust;
        let files = vec!["/home/me/.ssh/known_hosts".into(), SYSTEM_WIDE.into()];
        assert_eq!(trust("sftp://me@h/p"), HostTrust::KnownHosts(files));
        assert_eq!(trust("sftp://me@h/p?insecure-host-key=true"), HostTrust::Anyone);
        let key = PublicKey::from_openssh(KEY).expect("a key");
        assert_eq!(fingerprint(&key), PRINT);
        let other = PublicKey::from_openssh(&KEY.replacen('+', "/", 1)).expect("another key");
        // A plus sign that was not encoded is a blank in a query.
        for given in [KEY.to_owned(), format!("{KEY} a comment").replace('+', "%2B"), PRINT.to_owned()] {
            let url = format!("sftp://me@h/p?host-key={}", given.replace(' ', "%20"));
            let HostTrust::Key(given) = trust(&url) else { panic!("{url}") };
            assert!(is_key(&given, &key) && !is_key(&given, &other), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_its_name() {
        for (url, part) in [
            ("sftp://host/path", "no user"),
            ("sftp://me@/path", "no host"),
            ("sftp://me@host", "no path"),
            ("sftp://me@host:70000/path", "port"),
            ("sftp://me@host/path?host-key=x", "host key is neither"),
            ("sftp://me@host/path?insecureHostKey=perhaps", "insecureHostKey is 'perhaps'"),
        ] {
            let complaint = parse(url, &[]).expect_err(url);
            assert!(complaint.contains(part), "{complaint}");
        }
    }
}
