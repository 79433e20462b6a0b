//! What becomes of a client whose server goes away.

use super::config_of;
use crate::store::nats::connection::NatsConnection;
use crate::store::reconnect::StoreConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const INFO: &str = r#"INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true}"#;

/// The response to the request for the stream of a bucket.
const STREAM: &str = r#"{"config":{"name":"OBJ_app","discard":"new","retention":"limits","storage":"file","num_replicas":1},
    "created":"2026-11-21T00:00:00Z","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z",
    "last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0}}"#;

/// Serves a client up to the response to its first request.
async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{INFO}\r\n").as_bytes()).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["PING"] => stream.write_all(b"PONG\r\n").await?,
            ["PUB", _, inbox, _] => {
                stream.read_line(&mut String::new()).await?;
                let response = format!("MSG {inbox} 0 {}\r\n{STREAM}\r\n", STREAM.len());
                return stream.write_all(response.as_bytes()).await;
            }
            _ => {}
        }
    }
}

/// Accepts clients. Serves only the second one, so the first server of a list is down. Counts them.
async fn accept(listener: TcpListener, accepted: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        if accepted.fetch_add(1, Ordering::Relaxed) == 1 {
            let _ = serve(stream).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_lost_its_server_tries_each_server_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    tokio::spawn(accept(listener, accepted.clone()));
    let config = config_of(vec![host.clone(), host]);
    let connection = NatsConnection::open(&config).await.expect("the second server responds");
    while !connection.has_ended() {
        sleep(Duration::from_millis(1)).await;
    }
    drop(connection);
    sleep(Duration::from_secs(1)).await;
    let reconnects = accepted.load(Ordering::Relaxed) - 2;
    assert!(reconnects <= config.servers.len(), "{reconnects} connections after the server has gone away");
}
