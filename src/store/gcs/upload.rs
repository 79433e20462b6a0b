//! Creation of objects, by uploads of the JSON API.
//!
//! Emulators support conditions only in these uploads, and not in those of the XML API, which `object_store` sends.

use crate::random;
use crate::store::cloud::{Attempt, Bucket, CloudClient};
use crate::store::create;
use async_trait::async_trait;
use bytes::Bytes;
use object_store::PutPayload;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GoogleCloudStorage;
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use serde_json::{Value, json};
use std::error::Error as StdError;
use url::Url;

/// The server of Google Cloud Storage.
const GOOGLE: &str = "https://storage.googleapis.com";

/// A bucket of Google Cloud Storage.
pub(super) struct GcsBucket {
    client: GoogleCloudStorage,
    http: HttpClient,
    /// The URL of uploads that create an object.
    uploads: String,
}

impl GcsBucket {
    /// Fails if the endpoint is no URL.
    pub fn new(
        client: GoogleCloudStorage,
        http: HttpClient,
        endpoint: Option<&str>,
        bucket: &str,
    ) -> Result<GcsBucket, String> {
        let endpoint = endpoint.unwrap_or(GOOGLE).trim_end_matches('/');
        let bucket = utf8_percent_encode(bucket, NON_ALPHANUMERIC);
        let uploads = format!("{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=multipart&ifGenerationMatch=0");
        Url::parse(&uploads).map_err(|error| format!("the endpoint is no URL: {error}"))?;
        Ok(GcsBucket { client, http, uploads })
    }

    async fn upload_request(
        &self,
        key: &Path,
        bytes: Bytes,
        attempt: Attempt,
    ) -> Result<HttpRequest, object_store::Error> {
        let boundary = format!("{:016x}{:016x}", random::number(), random::number());
        let metadata = match create::timestamp_of(&bytes) {
            Some(timestamp) => json!({"name": key.as_ref(), "metadata": {self.timestamp_name(): timestamp}}),
            None => json!({"name": key.as_ref()}),
        };
        let body = HttpRequestBody::from(multipart(metadata, bytes, &boundary));
        let length = body.content_length();
        let mut request = HttpRequest::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uploads.parse().map_err(failed)?;
        request.extensions_mut().insert(attempt);
        let content_type = format!("multipart/related; boundary={boundary}");
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).map_err(failed)?);
        let credential = self.client.credentials().get_credential().await?;
        if !credential.bearer.is_empty() {
            headers.insert(AUTHORIZATION, bearer(&credential.bearer).map_err(failed)?);
        }
        Ok(request)
    }
}

#[async_trait]
impl Bucket for GcsBucket {
    fn client(&self) -> &dyn CloudClient {
        &self.client
    }

    async fn authorize(&self) -> Result<(), object_store::Error> {
        self.client.credentials().get_credential().await.map(drop)
    }

    async fn create(&self, key: &Path, bytes: Bytes, attempt: Attempt) -> Result<(), object_store::Error> {
        let length = bytes.len();
        let request = self.upload_request(key, bytes, attempt).await?;
        let response = self.http.execute(request).await.map_err(failed)?;
        let body = response.into_body().bytes().await.map_err(failed)?;
        // Any server can send status 200, such as a proxy with a page of its own.
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        match object["size"].as_str() == Some(&length.to_string()) {
            true => Ok(()),
            false => Err(failed("the response does not describe the object that was uploaded")),
        }
    }
}

/// Returns the body of an upload: the metadata of the object, with its name, and its bytes.
fn multipart(metadata: Value, bytes: Bytes, boundary: &str) -> PutPayload {
    let before = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    PutPayload::from_iter([Bytes::from(before), bytes, Bytes::from(format!("\r\n--{boundary}--\r\n"))])
}

fn bearer(token: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "GCS", source: error.into() }
}
