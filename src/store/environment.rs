//! What the environment says about a place, and secrets that come from there.

use std::ffi::OsString;
use std::fmt;

/// The environment variables of one parse.
pub(super) struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    /// An environment in which nothing is set.
    #[cfg(any(feature = "azure", feature = "nats", feature = "http", feature = "webdav"))]
    pub const EMPTY: Environment<'static> = Environment(&|_| None);

    /// What a variable holds; None if it is unset or empty.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// [`Environment::raw`] as text.
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.raw(name).map(OsString::into_string).transpose();
        text.map_err(|_| format!("the environment variable {name} is not text in UTF-8"))
    }

    /// The first of these variables that is set.
    pub fn first(&self, names: &[&str]) -> Result<Option<String>, String> {
        for name in names {
            if let Some(value) = self.text(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// Text that is compared but never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
