//! A test server that sends prepared responses, including those that a correct server never sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server that sends one response per connection. It runs until the process ends.
pub(super) struct Canned {
    pub endpoint: String,
    /// The number of requests.
    pub answered: Arc<AtomicUsize>,
    /// The first line of each request.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Starts a server that sends these responses in order, and repeats the last one.
    pub fn start(responses: Vec<String>) -> Canned {
        Canned::start_with(move |number, stream| {
            let response = responses.get(number).or(responses.last()).expect("a response");
            stream.write_all(response.as_bytes())
        })
    }

    /// Starts a server whose responses `write` writes. Its first argument is the number of the request.
    pub fn start_with(write: impl Fn(usize, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let answered = Arc::new(AtomicUsize::new(0));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (count, log) = (answered.clone(), requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let number = count.fetch_add(1, Ordering::Relaxed);
                receive(&stream, |line| log.lock().expect("no panic").push(line));
                // A client may close the connection before the whole response is written.
                let _ = write(number, &mut stream);
            }
        });
        Canned { endpoint, answered, requests }
    }
}

/// Receives a request with its body, and passes its first line on.
fn receive(stream: &TcpStream, first: impl FnOnce(String)) {
    let mut request = BufReader::new(stream.try_clone().expect("a socket"));
    let mut lines = request.by_ref().lines().map_while(Result::ok).fuse();
    lines.next().map(first);
    let headers = lines.take_while(|line| !line.is_empty());
    let lengths =
        headers.filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<u64>().ok());
    let length = lengths.sum();
    let _ = std::io::copy(&mut request.take(length), &mut std::io::sink());
}

/// Returns a response.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}

/// Returns a response with a range of a file.
pub(super) fn part(range: &str, body: &str) -> String {
    answer("206 Partial Content", &format!("content-range: bytes {range}\r\netag: \"a\"\r\n"), body)
}

/// Sends a response whose body does not end.
pub(super) fn endless(status: &str, headers: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    const CHUNK: usize = 64 * 1024;
    write!(stream, "HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n{headers}\r\n")?;
    let chunk = format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK));
    loop {
        stream.write_all(chunk.as_bytes())?;
    }
}

/// Sends the body of a response byte by byte: too slowly for the deadline, but without a long pause.
pub(super) fn trickle(response: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let body = response.find("\r\n\r\n").map_or(0, |at| at + 4);
    stream.write_all(&response.as_bytes()[..body])?;
    response.as_bytes()[body..].iter().try_for_each(|byte| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        stream.write_all(&[*byte])
    })
}
