//! An S3 server that reads a replica's directory, and stalls after a number of bytes. It implements only what a reader needs, and checks no
//! signatures.

use super::programs::wait_until;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

pub struct Store {
    port: u16,
    gate: Arc<Gate>,
}

/// Lets a number of bytes of files pass.
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

struct State {
    left: usize,
    is_stalled: bool,
    /// Bytes of files that have passed.
    passed: usize,
    is_closed: bool,
}

/// The size of a part of a response.
const PART: usize = 16 << 10;

impl Store {
    /// Serves the replica in this directory, and stalls after `bytes`.
    pub fn start(replica: &Path, bytes: usize) -> Store {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let gate = Arc::new(Gate {
            state: Mutex::new(State { left: bytes, is_stalled: false, passed: 0, is_closed: false }),
            opened: Condvar::new(),
        });
        let (root, shared) = (replica.join("ltx"), Arc::clone(&gate));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, gate) = (root.clone(), Arc::clone(&shared));
                // A client may close its connection at any time.
                thread::spawn(move || serve(stream, &root, &gate).is_ok());
            }
        });
        Store { port, gate }
    }

    pub fn url(&self) -> String {
        format!("s3://bucket/app?endpoint=http://127.0.0.1:{}&region=us-east-1", self.port)
    }

    /// Adds credentials to a command.
    pub fn credentials<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret")
    }

    /// Waits until the reader has got all bytes that may pass.
    pub fn wait_until_stalled(&self) {
        wait_until("the store stalls", || self.gate.state.lock().expect("no panic").is_stalled);
    }

    /// Returns how many bytes of files have passed since the last call.
    pub fn take_passed(&self) -> usize {
        std::mem::take(&mut self.gate.state.lock().expect("no panic").passed)
    }

    /// Responds to no further request.
    pub fn close(&self) {
        self.gate.state.lock().expect("no panic").is_closed = true;
    }

    /// Lets everything pass.
    pub fn open(&self) {
        self.gate.state.lock().expect("no panic").left = usize::MAX;
        self.gate.opened.notify_all();
    }
}

impl Gate {
    /// Waits until this many bytes may pass.
    fn pass(&self, bytes: usize) {
        let mut state = self.state.lock().expect("no panic");
        while state.left < bytes {
            state.is_stalled = true;
            state = self.opened.wait(state).expect("no panic");
        }
        state.left -= bytes;
        state.passed += bytes;
    }
}

/// Responds to the requests of a connection until the client closes it.
fn serve(mut stream: TcpStream, root: &Path, gate: &Gate) -> io::Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    loop {
        let (mut target, mut range, mut line) = (String::new(), String::new(), String::new());
        while requests.read_line(&mut line)? > 2 {
            if let Some(rest) = line.strip_prefix("GET ") {
                target = rest.split(' ').next().unwrap_or_default().to_owned();
            } else if let Some(rest) = line.strip_prefix("range: bytes=") {
                range = rest.trim().to_owned();
            }
            line.clear();
        }
        if target.is_empty() || gate.state.lock().expect("no panic").is_closed {
            return Ok(());
        }
        let (head, body) = respond(&target, &range, root);
        stream.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())?;
        for part in body.chunks(PART) {
            if !range.is_empty() {
                gate.pass(part.len());
            }
            stream.write_all(part)?;
        }
    }
}

/// Returns the status with the headers, and the body.
fn respond(target: &str, range: &str, root: &Path) -> (String, Vec<u8>) {
    if target.contains("list-type=2") {
        let listed = files(root).into_iter().map(|(key, path)| {
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            format!(
                "<Contents><Key>app/{key}</Key><Size>{size}</Size><ETag>\"{key}\"</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        });
        let body = format!("<ListBucketResult>{}</ListBucketResult>", listed.collect::<String>());
        return ("200 OK".to_owned(), body.into_bytes());
    }
    let missing = ("404 Not Found".to_owned(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
    let found = || {
        let key = target.strip_prefix("/bucket/app/")?;
        let (_, path) = files(root).into_iter().find(|(known, _)| known == key)?;
        let content = fs::read(path).ok()?;
        let (start, last) = range.split_once('-')?;
        let (start, end) =
            (start.parse::<usize>().ok()?, last.parse::<usize>().ok()?.checked_add(1)?.min(content.len()));
        let range = format!("content-range: bytes {start}-{}/{}", end - 1, content.len());
        Some((format!("206 Partial Content\r\netag: \"{key}\"\r\n{range}"), content.get(start..end)?.to_vec()))
    };
    found().unwrap_or(missing)
}

/// Returns the files by their keys.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for level in root.read_dir().expect("a replica").flatten() {
        let number: u8 = level.file_name().to_str().and_then(|name| name.parse().ok()).expect("levels are numbers");
        for file in level.path().read_dir().expect("a level is a directory").flatten() {
            found.push((format!("{number:04x}/{}", file.file_name().to_string_lossy()), file.path()));
        }
    }
    found.sort();
    found
}
