//! Sessions with a server in memory, whose responses are late, or such as a correct server never sends.

#[cfg(unix)]
mod agent;

use super::*;
use futures_util::FutureExt;
use futures_util::future::join;
use session::Session;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

/// Returns the packets of the response to a request, given the type and the id of the request.
type Responses = fn(u8, [u8; 4]) -> Vec<u8>;

async fn serve(mut stream: DuplexStream, responses: Responses) -> std::io::Result<()> {
    begin(&mut stream).await?;
    loop {
        let (packet_type, id, _) = request(&mut stream).await?;
        stream.write_all(&responses(packet_type, id)).await?;
    }
}

async fn begin(stream: &mut DuplexStream) -> std::io::Result<()> {
    let mut init = [0; 9];
    stream.read_exact(&mut init).await?;
    let extension = [string(wire::HARD_LINK.as_bytes()), string(b"1")].concat();
    stream.write_all(&string(&[&[2, 0, 0, 0, 3], &extension[..]].concat())).await
}

/// Receives a request: its type, its id, and the rest.
async fn request(stream: &mut DuplexStream) -> std::io::Result<(u8, [u8; 4], Vec<u8>)> {
    let length = stream.read_u32().await?;
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await?;
    let rest = packet.split_off(5);
    Ok((packet[0], packet[1..].try_into().expect("an id"), rest))
}

/// Returns the bytes after their length, which is the form of packets and of strings in them.
fn string(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes(), content].concat()
}

async fn session(responses: Responses) -> Session {
    let (client, server) = duplex(1 << 16);
    tokio::spawn(serve(server, responses));
    Session::begin(client).await.expect("a session")
}

const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAMES: u8 = 104;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const OPEN_DIRECTORY: u8 = 11;
const STAT: u8 = 17;
const EXTENDED: u8 = 200;

fn status(id: [u8; 4], code: u8) -> Vec<u8> {
    string(&[&[STATUS][..], &id, &[0, 0, 0, code], &[0; 8]].concat())
}

fn handle(id: [u8; 4], handle: &[u8]) -> Vec<u8> {
    string(&[&[HANDLE][..], &id, &string(handle)].concat())
}

#[tokio::test]
async fn more_data_than_requested_is_an_error() {
    let session = session(|packet_type, id| match packet_type {
        OPEN => handle(id, b"h"),
        _ => string(&[&[DATA][..], &id, &string(b"abcdef")].concat()),
    });
    let session = session.await;
    let file = session.open(SftpRequest::Open("file".to_owned())).await.map_err(|_| "no handle").expect("a file");
    let error = content::read_piece(&file, 0..4).await.expect_err("too much data").at("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("more data than was requested"), "{error}");
}

#[tokio::test]
async fn a_handle_longer_than_the_protocol_permits_is_rejected() {
    let session = session(|_, id| handle(id, &[b'h'; 257])).await;
    let error = session.open(SftpRequest::Open("file".to_owned())).await.err().expect("no handle").at("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
}

#[tokio::test]
async fn an_endless_directory_is_an_error() {
    let session = session(|packet_type, id| match packet_type {
        OPEN_DIRECTORY => handle(id, b"h"),
        _ => {
            let name = [string(b"name"), string(b""), vec![0; 4]].concat();
            string(&[&[NAMES][..], &id, &1000u32.to_be_bytes(), &name.repeat(1000)].concat())
        }
    });
    let session = session.await;
    let allowance = Allowance::of(0);
    let result = directory::list(&session, "app", Level::ZERO, Txid(0), &allowance).await;
    let error = result.expect_err("too many names").at("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("turn Litestream's retention on"), "{error}");
}

/// OpenSSH responds so to EPERM, which Linux returns for a link on FAT.
#[tokio::test]
async fn a_denied_hard_link_is_not_supported_by_the_file_system() {
    const DENIED: u8 = 3;
    let missing: Responses = |packet_type, id| match packet_type {
        OPEN => handle(id, b"h"),
        EXTENDED => status(id, DENIED),
        STAT => status(id, 2),
        _ => status(id, 0),
    };
    let hidden: Responses = |packet_type, id| match packet_type {
        OPEN => handle(id, b"h"),
        EXTENDED | STAT => status(id, DENIED),
        _ => status(id, 0),
    };
    for (responses, kind, clause) in [
        (missing, StoreErrorKind::Config, "the server's file system supports no hard links"),
        (hidden, StoreErrorKind::Denied, "the user has no permission for it"),
    ] {
        let session = session(responses).await;
        let created = write::create(&session, "/app", "ltx/0/a.ltx", &Bytes::from_static(b"file")).await;
        let error = created.expect_err("no name").at("sftp://host");
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(clause), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_whose_caller_no_longer_waits_is_closed() {
    let (client, mut server) = duplex(1 << 16);
    let (session, begun) = join(Session::begin(client), begin(&mut server)).await;
    let session = session.expect("a session");
    begun.expect("a client");
    for waits_until_the_response in [false, true] {
        let mut open = Box::pin(session.open(SftpRequest::Open("file".to_owned())));
        assert!(open.as_mut().now_or_never().is_none(), "there is no response yet");
        let open = waits_until_the_response.then_some(open);
        let respond = async {
            let ((OPEN, open, _), (_, other, _)) = (request(&mut server).await?, request(&mut server).await?) else {
                panic!("the file is not opened")
            };
            server.write_all(&[handle(open, b"h"), status(other, 0)].concat()).await
        };
        // Its response is sent after the handle, so the handle has arrived.
        let other = session.command(SftpRequest::Remove("other".to_owned()));
        let (removed, responded) = join(other, respond).await;
        removed.expect("a status");
        responded.expect("a client");
        drop(open);
        let next = timeout(Duration::from_secs(60), request(&mut server)).await.expect("the handle stays open");
        let (packet_type, _, rest) = next.expect("a client");
        assert_eq!((packet_type, rest), (CLOSE, string(b"h")), "waits until the response: {waits_until_the_response}");
    }
}

/// A connection has a task of its own, which goes on when nobody waits for it any more.
#[tokio::test]
async fn connections_end_whose_server_is_silent_in_the_key_exchange() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let url = format!("sftp://me:hush@127.0.0.1:{port}/app?insecure-host-key=true");
    let location = crate::store::Location::parse_with(&url, |_| None).expect("a location");
    let ended = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"SSH-2.0-x\r\n").await.expect("a client");
        stream.read_to_end(&mut Vec::new()).await
    };
    let store = location.connect().expect("a store");
    let reads = store.list(crate::ltx::Level::ZERO, crate::ltx::Txid(1));
    let (error, ended) = join(reads, timeout(Duration::from_secs(60), ended)).await;
    assert_eq!(error.expect_err("no response").kind(), StoreErrorKind::Unreachable);
    assert!(ended.is_ok(), "the connection is still there");
}
