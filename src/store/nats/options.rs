//! Options of a connection: credentials and TLS.

use super::config::{NatsConfig, NatsCredentials};
use super::error::NatsError;
use crate::store::StoreErrorKind;
use crate::store::timeouts::{CONNECT_TIMEOUT, IDLE_TIMEOUT};
use crate::store::tls::Trust;
use async_nats::{AuthError, ConnectOptions};
use nkeys::KeyPair;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::path::Path;
use std::sync::Arc;

/// Returns the options of a connection. Reads the files that `config` names.
pub(super) fn connect_options(config: &NatsConfig) -> Result<ConnectOptions, NatsError> {
    let options = ConnectOptions::new()
        .name(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(IDLE_TIMEOUT))
        // Other servers must not get the credentials.
        .ignore_discovered_servers()
        // A lost connection is replaced by the store. The client itself would try for ever, also after the store was dropped. This is the
        // number of attempts, one per server, before which it gives up, also when it first connects; 0 would be no limit.
        .max_reconnects(config.servers.len())
        .require_tls(config.tls)
        .tls_client_config(tls(config).map_err(|cause| NatsError::new(StoreErrorKind::Config, cause))?);
    Ok(match &config.credentials {
        NatsCredentials::None => options,
        NatsCredentials::User { name, password } => options.user_and_password(name.clone(), password.0.clone()),
        NatsCredentials::Token(token) => options.token(token.0.clone()),
        NatsCredentials::Key(seed) => {
            key(&seed.0, "the setting seed")?;
            options.nkey(seed.0.trim().to_owned())
        }
        NatsCredentials::Jwt { jwt, seed } => with_jwt(options, &jwt.0, key(&seed.0, "the setting seed")?),
        NatsCredentials::File(path) => {
            let invalid =
                |cause: String| NatsError::new(StoreErrorKind::Config, format!("{}: {cause}", path.display()));
            let text =
                std::fs::read_to_string(path).map_err(|error| invalid(format!("the file cannot be read: {error}")))?;
            let incomplete = || invalid("a credentials file must contain a JWT and a seed".to_owned());
            let (jwt, seed) = parse_credentials(&text).ok_or_else(incomplete)?;
            with_jwt(options, jwt, key(seed, &path.display().to_string())?)
        }
    })
}

fn with_jwt(options: ConnectOptions, jwt: &str, key: KeyPair) -> ConnectOptions {
    let key = Arc::new(key);
    options.jwt(jwt.trim().to_owned(), move |nonce| {
        let signed = key.sign(&nonce).map_err(AuthError::new);
        async move { signed }
    })
}

fn key(seed: &str, source: &str) -> Result<KeyPair, NatsError> {
    // The library's error may quote the seed, so it is left out.
    KeyPair::from_seed(seed.trim()).map_err(|_| {
        NatsError::new(StoreErrorKind::Config, format!("{source} does not contain the seed of a user key (SU…)"))
    })
}

/// Returns the JWT and the seed of a credentials file. Each is on a line of its own, after a line with `BEGIN`.
fn parse_credentials(text: &str) -> Option<(&str, &str)> {
    let mut lines = text.lines().map(str::trim);
    let mut block = |name: &str| {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
        lines.next().filter(|line| !line.is_empty())
    };
    Some((block("JWT")?, block("SEED")?))
}

fn tls(config: &NatsConfig) -> Result<ClientConfig, String> {
    let mut authorities = Vec::new();
    for path in &config.authorities {
        authorities.extend(certificates(path)?);
    }
    let mut tls = Trust::System(authorities).config()?;
    tls.alpn_protocols.clear();
    if let Some((certificate, key)) = &config.certificate {
        let chain = certificates(certificate)?;
        let invalid = |cause: String| format!("{} and {}: {cause}", certificate.display(), key.display());
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid(error.to_string()))?;
        let client = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let client = client.map_err(|error| invalid(error.to_string()))?;
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(client));
    }
    Ok(tls)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} contains no certificate", path.display())),
        Err(error) => Err(format!("the certificates in {} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_contains_a_jwt_and_a_seed() {
        let file = "-----BEGIN NATS USER JWT-----\r\neyJ0.e30.x_-y\r\n------END NATS USER JWT------\r\n\r\n\
                    ***** IMPORTANT *****\r\nNKEYs are secrets.\r\n\r\n\
                    -----BEGIN USER NKEY SEED-----\r\nSUA\r\n------END USER NKEY SEED------\r\n";
        assert_eq!(parse_credentials(file), Some(("eyJ0.e30.x_-y", "SUA")));
        assert_eq!(parse_credentials(&file.replace("SEED", "SHED")), None);
        assert_eq!(parse_credentials("eyJ0\nSUA"), None);
    }

    #[test]
    fn an_error_about_a_seed_does_not_show_it() {
        let Err(error) = key("SUhush", "the setting seed") else { panic!("the seed is invalid") };
        assert_eq!(
            error.at("nats://h/b").to_string(),
            "nats://h/b: the setting seed does not contain the seed of a user key (SU…)"
        );
    }
}
