//! A server whose answers were written before it was asked, for those that a well-behaved one never gives.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Gives one canned answer a connection, the last of them for ever. Ends with the process.
pub(super) struct Canned {
    pub endpoint: String,
    pub answered: Arc<AtomicUsize>,
    /// The first line of each request.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    pub fn start(answers: Vec<String>) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let answered = Arc::new(AtomicUsize::new(0));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (count, log) = (answered.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let number = count.fetch_add(1, Ordering::Relaxed);
                let answer = answers.get(number).or(answers.last()).expect("an answer");
                let request = BufReader::new(stream.try_clone().expect("a socket"));
                let mut lines = request.lines().map_while(Result::ok).fuse();
                log.lock().expect("no panic").extend(lines.next());
                lines.find(|line| line.is_empty());
                // A client that has read enough may close before all is written.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Canned { endpoint, answered, asked }
    }
}

pub(super) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}

pub(super) fn part(range: &str, body: &str) -> String {
    answer("206 Partial Content", &format!("content-range: bytes {range}\r\netag: \"a\"\r\n"), body)
}
