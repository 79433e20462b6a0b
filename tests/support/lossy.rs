//! Connections that lose one response, and a proxy that makes them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

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

/// One connection, on which the response to the first request that contains a part is lost, if none was lost before.
pub struct LossyConnection {
    part: &'static str,
    /// The end of what was requested, because the part may be split.
    end: Mutex<Vec<u8>>,
    is_awaited: AtomicBool,
    has_lost: Arc<AtomicBool>,
}

impl LossyConnection {
    pub fn new(part: &'static str, has_lost: Arc<AtomicBool>) -> LossyConnection {
        LossyConnection { part, end: Mutex::default(), is_awaited: AtomicBool::new(false), has_lost }
    }

    /// Notes bytes of requests.
    pub fn request(&self, bytes: &[u8]) {
        let mut end = self.end.lock().expect("no panic");
        end.extend_from_slice(bytes);
        if end.windows(self.part.len()).any(|window| window == self.part.as_bytes()) {
            self.is_awaited.store(true, Ordering::SeqCst);
        }
        let seen = end.len().saturating_sub(self.part.len() - 1);
        end.drain(..seen);
    }

    /// Returns whether the next bytes of a response are not lost.
    pub fn may_respond(&self) -> bool {
        !self.is_awaited.load(Ordering::SeqCst) || self.has_lost.swap(true, Ordering::SeqCst)
    }
}

fn forward(client: TcpStream, server: TcpStream, part: &'static str, has_lost: Arc<AtomicBool>) {
    let requested = Arc::new(LossyConnection::new(part, has_lost));
    let responded = requested.clone();
    let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        copy(from, to, |bytes| {
            requested.request(bytes);
            true
        });
    });
    std::thread::spawn(move || copy(server, client, |_| responded.may_respond()));
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
