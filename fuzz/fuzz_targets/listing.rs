//! Lists a replica whose server responds with arbitrary bytes and headers, and reads from it, over every protocol on HTTP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Level, Txid};
use litestream_vfs::store::{Location, Store};
use litestream_vfs_fuzz::Server;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;

const HEADS: [&str; 4] = [
    "200 OK\r\nETag: \"1\"",
    "206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 0-99/100",
    "207 Multi-Status\r\nContent-Type: application/xml",
    "404 Not Found\r\nContent-Type: application/xml",
];

struct Subject {
    server: Server,
    stores: Vec<Arc<dyn Store>>,
    runtime: Runtime,
}

fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| {
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
        Subject { server, stores, runtime }
    })
}

/// Takes the values of headers from the first lines of a body.
fn head(choice: u8, body: &mut &[u8]) -> String {
    let mut line = || {
        let mut parts = body.splitn(2, |byte| *byte == b'\n');
        let line = parts.next().unwrap_or_default();
        *body = parts.next().unwrap_or_default();
        String::from_utf8_lossy(line).replace('\r', " ")
    };
    let (etag, range, time) = (line(), line(), line());
    let status = ["200 OK", "206 Partial Content"][usize::from(choice & 1)];
    format!("{status}\r\nETag: {etag}\r\nContent-Range: {range}\r\nLast-Modified: {time}")
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, mut body) = input;
    let Subject { server, stores, runtime } = subject();
    let store = &stores[choice as usize % stores.len()];
    let (constant, choice) = (HEADS.get((choice >> 4) as usize % (2 * HEADS.len())), choice >> 7);
    let head = constant.map_or_else(|| head(choice, &mut body), |head| (*head).to_owned());
    server.respond(&head, body);
    let name = FileName::of(Txid(1));
    runtime.block_on(async {
        for listed in store.list(Level::ZERO, Txid(0)).await.unwrap_or_default() {
            assert!(listed.name.min <= listed.name.max, "{listed:?}");
        }
        if let Ok(chunk) = store.read(Level::ZERO, name, 0..100, None).await {
            assert!(chunk.bytes.len() <= 100, "more than was requested");
        }
    });
});
