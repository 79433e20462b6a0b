//! The server, path and credentials that an `http` or `webdav` URL and the environment give.

use crate::store::environment::{Environment, Secret};
use crate::store::parameters::Parameters;
use crate::store::recipient;
use crate::store::url::{UrlParts, endpoint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;

/// Where a replica lies behind a web server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::store) struct WebConfig {
    /// Scheme, host and port.
    pub server: String,
    /// The URL of the replica, without a slash at its end.
    pub base: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub skip_verify: bool,
    pub listing: Listing,
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path may hold a password that was not encoded.
        f.debug_struct("WebPlace").field("listing", &self.listing).finish_non_exhaustive()
    }
}

/// How a server tells which files there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum Listing {
    /// By WebDAV.
    #[cfg(feature = "webdav")]
    Dav,
    /// By a page for each directory.
    #[cfg(feature = "http")]
    Index,
}

/// What stays as it is in the path of a URL.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl WebConfig {
    /// `scheme` is `http` or `https`.
    pub fn parse(
        scheme: &str,
        listing: Listing,
        parts: &UrlParts<'_>,
        environment: &Environment<'_>,
        shown: &str,
    ) -> Result<WebConfig, String> {
        if parts.host.is_empty() {
            return Err("it names no host".to_owned());
        }
        // A password that begins with a slash would become the path.
        if parts.host.ends_with(':') {
            return Err("its host ends with a colon; write %2F for a slash in a password".to_owned());
        }
        let server = endpoint(&format!("{scheme}://{}", parts.host)).map_err(|_| "its host is none".to_owned())?;
        let mut parameters = Parameters::of(&parts.query);
        let (user, password) = credentials(listing, parts, environment)?;
        let place = WebConfig {
            base: match parts.path.as_str() {
                "" => server.clone(),
                path => format!("{server}/{}", utf8_percent_encode(path, &KEPT)),
            },
            server,
            user,
            password,
            skip_verify: parameters.flag("skipVerify")?.unwrap_or(false),
            listing,
        };
        parameters.warn_of_the_rest(&[], shown);
        if place.user.is_some() && scheme == "http" {
            tracing::warn!("{shown}: user and password travel in the open; use TLS");
        }
        Ok(place)
    }

    /// As [`Location::recipient`](crate::store::Location::recipient).
    pub fn recipient(&self, parts: &UrlParts<'_>) -> Option<String> {
        let (user, password) = credentials(self.listing, parts, &Environment::EMPTY).ok()?;
        let is_own = self.user.is_none() || (&user, &password) == (&self.user, &self.password);
        recipient::at(&self.server, is_own, self.skip_verify && !is_own)
    }
}

/// User and password of the URL, or of the environment where it has none.
fn credentials(
    listing: Listing,
    parts: &UrlParts<'_>,
    environment: &Environment<'_>,
) -> Result<(Option<String>, Option<Secret>), String> {
    let (user, password) = match parts.user_info()? {
        Some(info) => (Some(info.user.unwrap_or_default()), info.password),
        None => (None, None),
    };
    let family = if server_is_plain(listing) { "HTTP" } else { "WEBDAV" };
    let variable = |name: &str| environment.text(&format!("LITESTREAM_{family}_{name}"));
    let user = user.map_or_else(|| variable("USERNAME"), |user| Ok(Some(user)))?;
    let password = password.map_or_else(|| variable("PASSWORD"), |password| Ok(Some(password)))?;
    Ok((user, password.map(Secret)))
}

fn server_is_plain(listing: Listing) -> bool {
    match listing {
        #[cfg(feature = "webdav")]
        Listing::Dav => false,
        #[cfg(feature = "http")]
        Listing::Index => true,
    }
}

#[cfg(all(test, feature = "webdav"))]
mod tests {
    use super::*;
    use crate::store::url;
    use std::ffi::OsString;

    #[test]
    fn a_url_names_server_path_and_user() {
        let of = |scheme: &str, rest: &str| {
            let variable = |name: &str| (name == "LITESTREAM_WEBDAV_PASSWORD").then(|| OsString::from("hush"));
            let parts = UrlParts::of(rest).expect("parts");
            let place = WebConfig::parse(scheme, Listing::Dav, &parts, &Environment(&variable), rest).expect(rest);
            (place.base, place.user.unwrap_or_default(), place.password.map(|password| password.0).unwrap_or_default())
        };
        let expect = |base: &str, user: &str, password: &str| (base.to_owned(), user.to_owned(), password.to_owned());
        assert_eq!(of("http", "//host:81/a%20b/./c/"), expect("http://host:81/a%20b/c", "", "hush"));
        assert_eq!(of("https", "//me:p%40ss@host"), expect("https://host", "me", "p@ss"));
        assert_eq!(of("https", "//me@host/p?skip-verify=1"), expect("https://host/p", "me", "hush"));
        let (_, rest) = url::scheme("webdav:///path").expect("a scheme");
        let nothing = |_: &str| None;
        let parsed =
            WebConfig::parse("http", Listing::Dav, &UrlParts::of(rest).expect("parts"), &Environment(&nothing), "");
        assert_eq!(parsed, Err("it names no host".to_owned()));
    }
}
