//! From a place to a conversation: the connection, the server's key, and our own credentials.

use super::config::{self, HostTrust, KeyFile, SftpConfig};
use super::error::SftpError;
use super::session::Session;
use crate::store::StoreErrorKind;
use crate::store::error::short;
use crate::store::timeouts::CONNECT_TIMEOUT;
use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{
    self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A conversation with a server, and the connection that carries it.
pub(super) struct SftpConnection {
    pub session: Session,
    /// Ends the connection when it is dropped.
    _ssh: Handle<Gatekeeper>,
}

/// How long a connection may be silent before the server is asked whether it is there. Its answer is awaited as long.
const ASK_AFTER: Duration = Duration::from_secs(5);

impl SftpConnection {
    pub async fn open(place: &SftpConfig) -> Result<SftpConnection, SftpError> {
        let mut ssh = connect(place).await?;
        authenticate(&mut ssh, place).await?;
        let refused = |error| below(place, "opens no channel", &error);
        let channel = ssh.channel_open_session().await.map_err(refused)?;
        channel.request_subsystem(true, "sftp").await.map_err(refused)?;
        let session = Session::begin(channel.into_stream()).await.map_err(|failure| match failure.is_lost {
            true => {
                SftpError::new(StoreErrorKind::Config, format!("{} offers no SFTP to {}", place.server(), place.user))
            }
            false => failure,
        })?;
        Ok(SftpConnection { session, _ssh: ssh })
    }

    pub fn has_ended(&self) -> bool {
        self.session.has_ended() || self._ssh.is_closed()
    }
}

async fn connect(place: &SftpConfig) -> Result<Handle<Gatekeeper>, SftpError> {
    let known = known_keys(place);
    let config = client::Config {
        preferred: russh::Preferred { key: preferred(&known), ..russh::Preferred::default() },
        keepalive_interval: Some(ASK_AFTER),
        keepalive_max: 1,
        nodelay: true,
        ..client::Config::default()
    };
    let unreachable = |cause: String| {
        SftpError::new(StoreErrorKind::Unreachable, format!("cannot connect to {}: {cause}", place.server()))
    };
    let late = |_| unreachable(format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs()));
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((place.host.as_str(), place.port))).await.map_err(late)?;
    let stream = stream.map_err(|error| unreachable(short(&error.to_string())))?;
    let _ = stream.set_nodelay(true);
    let gatekeeper = Gatekeeper { place: place.clone(), known };
    match timeout(CONNECT_TIMEOUT, client::connect_stream(config.into(), stream, gatekeeper)).await.map_err(late)? {
        Ok(ssh) => Ok(ssh),
        Err(HostKeyRefusal::Stranger(cause)) => Err(SftpError::new(StoreErrorKind::Config, cause)),
        Err(HostKeyRefusal::Ssh(error)) => Err(below(place, "speaks no SSH that is understood here", &error)),
    }
}

/// What went wrong below SSH is the network's doing; everything else is `complaint`.
fn below(place: &SftpConfig, complaint: &str, error: &russh::Error) -> SftpError {
    use russh::Error::{Disconnect, HUP, IO, SendError};
    let cause = short(&error.to_string());
    match error {
        Disconnect | HUP | IO(_) | SendError => {
            SftpError::new(StoreErrorKind::Unreachable, format!("the connection to {} failed: {cause}", place.server()))
        }
        _ => SftpError::new(StoreErrorKind::Protocol, format!("{} {complaint}: {cause}", place.server())),
    }
}

/// The keys that the user's files have for the server. What cannot be read there is no key.
fn known_keys(place: &SftpConfig) -> Vec<PublicKey> {
    let HostTrust::KnownHosts(files) = &place.trust else { return Vec::new() };
    let read = |file| keys::known_hosts::known_host_keys_path(&place.host, place.port, file).unwrap_or_default();
    files.iter().flat_map(read).map(|(_, key)| key).collect()
}

/// The kinds of keys that the server is asked for: first those that are known, so that it shows one of them.
fn preferred(known: &[PublicKey]) -> Cow<'static, [Algorithm]> {
    let all = russh::Preferred::default().key;
    let is_known = |algorithm: &Algorithm| {
        known.iter().any(|key| key.algorithm() == *algorithm || (is_rsa(&key.algorithm()) && is_rsa(algorithm)))
    };
    let (first, then): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_known);
    [first, then].concat().into()
}

/// Looks at the server's key.
struct Gatekeeper {
    place: SftpConfig,
    known: Vec<PublicKey>,
}

enum HostKeyRefusal {
    Stranger(String),
    Ssh(russh::Error),
}

impl std::fmt::Debug for HostKeyRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostKeyRefusal::Stranger(cause) => f.write_str(cause),
            HostKeyRefusal::Ssh(error) => error.fmt(f),
        }
    }
}

impl From<russh::Error> for HostKeyRefusal {
    fn from(error: russh::Error) -> HostKeyRefusal {
        HostKeyRefusal::Ssh(error)
    }
}

impl client::Handler for Gatekeeper {
    type Error = HostKeyRefusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HostKeyRefusal> {
        let server = self.place.server();
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Err(HostKeyRefusal::Stranger(format!("{server} shows a certificate, which nobody asked for")));
        };
        let print = config::fingerprint(key);
        let complaint = match &self.place.trust {
            HostTrust::Anyone => {
                tracing::warn!("sftp: the key {print} of {server} was not verified, as insecure-host-key=true asks");
                return Ok(true);
            }
            HostTrust::Key(given) if config::is_key(given, key) => return Ok(true),
            HostTrust::Key(_) => format!(
                "{server} shows the host key {print}, which is not the one that host-key names; if the server got a new \
                 key, change host-key, otherwise somebody is in between"
            ),
            HostTrust::KnownHosts(_) if self.known.iter().any(|known| known.key_data() == key.key_data()) => {
                return Ok(true);
            }
            HostTrust::KnownHosts(_) if self.known.is_empty() => format!(
                "the host key {print} of {server} is not known; if it is the right one, connect once with ssh, or add \
                 host-key={print} to the URL"
            ),
            HostTrust::KnownHosts(_) => format!(
                "{server} shows the host key {print}, but known_hosts has another; if the server got a new key, renew \
                 that line, otherwise somebody is in between"
            ),
        };
        Err(HostKeyRefusal::Stranger(complaint))
    }
}

async fn authenticate(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig) -> Result<(), SftpError> {
    let mut tried = Vec::new();
    let failed = |error: russh::Error| below(place, "breaks off the authentication", &error);
    if let Some(file) = &place.key {
        let key = secret_key(file).map_err(|cause| SftpError::new(StoreErrorKind::Config, cause))?;
        tried.push(format!("the key {}", file.path.display()));
        if with_key(ssh, place, key).await.map_err(failed)? {
            return Ok(());
        }
    }
    if let Some(password) = &place.password {
        tried.push("the password".to_owned());
        if with_password(ssh, place, &password.0).await.map_err(failed)? {
            return Ok(());
        }
    }
    if place.key.is_none() && place.password.is_none() {
        if with_agent(ssh, place).await {
            return Ok(());
        }
        tried.push("the keys of the agent".to_owned());
        for path in place.default_keys.iter().filter(|path| path.exists()) {
            let Ok(key) = secret_key(&KeyFile { path: path.clone(), passphrase: None }) else { continue };
            tried.push(format!("the key {}", path.display()));
            if with_key(ssh, place, key).await.map_err(failed)? {
                return Ok(());
            }
        }
    }
    let remedy = "set key-path in the URL, or LITESTREAM_SFTP_KEY_PATH or LITESTREAM_SFTP_PASSWORD";
    let (server, user, tried) = (place.server(), &place.user, tried.join(", "));
    Err(SftpError::new(StoreErrorKind::Denied, format!("{server} does not let {user} in with {tried}; {remedy}")))
}

fn secret_key(file: &KeyFile) -> Result<PrivateKey, String> {
    let shown = file.path.display();
    let text =
        std::fs::read_to_string(&file.path).map_err(|error| format!("the key {shown} cannot be read: {error}"))?;
    let passphrase = file.passphrase.as_ref().map(|passphrase| passphrase.0.as_str());
    decode_secret_key(&text, passphrase).map_err(|error| match (error, passphrase) {
        (keys::Error::KeyIsEncrypted, None) => format!("the key {shown} is encrypted; set key-passphrase"),
        (_, Some(_)) => format!("the key {shown} does not open with the passphrase that is set"),
        (error, None) => format!("the key {shown} cannot be read: {}", short(&error.to_string())),
    })
}

async fn with_key(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig, key: PrivateKey) -> Result<bool, russh::Error> {
    let hash = rsa_hash(ssh, &key.algorithm()).await;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    Ok(matches!(ssh.authenticate_publickey(&place.user, key).await?, AuthResult::Success))
}

/// How to sign with a key: RSA keys do it in several ways, of which servers know some.
async fn rsa_hash(ssh: &Handle<Gatekeeper>, algorithm: &Algorithm) -> Option<HashAlg> {
    match is_rsa(algorithm) {
        true => ssh.best_supported_rsa_hash().await.ok().flatten().unwrap_or(Some(HashAlg::Sha256)),
        false => None,
    }
}

fn is_rsa(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { .. })
}

/// Asks for it in the plain way, and in the way of a dialogue, which some servers have instead.
async fn with_password(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig, password: &str) -> Result<bool, russh::Error> {
    if let AuthResult::Success = ssh.authenticate_password(&place.user, password).await? {
        return Ok(true);
    }
    let mut state = ssh.authenticate_keyboard_interactive_start(&place.user, None).await?;
    // A dialogue that never ends is none.
    for _ in 0..8 {
        state = match state {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                ssh.authenticate_keyboard_interactive_respond(answers).await?
            }
        };
    }
    Ok(false)
}

/// Tries the keys of the user's agent. Without one there are none to try.
#[cfg(unix)]
async fn with_agent(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig) -> bool {
    let Some(socket) = &place.agent else { return false };
    match AgentClient::connect_uds(std::path::Path::new(socket)).await {
        Ok(agent) => with_keys_of(ssh, place, agent).await,
        Err(_) => false,
    }
}

/// Tries the keys of the user's agent. Without one there are none to try.
#[cfg(windows)]
async fn with_agent(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig) -> bool {
    const OF_THE_SYSTEM: &str = r"\\.\pipe\openssh-ssh-agent";
    let pipe = place.agent.as_deref().unwrap_or(OF_THE_SYSTEM.as_ref());
    match AgentClient::connect_named_pipe(pipe).await {
        Ok(agent) => with_keys_of(ssh, place, agent).await,
        Err(_) => false,
    }
}

async fn with_keys_of<S>(ssh: &mut Handle<Gatekeeper>, place: &SftpConfig, mut agent: AgentClient<S>) -> bool
where
    S: AgentStream + Send + Unpin + 'static,
{
    for identity in agent.request_identities().await.unwrap_or_default() {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = rsa_hash(ssh, &key.algorithm()).await;
        let answer = ssh.authenticate_publickey_with(&place.user, key, hash, &mut agent).await;
        if matches!(answer, Ok(AuthResult::Success)) {
            return true;
        }
    }
    false
}
