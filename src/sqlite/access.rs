//! Who may have what opened.
//!
//! The application opens the main database of a connection. SQL that runs there can name other databases, by `ATTACH` and by
//! `VACUUM INTO`, and may come from somebody else. `xOpen` is not told which of the two asks: SQLite says so right after it, by
//! the connection that it then hands over. So where the answer depends on that, nothing is sent before it is known
//! ([`undecided`](super::undecided)).

use super::api::Api;
use super::control::ControlCall;
use super::ffi::*;
use super::role::Role;
use crate::config;
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::runtime::PerProcess;
use crate::store::{Allowed, Location, UrlVerdict};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why an open depends on who asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessCondition {
    /// The server that credentials of this environment would be sent to, although only the URL names it.
    recipient: Option<String>,
    location: Location,
}

/// Who asks for a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opener {
    /// The application, by `sqlite3_open`.
    Application,
    /// SQL of a connection. `allowed` if its main database, or the environment, allows to attach replicas.
    Statement { allowed: bool },
}

/// Whether the replica at `location` may be opened. Fails if it may not, whoever asks.
///
/// `url` is the one that URI parameters give; None if the environment names the replica.
pub fn check(url: Option<&str>, location: &Location) -> Result<Option<AccessCondition>, Error> {
    let must_tell_attached = ATTACH_IS_OFF.load(Ordering::Acquire) > 0 || !config::attach_in_environment()?;
    let recipient = match url {
        None => {
            // The environment names the server.
            location.recipient().into_iter().for_each(trust);
            None
        }
        Some(url) => match (verdict(url, location)?, location.recipient()) {
            (UrlVerdict::Named, _) | (_, None) => None,
            (_, Some(recipient)) if is_trusted(recipient) => None,
            (_, Some(recipient)) => Some(recipient.to_owned()),
        },
    };
    let is_conditional = recipient.is_some() || must_tell_attached;
    Ok(is_conditional.then(|| AccessCondition { recipient, location: location.clone() }))
}

/// What `LITESTREAM_ALLOWED_URLS` says of a URL. What `LITESTREAM_REPLICA_URL` names is always allowed.
fn verdict(url: &str, location: &Location) -> Result<UrlVerdict, Error> {
    const LIST: &str = "LITESTREAM_ALLOWED_URLS";
    let read = |name: &str, text: &str| {
        Allowed::parse(text).map_err(|cause| Error::new(ErrorKind::Config, format!("{name} cannot be read: {cause}")))
    };
    let list = config::in_environment(LIST).map(|text| read(LIST, &text)).transpose()?;
    let by_list = list.as_ref().map_or(UrlVerdict::Covered, |list| list.verdict(url));
    // One whose URL cannot be read names nothing.
    let named = config::in_environment("LITESTREAM_REPLICA_URL").and_then(|text| Allowed::parse(&text).ok());
    let by_name = named.map_or(UrlVerdict::Refused, |named| named.verdict(url));
    match (by_list, by_name) {
        (UrlVerdict::Named, _) | (_, UrlVerdict::Named) => Ok(UrlVerdict::Named),
        (UrlVerdict::Covered, _) | (_, UrlVerdict::Covered) => Ok(UrlVerdict::Covered),
        _ => Err(Error::new(ErrorKind::Config, format!("{location}: {LIST} does not allow this URL"))
            .remedy("add a prefix of it to that variable, with the endpoint if the URL has one")),
    }
}

impl AccessCondition {
    /// Whether who asks may have it opened. What the application names may be named by SQL from then on.
    pub fn check(&self, opener: Opener) -> Result<(), Error> {
        match (opener, &self.recipient) {
            (Opener::Application, Some(recipient)) => trust(recipient),
            (Opener::Application, None) | (Opener::Statement { allowed: true }, None) => {}
            (Opener::Statement { allowed: true }, Some(recipient)) if is_trusted(recipient) => {}
            (Opener::Statement { allowed: false }, _) => {
                let text = format!("{}: this connection may not attach replicas: attach is off", self.location);
                return Err(Error::new(ErrorKind::Config, text).remedy(
                    "open the replica by a connection of its own, or set attach=on where the main database is opened",
                ));
            }
            (Opener::Statement { .. }, Some(recipient)) => {
                let text = format!(
                    "{}: ATTACH may not send the credentials of this environment to {recipient}, which only the URL names",
                    self.location
                );
                return Err(Error::new(ErrorKind::Config, text).remedy(
                    "name the server in LITESTREAM_ALLOWED_URLS, LITESTREAM_REPLICA_URL or the endpoint variable of its service, \
                     or open a replica there as a main database first, or put the credentials into the URL",
                ));
            }
        }
        Ok(())
    }
}

/// Who asks for a file of this role, which SQLite has just opened for `db`.
///
/// # Safety
/// SQLite handed `db` over with the file, and waits for the call.
pub unsafe fn opener(api: Api, db: *mut Sqlite3, role: Role) -> Result<Opener, Error> {
    if role == Role::Main {
        return Ok(Opener::Application);
    }
    let mut request = ControlCall::new(c"main", None);
    // SAFETY: as promised.
    unsafe { request.send(api, db) };
    // SAFETY: a file that answers is open.
    let allowed = match unsafe { request.file.as_ref() } {
        Some(main) => main.may_attach(),
        None => config::attach_in_environment()?,
    };
    Ok(Opener::Statement { allowed })
}

/// How many open files forbid to attach replicas beside them.
static ATTACH_IS_OFF: AtomicUsize = AtomicUsize::new(0);

/// Held by a file that forbids to attach replicas beside it.
#[derive(Debug)]
pub struct NoAttach(());

impl NoAttach {
    /// From now on every open waits until it is known who asks.
    pub fn new() -> NoAttach {
        ATTACH_IS_OFF.fetch_add(1, Ordering::AcqRel);
        NoAttach(())
    }
}

impl Drop for NoAttach {
    fn drop(&mut self) {
        ATTACH_IS_OFF.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Servers that the application of this process has named.
static TRUSTED: PerProcess<Mutex<HashSet<String>>> = PerProcess::new();

fn is_trusted(recipient: &str) -> bool {
    TRUSTED.get_or_init(Mutex::default).lock().contains(recipient)
}

fn trust(recipient: &str) {
    /// Beyond these each open is looked at by itself.
    const MOST: usize = 4096;
    let mut trusted = TRUSTED.get_or_init(Mutex::default).lock();
    if trusted.len() < MOST {
        trusted.insert(recipient.to_owned());
    }
}
