//! Listings by WebDAV: the properties of the files of a directory.

use super::WebStore;
use super::error::WebError;
use super::request::NO_DATE;
use super::response::{ResponseLength, WebResponse, parse_date};
use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::check_names;
use crate::store::paths::Layout;
use crate::store::{Listed, etag};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::{Client, Method};
use std::sync::atomic::Ordering;

/// The body of a PROPFIND request for the properties of a [`Resource`].
const PROPFIND: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getetag/><D:getlastmodified/></D:prop></D:propfind>"#;

impl WebStore {
    pub(super) async fn list_by_propfind(&self, level: Level, from: Txid) -> Result<Vec<Listed>, WebError> {
        let method = dav_method("PROPFIND")?;
        let path = format!("{}/", Layout::Decimal.level(level));
        let request = |client: &Client| {
            let request = self.request(client, method.clone(), &path).header("depth", "1");
            request.header("content-type", "application/xml; charset=utf-8").body(PROPFIND)
        };
        let parse = |response: WebResponse, _| {
            let resources = parse_multistatus(&String::from_utf8_lossy(&response.body));
            resources.unwrap_or_else(|| Err("no WebDAV listing".to_owned())).map_err(WebError::InvalidResponse)
        };
        let resources = self.send(ResponseLength::Listing, request, parse).await?;
        if resources.iter().any(|resource| !resource.is_directory && resource.etag.is_empty()) {
            self.has_etags.store(false, Ordering::Relaxed);
        }
        Ok(resources.iter().filter_map(|resource| resource.listed(level, from)).collect())
    }
}

/// Returns a method that HTTP itself does not have.
pub(super) fn dav_method(name: &str) -> Result<Method, WebError> {
    Method::from_bytes(name.as_bytes()).map_err(|_| WebError::UnsupportedServer(format!("does not support {name}")))
}

/// The properties of a file or directory. A property that the server does not send is empty.
#[derive(Default, PartialEq, Eq, Debug)]
struct Resource {
    href: String,
    length: String,
    etag: String,
    modified: String,
    is_directory: bool,
}

impl Resource {
    /// Returns the resource as a file of the replica, or None if it is not one or its min TXID is below `from`.
    fn listed(&self, level: Level, from: Txid) -> Option<Listed> {
        let href = percent_decode_str(&self.href).decode_utf8_lossy();
        let name = href.rsplit('/').next().and_then(FileName::parse)?;
        let size = self.length.parse().ok()?;
        let etag = Some(self.etag.as_str()).filter(|etag| !etag.is_empty());
        let modified = Some(self.modified.as_str()).filter(|modified| !modified.is_empty());
        (!self.is_directory && name.min >= from).then(|| Listed {
            level,
            name,
            size,
            version: Some(etag::version(etag, size, modified.unwrap_or(NO_DATE))),
            modified_ms: parse_date(modified),
        })
    }

    /// Appends text to the property of an XML element. The text of an element can arrive in several events.
    fn append(&mut self, element: &[u8], text: &str) {
        let property = match element {
            b"href" => &mut self.href,
            b"getcontentlength" => &mut self.length,
            b"getetag" => &mut self.etag,
            b"getlastmodified" => &mut self.modified,
            _ => return,
        };
        property.push_str(text.trim());
    }
}

/// Parses the body of a response with status 207. Returns None if it is no complete `multistatus` element. Fails if it has too many names.
fn parse_multistatus(body: &str) -> Option<Result<Vec<Resource>, String>> {
    let mut reader = Reader::from_str(body);
    let (mut found, mut current, mut element) = (Vec::new(), Resource::default(), Vec::new());
    let mut is_complete = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                element = start.local_name().as_ref().to_ascii_lowercase();
                match element.as_slice() {
                    b"response" => current = Resource::default(),
                    b"collection" => current.is_directory = true,
                    _ => {}
                }
            }
            Event::Empty(empty) if empty.local_name().as_ref().eq_ignore_ascii_case(b"collection") => {
                current.is_directory = true;
            }
            Event::Text(text) => current.append(&element, &text.decode().ok()?),
            Event::CData(text) => current.append(&element, &text.decode().ok()?),
            Event::GeneralRef(reference) => {
                let character = match &*reference.decode().ok()? {
                    "quot" => '"',
                    "amp" => '&',
                    "apos" => '\'',
                    "lt" => '<',
                    "gt" => '>',
                    _ => reference.resolve_char_ref().ok()??,
                };
                current.append(&element, character.encode_utf8(&mut [0; 4]));
            }
            Event::End(end) => {
                element.clear();
                match end.local_name().as_ref().to_ascii_lowercase().as_slice() {
                    b"multistatus" => is_complete = true,
                    b"response" => {
                        found.push(std::mem::take(&mut current));
                        if let Err(too_many) = check_names(found.len()) {
                            return Some(Err(too_many));
                        }
                    }
                    _ => {}
                }
            }
            // The parser does not report elements that are still open.
            Event::Eof => return is_complete.then_some(Ok(found)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_multistatus_are_listed() {
        let body = r#"<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">
            <D:response><D:href>/dav/ltx/0/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>
            </D:prop></D:propstat></D:response>
            <lp1:response><lp1:href>http://host/dav/ltx/0/0000000000000001-00000000000000%30%31.ltx</lp1:href><lp1:propstat>
            <lp1:prop><lp1:resourcetype/><lp1:getcontentlength>7</lp1:getcontentlength><lp1:getetag>&quot;a&#38;b&quot;</lp1:getetag>
            <lp1:getlastmodified>Sat, 21 Nov 2026 12:00:00 GMT</lp1:getlastmodified></lp1:prop></lp1:propstat></lp1:response>
            </D:multistatus>"#;
        let resources = parse_multistatus(body).expect("a multistatus").expect("few names");
        let listed: Vec<Listed> =
            resources.iter().filter_map(|resource| resource.listed(Level::ZERO, Txid(0))).collect();
        assert_eq!((resources.len(), listed.len()), (2, 1));
        let version = listed[0].version.as_ref().expect("a version");
        assert_eq!((listed[0].name.max, listed[0].size, &*version.0), (Txid(1), 7, "a&b"));
        assert_eq!(listed[0].modified_ms, 1_795_262_400_000);
        let end = body.find("</D:multistatus>").expect("the end");
        let second_name = body.find("00000000%30%31").expect("the second name");
        for invalid in ["", "<html><body>Sign in</body></html>", "{}", &body[..end], &body[..second_name]] {
            assert_eq!(parse_multistatus(invalid), None, "{invalid}");
        }
    }
}
