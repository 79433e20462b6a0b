//! The configuration of an S3 bucket, from an `s3` URL and the environment.

use super::chain;
use super::credentials::S3Credentials;
use super::host::{AccessPoint, Host, is_alibaba, is_amazon};
use crate::store::cloud::is_region;
use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::recipient;
use crate::store::url::{self, UrlParts};
use object_store::path::Path;
use std::ffi::OsString;

/// The bucket and path of a replica in S3, and how to access it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct S3Config {
    pub bucket: String,
    /// The replica's path below the bucket, never empty.
    pub path: String,
    pub region: Option<String>,
    /// The URL of the server; None for Amazon S3.
    pub endpoint: Option<String>,
    pub path_style: bool,
    pub skip_verify: bool,
    /// The customer-provided encryption key, in Base64.
    pub customer_key: Option<Secret>,
    pub credentials: S3Credentials,
    /// A file with certificate authorities to trust in addition to the system's.
    pub authorities: Option<OsString>,
}

/// Parameters that Litestream uses when it writes. They are accepted so that the same URL can be used for writing and reading.
const WRITE_ONLY: [&str; 8] = [
    "signpayload",
    "requirecontentmd5",
    "concurrency",
    "partsize",
    "storageclass",
    "ssecustomeralgorithm",
    "ssecustomerkeymd5",
    "ssekmskeyid",
];

/// Variables with the URL of a server other than Amazon S3.
const ENDPOINTS: [&str; 3] = ["LITESTREAM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

impl S3Config {
    /// Parses an `s3` URL. `shown` is its masked form, for warnings.
    pub fn parse(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<S3Config, String> {
        let mut parameters = Parameters::of(&parts.query);
        let (host, path) = match AccessPoint::parse(parts)? {
            Some(point) => (point.host, point.path),
            None => (Host::parse(parts.host), parts.path.clone()),
        };
        let endpoint = match parameters.take("endpoint") {
            Some(endpoint) => Some(endpoint),
            None if host.endpoint.is_some() => None,
            None => environment.first(&ENDPOINTS)?,
        };
        let endpoint = endpoint.map(|text| url::endpoint(&text)).transpose()?;
        let region = parameters.take("region").or(host.region);
        let (credentials, regional) = match parameters.flag("anonymous")? {
            Some(true) => (S3Credentials::None, None),
            _ => chain::find(environment)?,
        };
        let config = S3Config {
            bucket: host.bucket,
            path,
            region: match region {
                None => environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])?.or(regional),
                region => region,
            },
            path_style: parameters.flag("forcePathStyle")?.unwrap_or(endpoint.is_some() || host.path_style),
            endpoint: endpoint.or(host.endpoint),
            skip_verify: parameters.flag("skipVerify")?.unwrap_or(false),
            customer_key: parameters.take("sseCustomerKey").map(Secret),
            credentials,
            authorities: environment.raw("AWS_CA_BUNDLE"),
        };
        parameters.warn_of_the_rest(&WRITE_ONLY, shown);
        if let Some(endpoint) = config.endpoint.as_deref().filter(|_| config.credentials != S3Credentials::None) {
            recipient::warn_of_plain_http(endpoint, shown);
        }
        if parts.user_info()?.is_some() {
            tracing::warn!(
                "{shown}: credentials in an s3 URL are ignored; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            );
        }
        config.check()
    }

    /// Fails if the URL cannot refer to a replica.
    fn check(self) -> Result<S3Config, String> {
        if self.bucket.is_empty() {
            return Err("the URL names no bucket; write s3://bucket/path, or for another server \
                        s3://bucket/path?endpoint=http://localhost:9000"
                .to_owned());
        }
        if self.bucket.contains(':') {
            return Err("the host has a port, so it is not a bucket of Amazon S3; for another server write \
                        s3://bucket/path?endpoint=https://minio.example.com:9000"
                .to_owned());
        }
        self.check_host()?;
        if self.path.is_empty() {
            return Err(
                "the URL names no path, and the keys that Litestream writes without a path cannot be read; add a \
                        path for writing and reading, as in s3://bucket/path"
                    .to_owned(),
            );
        }
        Path::parse(&self.path).map_err(|_| "the path contains control characters".to_owned())?;
        Ok(self)
    }

    /// Fails if the bucket or the region is invalid. Both become part of a host name and must not change it to another host.
    pub fn check_host(&self) -> Result<(), String> {
        if !self.bucket.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c)) {
            return Err("the bucket contains characters that are not allowed in a bucket name".to_owned());
        }
        match &self.region {
            Some(region) if !is_region(region) => {
                Err("the region is invalid; write for example eu-central-1".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// As [`Location::recipient`](crate::store::Location::recipient).
    pub fn recipient(&self, environment: &Environment<'_>) -> Option<String> {
        let is_own_service = |endpoint: &str| {
            recipient::verified_host(endpoint).is_some_and(|host| is_amazon(&host) || is_alibaba(&host))
        };
        match (&self.credentials, &self.endpoint) {
            (S3Credentials::None, _) => None,
            (_, None) => recipient::at("Amazon S3", true, self.skip_verify),
            (_, Some(endpoint)) => {
                let is_named = is_own_service(endpoint) || recipient::is_named(endpoint, environment, &ENDPOINTS);
                recipient::at(endpoint, is_named, self.skip_verify)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<S3Config, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        S3Config::parse(&UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    #[test]
    fn the_order_for_the_endpoint_is_parameter_host_environment() {
        let variables = [("AWS_ENDPOINT_URL", "http://c"), ("AWS_ENDPOINT_URL_S3", "http://b"), ("AWS_REGION", "mars")];
        let litestream = ("LITESTREAM_S3_ENDPOINT", "a.local");
        let of = |url: &str, variables: &[(&str, &str)]| {
            let config = parse(url, variables).expect(url);
            (config.endpoint.unwrap_or_default(), config.path_style, config.region.unwrap_or_default())
        };
        let expect = |endpoint: &str, path_style, region: &str| (endpoint.to_owned(), path_style, region.to_owned());
        assert_eq!(of("s3://b/p", &[]), expect("", false, ""));
        assert_eq!(of("s3://b/p", &variables), expect("http://b", true, "mars"));
        assert_eq!(of("s3://b/p", &[litestream, variables[0]]), expect("http://a.local", true, ""));
        assert_eq!(of("s3://b/p?endpoint=localhost:9&region=r", &variables), expect("http://localhost:9", true, "r"));
        assert_eq!(of("s3://b/p?endpoint=x.org&forcePathStyle=no", &[]), expect("https://x.org", false, ""));
        assert_eq!(of("s3://b.s3.us-west-1.amazonaws.com/p?force-path-style=t", &[]), expect("", true, "us-west-1"));
        let arn = "s3://arn:aws:s3:eu-west-1:123:accesspoint/mine/p/q?region=mars";
        assert_eq!(of(arn, &variables), expect("https://s3-accesspoint.eu-west-1.amazonaws.com", false, "mars"));
        let point = parse(arn, &[]).expect("a configuration");
        assert_eq!((&*point.bucket, &*point.path), ("mine-123", "p/q"));
        assert_eq!(
            of("s3://b.s3.fr-par.scw.cloud/p", &variables),
            expect("https://s3.fr-par.scw.cloud", false, "fr-par")
        );
    }

    #[test]
    fn the_region_of_the_environment_precedes_that_of_the_profile() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(home.path().join(".aws")).expect("a directory");
        std::fs::write(home.path().join(".aws/config"), "[default]\nregion = mars\n").expect("a file");
        let home = ("HOME", home.path().to_str().expect("text"));
        let of = |variables: &[(&str, &str)]| parse("s3://b/p", variables).expect("a configuration").region;
        assert_eq!(of(&[home]).as_deref(), Some("mars"));
        assert_eq!(of(&[home, ("AWS_REGION", "eu-west-1")]).as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn invalid_urls_are_refused() {
        for (url, part) in [
            ("s3://b/p?skip-verify=perhaps", "skipVerify is 'perhaps'"),
            ("s3://localhost:9000/b/p", "no bucket"),
            ("s3://b.minio.example.com:9000/p", "has a port"),
            ("s3://arn:aws:s3:eu-west-1:1:bucket/x/p", "not the ARN of an access point"),
            ("s3://arn:aws:s3:eu-west-1:1:accesspoint/x", "no path"),
            ("s3://b/p%0A", "control characters"),
            ("s3://b/p?region=x.evil/", "the region is invalid"),
            ("s3://b/p?region=evil%23", "the region is invalid"),
            ("s3://b%5c/p", "the bucket contains"),
            ("s3://b,c/p", "the bucket contains"),
            ("s3://arn:aws:s3:evil%5c:1:accesspoint/x/p", "the region is invalid"),
            ("s3://arn:aws:s3:eu-west-1:1%5c:accesspoint/x/p", "the bucket contains"),
            ("s3://b/p?endpoint=http://", "endpoint 'http:' is not the URL"),
        ] {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.contains(part), "{error}");
        }
    }
}
