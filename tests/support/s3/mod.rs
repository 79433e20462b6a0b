//! An S3 server in this process over a directory, with HTTP on a local port and checks of the signatures.

mod objects;

use super::keys::KeyRing;
use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use objects::Objects;
use reqwest::header::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use s3s_fs::FileSystem;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

const BUCKET: &str = "bucket";
/// The bucket in the host name of an access point.
#[cfg(unix)]
const ACCESS_POINT: &str = "bucket-123456789012";
/// Next to the bucket, so that it is not an object.
const STALL: &str = "stall";

/// A server with one bucket. Dropping it stops the server and deletes its objects.
pub struct S3Server {
    /// `http://127.0.0.1:<port>`.
    pub endpoint: String,
    /// For `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// For `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// The keys that it accepts.
    pub keys: KeyRing,
    root: TempDir,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The operation, as S3 calls it: `GetObject`, `ListObjectsV2`.
    pub operation: String,
    /// The path and the query.
    pub uri: String,
    /// Its header `range`, if there was one.
    pub range: Option<String>,
    /// Its header `if-match`, if there was one.
    pub if_match: Option<String>,
    /// The session token, if there was one.
    pub token: Option<String>,
    /// All of its headers.
    pub headers: HeaderMap,
}

/// Takes the bucket from the host name if its first label begins with the name of the bucket.
struct BucketsInFront;

impl S3Host for BucketsInFront {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match host.split_once('.') {
            Some((bucket, domain)) if bucket.starts_with(BUCKET) => VirtualHost::new(domain).with_bucket(bucket),
            _ => VirtualHost::new(host),
        })
    }
}

/// Variations of the server's behaviour.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    /// The region of the bucket: requests signed for another one are refused, as Amazon does.
    pub region: Option<&'static str>,
    /// Listings are forbidden.
    pub unlistable: bool,
    /// Listings have no ETags, as on some servers.
    pub untagged: bool,
    /// The first response to each creation of an object is an error, although the object was stored.
    pub loses_responses: bool,
    /// Conditions of writes are ignored.
    pub unconditional: bool,
    /// Some requests are late, are refused for now, are carried out twice, or get an error after they were carried out.
    pub is_faulty: bool,
}

impl S3Server {
    /// Starts a server on a free port.
    pub fn start() -> S3Server {
        S3Server::start_with(Manner::default())
    }

    /// Starts a server with a variation.
    pub fn start_with(manner: Manner) -> S3Server {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        // An access point is another name of a bucket.
        #[cfg(unix)]
        std::os::unix::fs::symlink(BUCKET, root.path().join(ACCESS_POINT)).expect("a link");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (access_key, secret_key) = ("test-access-key".to_owned(), "test-secret-key".to_owned());
        let log = Arc::<Mutex<Vec<Request>>>::default();
        let files = FileSystem::new(root.path()).expect("a file system");
        let mut builder = S3ServiceBuilder::new(Objects::new(files, root.path(), manner));
        let keys = KeyRing::default();
        keys.admit(&access_key, &secret_key);
        builder.set_auth(keys.clone());
        builder.set_host(BucketsInFront);
        builder.set_access(Gate { manner, stall: root.path().join(STALL), log: log.clone() });
        let service = builder.build();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, service) => {}
                    _ = stopped => {}
                }
            });
        });
        S3Server { endpoint, access_key, secret_key, keys, root, log, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the URL of a replica at this path of the bucket, for Litestream and the extension.
    pub fn url(&self, path: &str) -> String {
        format!("s3://{BUCKET}/{path}?endpoint={}", self.endpoint)
    }

    /// Returns the variables with the credentials, for [`litestream_vfs::store::Location::parse_with`].
    pub fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        match name {
            "AWS_ACCESS_KEY_ID" => Some(self.access_key.as_str().into()),
            "AWS_SECRET_ACCESS_KEY" => Some(self.secret_key.as_str().into()),
            _ => None,
        }
    }

    /// Returns the bytes of an object.
    pub fn object(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.path(key)).unwrap_or_else(|error| panic!("the object {key}: {error}"))
    }

    /// Returns the file of an object.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// Returns the stall file: while it exists, the server sends no response.
    #[cfg(unix)]
    pub fn stall_file(&self) -> PathBuf {
        self.root.path().join(STALL)
    }

    /// Returns the requests since the last call. A faulty server does not remember them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.log.lock().expect("no panic while it was locked"))
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let server = Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        // Small responses must not wait for the client's acknowledgement.
        stream.set_nodelay(true).expect("a socket");
        let connection = server.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(async move {
            // A client that disconnects in the middle of a response is not a failure of the server.
            let _ = connection.await;
        });
    }
}

/// Returns a random number below 100.
fn chance() -> u8 {
    (RandomState::new().build_hasher().finish() % 100) as u8
}

/// Checks the permissions, and logs the requests.
struct Gate {
    manner: Manner,
    stall: PathBuf,
    log: Arc<Mutex<Vec<Request>>>,
}

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let header = |name: &str| context.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let operation = context.s3_op().name().to_owned();
        let (range, if_match, signature) = (header("range"), header("if-match"), header("authorization"));
        let token = header("x-amz-security-token");
        let request = Request {
            operation,
            uri: context.uri().to_string(),
            range,
            if_match,
            token,
            headers: context.headers().clone(),
        };
        let is_listing = request.operation.starts_with("ListObjects");
        // A test with faults can last for hours.
        if !self.manner.is_faulty {
            self.log.lock().expect("no panic while it was locked").push(request);
        }
        while self.stall.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.manner.is_faulty {
            match chance() {
                0..5 => tokio::time::sleep(Duration::from_millis(u64::from(chance()) * 3)).await,
                5..8 => return Err(s3_error!(SlowDown)),
                _ => {}
            }
        }
        if let Some(region) = self.manner.region {
            let signed_for_it = signature.unwrap_or_default().contains(&format!("/{region}/s3/"));
            if !signed_for_it {
                let mut error = S3Error::new(S3ErrorCode::AuthorizationHeaderMalformed);
                let mut headers = context.headers().clone();
                headers.clear();
                headers.insert("x-amz-bucket-region", region.parse().expect("a header"));
                error.set_headers(headers);
                return Err(error);
            }
        }
        if self.manner.unlistable && is_listing {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        Ok(())
    }
}
