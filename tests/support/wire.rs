//! A proxy that connects every host to one local server, and certificates for it.

use super::programs::{program, run};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A self-signed certificate for 127.0.0.1, and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Creates the certificate in a directory.
    pub fn new(dir: &Path) -> Certificate {
        let (key, certificate) = (dir.join("key"), dir.join("certificate"));
        let mut openssl = Command::new(program("openssl"));
        let kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=replica";
        openssl.args(kind.split(' ')).args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]);
        let made = run(openssl.arg(&key).arg("-out").arg(&certificate), Duration::from_secs(60));
        assert!(made.status.success(), "{made:?}");
        Certificate { certificate, key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(&self.certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("a key");
        let builder = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let config = builder.with_single_cert(vec![certificate], key).expect("a matching key");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A proxy that connects each `CONNECT` request to one server, and presents that server as the requested one over TLS. It
/// stops when it is dropped.
pub struct Proxy {
    /// For `HTTPS_PROXY`.
    pub url: String,
    requested: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy. `to` is the host and port of a server of plain HTTP.
    pub fn start(to: &str, certificate: &Certificate) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (to, acceptor, requested) = (to.to_owned(), certificate.acceptor(), Arc::<Mutex<Vec<String>>>::default());
        let (stop, stopped) = oneshot::channel();
        let log = requested.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, acceptor, to, log) => {}
                    _ = stopped => {}
                }
            });
        });
        Proxy { url, requested, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the requested servers since the last call, with their ports, each once.
    pub fn take_servers(&self) -> Vec<String> {
        let mut servers = std::mem::take(&mut *self.requested.lock().expect("no panic"));
        servers.sort();
        servers.dedup();
        servers
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, to: String, log: Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (acceptor, to, log) = (acceptor.clone(), to.clone(), log.clone());
        // A client that disconnects is not a failure of the proxy.
        tokio::spawn(async move { forward(stream, acceptor, &to, &log).await });
    }
}

async fn forward(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    to: &str,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let server = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let Some(server) = server else { return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await };
    log.lock().expect("no panic").push(server.to_owned());
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let mut inside = acceptor.accept(stream).await?;
    copy_bidirectional(&mut inside, &mut TcpStream::connect(to).await?).await.map(drop)
}
