//! An SSH connection with an SFTP session.

use super::authentication::authenticate;
use super::config::SftpConfig;
use super::error::{SftpError, ssh_error};
use super::host_key::{HostKeyRefusal, HostKeyVerifier};
use super::session::Session;
use crate::store::StoreErrorKind;
use crate::store::error::short;
use crate::store::reconnect::StoreConnection;
use crate::store::timeouts::CONNECT_TIMEOUT;
use russh::client::{self, Handle};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An SFTP session and the SSH connection below it.
pub(super) struct SftpConnection {
    pub session: Session,
    /// Closes the connection on drop.
    ssh: Handle<HostKeyVerifier>,
}

impl StoreConnection for SftpConnection {
    type Config = SftpConfig;
    type Error = SftpError;

    async fn open(config: &SftpConfig) -> Result<SftpConnection, SftpError> {
        let mut ssh = connect(config).await?;
        authenticate(&mut ssh, config).await?;
        let failed = |error| ssh_error(&config.server(), "cannot open a channel", &error);
        let channel = ssh.channel_open_session().await.map_err(failed)?;
        channel.request_subsystem(true, "sftp").await.map_err(failed)?;
        let session = Session::begin(channel.into_stream()).await;
        let session = session.map_err(|error| match error.is_connection_lost {
            true => SftpError::new(
                StoreErrorKind::Config,
                format!("SFTP is not enabled on {} for user {}", config.server(), config.user),
            ),
            false => error,
        })?;
        Ok(SftpConnection { session, ssh })
    }

    fn has_ended(&self) -> bool {
        self.session.has_ended() || self.ssh.is_closed()
    }

    fn is_connection_failure(error: &SftpError) -> bool {
        error.is_connection_lost
    }

    fn timed_out(config: &SftpConfig, deadline: Duration) -> SftpError {
        let (server, seconds) = (config.server(), deadline.as_secs());
        let cause = format!("the connection to {server} failed: no response within {seconds} seconds");
        SftpError::new(StoreErrorKind::Unreachable, cause)
    }
}

/// Connects to the server and verifies its host key.
async fn connect(config: &SftpConfig) -> Result<Handle<HostKeyVerifier>, SftpError> {
    /// A connection that is silent for this long is probed, and closed if there is no response for as long again.
    const PROBE_AFTER: Duration = Duration::from_secs(5);
    let verifier = HostKeyVerifier::new(&config.host, config.port, config.server(), &config.trust);
    let options = client::Config {
        preferred: russh::Preferred { key: verifier.preferred_algorithms(), ..russh::Preferred::default() },
        keepalive_interval: Some(PROBE_AFTER),
        keepalive_max: 1,
        // Nothing else ends a connection whose server is silent in the key exchange: it has a task of its own, which ignores that it is not
        // waited for any more. Not shorter than it takes to send what was buffered.
        inactivity_timeout: Some(PROBE_AFTER * 4),
        nodelay: true,
        ..client::Config::default()
    };
    let unreachable = |cause: String| {
        SftpError::new(StoreErrorKind::Unreachable, format!("cannot connect to {}: {cause}", config.server()))
    };
    let timed_out = |_| unreachable(format!("no response within {} seconds", CONNECT_TIMEOUT.as_secs()));
    let stream = TcpStream::connect((config.host.as_str(), config.port));
    let stream = timeout(CONNECT_TIMEOUT, stream).await.map_err(timed_out)?;
    let stream = stream.map_err(|error| unreachable(short(&error.to_string())))?;
    let _ = stream.set_nodelay(true);
    let ssh = client::connect_stream(options.into(), stream, verifier);
    match timeout(CONNECT_TIMEOUT, ssh).await.map_err(timed_out)? {
        Ok(ssh) => Ok(ssh),
        Err(HostKeyRefusal::Untrusted(cause)) => Err(SftpError::new(StoreErrorKind::Config, cause)),
        Err(HostKeyRefusal::Ssh(error)) => {
            Err(ssh_error(&config.server(), "cannot negotiate an SSH connection", &error))
        }
    }
}
