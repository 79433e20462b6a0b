//! The configuration of an Azure container, from an `abs` URL and the environment.

use super::credentials::AzureCredentials;
use crate::store::environment::Environment;
use crate::store::parameters::Parameters;
use crate::store::{recipient, url};

/// The container and path of a replica in Azure Blob Storage, and how to access it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct AzureConfig {
    pub(super) account: String,
    pub(super) container: String,
    pub(super) path: String,
    /// The URL of the server, with the account as its path if the account is not part of the host.
    pub(super) endpoint: String,
    pub(super) skip_verify: bool,
    pub(super) credentials: AzureCredentials,
}

impl AzureConfig {
    /// Parses an `abs` URL. `shown` is its masked form, for warnings.
    pub fn parse(parts: &url::UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<AzureConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let account = match parts.user_info()?.and_then(|info| info.user) {
            Some(account) => Some(account),
            None => environment.first(&[
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
            return Err("the URL names no account; write abs://account@container/path".to_owned());
        };
        // The account becomes part of a host name.
        if !account.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err(
                "the account contains characters that are not allowed; write abs://account@container/path".to_owned()
            );
        }
        let sas = sas(&mut parameters);
        let credentials = match parameters.flag("anonymous")? {
            Some(true) => AzureCredentials::None,
            _ => AzureCredentials::find(sas, environment)?,
        };
        let skip_verify = parameters.flag("skipVerify")?.unwrap_or(false);
        parameters.warn_of_the_rest(&[], shown);
        if parts.host.is_empty() || parts.host.contains(':') || parts.path.is_empty() {
            return Err("the URL names no container or no path; write abs://account@container/path".to_owned());
        }
        let (container, path) = (parts.host.to_owned(), parts.path.clone());
        let endpoint = match endpoint {
            None => format!("https://{account}.blob.core.windows.net"),
            // If the host does not contain the account, the account follows it as a path.
            Some(server) if account_of(&server).as_deref() != Some(&account) => format!("{server}/{account}"),
            Some(endpoint) => endpoint,
        };
        if credentials != AzureCredentials::None {
            recipient::warn_of_plain_http(&endpoint, shown);
        }
        Ok(AzureConfig { account, container, path, endpoint, skip_verify, credentials })
    }

    /// Returns the URL of the server, and the account.
    pub fn endpoint(&self) -> (&str, &str) {
        (&self.endpoint, &self.account)
    }

    /// As [`Location::recipient`](crate::store::Location::recipient).
    pub fn recipient(&self, parts: &url::UrlParts<'_>, environment: &Environment<'_>) -> Option<String> {
        let own =
            sas(&mut Parameters::of(&parts.query)).map(|sas| AzureCredentials::find(Some(sas), &Environment::EMPTY));
        if self.credentials == AzureCredentials::None || own.is_some_and(|own| own.as_ref() == Ok(&self.credentials)) {
            return None;
        }
        // Endpoints in the environment may not contain the account.
        let server = self.endpoint.strip_suffix(&format!("/{}", self.account)).unwrap_or(&self.endpoint);
        let is_named = recipient::verified_host(&self.endpoint).is_some_and(|host| is_azure(&host))
            || [server, &self.endpoint].into_iter().any(|named| recipient::is_named(named, environment, &ENDPOINTS));
        recipient::at(&self.endpoint, is_named, self.skip_verify)
    }
}

/// Variables with the URL of a server other than Azure.
const ENDPOINTS: [&str; 2] = ["AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT"];

/// Removes the shared access signature from the parameters of a URL.
fn sas(parameters: &mut Parameters) -> Option<String> {
    parameters.take("sas").or_else(|| parameters.take("sasToken"))
}

/// Returns whether a host belongs to Azure Blob Storage, in one of its clouds.
fn is_azure(host: &str) -> bool {
    const BLOBS: [&str; 4] = [
        ".blob.core.windows.net",
        ".blob.core.chinacloudapi.cn",
        ".blob.core.usgovcloudapi.net",
        ".blob.storage.azure.net",
    ];
    BLOBS.iter().any(|domain| host.ends_with(domain))
}

/// Returns the account in an endpoint: the last segment of its path, or the first label of its host.
fn account_of(endpoint: &str) -> Option<String> {
    let (_, rest) = endpoint.split_once("://")?;
    match rest.rsplit_once('/') {
        Some((_, account)) => Some(account.to_owned()),
        None => rest.split_once(".blob.").map(|(account, _)| account.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::environment::Secret;
    use std::ffi::OsString;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<AzureConfig, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        AzureConfig::parse(&url::UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    #[test]
    fn account_container_and_endpoint_come_from_url_and_environment() {
        let of = |url: &str, variables: &[(&str, &str)]| {
            let config = parse(url, variables).expect(url);
            (config.account, config.container, config.path, config.endpoint)
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
    fn the_order_is_signature_key_identity() {
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
    fn invalid_urls_are_refused() {
        for (url, part) in [
            ("abs://box/path", "no account"),
            ("abs://me@/path", "no container"),
            ("abs://me@box", "no path"),
            ("abs://evil.com%2f@box/p", "the account contains characters"),
            (r"abs://evil.com\@box/p", "the account contains characters"),
            ("abs://me@box/p?endpoint=http://", "endpoint"),
        ] {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.contains(part), "{error}");
        }
        let config = parse("abs://me@box/p", &[("AZURE_STORAGE_KEY", "hush!")]).expect("a configuration");
        let error = config.connect("abs://me@box/p".into()).expect_err("an invalid key");
        assert_eq!(error, "the key of the account is not valid Base64");
    }
}
