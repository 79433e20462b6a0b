//! Verification of the server's host key.

use russh::client::Handler;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::{self, Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Which host key is accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum HostTrust {
    /// A key that these files contain for the server.
    KnownHosts(Vec<PathBuf>),
    /// This key: a line of an authorized-keys file, or a fingerprint.
    Key(String),
    /// Any key.
    Any,
}

/// Accepts or rejects the host key that a server presents.
pub(super) struct HostKeyVerifier {
    /// The server's name for messages.
    server: String,
    trust: HostTrust,
    /// The server's keys in the user's `known_hosts` files.
    known: Vec<PublicKey>,
}

impl HostKeyVerifier {
    /// Reads the `known_hosts` files if the configuration trusts them. A file or line that cannot be read contains no key.
    pub fn new(host: &str, port: u16, server: String, trust: &HostTrust) -> HostKeyVerifier {
        let read = |file| keys::known_hosts::known_host_keys_path(host, port, file).unwrap_or_default();
        let known = match trust {
            HostTrust::KnownHosts(files) => files.iter().flat_map(read).map(|(_, key)| key).collect(),
            HostTrust::Key(_) | HostTrust::Any => Vec::new(),
        };
        HostKeyVerifier { server, trust: trust.clone(), known }
    }

    /// Returns the key algorithms in order of preference: those of known keys first, so that the server presents a known key.
    pub fn preferred_algorithms(&self) -> Cow<'static, [Algorithm]> {
        let all = russh::Preferred::default().key;
        let is_known = |algorithm: &Algorithm| {
            self.known
                .iter()
                .any(|key| key.algorithm() == *algorithm || (is_rsa(&key.algorithm()) && is_rsa(algorithm)))
        };
        let (known, others): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_known);
        [known, others].concat().into()
    }

    /// Returns why a key is rejected, or None if it is accepted.
    fn problem(&self, key: &PublicKey) -> Option<String> {
        let (server, presented) = (&self.server, fingerprint(key));
        match &self.trust {
            HostTrust::Any => {
                tracing::warn!(
                    "sftp: the host key {presented} of {server} was not verified, because insecure-host-key=true is set"
                );
                None
            }
            HostTrust::Key(expected) if matches_key(expected, key) => None,
            HostTrust::Key(_) => Some(format!(
                "{server} presents the host key {presented}, which does not match host-key; if the server has a new key, \
                 update host-key, otherwise the connection may be intercepted"
            )),
            HostTrust::KnownHosts(_) if self.known.iter().any(|known| known.key_data() == key.key_data()) => None,
            HostTrust::KnownHosts(_) if self.known.is_empty() => Some(format!(
                "the host key {presented} of {server} is not in known_hosts; if it is correct, connect once with ssh, or add \
                 host-key={presented} to the URL"
            )),
            HostTrust::KnownHosts(_) => Some(format!(
                "{server} presents the host key {presented}, but known_hosts contains another key; if the server has a new \
                 key, update known_hosts, otherwise the connection may be intercepted"
            )),
        }
    }
}

/// Why the connection to a server ended before the authentication.
pub(super) enum HostKeyRefusal {
    /// The host key is not trusted, for this reason.
    Untrusted(String),
    Ssh(russh::Error),
}

impl fmt::Debug for HostKeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostKeyRefusal::Untrusted(cause) => f.write_str(cause),
            HostKeyRefusal::Ssh(error) => error.fmt(f),
        }
    }
}

impl From<russh::Error> for HostKeyRefusal {
    fn from(error: russh::Error) -> HostKeyRefusal {
        HostKeyRefusal::Ssh(error)
    }
}

impl Handler for HostKeyVerifier {
    type Error = HostKeyRefusal;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, HostKeyRefusal> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else {
            let cause = format!("{} presents a certificate instead of a host key", self.server);
            return Err(HostKeyRefusal::Untrusted(cause));
        };
        match self.problem(key) {
            None => Ok(true),
            Some(cause) => Err(HostKeyRefusal::Untrusted(cause)),
        }
    }
}

/// Returns the key of the setting `host-key` with the plus signs that a query turns into spaces.
pub(super) fn parse_setting(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (algorithm, key) = text.split_once(' ').unwrap_or(("", text));
    let candidates = [text.to_owned(), text.replace(' ', "+"), format!("{algorithm} {}", key.replace(' ', "+"))];
    candidates
        .into_iter()
        .find(|text| text.parse::<Fingerprint>().is_ok() || PublicKey::from_openssh(text).is_ok())
        .ok_or_else(|| {
            "host-key is neither a line of an authorized-keys file (ssh-ed25519 AAAA…) nor a fingerprint (SHA256:…)"
                .to_owned()
        })
}

/// Returns true if `expected`, the value of [`HostTrust::Key`], is this key or its fingerprint.
fn matches_key(expected: &str, key: &PublicKey) -> bool {
    match expected.parse::<Fingerprint>() {
        Ok(fingerprint) => key.fingerprint(fingerprint.algorithm()) == fingerprint,
        Err(_) => PublicKey::from_openssh(expected).is_ok_and(|expected| expected.key_data() == key.key_data()),
    }
}

/// Returns the fingerprint in the form that OpenSSH shows.
fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

pub(super) fn is_rsa(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBacRMgKuIGKU+/VmFeHtjiDJ1T2uMT7vkmRgSnvSSVu";
    const FINGERPRINT: &str = "SHA256:zlIUXYXk5PQQs35GRK370WyR+ng9zhahbZrn9ZOHsZI";

    #[test]
    fn a_host_key_is_set_as_a_line_or_a_fingerprint() {
        let key = PublicKey::from_openssh(KEY).expect("a key");
        assert_eq!(fingerprint(&key), FINGERPRINT);
        let other = PublicKey::from_openssh(&KEY.replacen('+', "/", 1)).expect("another key");
        // A plus sign that is not percent-encoded is a space in a query.
        for text in
            [KEY, &KEY.replace('+', " "), &format!("{KEY} a comment"), FINGERPRINT, &FINGERPRINT.replace('+', " ")]
        {
            let setting = parse_setting(text).expect(text);
            assert!(matches_key(&setting, &key) && !matches_key(&setting, &other), "{text}");
        }
    }
}
