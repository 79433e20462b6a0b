//! Alibaba Cloud's Object Storage Service (OSS), accessed through its S3-compatible interface.

use super::config::S3Config;
use super::credentials::S3Credentials;
use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::url::{self, UrlParts};

/// The default region, as in Litestream.
const DEFAULT_REGION: &str = "cn-hangzhou";

impl S3Config {
    /// Parses an `oss` URL: `oss://bucket/path`, or with a host as in `oss://bucket.oss-cn-hangzhou.aliyuncs.com/path`.
    pub fn parse_oss(parts: &UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<S3Config, String> {
        let mut parameters = Parameters::of(&parts.query);
        let (bucket, region, is_internal) = host(parts.host);
        let region = match parameters.take("region").or(region) {
            None => environment.text("OSS_REGION")?.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            Some(region) => region,
        };
        let region = region.trim_start_matches("oss-");
        let endpoint = parameters.take("endpoint").map(|text| url::endpoint(&text)).transpose()?;
        let is_alibaba = endpoint.is_none();
        let internal = if is_internal { "-internal" } else { "" };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.oss-{region}{internal}.aliyuncs.com"));
        let config = S3Config {
            bucket,
            path: parts.path.clone(),
            region: Some(format!("oss-{region}")),
            // Alibaba Cloud accepts the bucket only in the host.
            path_style: parameters.flag("forcePathStyle")?.unwrap_or(!is_alibaba),
            endpoint: Some(endpoint),
            skip_verify: parameters.flag("skipVerify")?.unwrap_or(false),
            customer_key: None,
            credentials: match parameters.flag("anonymous")? {
                Some(true) => S3Credentials::None,
                _ => credentials(environment)?,
            },
            authorities: environment.raw("AWS_CA_BUNDLE"),
        };
        parameters.warn_of_the_rest(&["concurrency", "partsize"], shown);
        config.check_host()?;
        if config.bucket.is_empty() || config.path.is_empty() {
            return Err("the URL names no bucket or no path; write oss://bucket/path".to_owned());
        }
        Ok(config)
    }
}

/// Returns the bucket and the region that a host names, and whether the host is in Alibaba Cloud's internal network.
pub(super) fn host(host: &str) -> (String, Option<String>, bool) {
    let labels = host.strip_suffix(".aliyuncs.com").map(|labels| labels.rsplit_once('.').unwrap_or(("", labels)));
    match labels.and_then(|(bucket, label)| Some((bucket, label.strip_prefix("oss-")?))) {
        Some((bucket, region)) => {
            let bare = region.strip_suffix("-internal");
            (bucket.to_owned(), Some(bare.unwrap_or(region).to_owned()), bare.is_some())
        }
        None => (host.to_owned(), None, false),
    }
}

fn credentials(environment: &Environment<'_>) -> Result<S3Credentials, String> {
    let read = |name: &str| Ok::<_, String>(environment.text(name)?.map(Secret));
    match (read("OSS_ACCESS_KEY_ID")?, read("OSS_ACCESS_KEY_SECRET")?) {
        (Some(id), Some(secret)) => Ok(S3Credentials::Static { id, secret, token: read("OSS_SESSION_TOKEN")? }),
        _ => Err(
            "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET are not both set; set them, or anonymous=true for a public \
                  bucket"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url;
    use std::ffi::OsString;

    fn parse(url: &str) -> Result<S3Config, String> {
        let find = |name: &str| name.starts_with("OSS_ACCESS").then(|| OsString::from("hush"));
        let (_, rest) = url::scheme(url).expect("a scheme");
        S3Config::parse_oss(&UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    #[test]
    fn urls_are_parsed_as_litestream_parses_them() {
        for (url, region, endpoint) in [
            ("oss://b/p", "oss-cn-hangzhou", "https://s3.oss-cn-hangzhou.aliyuncs.com"),
            ("oss://b/p?region=eu-central-1", "oss-eu-central-1", "https://s3.oss-eu-central-1.aliyuncs.com"),
            ("oss://b.oss-us-west-1.aliyuncs.com/p", "oss-us-west-1", "https://s3.oss-us-west-1.aliyuncs.com"),
            (
                "oss://b.oss-us-west-1-internal.aliyuncs.com/p",
                "oss-us-west-1",
                "https://s3.oss-us-west-1-internal.aliyuncs.com",
            ),
            ("oss://b/p?endpoint=localhost:9000", "oss-cn-hangzhou", "http://localhost:9000"),
        ] {
            let config = parse(url).expect(url);
            let expected = ("b", "p", Some(region), Some(endpoint), url.contains("localhost"));
            let region = config.region.as_deref();
            let endpoint = config.endpoint.as_deref();
            assert_eq!((&*config.bucket, &*config.path, region, endpoint, config.path_style), expected);
        }
        for url in ["oss://b", "oss:///p", "oss://oss-cn-hangzhou.aliyuncs.com/p"] {
            assert!(parse(url).expect_err(url).contains("no bucket"), "{url}");
        }
    }
}
