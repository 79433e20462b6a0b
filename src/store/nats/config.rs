//! The servers, bucket and credentials that a `nats` URL and the environment give.

use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::url::{UrlParts, UserInfo};
use async_nats::ServerAddr;
use std::path::PathBuf;

/// Where a replica lies in JetStream, and how to get in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct NatsConfig {
    /// Hosts with or without ports, of one cluster; never empty.
    pub servers: Vec<String>,
    /// The object store. It holds one replica, at its root.
    pub bucket: String,
    pub credentials: NatsCredentials,
    /// Whether TLS is spoken even if no server asks for it.
    pub tls: bool,
    /// Files with authorities that are believed besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Files with the certificate that servers are shown, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// What servers are shown of who we are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum NatsCredentials {
    None,
    User {
        name: String,
        password: Secret,
    },
    Token(Secret),
    /// A JWT, and the seed of the key that it names.
    Jwt {
        jwt: Secret,
        seed: Secret,
    },
    /// The seed of a key that the server knows.
    Key(Secret),
    /// A file with a JWT and a seed.
    File(PathBuf),
}

/// Where Litestream looks if a URL names no host.
const USUAL_SERVER: &str = "127.0.0.1:4222";

impl NatsConfig {
    pub fn parse(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<NatsConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let credentials = credentials(parts.user_info()?, &mut parameters, environment)?;
        let tls = parameters.flag("tls")?.unwrap_or(false);
        let authorities = parameters.take("rootCas").unwrap_or_default();
        let certificate = match (parameters.take("clientCert"), parameters.take("clientKey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err("client-cert and client-key are of use together alone".to_owned()),
        };
        parameters.warn_of_the_rest(&["maxreconnects", "reconnectwait", "timeout"], shown);
        if matches!(credentials, NatsCredentials::User { .. } | NatsCredentials::Token(_)) && !tls {
            tracing::warn!(
                "{shown}: password or token travel in the open unless the server asks for TLS; add tls=true"
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

    /// As [`Location::recipient`](crate::store::Location::recipient). A file that the URL points to is one of this machine.
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let own = credentials(parts.user_info().ok()?, &mut Parameters::of(&parts.query), &Environment::EMPTY);
        let is_own = own.as_ref() == Ok(&self.credentials) && !matches!(self.credentials, NatsCredentials::File(_));
        if is_own && self.certificate.is_none() {
            return None;
        }
        let tls = if self.tls { " over TLS" } else { "" };
        let trusting =
            if self.authorities.is_empty() { String::new() } else { format!(" trusting {:?}", self.authorities) };
        Some(format!("nats://{}{tls}{trusting}", self.server()))
    }

    /// The servers, as complaints show them.
    pub fn server(&self) -> String {
        self.servers.join(",")
    }
}

fn servers(host: &str) -> Result<Vec<String>, String> {
    let host = if host.is_empty() { USUAL_SERVER } else { host };
    let server = |text: &str| match format!("nats://{text}").parse::<ServerAddr>() {
        Ok(address) if !address.host().is_empty() => Ok(text.to_owned()),
        _ => Err("one of its hosts is none; write nats://host:4222/bucket".to_owned()),
    };
    host.split(',').map(server).collect()
}

fn bucket(path: &str) -> Result<String, String> {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match path {
        "" => Err("it names no bucket; write nats://host/bucket".to_owned()),
        name if is_name(name) => Ok(name.to_owned()),
        name if name.contains('/') => {
            Err("its path is more than a bucket; Litestream keeps one replica in a bucket, at its root".to_owned())
        }
        _ => Err("no bucket is called so; its name has letters, digits, '-' and '_' alone".to_owned()),
    }
}

/// In the order in which Litestream prefers them.
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
    let is_named = user.is_some();
    let user = user.map_or_else(|| environment.text("LITESTREAM_NATS_USERNAME"), |user| Ok(Some(user)))?;
    let password = password.map_or_else(|| environment.text("LITESTREAM_NATS_PASSWORD"), |word| Ok(Some(word)))?;
    Ok(match (jwt, seed, file) {
        (Some(jwt), Some(seed), _) => NatsCredentials::Jwt { jwt: Secret(jwt), seed: Secret(seed) },
        (Some(_), None, _) => return Err("its jwt is of no use without the seed".to_owned()),
        (None, _, Some(file)) => NatsCredentials::File(file.into()),
        (None, Some(seed), None) => NatsCredentials::Key(Secret(seed)),
        (None, None, None) => match (user, password, token) {
            (Some(name), Some(password), _) => NatsCredentials::User { name, password: Secret(password) },
            (_, _, Some(token)) => NatsCredentials::Token(Secret(token)),
            // Alone before the host it is a token, as for NATS's own clients.
            (Some(token), None, None) if is_named => NatsCredentials::Token(Secret(token)),
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
    fn a_url_names_servers_and_a_bucket() {
        for (url, servers, bucket) in [
            ("nats://host/app", &["host"][..], "app"),
            ("NATS://host:4333//my-app_1/", &["host:4333"], "my-app_1"),
            ("nats://a:4222,b:4223/app", &["a:4222", "b:4223"], "app"),
            ("nats://[::1]:4333/app", &["[::1]:4333"], "app"),
            ("nats:///app", &[USUAL_SERVER], "app"),
        ] {
            let place = parse(url, &[]).expect(url);
            assert_eq!(place.servers, servers, "{url}");
            assert_eq!(place.bucket, bucket, "{url}");
            assert_eq!((place.credentials, place.tls), (NatsCredentials::None, false), "{url}");
        }
    }

    #[test]
    fn credentials_come_from_the_url_or_the_environment_in_litestreams_order() {
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
    fn tls_is_asked_for_with_files_of_authorities_and_of_ones_own() {
        let place = parse("nats://h/b?tls=true&root-cas=/a,/b&client-cert=/c&clientKey=/k", &[]).expect("a place");
        assert!(place.tls);
        assert_eq!(place.authorities, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(place.certificate, Some(("/c".into(), "/k".into())));
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_its_name() {
        for (url, part) in [
            ("nats://host", "no bucket"),
            ("nats://host/app/one", "its path is more than a bucket"),
            ("nats://host/my%20app", "no bucket is called so"),
            ("nats://host:port/app", "one of its hosts is none"),
            ("nats://a,,b/app", "one of its hosts is none"),
            ("nats://host/app?jwt=ey", "without the seed"),
            ("nats://host/app?client-cert=/c", "together"),
            ("nats://host/app?tls=perhaps", "tls is 'perhaps'"),
        ] {
            let complaint = parse(url, &[]).expect_err(url);
            assert!(complaint.contains(part), "{complaint}");
        }
    }
}
