//! A proxy that loses one response.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A running proxy. It ends with the process.
pub struct LossyProxy {
    pub port: u16,
    has_lost: Arc<AtomicBool>,
}

impl LossyProxy {
    /// Starts a proxy before a local server. When the server responds to the first request that contains `part`, the connection is closed
    /// instead.
    pub fn start(server: u16, part: &'static str) -> LossyProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let has_lost = Arc::<AtomicBool>::default();
        let lost = has_lost.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                forward(client, server, part, lost.clone());
            }
        });
        LossyProxy { port, has_lost }
    }

    /// Returns whether a response was lost.
    pub fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::SeqCst)
    }
}

fn forward(client: TcpStream, server: TcpStream, part: &'static str, has_lost: Arc<AtomicBool>) {
    let is_awaited = Arc::<AtomicBool>::default();
    let awaited = is_awaited.clone();
    let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        let mut end: Vec<u8> = Vec::new();
        copy(from, to, |bytes| {
            // The part may be split.
            end.extend_from_slice(bytes);
            if end.windows(part.len()).any(|window| window == part.as_bytes()) {
                awaited.store(true, Ordering::SeqCst);
            }
            end.drain(..end.len().saturating_sub(part.len() - 1));
            true
        });
    });
    std::thread::spawn(move || {
        copy(server, client, |_| !is_awaited.load(Ordering::SeqCst) || has_lost.swap(true, Ordering::SeqCst));
    });
}

/// Copies bytes until the end, or until they may not pass. Then closes both connections.
fn copy(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !may_pass(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
