//! Authentication of the user: key files, passwords, and the SSH agent.

use super::config::{KeyFile, SftpConfig};
use super::error::{SftpError, ssh_error};
use super::host_key::{HostKeyVerifier, is_rsa};
use crate::store::StoreErrorKind;
use crate::store::error::short;
use russh::client::{Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use std::path::Path;
use std::sync::Arc;

/// Authenticates with the configured key and password. If neither is set, tries the keys of the agent and the default key files.
pub(super) async fn authenticate(ssh: &mut Handle<HostKeyVerifier>, config: &SftpConfig) -> Result<(), SftpError> {
    let key = config.key.as_ref().map(read_key).transpose();
    let key = key.map_err(|cause| SftpError::new(StoreErrorKind::Config, cause))?;
    let mut attempts = SshAttempts { ssh, config, tried: Vec::new(), is_refused: false };
    match attempts.make(key).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(attempts.denied("")),
        // Servers end the connection after too many attempts, with a message or without one.
        Err(_) if attempts.is_refused || attempts.has_server_ended().await => {
            Err(attempts.denied(" and then ends the connection"))
        }
        Err(error) => Err(ssh_error(&config.server(), "cannot complete the authentication", &error)),
    }
}

/// The attempts to authenticate over one connection.
struct SshAttempts<'a> {
    ssh: &'a mut Handle<HostKeyVerifier>,
    config: &'a SftpConfig,
    /// What was tried, for the error.
    tried: Vec<String>,
    /// Whether the server has refused something, and kept the connection.
    is_refused: bool,
}

impl SshAttempts<'_> {
    /// Tries everything until the server accepts something, and returns whether it did. Fails if the connection ends. `key` is the
    /// configured key.
    async fn make(&mut self, key: Option<PrivateKey>) -> Result<bool, russh::Error> {
        let config = self.config;
        if let (Some(file), Some(key)) = (&config.key, key)
            && self.with_key(&file.path, key).await?
        {
            return Ok(true);
        }
        if let Some(password) = &config.password
            && self.with_password(&password.0).await?
        {
            return Ok(true);
        }
        if config.key.is_some() || config.password.is_some() {
            return Ok(false);
        }
        self.tried.push("the keys of the agent".to_owned());
        if self.with_agent().await? {
            return Ok(true);
        }
        for path in config.default_keys.iter().filter(|path| path.exists()) {
            let Ok(key) = read_key(&KeyFile { path: path.clone(), passphrase: None }) else { continue };
            if self.with_key(path, key).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether an attempt succeeded. Fails if the connection ended instead, which `russh` reports as a refusal.
    fn judge(&mut self, is_accepted: bool) -> Result<bool, russh::Error> {
        if !is_accepted && self.ssh.is_closed() {
            return Err(russh::Error::Disconnect);
        }
        self.is_refused |= !is_accepted;
        Ok(is_accepted)
    }

    /// Waits for the end of the connection. Returns whether a message of the server ended it.
    async fn has_server_ended(&mut self) -> bool {
        (&mut *self.ssh).await.is_ok()
    }

    /// `end` is what the server does then.
    fn denied(&self, end: &str) -> SftpError {
        let (server, user, tried) = (self.config.server(), &self.config.user, self.tried.join(", "));
        let remedy = "set key-path in the URL, or LITESTREAM_SFTP_KEY_PATH or LITESTREAM_SFTP_PASSWORD";
        SftpError::new(StoreErrorKind::Denied, format!("{server} rejects user {user} with {tried}{end}; {remedy}"))
    }

    async fn with_key(&mut self, path: &Path, key: PrivateKey) -> Result<bool, russh::Error> {
        self.tried.push(format!("the key {}", path.display()));
        let hash = rsa_hash(self.ssh, &key.algorithm()).await;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let result = self.ssh.authenticate_publickey(&self.config.user, key).await?;
        self.judge(result.success())
    }

    /// Tries the method `password`, and then `keyboard-interactive`, which some servers support instead.
    async fn with_password(&mut self, password: &str) -> Result<bool, russh::Error> {
        /// A server could send prompts without end.
        const MOST_PROMPTS: usize = 8;
        self.tried.push("the password".to_owned());
        let result = self.ssh.authenticate_password(&self.config.user, password).await?;
        if self.judge(result.success())? {
            return Ok(true);
        }
        let mut state = self.ssh.authenticate_keyboard_interactive_start(&self.config.user, None).await?;
        for _ in 0..MOST_PROMPTS {
            state = match state {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    let responses = prompts.iter().map(|_| password.to_owned()).collect();
                    self.ssh.authenticate_keyboard_interactive_respond(responses).await?
                }
            };
        }
        Ok(false)
    }

    /// Tries the keys of the user's agent. Returns false if no agent runs.
    #[cfg(unix)]
    async fn with_agent(&mut self) -> Result<bool, russh::Error> {
        let Some(socket) = &self.config.agent else { return Ok(false) };
        match AgentClient::connect_uds(Path::new(socket)).await {
            Ok(agent) => self.with_keys_of(agent).await,
            Err(_) => Ok(false),
        }
    }

    /// Tries the keys of the user's agent. Returns false if no agent runs.
    #[cfg(windows)]
    async fn with_agent(&mut self) -> Result<bool, russh::Error> {
        const DEFAULT_PIPE: &str = r"\\.\pipe\openssh-ssh-agent";
        let pipe = self.config.agent.as_deref().unwrap_or(DEFAULT_PIPE.as_ref());
        match AgentClient::connect_named_pipe(pipe).await {
            Ok(agent) => self.with_keys_of(agent).await,
            Err(_) => Ok(false),
        }
    }

    async fn with_keys_of<S>(&mut self, mut agent: AgentClient<S>) -> Result<bool, russh::Error>
    where
        S: AgentStream + Send + Unpin + 'static,
    {
        for identity in agent.request_identities().await.unwrap_or_default() {
            let AgentIdentity::PublicKey { key, .. } = identity else { continue };
            let hash = rsa_hash(self.ssh, &key.algorithm()).await;
            let result = self.ssh.authenticate_publickey_with(&self.config.user, key, hash, &mut agent).await;
            // An agent may decline to sign.
            let Ok(result) = result else { continue };
            if self.judge(result.success())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
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

/// Returns the hash for signatures with a key. RSA keys can sign with several, and a server supports some of them.
async fn rsa_hash(ssh: &Handle<HostKeyVerifier>, algorithm: &Algorithm) -> Option<HashAlg> {
    match is_rsa(algorithm) {
        true => ssh.best_supported_rsa_hash().await.ok().flatten().unwrap_or(Some(HashAlg::Sha256)),
        false => None,
    }
}
