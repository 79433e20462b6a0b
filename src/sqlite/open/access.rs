//! Access control: which replicas the application and its SQL may open.
//!
//! The application opens the main database of a connection. SQL that runs on the connection can open other databases, by `ATTACH` and
//! `VACUUM INTO`, and may come from a less trusted source. `xOpen` cannot distinguish the two, because SQLite passes the connection only
//! after `xOpen`. So if the access depends on that, no request is sent before it is known ([`undecided`](super::undecided)).

use super::role::Role;
use crate::config;
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::runtime::PerProcess;
use crate::sqlite::api::Api;
use crate::sqlite::control::ControlCall;
use crate::sqlite::ffi::*;
use crate::sqlite::file::NoAttach;
use crate::store::{Allowed, Location, UrlVerdict};
use std::collections::HashSet;

/// The condition under which a replica may be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessCondition {
    /// The server that would get credentials of this environment although only the URL names it. None if there is none.
    recipient: Option<String>,
    /// The directories that only the URI names and the application has not named before.
    directories: Vec<NamedDirectory>,
    location: Location,
}

/// A directory that a setting names, and in which files are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedDirectory {
    /// The setting.
    pub setting: &'static str,
    /// The directory.
    pub path: String,
}

impl NamedDirectory {
    fn variable(&self) -> String {
        format!("LITESTREAM_{}", self.setting.to_ascii_uppercase())
    }

    /// Returns the form in which the directory is remembered.
    fn key(&self) -> String {
        format!("the {} {}", self.setting, self.path)
    }
}

/// The origin of a request to open a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opener {
    /// The application called `sqlite3_open`.
    Application,
    /// A statement of a connection. `allowed` if the main database, or the environment, allows statements to attach replicas.
    Statement { allowed: bool },
}

/// Checks whether the replica at `location` may be opened. Fails if it must not be opened at all, and returns a condition if that depends on
/// the [`Opener`].
///
/// `url` is the URL of the URI parameters. None if the environment names the replica. `directories` are likewise those of the URI
/// parameters.
pub fn check(
    url: Option<&str>,
    mut directories: Vec<NamedDirectory>,
    location: &Location,
) -> Result<Option<AccessCondition>, Error> {
    let attach_may_be_off = NoAttach::may_apply()?;
    let recipient = match url {
        None => {
            // The environment names the server, so it may get the credentials of the environment.
            location.recipient().into_iter().for_each(trust);
            None
        }
        Some(url) => match (verdict(url, location)?, location.recipient()) {
            (UrlVerdict::Named, _) | (_, None) => None,
            (_, Some(recipient)) if is_trusted(recipient) => None,
            (_, Some(recipient)) => Some(recipient.to_owned()),
        },
    };
    directories.retain(|directory| {
        let is_in_environment = config::in_environment(&directory.variable()).as_ref() == Some(&directory.path);
        !is_in_environment && !is_trusted(&directory.key())
    });
    let is_conditional = recipient.is_some() || !directories.is_empty() || attach_may_be_off;
    Ok(is_conditional.then(|| AccessCondition { recipient, directories, location: location.clone() }))
}

/// Returns the verdict of `LITESTREAM_ALLOWED_URLS` on a URL. URLs that `LITESTREAM_REPLICA_URL` names are always allowed.
fn verdict(url: &str, location: &Location) -> Result<UrlVerdict, Error> {
    const LIST: &str = "LITESTREAM_ALLOWED_URLS";
    let read = |name: &str, text: &str| {
        Allowed::parse(text).map_err(|cause| Error::new(ErrorKind::Config, format!("{name} cannot be read: {cause}")))
    };
    let list = config::in_environment(LIST).map(|text| read(LIST, &text)).transpose()?;
    let by_list = list.as_ref().map_or(UrlVerdict::Covered, |list| list.verdict(url));
    // A variable that is not a valid URL allows nothing.
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
    /// Checks the condition. A server or a directory that the application names is trusted from then on, also if SQL names it.
    pub fn check(&self, opener: Opener) -> Result<(), Error> {
        for directory in &self.directories {
            let key = directory.key();
            match opener {
                Opener::Application => trust(&key),
                Opener::Statement { .. } if is_trusted(&key) => {}
                Opener::Statement { .. } => {
                    let text = format!("{}: ATTACH may not use {key}, which only the URI names", self.location);
                    return Err(Error::new(ErrorKind::Config, text).remedy(format!(
                        "name the directory in {}, or open a replica with it as a main database first",
                        directory.variable()
                    )));
                }
            }
        }
        match (opener, &self.recipient) {
            (Opener::Application, Some(recipient)) => trust(recipient),
            (Opener::Application, None) | (Opener::Statement { allowed: true }, None) => {}
            (Opener::Statement { allowed: true }, Some(recipient)) if is_trusted(recipient) => {}
            (Opener::Statement { allowed: false }, _) => {
                let text = format!("{}: this connection may not attach replicas: attach is off", self.location);
                return Err(Error::new(ErrorKind::Config, text).remedy(
                    "open the replica as the main database of another connection, or open the main database with attach=on",
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

/// Returns the origin of the request to open a file that has this role in `db`.
///
/// # Safety
/// `db` is the connection that SQLite passes with the current `SQLITE_FCNTL_PDB`, and belongs to the library of `api`.
pub unsafe fn opener(api: Api, db: *mut Sqlite3, role: Role) -> Result<Opener, Error> {
    if role == Role::Main {
        return Ok(Opener::Application);
    }
    let mut call = ControlCall::new(c"main", None);
    // SAFETY: a statement is attaching the file, so `db` is open, and SQLite holds its mutex during the current file control.
    unsafe { call.send(api, db) };
    let allowed = match call.file {
        Some(main) => main.may_attach,
        None => config::attach_in_environment()?,
    };
    Ok(Opener::Statement { allowed })
}

/// The servers and directories that the application of this process has named.
static TRUSTED: PerProcess<Mutex<HashSet<String>>> = PerProcess::new();

fn is_trusted(recipient: &str) -> bool {
    TRUSTED.get_or_init(Mutex::default).lock().contains(recipient)
}

fn trust(recipient: &str) {
    /// The maximum number of them. The application's use of further ones is not remembered.
    const MOST: usize = 4096;
    let mut trusted = TRUSTED.get_or_init(Mutex::default).lock();
    if trusted.len() < MOST {
        trusted.insert(recipient.to_owned());
    }
}
