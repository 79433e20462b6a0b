//! Authentication of the user: key files, passwords, and the SSH agent.

use super::config::{KeyFile, SftpConfig};
use super::error::{SftpError, ssh_error};
use super::host_key::{HostKeyVerifier, is_rsa};
use crate::store::StoreErrorKind;
use crate::store::error::short;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use std::sync::Arc;

/// Authenticates with the configured key and password. If neither is set, tries the keys of the agent and the default key files.
pub(super) async fn authenticate(ssh: &mut Handle<HostKeyVerifier>, config: &SftpConfig) -> Result<(), SftpError> {
    let mut tried = Vec::new();
    let failed = |error: russh::Error| ssh_error(&config.server(), "cannot complete the authentication", &error);
    if let Some(file) = &config.key {
        let key = read_key(file).map_err(|cause| SftpError::new(StoreErrorKind::Config, cause))?;
        tried.push(format!("the key {}", file.path.display()));
        if with_key(ssh, config, key).await.map_err(failed)? {
            return Ok(());
        }
    }
    if let Some(password) = &config.password {
        tried.push("the password".to_owned());
        if with_password(ssh, config, &password.0).await.map_err(failed)? {
            return Ok(());
        }
    }
    if config.key.is_none() && config.password.is_none() {
        if with_agent(ssh, config).await {
            return Ok(());
        }
        tried.push("the keys of the agent".to_owned());
        for path in config.default_keys.iter().filter(|path| path.exists()) {
            let Ok(key) = read_key(&KeyFile { path: path.clone(), passphrase: None }) else { continue };
            tried.push(format!("the key {}", path.display()));
            if with_key(ssh, config, key).await.map_err(failed)? {
                return Ok(());
            }
        }
    }
    let (server, user, tried) = (config.server(), &config.user, tried.join(", "));
    let remedy = "set key-path in the URL, or LITESTREAM_SFTP_KEY_PATH or LITESTREAM_SFTP_PASSWORD";
    Err(SftpError::new(StoreErrorKind::Denied, format!("{server} rejects user {user} with {tried}; {remedy}")))
}

fn read_key(file: &KeyFile) -> Result<PrivateKey, String> {
    let path = file.path.display();
    let text = std::fs::read_to_string(&file.path).map_err(|error| format!("cannot read the key {path}: {error}"))?;
    let passphrase = file.passphrase.as_ref().map(|passphrase| passphrase.0.as_str());
    decode_secret_key(&text, passphrase).map_err(|error| match (error, passphrase) {
        (keys::Error::KeyIsEncrypted, None) => format!("the key {path} is encrypted; set key-passphrase"),
        (_, Some(_)) => format!("cannot decrypt the key {path} with key-passphrase"),
        (error, None) => format!("cannot read the key {path}: {}", short(&error.to_string())),
    })
}

async fn with_key(
    ssh: &mut Handle<HostKeyVerifier>,
    config: &SftpConfig,
    key: PrivateKey,
) -> Result<bool, russh::Error> {
    let hash = rsa_hash(ssh, &key.algorithm()).await;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    Ok(matches!(ssh.authenticate_publickey(&config.user, key).await?, AuthResult::Success))
}

/// Returns the hash for signatures with a key. RSA keys can sign with several, and a server supports some of them.
async fn rsa_hash(ssh: &Handle<HostKeyVerifier>, algorithm: &Algorithm) -> Option<HashAlg> {
    match is_rsa(algorithm) {
        true => ssh.best_supported_rsa_hash().await.ok().flatten().unwrap_or(Some(HashAlg::Sha256)),
        false => None,
    }
}

/// Tries the method `password`, and then `keyboard-interactive`, which some servers support instead.
async fn with_password(
    ssh: &mut Handle<HostKeyVerifier>,
    config: &SftpConfig,
    password: &str,
) -> Result<bool, russh::Error> {
    /// A server could send prompts without end.
    const MOST_PROMPTS: usize = 8;
    if let AuthResult::Success = ssh.authenticate_password(&config.user, password).await? {
        return Ok(true);
    }
    let mut state = ssh.authenticate_keyboard_interactive_start(&config.user, None).await?;
    for _ in 0..MOST_PROMPTS {
        state = match state {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let responses = prompts.iter().map(|_| password.to_owned()).collect();
                ssh.authenticate_keyboard_interactive_respond(responses).await?
            }
        };
    }
    Ok(false)
}

/// Tries the keys of the user's agent. Returns false if no agent runs.
#[cfg(unix)]
async fn with_agent(ssh: &mut Handle<HostKeyVerifier>, config: &SftpConfig) -> bool {
    let Some(socket) = &config.agent else { return false };
    match AgentClient::connect_uds(std::path::Path::new(socket)).await {
        Ok(agent) => with_keys_of(ssh, config, agent).await,
        Err(_) => false,
    }
}

/// Tries the keys of the user's agent. Returns false if no agent runs.
#[cfg(windows)]
async fn with_agent(ssh: &mut Handle<HostKeyVerifier>, config: &SftpConfig) -> bool {
    const DEFAULT_PIPE: &str = r"\\.\pipe\openssh-ssh-agent";
    let pipe = config.agent.as_deref().unwrap_or(DEFAULT_PIPE.as_ref());
    match AgentClient::connect_named_pipe(pipe).await {
        Ok(agent) => with_keys_of(ssh, config, agent).await,
        Err(_) => false,
    }
}

async fn with_keys_of<S>(ssh: &mut Handle<HostKeyVerifier>, config: &SftpConfig, mut agent: AgentClient<S>) -> bool
where
    S: AgentStream + Send + Unpin + 'static,
{
    for identity in agent.request_identities().await.unwrap_or_default() {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = rsa_hash(ssh, &key.algorithm()).await;
        let result = ssh.authenticate_publickey_with(&config.user, key, hash, &mut agent).await;
        if matches!(result, Ok(AuthResult::Success)) {
            return true;
        }
    }
    false
}
