//! What went wrong between us and a server, read off its answers and put in a clause.

use crate::store::error::short;
use crate::store::http::destination;
use crate::store::tries::{Stop, Trouble, retry_after};
use crate::store::{StoreError, StoreErrorKind};
use futures_util::StreamExt;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpResponseBody};
use reqwest::header::{DATE, RETRY_AFTER};
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A request that brought nothing.
#[derive(Clone, Debug)]
pub(super) struct CloudError {
    /// Scheme, host and port of the server.
    pub server: String,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// There was no answer, or not all of it.
    Silence { connected: bool, cause: String },
    /// The answer was no.
    CloudRefusal(CloudRefusal),
    /// The answer was a yes that makes no sense.
    Nonsense(String),
    /// Nobody was asked: there is nothing to sign with. Whoever gives credentials may give some at another try.
    Unsigned { cause: String, is_passing: bool },
}

#[derive(Clone, Default, Debug)]
pub(super) struct CloudRefusal {
    pub status: u16,
    /// The service's word for it, such as `NoSuchKey`; empty if there was none.
    pub code: String,
    pub message: String,
    /// Where the bucket is, if the server said so.
    pub region: Option<String>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The server that it redirects to.
    pub destination: Option<String>,
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CloudOperation {
    Listing,
    File,
}

impl CloudError {
    /// Finds what really went wrong below an error. `server` is whom we asked.
    pub fn below(error: &object_store::Error, server: &str) -> CloudError {
        let mut cause: &(dyn StdError + 'static) = error;
        let mut cut = None;
        loop {
            if let Some(failure) = cause.downcast_ref::<CloudError>() {
                return failure.clone();
            }
            cut = cut.or(cause.downcast_ref::<HttpError>().map(HttpError::kind));
            match cause.source() {
                Some(source) => cause = source,
                None => break,
            }
        }
        let text = unquoted(&short(&cause.to_string()));
        let what = match cut {
            Some(kind) if kind != HttpErrorKind::Decode => What::Silence { connected: true, cause: text },
            _ => What::Nonsense(text),
        };
        CloudError { server: server.to_owned(), what }
    }

    /// No answer within the time there was.
    pub fn late(server: &str, seconds: u64) -> CloudError {
        let cause = format!("no answer within {seconds} seconds");
        CloudError { server: server.to_owned(), what: What::Silence { connected: true, cause } }
    }

    /// An answer that cannot be right.
    pub fn nonsense(server: &str, what: String) -> CloudError {
        CloudError { server: server.to_owned(), what: What::Nonsense(what) }
    }

    /// So went the search for credentials.
    pub fn unsigned(self, settings: &str) -> CloudError {
        let cause = match &self.what {
            // Of an answer to nobody's question, such as a file that cannot be read.
            What::Nonsense(cause) => cause.clone(),
            _ => self.to_string(),
        };
        let is_passing = matches!(self.trouble(), Trouble::Passing { .. });
        let cause = format!("there are no credentials: {settings} ({cause})");
        CloudError { what: What::Unsigned { cause, is_passing }, ..self }
    }

    /// What another try may bring.
    pub fn trouble(&self) -> Trouble {
        match &self.what {
            What::Silence { .. } | What::Unsigned { is_passing: true, .. } => Trouble::Passing { retry_after: None },
            What::CloudRefusal(refusal) if refusal.is_passing() => {
                Trouble::Passing { retry_after: refusal.retry_after }
            }
            What::Nonsense(_) => Trouble::Nonsense,
            What::CloudRefusal(_) | What::Unsigned { .. } => Trouble::Lasting,
        }
    }

    /// With the reason why there is no further try, if the server gave it.
    pub fn after(mut self, stop: Stop) -> CloudError {
        if let (What::CloudRefusal(refusal), Stop::Asked { .. }) = (&mut self.what, stop) {
            let before = if refusal.message.is_empty() { String::new() } else { format!("{}; ", refusal.message) };
            refusal.message = format!("{before}{stop}");
        }
        self
    }

    pub fn refusal(&self) -> Option<&CloudRefusal> {
        match &self.what {
            What::CloudRefusal(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub fn is_nonsense(&self) -> bool {
        matches!(self.what, What::Nonsense(_))
    }

    /// The failure as callers know it.
    pub fn error(&self, place: &str, wish: CloudOperation) -> StoreError {
        let kind = match &self.what {
            What::Silence { .. } => StoreErrorKind::Unreachable,
            What::Nonsense(_) => StoreErrorKind::Protocol,
            What::Unsigned { .. } => StoreErrorKind::Denied,
            What::CloudRefusal(refusal) => return refusal.error(&self.server, place, wish),
        };
        StoreError::new(kind, place, self.to_string())
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        match &self.what {
            What::Silence { connected: false, cause } => write!(f, "cannot connect to {server}: {cause}"),
            What::Silence { connected: true, cause } => write!(f, "the connection to {server} failed: {cause}"),
            What::Nonsense(cause) => write!(f, "{server} answers what makes no sense: {cause}"),
            What::Unsigned { cause, .. } => f.write_str(cause),
            What::CloudRefusal(refusal) => write!(f, "{server} refuses: {}", refusal.answer()),
        }
    }
}

impl StdError for CloudError {}

impl CloudRefusal {
    /// The region that the bucket is in, if that may be why the request was refused. It becomes part of the name of a host.
    pub fn elsewhere(&self) -> Option<&str> {
        let region = matches!(self.status, 300..=399 | 400 | 403).then_some(self.region.as_deref()).flatten();
        region.filter(|region| is_region(region))
    }

    fn error(&self, server: &str, place: &str, wish: CloudOperation) -> StoreError {
        const OF_CREDENTIALS: [&str; 4] =
            ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"];
        let answer = self.answer();
        let (kind, cause) = match (self.status, wish) {
            (404, _) if self.code == "ContainerNotFound" => {
                (StoreErrorKind::Config, format!("the container does not exist at {server}"))
            }
            (404, CloudOperation::File) if self.code != "NoSuchBucket" => return StoreError::missing(place),
            (404, _) => (StoreErrorKind::Config, format!("the bucket does not exist at {server} ({answer})")),
            (412, _) => (StoreErrorKind::Changed, "another version stands there by now".to_owned()),
            (403, CloudOperation::File) if self.code == "AccessDenied" || self.code.is_empty() => (
                StoreErrorKind::Denied,
                format!("{server} denies access ({answer}); without permission to list, so does a missing file"),
            ),
            (401 | 403, _) => (StoreErrorKind::Denied, format!("{server} denies access ({answer})")),
            _ if OF_CREDENTIALS.contains(&self.code.as_str()) => {
                (StoreErrorKind::Denied, format!("{server} denies access ({answer})"))
            }
            (408 | 429 | 500.., _) => (StoreErrorKind::Unreachable, format!("{server} cannot serve now ({answer})")),
            (300..=399, _) if self.destination.is_some() => {
                (StoreErrorKind::Protocol, format!("{server} refuses: {answer}"))
            }
            (300..=399, _) => (
                StoreErrorKind::Config,
                format!("{server} is not where the bucket is ({answer}); add its region to the URL"),
            ),
            _ => (StoreErrorKind::Protocol, format!("{server} does not take the request ({answer})")),
        };
        StoreError::new(kind, place, cause)
    }

    fn answer(&self) -> String {
        let code = if self.code.is_empty() { format!("status {}", self.status) } else { self.code.clone() };
        let answer = if self.message.is_empty() { code } else { format!("{code}: {}", self.message) };
        match &self.destination {
            Some(server) => format!("{answer}; it redirects to {server}, which is not followed"),
            None => answer,
        }
    }

    /// Reads an answer. Of its body no more is told than what the protocol has for an error: in XML for a bucket, and in JSON
    /// for a server that gives credentials.
    pub async fn read(asked: &str, is_of_bucket: bool, response: HttpResponse) -> CloudRefusal {
        let status = response.status().as_u16();
        let destination = response.status().is_redirection().then(|| destination(asked, response.headers())).flatten();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let region = header("x-amz-bucket-region").map(str::to_owned);
        // An answer without a body has its code here.
        let code = header("x-ms-error-code").map(str::to_owned);
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|told| retry_after(told, header(DATE.as_str())));
        let body = beginning(response.into_body()).await;
        let is_error = body.contains("<Error");
        let element = |name: &str| element(&body, name).filter(|_| is_error).map(short);
        CloudRefusal {
            status,
            code: element("Code").or(code).unwrap_or_default(),
            message: element("Message").or_else(|| in_json(&body).filter(|_| !is_of_bucket)).unwrap_or_default(),
            region: region.or_else(|| element("Region")),
            retry_after,
            destination,
        }
    }

    fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..)
    }
}

/// Whether a text may be the name of a region: part of the name of a host, so that it cannot lead to another one.
pub(in crate::store) fn is_region(text: &str) -> bool {
    const LONGEST: usize = 64;
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_letter)
}

/// Enough of a body for a complaint.
async fn beginning(body: HttpResponseBody) -> String {
    const ENOUGH: usize = 16 * 1024;
    let mut stream = body.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = stream.next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ENOUGH {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a JSON object has for a message, in the places where the services of clouds put it.
fn in_json(body: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(body).ok()?;
    let places = [&object["error_description"], &object["error"]["message"], &object["message"], &object["Message"]];
    places.into_iter().find_map(|message| message.as_str()).map(short)
}

/// The text without what it quotes of an answer, as `serde` and `object_store` do: it may be a secret, or a stranger's page.
fn unquoted(text: &str) -> String {
    match (text.split_once('"'), text.rsplit_once('"')) {
        (Some((before, _)), Some((_, behind))) => format!("{before}***{behind}"),
        _ => text.to_owned(),
    }
}

/// The text of an XML element without elements inside.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(text, _)| text).filter(|text| !text.is_empty())
}

impl What {
    /// No answer came, or not all of it.
    pub fn silence(error: &HttpError) -> What {
        let mut root: &dyn StdError = error;
        while let Some(source) = root.source() {
            root = source;
        }
        let connected = error.kind() != HttpErrorKind::Connect;
        What::Silence { connected, cause: short(&root.to_string()) }
    }
}
