//! HTTP redirects. A client never follows a redirect to another server, which would receive the credentials of the request.

use reqwest::Url;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;

/// Which redirects a client follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Redirects {
    /// None, because a request to a bucket is signed for one path.
    Refused,
    /// At most [`MOST_REDIRECTS`], to the same scheme, host and port.
    #[cfg(any(feature = "http", feature = "webdav"))]
    WithinServer,
}

/// How many redirects of one request are followed.
#[cfg(any(feature = "http", feature = "webdav"))]
pub(super) const MOST_REDIRECTS: usize = 5;

impl Redirects {
    /// Returns the policy for `reqwest`. A redirect that is not followed is returned as the response.
    pub fn policy(self) -> Policy {
        match self {
            Redirects::Refused => Policy::none(),
            #[cfg(any(feature = "http", feature = "webdav"))]
            Redirects::WithinServer => Policy::custom(|attempt| {
                let previous = attempt.previous();
                let same_server = previous.first().is_some_and(|first| first.origin() == attempt.url().origin());
                if same_server && previous.len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
            }),
        }
    }
}

/// Returns the scheme, host and port that a response redirects to, without the path, which may contain secrets.
///
/// `requested` is the URL of the request. Returns None if the response has no `Location`.
pub(super) fn destination(requested: &str, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?;
    let target = location.to_str().ok().and_then(|location| Url::parse(requested).ok()?.join(location).ok());
    let is_server = |target: &Url| target.has_host() && target.host_str().is_some_and(|host| host.len() <= 255);
    let server = target.filter(is_server).map(|url| url.origin().ascii_serialization());
    Some(server.unwrap_or_else(|| "an invalid URL".to_owned()))
}
