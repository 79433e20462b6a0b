//! An S3 server on which every tenant has the same files, for tests with very many replicas. It implements only the
//! operations for reading, and checks no signatures.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Files by their key below the path of the tenant.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A running server. It ends with the process.
pub struct Bucket {
    /// The URL of a replica, with `TENANT` in place of the name of the tenant.
    pub url: String,
}

impl Bucket {
    pub fn start(files: Files) -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let url = format!("s3://bucket/TENANT?endpoint=http://{}", listener.local_addr().expect("an address"));
        let files = Arc::new(files);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, files.clone()));
                }
            });
        });
        Bucket { url }
    }
}

/// Responds to the requests of a connection until the client closes it.
async fn serve(stream: TcpStream, files: Arc<Files>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut target, mut range, mut line) = (String::new(), String::new(), String::new());
        while stream.read_line(&mut line).await? > 2 {
            if let Some(rest) = line.strip_prefix("GET ") {
                target = rest.split(' ').next().unwrap_or_default().to_owned();
            } else if let Some(rest) = line.strip_prefix("range: bytes=") {
                range = rest.trim().to_owned();
            }
            line.clear();
        }
        if target.is_empty() {
            return Ok(());
        }
        stream.write_all(&answer(&target, &range, &files)).await?;
    }
}

fn answer(target: &str, range: &str, files: &Files) -> Vec<u8> {
    let whole = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    if let Some((_, query)) = target.split_once('?') {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = prefix.replace("%2F", "/");
        let (tenant, below) = prefix.split_once('/').unwrap_or((&prefix, ""));
        let listed = files.iter().filter(|(key, _)| key.starts_with(below)).map(|(key, bytes)| {
            format!(
                "<Contents><Key>{tenant}/{key}</Key><Size>{}</Size><ETag>\"{key}\"</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                bytes.len()
            )
        });
        let body = format!("<ListBucketResult>{}</ListBucketResult>", listed.collect::<String>());
        return whole("200 OK", "", body.as_bytes());
    }
    // The part after the bucket and the tenant.
    let key = target.splitn(4, '/').nth(3).unwrap_or_default();
    let part = || {
        let bytes = files.get(key)?;
        let (start, last) = range.split_once('-')?;
        let (start, end) = (start.parse::<usize>().ok()?, last.parse::<usize>().ok()?.checked_add(1)?);
        let end = end.min(bytes.len());
        let headers = format!("content-range: bytes {start}-{}/{}\r\netag: \"{key}\"\r\n", end - 1, bytes.len());
        Some(whole("206 Partial Content", &headers, bytes.get(start..end)?))
    };
    part().unwrap_or_else(|| whole("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>"))
}
