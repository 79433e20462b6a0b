//! The allowlist of URLs: the prefixes in `LITESTREAM_ALLOWED_URLS`.
//!
//! Prefixes are compared part by part and not as text: scheme, user, host and port, the path by whole segments, and the
//! parameters that determine the server and how it is verified.

use super::file::FileConfig;
use super::parameters::Parameters;
use super::url::{self, UrlParts, split_port};
use super::{s3, schemes};
use std::path::PathBuf;

/// A list of URL prefixes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowed(Vec<Prefix>);

/// The result of checking a URL against the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlVerdict {
    /// No prefix covers the URL.
    Refused,
    /// A prefix covers the URL, but does not name a server. Examples are `s3://` and `https://`.
    Covered,
    /// A prefix that names the server or the bucket covers the URL.
    Named,
}

/// A URL, or the beginning of one, in its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Prefix {
    scheme: String,
    user: Option<String>,
    /// Buckets or servers. If empty, any is allowed.
    hosts: Vec<String>,
    /// The paths that the URL may refer to: exactly one, except for directories.
    paths: Vec<PathBuf>,
    /// The parameters that determine the server and how it is verified.
    server: Vec<Option<String>>,
    tls: bool,
}

impl Allowed {
    /// Parses prefixes that are separated by commas or white space.
    ///
    /// Fails if an entry is not a URL. The error identifies the entry by its number and does not show it.
    pub fn parse(text: &str) -> Result<Allowed, String> {
        let entries = text.split_whitespace().flat_map(split_entries);
        let prefixes = entries.enumerate().map(|(number, entry)| {
            Prefix::parse(&entry).map_err(|cause| format!("entry {} is not a URL prefix: {cause}", number + 1))
        });
        prefixes.collect::<Result<_, _>>().map(Allowed)
    }

    /// Checks whether a URL may be opened.
    pub fn verdict(&self, url: &str) -> UrlVerdict {
        let Ok(url) = Prefix::parse(url) else { return UrlVerdict::Refused };
        let covering: Vec<&Prefix> = self.0.iter().filter(|prefix| prefix.covers(&url)).collect();
        match covering.iter().any(|prefix| prefix.names_server()) {
            true => UrlVerdict::Named,
            false if covering.is_empty() => UrlVerdict::Refused,
            false => UrlVerdict::Covered,
        }
    }
}

/// Splits a word at its commas. The hosts of a NATS URL are also separated by commas, so a new entry begins only with a known
/// scheme.
fn split_entries(word: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for piece in word.split(',').filter(|piece| !piece.is_empty()) {
        let begins = url::scheme(piece).is_some_and(|(scheme, _)| scheme == "gcs" || schemes::find(&scheme).is_some());
        match entries.last_mut().filter(|last| !begins && last.starts_with("nats:")) {
            Some(last) => last.extend([",", piece]),
            None => entries.push(piece.to_owned()),
        }
    }
    entries
}

impl Prefix {
    fn parse(url: &str) -> Result<Prefix, String> {
        let (scheme, rest) = url::scheme(url).ok_or("it has no scheme")?;
        if scheme == "file" {
            let paths = FileConfig::parse(rest)?.candidates().to_vec();
            return Ok(Prefix { scheme, user: None, hosts: Vec::new(), paths, server: Vec::new(), tls: false });
        }
        let parts = UrlParts::of(rest).ok_or("two slashes are missing after the scheme")?;
        let mut parameters = Parameters::of(&parts.query);
        let (host, own_endpoint) = match scheme.as_str() {
            "s3" | "oss" => s3::bucket_and_endpoint(&scheme, &parts),
            _ => (parts.host.to_owned(), None),
        };
        let endpoint = parameters.take("endpoint").or(own_endpoint).map(|text| url::endpoint(&text)).transpose()?;
        let is_set = |flag: Option<bool>| flag.filter(|flag| *flag).map(|_| "true".to_owned());
        let server = vec![
            endpoint,
            is_set(parameters.flag("skipVerify")?),
            is_set(parameters.flag("insecureHostKey")?),
            parameters.take("hostKey"),
            parameters.take("rootCas"),
        ];
        Ok(Prefix {
            user: parts.user_info()?.and_then(|info| info.user),
            hosts: hosts(&scheme, &host),
            paths: vec![PathBuf::from(parts.path)],
            server,
            tls: parameters.flag("tls")?.unwrap_or(false),
            scheme: if scheme == "gcs" { "gs".to_owned() } else { scheme },
        })
    }

    fn covers(&self, url: &Prefix) -> bool {
        // For Azure, the user is the account that the container belongs to.
        let same_user =
            if self.scheme == "abs" { self.user == url.user } else { self.user.is_none() || self.user == url.user };
        let covers_path = |path: &PathBuf| self.paths.iter().any(|prefix| path.starts_with(prefix));
        self.scheme == url.scheme
            && same_user
            && (self.hosts.is_empty()
                || !url.hosts.is_empty() && url.hosts.iter().all(|host| self.hosts.contains(host)))
            && self.server == url.server
            && (url.tls || !self.tls)
            && url.paths.iter().all(covers_path)
    }

    fn names_server(&self) -> bool {
        !self.hosts.is_empty() || self.server.first().is_some_and(Option::is_some)
    }
}

/// Returns the servers in lower case, each with its port, or the bucket unchanged.
fn hosts(scheme: &str, host: &str) -> Vec<String> {
    let port = match scheme {
        _ if host.is_empty() => return Vec::new(),
        "http" | "webdav" => "80",
        "https" | "webdavs" => "443",
        "sftp" => "22",
        "nats" => "4222",
        _ => return vec![host.to_owned()],
    };
    let with_port = |host: &str| match split_port(host) {
        (_, Some(_)) => host.to_ascii_lowercase(),
        (name, None) => format!("{}:{port}", name.to_ascii_lowercase()),
    };
    host.split(',').map(with_port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(list: &str, url: &str) -> UrlVerdict {
        Allowed::parse(list).expect(list).verdict(url)
    }

    #[test]
    fn a_prefix_covers_urls_below_it() {
        for (list, url) in [
            ("s3://bucket", "s3://bucket/app"),
            ("s3://bucket/", "S3://bucket//app?region=eu-west-1&partSize=7"),
            ("s3://bucket/app", "s3://bucket/app"),
            ("s3://bucket/app", "s3://bucket/app/tenant/1"),
            ("s3://bucket/app", "s3://bucket.s3.eu-west-1.amazonaws.com/app"),
            ("s3://other/, s3://bucket/", "s3://bucket/app"),
            ("s3://other/\ns3://bucket/", "s3://bucket/app"),
            ("s3://bucket/?endpoint=minio.local:9000", "s3://bucket/app?end-point=http://minio.local:9000/"),
            ("s3://bucket/?endpoint=localhost:9000", "s3://bucket.localhost:9000/app"),
            ("s3://?endpoint=http://minio:9000", "s3://any/app?endpoint=http://minio:9000"),
            ("gs://bucket", "gcs://bucket/app"),
            ("abs://me@box", "abs://me@box/app"),
            ("https://host", "https://HOST:443/app"),
            ("http://host/a%20b", "http://me:pw@host:80/a b/c"),
            ("sftp://host/", "sftp://me@host:22/app"),
            ("sftp://me@host/", "sftp://me:pw@host/app"),
            ("nats://a,b:4222", "nats://b,A:4222/app"),
            ("nats://a,nats://b", "nats://b/app"),
            ("nats://a", "nats://a/app?tls=true"),
            ("file:///srv/replicas", "file:///srv/replicas/a/../b"),
        ] {
            let expected = if list.starts_with("file") { UrlVerdict::Covered } else { UrlVerdict::Named };
            assert_eq!(verdict(list, url), expected, "{list} {url}");
        }
        for (list, url) in [("s3://", "s3://bucket/app"), ("https://", "https://host/app"), ("file:///", "file:///srv")]
        {
            assert_eq!(verdict(list, url), UrlVerdict::Covered, "{list} {url}");
        }
    }

    #[test]
    fn urls_that_only_resemble_a_prefix_are_refused() {
        for (list, url) in [
            ("", "s3://bucket/app"),
            ("s3://bucket/app", "s3://bucket/application"),
            ("s3://bucket/app", "s3://bucket/app/../other"),
            ("s3://bucket/app", "s3://bucket/app/%2e%2e/other"),
            ("s3://bucket/app", "s3://bucket/app%2F..%2Fother"),
            ("s3://bucket/app", "s3://bucket/"),
            ("s3://bucket", "s3://bucket2/app"),
            ("s3://bucket", "oss://bucket/app"),
            ("s3://bucket", "s3://bucket/app?endpoint=http://evil"),
            ("s3://bucket", "s3://bucket/app?End-Point=evil"),
            ("s3://bucket", "s3://bucket.evil:9000/app"),
            ("s3://", "s3://bucket.evil:9000/app"),
            ("s3://", "s3://b.fra1.digitaloceanspaces.com/app"),
            ("s3://bucket?endpoint=https://minio", "s3://bucket/app?endpoint=http://minio"),
            ("s3://bucket?endpoint=https://minio", "s3://bucket/app?endpoint=https://minio:8443"),
            ("s3://bucket?endpoint=https://minio", "s3://bucket/app"),
            ("s3://bucket", "s3://bucket/app?skipVerify=true"),
            ("abs://me@box", "abs://you@box/app"),
            ("abs://box", "abs://you@box/app"),
            ("https://host", "http://host/app"),
            ("https://host", "https://host:8443/app"),
            ("https://host", "https://host.evil/app"),
            ("https://host", "https://host@evil/app"),
            ("https://host", "https://evil/host/app"),
            ("https://host", "https://evil#@host/app"),
            ("sftp://me@host", "sftp://you@host/app"),
            ("sftp://host", "sftp://me@host/app?insecure-host-key=true"),
            ("sftp://host", "sftp://me@host/app?host-key=SHA256:x"),
            ("nats://a", "nats://a,evil/app"),
            ("nats://a?tls=true", "nats://a/app"),
            ("nats://a", "nats:///app"),
            ("file:///srv/replicas", "file:///srv/replicas/../../etc"),
            ("file:///srv/replicas", "file:///srv/replicas/%2e%2e/%2e%2e/etc"),
            ("file:///srv/replicas", "file:///srv/replicas2"),
            ("s3://bucket", "no URL"),
        ] {
            assert_eq!(verdict(list, url), UrlVerdict::Refused, "{list} {url}");
        }
    }

    #[test]
    fn an_invalid_entry_is_reported_by_its_number() {
        let error = Allowed::parse("s3://bucket, hush").expect_err("not a URL");
        assert_eq!(error, "entry 2 is not a URL prefix: it has no scheme");
        assert!(Allowed::parse("s3://bucket/?endpoint=me:hush@host").expect_err("not an endpoint").contains("entry 1"));
    }
}
