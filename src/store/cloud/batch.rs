//! The response to a batch with one deletion, the form in which `object_store` deletes in Azure.
//!
//! Such a response is always successful, and its body contains the response to the deletion. `object_store` returns that only as text, and
//! panics if it belongs to a deletion that was not requested. It is therefore read here, and `object_store` gets [`SUCCESS`].

use super::body::{invalid, text};
use super::error::CloudErrorKind;
use super::refusal::CloudRefusal;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The body of a response that reports one successful deletion.
pub(super) const SUCCESS: &str = "--b\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n--b--\r\n";

/// The type of [`SUCCESS`].
pub(super) const SUCCESS_TYPE: &str = "multipart/mixed; boundary=b";

/// The number of headers that are read, which is more than a server sends. A [`HeaderMap`] has a maximum, and panics beyond it.
const MOST_HEADERS: usize = 100;

/// Fails if the body of a response does not report that the deletion was successful. `requested` is the URL of the batch.
pub(super) fn check(requested: &str, body: &[u8]) -> Result<(), CloudErrorKind> {
    let body = String::from_utf8_lossy(body);
    let mut lines = body.lines();
    let is_batch = lines.next().is_some_and(|line| line.starts_with("--"));
    let part = headers(&mut lines);
    let status = lines.next().filter(|_| is_batch).and_then(status);
    let status = status.ok_or_else(|| invalid("the body has no response to the deletion"))?;
    // A batch that the server does not accept is refused by a response without this header.
    if text(&part, "content-id").next().is_some_and(|id| id != "0") {
        return Err(invalid("a response to a deletion that was not requested"));
    }
    if status.is_success() {
        return Ok(());
    }
    let headers = headers(&mut lines);
    let rest: String = lines.flat_map(|line| [line, "\n"]).collect();
    Err(CloudErrorKind::Refused(CloudRefusal::of(requested, true, status, &headers, &rest)))
}

/// Reads headers, and the empty line after them.
fn headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> HeaderMap {
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    lines.take_while(|line| !line.is_empty()).filter_map(header).take(MOST_HEADERS).collect()
}

/// Parses the first line of a response.
fn status(line: &str) -> Option<StatusCode> {
    line.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Returns the refusal, None for a success, or the text of another error.
    fn read(body: &str) -> Result<Option<CloudRefusal>, String> {
        match check("http://box", body.as_bytes()) {
            Ok(()) => Ok(None),
            Err(CloudErrorKind::Refused(refusal)) => Ok(Some(refusal)),
            Err(CloudErrorKind::InvalidResponse(cause)) => Err(cause),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_success_and_a_refusal_are_read() {
        assert!(read(SUCCESS).is_ok_and(|refusal| refusal.is_none()));
        let azure = "--batchresponse_1\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 503 The server is busy.\r\n\
                     x-ms-error-code: ServerBusy\r\nRetry-After: 7\r\nContent-Type: application/xml\r\n\r\n\
                     <?xml version=\"1.0\"?>\r\n<Error><Code>ServerBusy</Code><Message>Wait.\nRequestId:1</Message></Error>\r\n\
                     --batchresponse_1--\r\n";
        let refusal = read(azure).expect("a part").expect("a refusal");
        assert_eq!((refusal.status, refusal.reason().as_str()), (503, "ServerBusy: Wait. RequestId:1"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
        let of_the_batch = SUCCESS.replace("Content-ID: 0\r\n", "").replace("202 Accepted", "400 Bad Request");
        assert_eq!(read(&of_the_batch).expect("a part").expect("a refusal").reason(), "status 400");
    }

    #[test]
    fn anything_else_is_invalid() {
        let headers = |count: usize| (0..count).map(|number| format!("x{number}: y\r\n")).collect::<String>();
        for body in [
            String::new(),
            "<html>Sign in</html>".to_owned(),
            "--b--\r\n".to_owned(),
            SUCCESS.replace("202", "two"),
            SUCCESS.replace("HTTP/1.1 ", ""),
            SUCCESS.replace("ID: 0", "ID: 1").replace("202", "403"),
            SUCCESS.replace("Content-ID: 0\r\n", &headers(100_000)),
        ] {
            assert!(read(&body).is_err(), "{:.100}", body);
        }
        let refusal = SUCCESS.replace("202 Accepted\r\n", &format!("403 Forbidden\r\n{}", headers(100_000)));
        assert_eq!(read(&refusal).expect("a part").map(|refusal| refusal.status), Some(403));
    }
}
