//! The bucket and the server that the host of an `s3` URL names.

use crate::store::url::{self, UrlParts};

/// The bucket and the server that a host names.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Host {
    /// Empty if the host names only a server.
    pub bucket: String,
    pub region: Option<String>,
    /// The URL of the server; None for Amazon S3.
    pub endpoint: Option<String>,
    pub path_style: bool,
}

/// A provider that Litestream recognizes by its hosts: `<bucket>.<label><region>.<domain>`.
struct Provider {
    domain: &'static str,
    label: &'static str,
    has_region: bool,
    path_style: bool,
}

const PROVIDERS: [Provider; 4] = [
    Provider { domain: "digitaloceanspaces.com", label: "", has_region: true, path_style: false },
    Provider { domain: "backblazeb2.com", label: "s3.", has_region: true, path_style: true },
    Provider { domain: "s3.filebase.com", label: "", has_region: false, path_style: true },
    Provider { domain: "scw.cloud", label: "s3.", has_region: true, path_style: false },
];

impl Host {
    /// Parses a host as Litestream does.
    pub fn parse(host: &str) -> Host {
        if host.contains(':') && !host.contains(".com") {
            // Another server, in the form bucket.server:port.
            let (bucket, server) = host.split_once('.').unwrap_or(("", host));
            let scheme = if url::is_local(server) { "http" } else { "https" };
            return Host {
                bucket: bucket.to_owned(),
                region: None,
                endpoint: Some(format!("{scheme}://{server}")),
                path_style: true,
            };
        }
        parse_amazon(host)
            .or_else(|| PROVIDERS.iter().find_map(|provider| provider.parse(host)))
            .unwrap_or_else(|| Host { bucket: host.to_owned(), ..Host::default() })
    }
}

/// An access point, which is used instead of a bucket and has its own host.
pub(super) struct AccessPoint {
    pub host: Host,
    /// The path of the replica.
    pub path: String,
}

impl AccessPoint {
    /// Parses `arn:aws:s3:<region>:<account>:accesspoint/<name>/<path>`. Returns None if it is not an ARN, and fails for other ARNs.
    pub fn parse(parts: &UrlParts<'_>) -> Result<Option<AccessPoint>, String> {
        let fields: Vec<&str> = parts.host.split(':').collect();
        if !fields[0].eq_ignore_ascii_case("arn") {
            return Ok(None);
        }
        let (name, path) = parts.path.split_once('/').unwrap_or((&parts.path, ""));
        match fields[..] {
            [_, partition, "s3", region, account, "accesspoint"] if !region.is_empty() && !name.is_empty() => {
                let ending = if partition == "aws-cn" { ".cn" } else { "" };
                let host = Host {
                    bucket: format!("{name}-{account}"),
                    region: Some(region.to_owned()),
                    endpoint: Some(format!("https://s3-accesspoint.{region}.amazonaws.com{ending}")),
                    path_style: false,
                };
                Ok(Some(AccessPoint { host, path: path.to_owned() }))
            }
            _ => Err("the host is not the ARN of an access point; write arn:aws:s3:region:account:accesspoint/name"
                .to_owned()),
        }
    }
}

/// Returns whether a host belongs to Amazon S3: `s3.<region>.amazonaws.com` and similar. Customers of Amazon control other hosts in
/// that domain.
pub(super) fn is_amazon(host: &str) -> bool {
    let labels = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    let labels: Vec<&str> = labels.map(|labels| labels.split('.').collect()).unwrap_or_default();
    let (service, region) = match labels[..] {
        [service] => (service, ""),
        [service, "dualstack", region] | [service, region] => (service, region),
        _ => return false,
    };
    ["s3", "s3-fips", "s3-accesspoint", "s3-accesspoint-fips"].contains(&service) && region != "elb"
}

/// Returns whether a host belongs to OSS of Alibaba Cloud.
pub(super) fn is_alibaba(host: &str) -> bool {
    let region = host.strip_prefix("s3.oss-").and_then(|host| host.strip_suffix(".aliyuncs.com"));
    region.is_some_and(|region| !region.contains('.'))
}

/// Returns whether an endpoint belongs to Tigris. By default, it returns the nearest copy of an object, even if that is outdated.
pub(super) fn is_tigris(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    ["fly.storage.tigris.dev", "t3.storage.dev"].iter().any(|tigris| host.eq_ignore_ascii_case(tigris))
}

/// Parses `bucket.s3.amazonaws.com` and `bucket.s3.region.amazonaws.com`.
fn parse_amazon(host: &str) -> Option<Host> {
    let host = host.strip_suffix(".amazonaws.com")?;
    let (bucket, region) = match host.strip_suffix(".s3") {
        Some(bucket) => (bucket, None),
        None => {
            let (bucket, region) = host.rsplit_once('.')?;
            (bucket.strip_suffix(".s3")?, Some(region.to_owned()))
        }
    };
    Some(Host { bucket: bucket.to_owned(), region, ..Host::default() })
}

impl Provider {
    fn parse(&self, host: &str) -> Option<Host> {
        let rest = match host.strip_suffix(self.domain)? {
            "" if !self.has_region => "",
            rest => rest.strip_suffix('.')?,
        };
        let (prefix, region) = match self.has_region {
            true => rest.rsplit_once('.').unwrap_or(("", rest)),
            false => (rest, ""),
        };
        let bucket = match self.label.strip_suffix('.') {
            Some(label) => prefix.strip_suffix(label)?,
            None => prefix,
        };
        let dot = if self.has_region { "." } else { "" };
        Some(Host {
            bucket: bucket.trim_end_matches('.').to_owned(),
            region: self.has_region.then(|| region.to_owned()),
            endpoint: Some(format!("https://{}{region}{dot}{}", self.label, self.domain)),
            path_style: self.path_style,
        })
    }
}

/// Returns the endpoint with the bucket before its host, for virtual-hosted requests.
pub(super) fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => format!("{bucket}.{endpoint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_parsed_as_litestream_parses_them() {
        for (host, bucket, region, endpoint, path_style) in [
            ("bucket", "bucket", None, None, false),
            ("my.dotted.bucket", "my.dotted.bucket", None, None, false),
            ("b.s3.amazonaws.com", "b", None, None, false),
            ("b.c.s3.eu-west-1.amazonaws.com", "b.c", Some("eu-west-1"), None, false),
            ("b.localhost:9000", "b", None, Some("http://localhost:9000"), true),
            ("localhost:9000", "", None, Some("http://localhost:9000"), true),
            ("b.minio.example.org:9000", "b", None, Some("https://minio.example.org:9000"), true),
            ("b.fra1.digitaloceanspaces.com", "b", Some("fra1"), Some("https://fra1.digitaloceanspaces.com"), false),
            (
                "b.s3.us-west-1.backblazeb2.com",
                "b",
                Some("us-west-1"),
                Some("https://s3.us-west-1.backblazeb2.com"),
                true,
            ),
            ("s3.us-west-1.backblazeb2.com", "", Some("us-west-1"), Some("https://s3.us-west-1.backblazeb2.com"), true),
            ("b.s3.filebase.com", "b", None, Some("https://s3.filebase.com"), true),
            ("b.s3.fr-par.scw.cloud", "b", Some("fr-par"), Some("https://s3.fr-par.scw.cloud"), false),
        ] {
            let (bucket, region, endpoint) =
                (bucket.to_owned(), region.map(str::to_owned), endpoint.map(str::to_owned));
            assert_eq!(Host::parse(host), Host { bucket, region, endpoint, path_style }, "{host}");
        }
    }

    #[test]
    fn a_bucket_is_inserted_before_the_host() {
        assert_eq!(with_bucket("https://fra1.example.com", "b"), "https://b.fra1.example.com");
    }
}
