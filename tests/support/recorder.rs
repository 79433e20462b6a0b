//! An HTTP server with responses that a test defines. It records the requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: String,
    /// The path and the query; the whole URL in a request to a proxy.
    pub target: String,
    /// With names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn read(lines: impl Iterator<Item = String>) -> Option<Head> {
        let mut lines = lines.take_while(|line| !line.is_empty());
        let request = lines.next()?;
        let mut words = request.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Head { method, target, headers: headers.collect() })
    }
}

/// A running server. It ends with the process.
pub struct Recorder {
    /// `http://127.0.0.1:<port>`.
    pub endpoint: String,
    heads: Arc<Mutex<Vec<Head>>>,
}

impl Recorder {
    /// Starts a server. `answer` returns the status and the body of each response.
    pub fn start(answer: impl Fn(&Head) -> (&'static str, String) + Send + 'static) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let heads = Arc::<Mutex<Vec<Head>>>::default();
        let log = heads.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some(head) = receive(&stream) else { continue };
                let (status, body) = answer(&head);
                log.lock().expect("no panic while it was locked").push(head);
                let length = body.len();
                let whole = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                // The client may disconnect before the end.
                let _ = stream.write_all(whole.as_bytes());
            }
        });
        Recorder { endpoint, heads }
    }

    pub fn port(&self) -> u16 {
        self.endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the endpoint ends with a port")
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Vec<Head> {
        std::mem::take(&mut self.heads.lock().expect("no panic while it was locked"))
    }
}

/// Reads a request to its end.
fn receive(stream: &TcpStream) -> Option<Head> {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let head = Head::read(reader.by_ref().lines().map_while(Result::ok))?;
    let length: u64 = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    Some(head)
}
