//! The server that would receive credentials which are not part of the URL.
//!
//! Credentials from the environment (and from profiles, roles, agents and files that a URL refers to) may be sent to the service
//! they are for, and to servers that the environment names. If only the URL names the server, whether it may receive them depends
//! on who wrote the URL. Recipients are compared as text, which therefore includes how the server is verified.

use super::environment::Environment;
use super::url;
use ::url::Url;

/// Returns the recipient at `endpoint`, or None if it is the service's own or the environment names it, and its certificate is
/// verified.
pub(super) fn at(endpoint: &str, is_named: bool, skip_verify: bool) -> Option<String> {
    match (is_named, skip_verify) {
        (true, false) => None,
        (false, false) => Some(endpoint.to_owned()),
        (_, true) => Some(format!("{endpoint} without verifying its certificate")),
    }
}

/// Returns whether one of these variables names the endpoint.
pub(super) fn is_named(endpoint: &str, environment: &Environment<'_>, variables: &[&str]) -> bool {
    let named = variables.iter().filter_map(|name| environment.text(name).ok().flatten());
    named.filter_map(|text| url::endpoint(&text).ok()).any(|named| named == endpoint)
}

/// Returns the host of an `https` endpoint with the default port, or None for any other endpoint.
pub(super) fn verified_host(endpoint: &str) -> Option<String> {
    let parsed = Url::parse(endpoint).ok().filter(|parsed| parsed.scheme() == "https" && parsed.port().is_none())?;
    parsed.host_str().map(str::to_owned)
}

/// Logs a warning if credentials would be sent to another machine without encryption.
pub(super) fn warn_of_plain_http(endpoint: &str, shown: &str) {
    if endpoint.strip_prefix("http://").is_some_and(|host| !url::is_local(host)) {
        tracing::warn!("{shown}: requests to {endpoint}, including their credentials, are not encrypted; use https");
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Location;
    use std::ffi::OsString;

    /// Variables with credentials for every backend.
    const CREDENTIALS: [(&str, &str); 10] = [
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("OSS_ACCESS_KEY_ID", "me"),
        ("OSS_ACCESS_KEY_SECRET", "hush"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/key.json"),
        ("AZURE_STORAGE_KEY", "aHVzaA=="),
        ("LITESTREAM_NATS_TOKEN", "hush"),
        ("LITESTREAM_HTTP_USERNAME", "me"),
        ("LITESTREAM_WEBDAV_PASSWORD", "hush"),
        ("SSH_AUTH_SOCK", "/agent"),
    ];

    fn recipient(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Location::parse_with(url, find).expect(url).recipient().map(str::to_owned)
    }

    #[test]
    fn a_service_may_receive_its_own_credentials() {
        for url in [
            "s3://bucket/app",
            "s3://bucket/app?region=eu-west-1",
            "s3://b.s3.eu-west-1.amazonaws.com/app",
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/app",
            "s3://bucket/app?endpoint=https://s3.eu-west-1.amazonaws.com",
            "s3://bucket/app?endpoint=https://s3.dualstack.eu-west-1.amazonaws.com",
            "s3://bucket/app?endpoint=s3-fips.us-east-1.amazonaws.com",
            "s3://bucket/app?endpoint=https://s3.cn-north-1.amazonaws.com.cn",
            "oss://bucket/app",
            "oss://bucket/app?endpoint=https://s3.oss-eu-central-1.aliyuncs.com",
            #[cfg(feature = "gcs")]
            "gs://bucket/app",
            #[cfg(feature = "gcs")]
            "gs://bucket/app?endpoint=https://storage.me-central2.rep.googleapis.com",
            #[cfg(feature = "azure")]
            "abs://me@box/app",
            #[cfg(feature = "azure")]
            "abs://me@box/app?endpoint=https://me.blob.core.chinacloudapi.cn",
            "file:///srv/app",
        ] {
            assert_eq!(recipient(url, &CREDENTIALS), None, "{url}");
        }
    }

    #[test]
    fn a_server_that_only_the_url_names_is_a_recipient() {
        for (url, server) in [
            ("s3://bucket/app?endpoint=http://evil:9000", "http://evil:9000"),
            ("s3://b.localhost:9000/app", "http://localhost:9000"),
            ("s3://b.fra1.digitaloceanspaces.com/app", "https://fra1.digitaloceanspaces.com"),
            ("s3://bucket/app?endpoint=http://s3.amazonaws.com", "http://s3.amazonaws.com"),
            ("s3://bucket/app?endpoint=https://s3.amazonaws.com:8443", "https://s3.amazonaws.com:8443"),
            (
                "s3://bucket/app?endpoint=https://s3-1.eu-west-1.elb.amazonaws.com",
                "https://s3-1.eu-west-1.elb.amazonaws.com",
            ),
            (
                "s3://bucket/app?endpoint=https://ec2-1-2-3-4.compute-1.amazonaws.com",
                "https://ec2-1-2-3-4.compute-1.amazonaws.com",
            ),
            ("s3://bucket/app?endpoint=https://s3.amazonaws.com.evil", "https://s3.amazonaws.com.evil"),
            ("s3://bucket/app?skipVerify=true", "Amazon S3 without verifying its certificate"),
            ("oss://bucket/app?endpoint=https://evil", "https://evil"),
            #[cfg(feature = "gcs")]
            ("gs://bucket/app?endpoint=https://evil", "https://evil"),
            #[cfg(feature = "gcs")]
            ("gs://bucket/app?endpoint=https://googleapis.com.evil", "https://googleapis.com.evil"),
            #[cfg(feature = "azure")]
            ("abs://me@box/app?endpoint=https://evil", "https://evil/me"),
            #[cfg(feature = "nats")]
            ("nats://evil/app", "nats://evil"),
            #[cfg(feature = "nats")]
            ("nats://me:pw@evil/app?client-cert=/c&client-key=/k", "nats://evil"),
            #[cfg(feature = "http")]
            ("https://evil/app", "https://evil"),
            #[cfg(feature = "webdav")]
            ("webdav://me@evil/app", "http://evil"),
            #[cfg(feature = "sftp")]
            ("sftp://me@evil/app", "sftp://evil"),
            #[cfg(feature = "sftp")]
            ("sftp://me@evil:2222/app?insecure-host-key=1", "sftp://[evil]:2222 whatever its host key is"),
        ] {
            assert_eq!(recipient(url, &CREDENTIALS).as_deref(), Some(server), "{url}");
        }
    }

    #[test]
    fn a_url_with_its_own_credentials_or_none_has_no_recipient() {
        for url in [
            "s3://bucket/app?endpoint=http://evil:9000&anonymous=true",
            "oss://bucket/app?endpoint=https://evil&anonymous=true",
            #[cfg(feature = "gcs")]
            "gs://bucket/app?endpoint=https://evil&anonymous=true",
            #[cfg(feature = "azure")]
            "abs://me@box/app?endpoint=https://evil&sas=sig%3Dx",
            #[cfg(feature = "azure")]
            "abs://me@box/app?endpoint=https://evil&anonymous=true",
            #[cfg(feature = "nats")]
            "nats://me:password@evil/app",
            #[cfg(feature = "nats")]
            "nats://token@evil/app",
            #[cfg(feature = "http")]
            "https://me:password@evil/app",
            #[cfg(feature = "webdav")]
            "webdav://me:password@evil/app",
            #[cfg(feature = "sftp")]
            "sftp://me:password@evil/app",
        ] {
            let with_token = [("LITESTREAM_HTTP_PASSWORD", "hush")];
            let variables: Vec<_> = CREDENTIALS.into_iter().filter(|(name, _)| !name.contains("NATS")).collect();
            assert_eq!(recipient(url, &[variables, with_token.to_vec()].concat()), None, "{url}");
        }
        #[cfg(feature = "http")]
        assert_eq!(recipient("https://elsewhere/app", &[]), None);
        #[cfg(feature = "nats")]
        assert_eq!(recipient("nats://elsewhere/app", &[]), None);
    }

    #[test]
    fn a_server_that_the_environment_names_is_not_a_recipient() {
        let with = |pairs: &[(&'static str, &'static str)]| [&CREDENTIALS[..], pairs].concat();
        let url = "s3://bucket/app?endpoint=http://minio:9000/";
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "LITESTREAM_S3_ENDPOINT"] {
            assert_eq!(recipient(url, &with(&[(name, "http://minio:9000")])), None, "{name}");
            assert_eq!(recipient("s3://bucket/app", &with(&[(name, "http://minio:9000")])), None, "{name}");
            assert_eq!(
                recipient(url, &with(&[(name, "https://minio:9000")])).as_deref(),
                Some("http://minio:9000"),
                "{name}"
            );
        }
        #[cfg(feature = "azure")]
        for url in ["abs://me@box/app", "abs://me@box/app?endpoint=http://azurite:10000/me"] {
            assert_eq!(recipient(url, &with(&[("AZURE_STORAGE_ENDPOINT", "http://azurite:10000")])), None, "{url}");
        }
    }
}
