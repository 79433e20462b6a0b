//! The configuration of a replica behind a web server, from its URL and the environment.

use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::recipient;
use crate::store::url::{UrlParts, endpoint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;

/// Server, path and credentials of a replica.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::store) struct WebConfig {
    /// Scheme, host and port.
    pub server: String,
    /// The URL of the replica, without a slash at the end.
    pub base: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub skip_verify: bool,
    pub listing: Listing,
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path is left out, because it can contain a password with an unencoded slash.
        f.debug_struct("WebConfig").field("listing", &self.listing).finish_non_exhaustive()
    }
}

/// How the files of a directory are listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum Listing {
    /// By a PROPFIND request of WebDAV.
    #[cfg(feature = "webdav")]
    Dav,
    /// By the page that the server shows for the directory, or by a manifest.
    #[cfg(feature = "http")]
    Index,
}

/// The characters that are percent-encoded in the path of a URL.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl WebConfig {
    /// Parses a URL. `scheme` is `http` or `https`; `shown` is the URL without secrets, for warnings.
    pub fn parse(
        scheme: &str,
        listing: Listing,
        parts: &UrlParts<'_>,
        environment: &Environment<'_>,
        shown: &str,
    ) -> Result<WebConfig, String> {
        if parts.host.is_empty() {
            return Err("the URL has no host".to_owned());
        }
        // A slash at the beginning of a password ends the host after the colon.
        if parts.host.ends_with(':') {
            return Err("the host ends with a colon; write %2F for a slash in a password".to_owned());
        }
        let server =
            endpoint(&format!("{scheme}://{}", parts.host)).map_err(|_| "the URL has an invalid host".to_owned())?;
        let mut parameters = Parameters::of(&parts.query);
        let (user, password) = credentials(listing, parts, environment)?;
        let config = WebConfig {
            base: match parts.path.as_str() {
                "" => server.clone(),
                path => format!("{server}/{}", utf8_percent_encode(path, &ENCODED)),
            },
            server,
            user,
            password,
            skip_verify: parameters.flag("skipVerify")?.unwrap_or(false),
            listing,
        };
        parameters.warn_of_the_rest(&[], shown);
        if config.user.is_some() && scheme == "http" {
            tracing::warn!("{shown}: user and password are sent unencrypted; use TLS");
        }
        Ok(config)
    }

    /// See [`Location::recipient`](crate::store::Location::recipient).
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let (user, password) = credentials(self.listing, parts, &Environment::EMPTY).ok()?;
        let is_from_url = self.user.is_none() || (&user, &password) == (&self.user, &self.password);
        recipient::at(&self.server, is_from_url, self.skip_verify && !is_from_url)
    }
}

/// Returns user and password of the URL, or of the environment if the URL has none.
fn credentials(
    listing: Listing,
    parts: &UrlParts<'_>,
    environment: &Environment<'_>,
) -> Result<(Option<String>, Option<Secret>), String> {
    let (user, password) = match parts.user_info()? {
        Some(info) => (Some(info.user.unwrap_or_default()), info.password),
        None => (None, None),
    };
    let family = variable_family(listing);
    let variable = |name: &str| environment.text(&format!("LITESTREAM_{family}_{name}"));
    let user = user.map_or_else(|| variable("USERNAME"), |user| Ok(Some(user)))?;
    let password = password.map_or_else(|| variable("PASSWORD"), |password| Ok(Some(password)))?;
    Ok((user, password.map(Secret)))
}

/// Returns the part of the environment variables' names that depends on the scheme.
fn variable_family(listing: Listing) -> &'static str {
    match listing {
        #[cfg(feature = "webdav")]
        Listing::Dav => "WEBDAV",
        #[cfg(feature = "http")]
        Listing::Index => "HTTP",
    }
}

#[cfg(all(test, feature = "webdav"))]
mod tests {
    use super::*;
    use crate::store::url;
    use std::ffi::OsString;

    #[test]
    fn a_url_has_server_path_and_user() {
        let of = |scheme: &str, rest: &str| {
            let variable = |name: &str| (name == "LITESTREAM_WEBDAV_PASSWORD").then(|| OsString::from("hush"));
            let parts = UrlParts::of(rest).expect("parts");
            let config = WebConfig::parse(scheme, Listing::Dav, &parts, &Environment(&variable), rest).expect(rest);
            (
                config.base,
                config.user.unwrap_or_default(),
                config.password.map(|password| password.0).unwrap_or_default(),
            )
        };
        let expect = |base: &str, user: &str, password: &str| (base.to_owned(), user.to_owned(), password.to_owned());
        assert_eq!(of("http", "//host:81/a%20b/./c/"), expect("http://host:81/a%20b/c", "", "hush"));
        assert_eq!(of("https", "//me:p%40ss@host"), expect("https://host", "me", "p@ss"));
        assert_eq!(of("https", "//me@host/p?skip-verify=1"), expect("https://host/p", "me", "hush"));
        let (_, rest) = url::scheme("webdav:///path").expect("a scheme");
        let nothing = |_: &str| None;
        let parsed =
            WebConfig::parse("http", Listing::Dav, &UrlParts::of(rest).expect("parts"), &Environment(&nothing), "");
        assert_eq!(parsed, Err("the URL has no host".to_owned()));
    }
}
