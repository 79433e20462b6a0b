//! An S3 server over a directory, as far away as one likes: for benchmarks.
//!
//! Prints its endpoint, then obeys lines on its standard input until that ends:
//!
//! - `distance <ms> <MB/s>`: from now on, every request waits so long, and every answer comes at so many bytes a second;
//! - `counts`: prints what was asked since the last such line, as JSON.

mod distance;
mod objects;

use distance::Distance;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use objects::Objects;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

/// For both variables that S3 clients take credentials from.
const CREDENTIAL: &str = "benchmark";

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).expect("usage: bench-store <directory>"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let distance = Arc::<Distance>::default();
    let mut builder = S3ServiceBuilder::new(Objects::new(root, distance.clone()));
    builder.set_auth(SimpleAuth::from_single(CREDENTIAL, CREDENTIAL));
    let service = builder.build();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(listener, service));
    });
    say(&endpoint);
    std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| obey(&distance, &line));
}

fn obey(distance: &Distance, line: &str) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["distance", ms, rate] => {
            distance.set(ms.parse().expect("milliseconds"), rate.parse().expect("megabytes a second"));
            say("ok");
        }
        ["counts"] => say(&distance.take_counts()),
        _ => panic!("{line:?} is no command"),
    }
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("somebody listens");
}

async fn serve(listener: TcpListener, service: S3Service) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let server = Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        // Small answers must not be held back for a client's acknowledgement.
        stream.set_nodelay(true).expect("a socket");
        let connection = server.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(async move {
            // A client that goes away in the middle of an answer is no failure of the server.
            let _ = connection.await;
        });
    }
}
