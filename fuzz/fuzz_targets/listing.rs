//! Lists a replica whose server responds with arbitrary bytes and headers, and reads from it, over every protocol on HTTP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Level, Txid};
use litestream_vfs_fuzz::{Http, take_line};

const HEADS: [&str; 4] = [
    "200 OK\r\nETag: \"1\"",
    "206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 0-99/100",
    "207 Multi-Status\r\nContent-Type: application/xml",
    "404 Not Found\r\nContent-Type: application/xml",
];

/// Takes the values of headers from the first lines of a body.
fn head(choice: u8, body: &mut &[u8]) -> String {
    let (etag, range, time) = (take_line(body), take_line(body), take_line(body));
    let status = ["200 OK", "206 Partial Content"][usize::from(choice & 1)];
    format!("{status}\r\nETag: {etag}\r\nContent-Range: {range}\r\nLast-Modified: {time}")
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, mut body) = input;
    let http = Http::get();
    let store = http.store(choice);
    let (constant, choice) = (HEADS.get((choice >> 4) as usize % (2 * HEADS.len())), choice >> 7);
    let head = constant.map_or_else(|| head(choice, &mut body), |head| (*head).to_owned());
    http.respond(&head, body);
    let name = FileName::of(Txid(1));
    http.runtime.block_on(async {
        for listed in store.list(Level::ZERO, Txid(0)).await.unwrap_or_default() {
            assert!(listed.name.min <= listed.name.max, "{listed:?}");
        }
        if let Ok(chunk) = store.read(Level::ZERO, name, 0..100, None).await {
            assert!(chunk.bytes.len() <= 100, "more than was requested");
        }
    });
});
