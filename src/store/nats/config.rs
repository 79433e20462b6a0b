//! The configuration of a NATS replica, from its URL and the environment.

use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::url::{UrlParts, UserInfo};
use async_nats::ServerAddr;
use std::path::PathBuf;

/// Servers, bucket and credentials of a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct NatsConfig {
    /// Hosts of one cluster, with or without ports; never empty.
    pub servers: Vec<String>,
    /// The object store. It contains one replica, at its root.
    pub bucket: String,
    pub credentials: NatsCredentials,
    /// Whether TLS is required even if the server does not require it.
    pub tls: bool,
    /// PEM files with certificate authorities that are trusted in addition to the system's.
    pub authorities: Vec<PathBuf>,
    /// PEM files with the client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Credentials for the servers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum NatsCredentials {
    None,
    User {
        name: String,
        password: Secret,
    },
    Token(Secret),
    /// A JWT, and the seed of the key in it.
    Jwt {
        jwt: Secret,
        seed: Secret,
    },
    /// The seed of a user key that the server knows.
    Key(Secret),
    /// A file with a JWT and a seed.
    File(PathBuf),
}

/// The server that Litestream uses if the URL has no host.
const DEFAULT_SERVER: &str = "127.0.0.1:4222";

impl NatsConfig {
    /// Parses a URL. `shown` is the URL without secrets, for warnings.
    pub fn parse(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<NatsConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let credentials = credentials(parts.user_info()?, &mut parameters, environment)?;
        let tls = parameters.flag("tls")?.unwrap_or(false);
        let authorities = parameters.take("rootCas").unwrap_or_default();
        let certificate = match (parameters.take("clientCert"), parameters.take("clientKey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err("client-cert and client-key must be set together".to_owned()),
        };
        parameters.warn_of_the_rest(&["maxreconnects", "reconnectwait", "timeout"], shown);
        if matches!(credentials, NatsCredentials::User { .. } | NatsCredentials::Token(_)) && !tls {
            tracing::warn!(
                "{shown}: the password or token is sent unencrypted unless the server requires TLS; add tls=true"
            );
        }
        Ok(NatsConfig {
            servers: servers(parts.host)?,
            bucket: bucket(&parts.path)?,
            credentials,
            tls,
            authorities: authorities.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect(),
            certificate,
        })
    }

    /// See [`Location::recipient`](crate::store::Location::recipient). A file that the URL points to belongs to this machine, so its
    /// content does not count as part of the URL.
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let from_url = credentials(parts.user_info().ok()?, &mut Parameters::of(&parts.query), &Environment::EMPTY);
        let is_from_url =
            from_url.as_ref() == Ok(&self.credentials) && !matches!(self.credentials, NatsCredentials::File(_));
        if is_from_url && self.certificate.is_none() {
            return None;
        }
        let tls = if self.tls { " over TLS" } else { "" };
        let trusting =
            if self.authorities.is_empty() { String::new() } else { format!(" trusting {:?}", self.authorities) };
        Some(format!("nats://{}{tls}{trusting}", self.server()))
    }

    /// Returns the servers as they are shown in errors.
    pub fn server(&self) -> String {
        self.servers.join(",")
    }
}

fn servers(host: &str) -> Result<Vec<String>, String> {
    let host = if host.is_empty() { DEFAULT_SERVER } else { host };
    let server = |text: &str| match format!("nats://{text}").parse::<ServerAddr>() {
        Ok(address) if !address.host().is_empty() => Ok(text.to_owned()),
        _ => Err("the URL has an invalid host; write nats://host:4222/bucket".to_owned()),
    };
    host.split(',').map(server).collect()
}

fn bucket(path: &str) -> Result<String, String> {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match path {
        "" => Err("the URL has no bucket; write nats://host/bucket".to_owned()),
        name if is_name(name) => Ok(name.to_owned()),
        name if name.contains('/') => {
            Err("the URL has a path after the bucket; a bucket contains one replica, at its root".to_owned())
        }
        _ => Err("the bucket's name is invalid; it consists of letters, digits, '-' and '_'".to_owned()),
    }
}

/// Returns the credentials of the URL and the environment, in Litestream's order of preference.
fn credentials(
    user_info: Option<UserInfo>,
    parameters: &mut Parameters,
    environment: &Environment<'_>,
) -> Result<NatsCredentials, String> {
    let mut setting = |name: &str| match parameters.take(name) {
        None => environment.text(&format!("LITESTREAM_NATS_{}", name.to_uppercase())),
        value => Ok(value),
    };
    let (jwt, seed) = (setting("jwt")?, setting("seed")?);
    let (file, token) = (setting("creds")?, setting("token")?);
    let (user, password) = user_info.map_or((None, None), |info| (info.user, info.password));
    let is_user_from_url = user.is_some();
    let user = user.map_or_else(|| environment.text("LITESTREAM_NATS_USERNAME"), |user| Ok(Some(user)))?;
    let password =
        password.map_or_else(|| environment.text("LITESTREAM_NATS_PASSWORD"), |password| Ok(Some(password)))?;
    Ok(match (jwt, seed, file) {
        (Some(jwt), Some(seed), _) => NatsCredentials::Jwt { jwt: Secret(jwt), seed: Secret(seed) },
        (Some(_), None, _) => return Err("jwt is set without seed".to_owned()),
        (None, _, Some(file)) => NatsCredentials::File(file.into()),
        (None, Some(seed), None) => NatsCredentials::Key(Secret(seed)),
        (None, None, None) => match (user, password, token) {
            (Some(name), Some(password), _) => NatsCredentials::User { name, password: Secret(password) },
            (_, _, Some(token)) => NatsCredentials::Token(Secret(token)),
            // A user without a password is a token, as for NATS's own clients.
            (Some(token), None, None) if is_user_from_url => NatsCredentials::Token(Secret(token)),
            _ => NatsCredentials::None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url;
    use std::ffi::OsString;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<NatsConfig, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        NatsConfig::parse(&UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn a_url_has_servers_and_a_bucket() {
        for (url, servers, bucket) in [
            ("nats://host/app", &["host"][..], "app"),
            ("NATS://host:4333//my-app_1/", &["host:4333"], "my-app_1"),
            ("nats://a:4222,b:4223/app", &["a:4222", "b:4223"], "app"),
            ("nats://[::1]:4333/app", &["[::1]:4333"], "app"),
            ("nats:///app", &[DEFAULT_SERVER], "app"),
        ] {
            let config = parse(url, &[]).expect(url);
            assert_eq!(config.servers, servers, "{url}");
            assert_eq!(config.bucket, bucket, "{url}");
            assert_eq!((config.credentials, config.tls), (NatsCredentials::None, false), "{url}");
        }
    }

    #[test]
    fn credentials_come_from_the_url_or_the_environment_in_order_of_preference() {
        let of = |url: &str, variables: &[(&str, &str)]| parse(url, variables).expect(url).credentials;
        let user = |password: &str| NatsCredentials::User { name: "me".to_owned(), password: secret(password) };
        assert_eq!(of("nats://me:p%40ss@h/b", &[]), user("p@ss"));
        assert_eq!(of("nats://me@h/b", &[("LITESTREAM_NATS_PASSWORD", "hush")]), user("hush"));
        let both = [("LITESTREAM_NATS_USERNAME", "me"), ("LITESTREAM_NATS_PASSWORD", "hush")];
        assert_eq!(of("nats://h/b", &both), user("hush"));
        assert_eq!(of("nats://h/b?token=other", &both), user("hush"));
        assert_eq!(of("nats://hush@h/b", &[]), NatsCredentials::Token(secret("hush")));
        assert_eq!(of("nats://h/b", &[("LITESTREAM_NATS_TOKEN", "hush")]), NatsCredentials::Token(secret("hush")));
        assert_eq!(of("nats://h/b?creds=/c", &both), NatsCredentials::File("/c".into()));
        assert_eq!(of("nats://h/b?seed=SU", &both), NatsCredentials::Key(secret("SU")));
        let jwt = NatsCredentials::Jwt { jwt: secret("ey"), seed: secret("SU") };
        assert_eq!(of("nats://h/b?creds=/c", &[("LITESTREAM_NATS_JWT", "ey"), ("LITESTREAM_NATS_SEED", "SU")]), jwt);
    }

    #[test]
    fn tls_is_configured_with_authorities_and_a_client_certificate() {
        let config = parse("nats://h/b?tls=true&root-cas=/a,/b&client-cert=/c&clientKey=/k", &[]).expect("a config");
        assert!(config.tls);
        assert_eq!(config.authorities, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.certificate, Some(("/c".into(), "/k".into())));
    }

    #[test]
    fn an_invalid_url_is_rejected_with_the_reason() {
        for (url, part) in [
            ("nats://host", "no bucket"),
            ("nats://host/app/one", "a path after the bucket"),
            ("nats://host/my%20app", "the bucket's name is invalid"),
            ("nats://host:port/app", "an invalid host"),
            ("nats://a,,b/app", "an invalid host"),
            ("nats://host/app?jwt=ey", "without seed"),
            ("nats://host/app?client-cert=/c", "together"),
            ("nats://host/app?tls=perhaps", "tls is 'perhaps'"),
        ] {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.contains(part), "{error}");
        }
    }
}
