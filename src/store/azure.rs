//! Replicas in Azure Blob Storage.

use super::cloud::{self, Bucket, ClientParts, CloudStore, Service};
use super::environment::{Environment, Secret};
use super::http::{Clients, Redirects};
use super::parameters::Parameters;
use super::paths::Layout;
use super::tls::Trust;
use super::{recipient, url};
use ::url::form_urlencoded;
use async_trait::async_trait;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use std::sync::Arc;

/// Where a replica lies in Azure Blob Storage, and how to ask for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct AzureConfig {
    account: String,
    container: String,
    path: String,
    /// With its scheme, and with the account where that is no part of the host.
    endpoint: String,
    skip_verify: bool,
    credentials: AzureCredentials,
}

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum AzureCredentials {
    /// Nothing: the container is public.
    None,
    /// The query of a shared access signature.
    Sas(Secret),
    /// The account's key, in Base64.
    Key(Secret),
    /// A principal, a workload or the machine: variables of the environment that tell how to ask.
    Identity(Vec<(&'static str, Secret)>),
}

impl AzureConfig {
    pub fn parse(parts: &url::UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<AzureConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let account = match parts.userinfo.map(|info| info.split(':').next().unwrap_or(info)) {
            Some(account) if !account.is_empty() => Some(account.to_owned()),
            _ => environment.first(&[
                "LITESTREAM_AZURE_ACCOUNT_NAME",
                "AZURE_STORAGE_ACCOUNT_NAME",
                "AZURE_STORAGE_ACCOUNT",
            ])?,
        };
        let endpoint = match parameters.take("endpoint") {
            None => environment.first(&ENDPOINTS)?,
            endpoint => endpoint,
        };
        let endpoint = endpoint.map(|text| url::endpoint(&text)).transpose()?;
        let Some(account) = account.or_else(|| account_of(endpoint.as_deref()?)) else {
            return Err("it names no account; write abs://account@container/path".to_owned());
        };
        // It becomes part of the name of a host.
        if !account.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err("its account has characters that no account has; write abs://account@container/path".to_owned());
        }
        let sas = sas(&mut parameters);
        let credentials = match parameters.flag("anonymous")? {
            Some(true) => AzureCredentials::None,
            _ => AzureCredentials::find(sas, environment)?,
        };
        let skip_verify = parameters.flag("skipVerify")?.unwrap_or(false);
        parameters.warn_of_the_rest(&[], shown);
        if parts.host.is_empty() || parts.host.contains(':') || parts.path.is_empty() {
            return Err("it names no container, or no path in it; write abs://account@container/path".to_owned());
        }
        let (container, path) = (parts.host.to_owned(), parts.path.clone());
        let endpoint = match endpoint {
            None => format!("https://{account}.blob.core.windows.net"),
            // A host that does not name the account is followed by it.
            Some(server) if account_of(&server).as_deref() != Some(&account) => format!("{server}/{account}"),
            Some(endpoint) => endpoint,
        };
        if credentials != AzureCredentials::None {
            recipient::warn_of_plain_http(&endpoint, shown);
        }
        Ok(AzureConfig { account, container, path, endpoint, skip_verify, credentials })
    }

    /// As [`Location::recipient`](super::Location::recipient).
    pub fn recipient(&self, parts: &url::UrlParts<'_>, environment: &Environment<'_>) -> Option<String> {
        let own =
            sas(&mut Parameters::of(&parts.query)).map(|sas| AzureCredentials::find(Some(sas), &Environment::EMPTY));
        if self.credentials == AzureCredentials::None || own.is_some_and(|own| own.as_ref() == Ok(&self.credentials)) {
            return None;
        }
        // Endpoints of the environment may come without the account.
        let server = self.endpoint.strip_suffix(&format!("/{}", self.account)).unwrap_or(&self.endpoint);
        let is_named = recipient::verified_host(&self.endpoint).is_some_and(|host| is_azures(&host))
            || [server, &self.endpoint].into_iter().any(|named| recipient::is_named(named, environment, &ENDPOINTS));
        recipient::at(&self.endpoint, is_named, self.skip_verify)
    }

    /// Makes a store of the place.
    pub fn connect(self, shown: Arc<str>) -> Result<CloudStore<AzureConfig>, String> {
        let clients = Clients::of(self.server(), Trust::of(self.skip_verify, None, &shown)?, None, Redirects::Refused)?;
        CloudStore::new(shown, self, clients)
    }
}

/// Variables that name a server other than Azure's.
const ENDPOINTS: [&str; 2] = ["AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT"];

/// The signature that a URL brings.
fn sas(parameters: &mut Parameters) -> Option<String> {
    parameters.take("sas").or_else(|| parameters.take("sasToken"))
}

/// Whether a host is one of Azure's for blobs, in the clouds that it has.
fn is_azures(host: &str) -> bool {
    const BLOBS: [&str; 4] = [
        ".blob.core.windows.net",
        ".blob.core.chinacloudapi.cn",
        ".blob.core.usgovcloudapi.net",
        ".blob.storage.azure.net",
    ];
    BLOBS.iter().any(|domain| host.ends_with(domain))
}

/// The account that an endpoint names: the last part of its path, or the first of its host.
fn account_of(endpoint: &str) -> Option<String> {
    let (_, rest) = endpoint.split_once("://")?;
    match rest.rsplit_once('/') {
        Some((_, account)) => Some(account.to_owned()),
        None => rest.split_once(".blob.").map(|(account, _)| account.to_owned()),
    }
}

impl AzureCredentials {
    /// As Litestream: a signature before a key before an identity.
    fn find(sas: Option<String>, environment: &Environment<'_>) -> Result<AzureCredentials, String> {
        const OF_IDENTITIES: [&str; 7] = [
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
            "AZURE_MSI_ENDPOINT",
            "AZURE_USE_AZURE_CLI",
        ];
        let sas = match sas {
            None => environment.first(&["LITESTREAM_AZURE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN"])?,
            sas => sas,
        };
        if let Some(sas) = sas {
            return Ok(AzureCredentials::Sas(Secret(sas.trim_start_matches('?').to_owned())));
        }
        let keys = ["LITESTREAM_AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"];
        if let Some(key) = environment.first(&keys)? {
            return Ok(AzureCredentials::Key(Secret(key)));
        }
        let mut set = Vec::new();
        for name in OF_IDENTITIES {
            set.extend(environment.text(name)?.map(|value| (name, Secret(value))));
        }
        Ok(AzureCredentials::Identity(set))
    }
}

impl Service for AzureConfig {
    fn layout(&self) -> Layout {
        Layout::Decimal
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn server(&self) -> &str {
        &self.endpoint
    }

    fn region(&self) -> &str {
        ""
    }

    fn client(&self, _region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String> {
        let builder = MicrosoftAzureBuilder::new()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.clone())
            .with_retry(parts.retry)
            .with_client_options(parts.options)
            .with_http_connector(parts.connector);
        let builder =
            match &self.credentials {
                AzureCredentials::None => builder.with_skip_signature(true),
                AzureCredentials::Sas(query) => {
                    let pairs = form_urlencoded::parse(query.0.as_bytes()).into_owned();
                    builder.with_sas_authorization(pairs.collect::<Vec<_>>())
                }
                AzureCredentials::Key(key) => builder.with_access_key(&key.0),
                AzureCredentials::Identity(variables) => variables.iter().fold(builder, |builder, (name, value)| {
                    match name.to_ascii_lowercase().parse::<AzureConfigKey>() {
                        Ok(key) => builder.with_config(key, &value.0),
                        Err(_) => builder,
                    }
                }),
            };
        let bucket = builder.build().map_err(|error| match &self.credentials {
            // What is wrong with a key may quote it.
            AzureCredentials::Key(_) => "the key of the account is not in Base64".to_owned(),
            _ => cloud::unusable(&error),
        })?;
        Ok(Arc::new(bucket))
    }

    fn lacks(&self) -> Option<&'static str> {
        matches!(self.credentials, AzureCredentials::Identity(_)).then_some(
            "neither LITESTREAM_AZURE_ACCOUNT_KEY nor LITESTREAM_AZURE_SAS_TOKEN is set, and no identity gives any",
        )
    }
}

#[async_trait]
impl Bucket for MicrosoftAzure {
    async fn authorize(&self) -> Result<(), object_store::Error> {
        self.credentials().get_credential().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<AzureConfig, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        AzureConfig::parse(&url::UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    #[test]
    fn a_url_and_the_environment_name_account_container_and_endpoint() {
        let of = |url: &str, variables: &[(&str, &str)]| {
            let place = parse(url, variables).expect(url);
            (place.account, place.container, place.path, place.endpoint)
        };
        let expect = |account: &str, endpoint: &str| {
            (account.to_owned(), "box".to_owned(), "a/b".to_owned(), endpoint.to_owned())
        };
        assert_eq!(of("abs://me@box/a/b", &[]), expect("me", "https://me.blob.core.windows.net"));
        let name = ("AZURE_STORAGE_ACCOUNT", "you");
        assert_eq!(of("abs://box/a/b", &[name]), expect("you", "https://you.blob.core.windows.net"));
        assert_eq!(of("abs://me@box/a/b", &[name]), expect("me", "https://me.blob.core.windows.net"));
        let local = "http://127.0.0.1:10000/me";
        assert_eq!(of("abs://me@box/a/b?endpoint=http://127.0.0.1:10000/me", &[]), expect("me", local));
        assert_eq!(of("abs://me@box/a/b?endpoint=127.0.0.1:10000", &[]), expect("me", local));
        assert_eq!(of("abs://box/a/b?endpoint=127.0.0.1:10000/me", &[]), expect("me", local));
        let china = "https://me.blob.core.chinacloudapi.cn";
        assert_eq!(of(&format!("abs://box/a/b?endpoint={china}"), &[]), expect("me", china));
    }

    #[test]
    fn a_signature_comes_before_a_key_and_a_key_before_an_identity() {
        let of = |url: &str, variables: &[(&str, &str)]| parse(url, variables).expect(url).credentials;
        let secret = |text: &str| Secret(text.to_owned());
        let (key, sas) = (("LITESTREAM_AZURE_ACCOUNT_KEY", "a2V5"), ("AZURE_STORAGE_SAS_TOKEN", "?sig=x"));
        assert_eq!(of("abs://me@box/p", &[key, sas]), AzureCredentials::Sas(secret("sig=x")));
        assert_eq!(of("abs://me@box/p?sas=sig%3Dy", &[key, sas]), AzureCredentials::Sas(secret("sig=y")));
        assert_eq!(of("abs://me@box/p", &[key]), AzureCredentials::Key(secret("a2V5")));
        let tenant = ("AZURE_TENANT_ID", "t");
        assert_eq!(of("abs://me@box/p", &[tenant]), AzureCredentials::Identity(vec![(tenant.0, secret("t"))]));
        assert_eq!(of("abs://me@box/p?anonymous=true", &[key]), AzureCredentials::None);
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_its_name() {
        for (url, part) in [
            ("abs://box/path", "no account"),
            ("abs://me@/path", "no container"),
            ("abs://me@box", "no path"),
            ("abs://evil.com%2f@box/p", "its account has characters"),
            (r"abs://evil.com\@box/p", "its account has characters"),
            ("abs://me@box/p?endpoint=http://", "endpoint"),
        ] {
            let complaint = parse(url, &[]).expect_err(url);
            assert!(complaint.contains(part), "{complaint}");
        }
        let place = parse("abs://me@box/p", &[("AZURE_STORAGE_KEY", "hush!")]).expect("a place");
        let complaint = place.connect("abs://me@box/p".into()).expect_err("no key");
        assert_eq!(complaint, "the key of the account is not in Base64");
    }
}
