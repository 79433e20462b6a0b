//! The bucket, path, options and credentials that an `s3` URL and the environment give.

use super::host::{AccessPoint, Host, is_amazons};
use super::oss::is_alibabas;
use super::profile;
use crate::store::cloud::is_region;
use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::recipient;
use crate::store::url::{self, UrlParts};
use object_store::path::Path;
use std::ffi::OsString;

/// Where a replica lies in S3, and how to ask for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct S3Config {
    pub bucket: String,
    /// The replica's path below the bucket, never empty.
    pub path: String,
    pub region: Option<String>,
    /// With its scheme; None for Amazon's own.
    pub endpoint: Option<String>,
    pub path_style: bool,
    pub skip_verify: bool,
    /// The key that the customer encrypts objects with, in Base64.
    pub customer_key: Option<Secret>,
    pub credentials: S3Credentials,
    /// A file of certificates to trust besides the system's.
    pub authorities: Option<OsString>,
}

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum S3Credentials {
    /// Keys that somebody set.
    Static { id: Secret, secret: Secret, token: Option<Secret> },
    /// Where to ask for the keys of a role: variables of the environment.
    Role(Vec<(&'static str, Secret)>),
    /// A program that prints them.
    Process(Secret),
    /// Nothing: the bucket is public.
    None,
}

/// What Litestream reads when it writes. Accepted, so that one URL serves both.
const FOR_WRITERS: [&str; 8] = [
    "signpayload",
    "requirecontentmd5",
    "concurrency",
    "partsize",
    "storageclass",
    "ssecustomeralgorithm",
    "ssecustomerkeymd5",
    "ssekmskeyid",
];

/// Variables that name a server other than Amazon's.
const ENDPOINTS: [&str; 3] = ["LITESTREAM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Where an instance is asked, as `object_store` calls it.
const METADATA: &str = "AWS_METADATA_ENDPOINT";

impl S3Config {
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
            _ => S3Credentials::find(environment)?,
        };
        let place = S3Config {
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
        parameters.warn_of_the_rest(&FOR_WRITERS, shown);
        if let Some(endpoint) = place.endpoint.as_deref().filter(|_| place.credentials != S3Credentials::None) {
            recipient::warn_of_plain_http(endpoint, shown);
        }
        if parts.userinfo.is_some() {
            tracing::warn!("{shown}: credentials in an s3 URL are ignored, set AWS_ACCESS_KEY_ID and so on");
        }
        place.check()
    }

    fn check(self) -> Result<S3Config, String> {
        if self.bucket.is_empty() {
            return Err("it names no bucket; write s3://bucket/path, and a server of your own as \
                        s3://bucket/path?endpoint=http://localhost:9000"
                .to_owned());
        }
        if self.bucket.contains(':') {
            return Err("its host has a port, so it is no bucket at Amazon's; name a server of your own as in \
                        s3://bucket/path?endpoint=https://minio.example.com:9000"
                .to_owned());
        }
        self.check_host()?;
        if self.path.is_empty() {
            return Err("it names no path below the bucket, and what Litestream writes without one has keys that \
                        cannot be read; give the replica a path on both sides, as in s3://bucket/path"
                .to_owned());
        }
        Path::parse(&self.path).map_err(|_| "its path holds control characters".to_owned())?;
        Ok(self)
    }

    /// Bucket and region become parts of the names of hosts, and must not lead to another host.
    pub fn check_host(&self) -> Result<(), String> {
        if !self.bucket.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c)) {
            return Err("its bucket has characters that no bucket has".to_owned());
        }
        match &self.region {
            Some(region) if !is_region(region) => Err("its region is no region, as eu-central-1 is".to_owned()),
            _ => Ok(()),
        }
    }

    /// As [`Location::recipient`](crate::store::Location::recipient).
    pub fn recipient(&self, environment: &Environment<'_>) -> Option<String> {
        let is_own = |endpoint: &str| {
            recipient::verified_host(endpoint).is_some_and(|host| is_amazons(&host) || is_alibabas(&host))
        };
        match (&self.credentials, &self.endpoint) {
            (S3Credentials::None, _) => None,
            (_, None) => recipient::at("Amazon S3", true, self.skip_verify),
            (_, Some(endpoint)) => {
                let is_named = is_own(endpoint) || recipient::is_named(endpoint, environment, &ENDPOINTS);
                recipient::at(endpoint, is_named, self.skip_verify)
            }
        }
    }
}

impl S3Credentials {
    /// As Amazon's own tools look for them, and with them the region of a profile. Keys come in pairs: halves of two
    /// pairs are never mixed.
    fn find(environment: &Environment<'_>) -> Result<(S3Credentials, Option<String>), String> {
        let mut half = None;
        for family in ["AWS", "LITESTREAM"] {
            let name = |rest: &str| format!("{family}_{rest}");
            let read = |rest: &str| Ok::<_, String>(environment.text(&name(rest))?.map(Secret));
            let (id, secret) = (read("ACCESS_KEY_ID")?, read("SECRET_ACCESS_KEY")?);
            match (id, secret) {
                (Some(id), Some(secret)) => {
                    return Ok((S3Credentials::Static { id, secret, token: read("SESSION_TOKEN")? }, None));
                }
                (None, None) => {}
                (Some(_), None) => half = half.or(Some([name("ACCESS_KEY_ID"), name("SECRET_ACCESS_KEY")])),
                (None, Some(_)) => half = half.or(Some([name("SECRET_ACCESS_KEY"), name("ACCESS_KEY_ID")])),
            }
        }
        if let Some([set, unset]) = half {
            return Err(format!("{set} is set but {unset} is not; set both or neither"));
        }
        if environment.raw("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return Ok((S3Credentials::role(environment)?, None));
        }
        let (region, credentials) = profile::read(environment)?;
        Ok((credentials.map_or_else(|| S3Credentials::role(environment), Ok)?, region))
    }

    fn role(environment: &Environment<'_>) -> Result<S3Credentials, String> {
        const VARIABLES: [&str; 9] = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_ENDPOINT_URL_STS",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            METADATA,
            "AWS_IMDSV1_FALLBACK",
        ];
        let mut set = Vec::new();
        for name in VARIABLES {
            set.extend(environment.text(name)?.map(|value| (name, Secret(value))));
        }
        if let Some(endpoint) = environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT")? {
            set.retain(|(name, _)| *name != METADATA);
            set.push((METADATA, Secret(endpoint.trim_end_matches('/').to_owned())));
        }
        let is_set = |name: &str| set.iter().any(|(set, _)| *set == name);
        for (one, other) in [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ] {
            if is_set(one) && !is_set(other) {
                return Err(format!("{one} is set but {other} is not, which it needs; set both or neither"));
            }
        }
        let of_others = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        let is_off = environment.text("AWS_EC2_METADATA_DISABLED")?.is_some_and(|off| off.eq_ignore_ascii_case("true"));
        match is_off && !of_others.into_iter().any(is_set) {
            true => Err("there are no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and \
                         AWS_EC2_METADATA_DISABLED forbids to ask the instance; set them, or anonymous=true for a \
                         public bucket"
                .to_owned()),
            false => Ok(S3Credentials::Role(set)),
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

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn an_endpoint_comes_from_the_url_then_its_host_then_the_environment() {
        let variables = [("AWS_ENDPOINT_URL", "http://c"), ("AWS_ENDPOINT_URL_S3", "http://b"), ("AWS_REGION", "mars")];
        let litestream = ("LITESTREAM_S3_ENDPOINT", "a.local");
        let of = |url: &str, variables: &[(&str, &str)]| {
            let place = parse(url, variables).expect(url);
            (place.endpoint.unwrap_or_default(), place.path_style, place.region.unwrap_or_default())
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
        let point = parse(arn, &[]).expect("a place");
        assert_eq!((&*point.bucket, &*point.path), ("mine-123", "p/q"));
        assert_eq!(
            of("s3://b.s3.fr-par.scw.cloud/p", &variables),
            expect("https://s3.fr-par.scw.cloud", false, "fr-par")
        );
    }

    #[test]
    fn keys_come_in_pairs() {
        let of = |variables: &[(&str, &str)]| parse("s3://b/p", variables).map(|place| place.credentials);
        let (id, key, token) = (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c"));
        let other = [("LITESTREAM_ACCESS_KEY_ID", "x"), ("LITESTREAM_SECRET_ACCESS_KEY", "y")];
        let first = |token| Ok(S3Credentials::Static { id: secret("a"), secret: secret("b"), token });
        let second = || Ok(S3Credentials::Static { id: secret("x"), secret: secret("y"), token: None });
        assert_eq!(of(&[id, key, other[0], other[1]]), first(None));
        assert_eq!(of(&[id, key, token]), first(Some(secret("c"))));
        assert_eq!(of(&[other[0], other[1], token]), second());
        assert_eq!(of(&[id, other[0], other[1]]), second());
        let complaint = of(&[id, other[1]]).expect_err("two halves");
        assert!(complaint.starts_with("AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"), "{complaint}");
        let role = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role");
        assert_eq!(of(&[role]), Ok(S3Credentials::Role(vec![(role.0, secret("/role"))])));
    }

    #[test]
    fn a_role_is_asked_for_where_the_environment_says_and_half_of_a_setting_is_none() {
        let of = |variables: &[(&str, &str)]| parse("s3://b/p", variables).map(|place| place.credentials);
        let asked_at = |endpoint: &str| Ok(S3Credentials::Role(vec![(METADATA, secret(endpoint))]));
        let amazons = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]/");
        assert_eq!(of(&[amazons]), asked_at("http://[fd00:ec2::254]"));
        assert_eq!(of(&[(METADATA, "http://other")]), asked_at("http://other"));
        assert_eq!(of(&[(METADATA, "http://other"), amazons]), asked_at("http://[fd00:ec2::254]"));
        let off = ("AWS_EC2_METADATA_DISABLED", "True");
        let (uri, file) =
            (("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "t"));
        assert_eq!(
            of(&[uri, file, off]),
            Ok(S3Credentials::Role(vec![(uri.0, secret(uri.1)), (file.0, secret(file.1))]))
        );
        for (variables, complaint) in [
            (&[off][..], "there are no credentials: AWS_ACCESS_KEY_ID and"),
            (&[uri], "AWS_CONTAINER_CREDENTIALS_FULL_URI is set but AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is not"),
            (
                &[("AWS_WEB_IDENTITY_TOKEN_FILE", "t")],
                "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not, which it needs; set both or neither",
            ),
        ] {
            let text = of(variables).expect_err(complaint);
            assert!(text.starts_with(complaint), "{text}");
        }
    }

    #[test]
    fn keys_come_before_a_web_identity_that_before_a_profile_and_that_before_a_container() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(home.path().join(".aws")).expect("a directory");
        let lines = "[default]\naws_access_key_id = p\naws_secret_access_key = q\nregion = mars\n[profile bare]\n";
        std::fs::write(home.path().join(".aws/config"), lines).expect("a file");
        let home = [("HOME", home.path().to_str().expect("text"))];
        let of = |variables: &[&[(&str, &str)]]| {
            let place = parse("s3://b/p", &[&[home[0]][..], &variables.concat()].concat()).expect("a place");
            let kind = match place.credentials {
                S3Credentials::Static { id, .. } => id.0,
                S3Credentials::Role(variables) => variables[0].0.to_owned(),
                other => panic!("{other:?}"),
            };
            (kind, place.region)
        };
        let expect = |kind: &str, region: Option<&str>| (kind.to_owned(), region.map(str::to_owned));
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "t"), ("AWS_ROLE_ARN", "r")];
        let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/task")];
        assert_eq!(of(&[&keys, &identity, &container]), expect("a", None));
        assert_eq!(of(&[&identity, &container]), expect(identity[0].0, None));
        assert_eq!(of(&[&container]), expect("p", Some("mars")));
        assert_eq!(of(&[&container, &[("AWS_REGION", "eu-west-1")]]), expect("p", Some("eu-west-1")));
        assert_eq!(of(&[&container, &[("AWS_PROFILE", "bare")]]), expect(container[0].0, None));
        assert_eq!(of(&[&container, &[("AWS_CONFIG_FILE", "/nowhere")]]), expect(container[0].0, None));
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_its_name() {
        for (url, part) in [
            ("s3://b/p?skip-verify=perhaps", "skipVerify is 'perhaps'"),
            ("s3://localhost:9000/b/p", "no bucket"),
            ("s3://b.minio.example.com:9000/p", "has a port"),
            ("s3://arn:aws:s3:eu-west-1:1:bucket/x/p", "no ARN of an access point"),
            ("s3://arn:aws:s3:eu-west-1:1:accesspoint/x", "no path"),
            ("s3://b/p%0A", "control characters"),
            ("s3://b/p?region=x.evil/", "no region"),
            ("s3://b/p?region=evil%23", "no region"),
            ("s3://b%5c/p", "its bucket has characters"),
            ("s3://b,c/p", "its bucket has characters"),
            ("s3://arn:aws:s3:evil%5c:1:accesspoint/x/p", "its region is no region"),
            ("s3://arn:aws:s3:eu-west-1:1%5c:accesspoint/x/p", "its bucket has characters"),
            ("s3://b/p?endpoint=http://", "endpoint 'http:' is no URL"),
        ] {
            let complaint = parse(url, &[]).expect_err(url);
            assert!(complaint.contains(part), "{complaint}");
        }
    }
}
