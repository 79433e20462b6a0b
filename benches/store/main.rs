//! An S3 server over a directory for benchmarks, with an adjustable latency and bandwidth.
//!
//! Prints its endpoint, then runs the commands on its standard input until that ends:
//!
//! - `distance <ms> <MB/s>`: sets the time to the first byte of each response, and the rate of the bytes after it;
//! - `counts`: prints the counts of requests since the last such command, as JSON.

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

/// The value of both environment variables from which S3 clients take credentials.
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
    print_line(&endpoint);
    std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| run_command(&distance, &line));
}

fn run_command(distance: &Distance, line: &str) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["distance", ms, rate] => {
            distance.set(ms.parse().expect("milliseconds"), rate.parse().expect("megabytes per second"));
            print_line("ok");
        }
        ["counts"] => print_line(&distance.take_counts()),
        _ => panic!("unknown command: {line:?}"),
    }
}

fn print_line(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("a reader of standard output");
}

async fn serve(listener: TcpListener, service: S3Service) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let server = Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        // Small responses must not wait for the client's acknowledgement.
        stream.set_nodelay(true).expect("a socket");
        let connection = server.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(async move {
            // A client that disconnects in the middle of a response is not a failure of the server.
            let _ = connection.await;
        });
    }
}
