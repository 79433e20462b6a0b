//! Reads, creates and deletes objects, and holds the lease of a writer, while the server responds with an arbitrary status, headers and body, over
//! every protocol on HTTP.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Level, Txid};
use litestream_vfs::replica::Lease;
use litestream_vfs::store::ObjectName;
use litestream_vfs_fuzz::{Http, take_line};

/// Those with `Retry-After` are in the target `messages`, because their pauses are real.
const HEADERS: [&str; 6] = ["x-amz-bucket-region", "x-ms-error-code", "Location", "Lock-Token", "ETag", "Allow"];

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (choice, status, mut body) = input;
    let http = Http::get();
    let store = http.store(choice);
    let mut head = format!("{} Status", 200 + status % 400);
    for name in HEADERS {
        head += &format!("\r\n{name}: {}", take_line(&mut body));
    }
    http.respond(&head, body);
    let object = ObjectName::File(Level::ZERO, FileName::of(Txid(1)));
    http.runtime.block_on(async {
        if let Ok(Some(object)) = store.read_object(ObjectName::Lease).await {
            assert!(object.len() <= 64 * 1024, "more than is read of an object");
        }
        let _ = store.create(object, Bytes::from_static(b"file")).await;
        let _ = store.delete(object).await;
        let lease = Lease::new(store.clone(), "fuzzer");
        if lease.hold().await.is_ok() {
            let _ = lease.release().await;
        }
    });
});
