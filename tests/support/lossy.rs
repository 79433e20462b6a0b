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
    /// Returns what only the response to a request contains, from the bytes before the part.
    response: fn(&[u8]) -> Vec<u8>,
    /// The end of what was requested, because the part may be split.
    end: Mutex<Vec<u8>>,
    awaited: Mutex<Option<Vec<u8>>>,
    has_lost: Arc<AtomicBool>,
}

impl LossyConnection {
    /// The bytes before a part that are kept.
    const BEFORE: usize = 64;

    pub fn new(part: &'static str, response: fn(&[u8]) -> Vec<u8>, has_lost: Arc<AtomicBool>) -> LossyConnection {
        LossyConnection { part, response, end: Mutex::default(), awaited: Mutex::default(), has_lost }
    }

    /// Notes bytes of requests.
    pub fn request(&self, bytes: &[u8]) {
        let mut end = self.end.lock().expect("no panic");
        end.extend_from_slice(bytes);
        if let Some(at) = end.windows(self.part.len()).position(|window| window == self.part.as_bytes()) {
            *self.awaited.lock().expect("no panic") = Some((self.response)(&end[..at]));
        }
        let seen = end.len().saturating_sub(self.part.len() - 1 + Self::BEFORE);
        end.drain(..seen);
    }

    /// Returns whether these bytes of a response are not lost.
    pub fn may_respond(&self, bytes: &[u8]) -> bool {
        let awaited = self.awaited.lock().expect("no panic");
        let is_lost = |part: &Vec<u8>| part.is_empty() || bytes.windows(part.len()).any(|window| window == part);
        !awaited.as_ref().is_some_and(is_lost) || self.has_lost.swap(true, Ordering::SeqCst)
    }
}

/// Starts a proxy before a local server. On the first connection, bytes of this part of the responses are lost, and then the connection. Returns
/// its port.
pub fn start_gap(server: u16, lost: std::ops::Range<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            std::thread::spawn(move || copy(from, to, |_| true));
            let lost = if number == 0 { lost.clone() } else { usize::MAX..usize::MAX };
            std::thread::spawn(move || lose(server, client, lost));
        }
    });
    port
}

/// Copies bytes until the end. Some are not passed, and end the connections.
fn lose(mut from: TcpStream, mut to: TcpStream, lost: std::ops::Range<usize>) {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        passed += length;
        if passed >= lost.end || passed < lost.start && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn forward(client: TcpStream, server: TcpStream, part: &'static str, has_lost: Arc<AtomicBool>) {
    let requested = Arc::new(LossyConnection::new(part, |_| Vec::new(), has_lost));
    let responded = requested.clone();
    let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        copy(from, to, |bytes| {
            requested.request(bytes);
            true
        });
    });
    std::thread::spawn(move || copy(server, client, |bytes| responded.may_respond(bytes)));
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
