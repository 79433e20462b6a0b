//! Stores whose server is part of the fuzz target.

use litestream_vfs::store::{Location, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::runtime::Runtime;

/// A store for each protocol on HTTP, and their server.
pub struct Http {
    server: Server,
    stores: Vec<Arc<dyn Store>>,
    pub runtime: Runtime,
}

impl Http {
    /// Returns those of this process.
    pub fn get() -> &'static Http {
        static HTTP: OnceLock<Http> = OnceLock::new();
        HTTP.get_or_init(Http::new)
    }

    fn new() -> Http {
        let server = Server::start();
        let at = format!("127.0.0.1:{}", server.port);
        let urls = [
            format!("s3://bucket/app?endpoint=http://{at}"),
            format!("gs://bucket/app?endpoint=http://{at}"),
            format!("abs://account@box/app?endpoint=http://{at}/account"),
            format!("webdav://{at}/app"),
            format!("http://{at}/app"),
        ];
        let variable = |name: &str| match name {
            "LITESTREAM_AZURE_ACCOUNT_KEY" => Some("aGVsbG8=".into()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("key".into()),
            _ => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let connect = |url: &String| Location::parse_with(url, variable).and_then(|location| location.connect());
        let stores = urls.iter().map(|url| connect(url).unwrap_or_else(|error| panic!("{url}: {error}"))).collect();
        drop(_inside);
        Http { server, stores, runtime }
    }

    /// Returns the store of a choice.
    pub fn store(&self, choice: u8) -> &Arc<dyn Store> {
        &self.stores[usize::from(choice) % self.stores.len()]
    }

    /// Sets the response to all requests: its status line with further headers, and its body.
    pub fn respond(&self, head: &str, body: &[u8]) {
        self.server.respond(head, body);
    }
}

/// Takes a line from the beginning of a body, for the value of a header.
pub fn take_line(body: &mut &[u8]) -> String {
    let mut parts = body.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    *body = parts.next().unwrap_or_default();
    String::from_utf8_lossy(line).replace('\r', " ")
}

/// A web server that sends the same response to every request.
struct Server {
    port: u16,
    response: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let response = Arc::<Mutex<Vec<u8>>>::default();
        let sent = response.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let response = sent.lock().expect("no panic").clone();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    let (mut line, mut length) = (String::new(), 0);
                    // A request is answered when its headers and its body have arrived.
                    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                        let header = line.to_ascii_lowercase();
                        if let Some(value) = header.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                        line.clear();
                    }
                    let _ = reader.take(length).read_to_end(&mut Vec::new());
                    let _ = (&stream).write_all(&response);
                });
            }
        });
        Server { port, response }
    }

    fn respond(&self, head: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        *self.response.lock().expect("no panic") = [head.as_bytes(), body].concat();
    }
}
