//! Responses that a correct server never sends.

use super::*;
use session::Session;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Returns the packets of the response to a request, given the type and the id of the request.
type Responses = fn(u8, [u8; 4]) -> Vec<u8>;

async fn serve(mut stream: DuplexStream, responses: Responses) -> std::io::Result<()> {
    let mut init = [0; 9];
    stream.read_exact(&mut init).await?;
    stream.write_all(&string(&[2, 0, 0, 0, 3])).await?;
    loop {
        let length = stream.read_u32().await?;
        let mut request = vec![0; length as usize];
        stream.read_exact(&mut request).await?;
        let id = request[1..5].try_into().expect("an id");
        stream.write_all(&responses(request[0], id)).await?;
    }
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

const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAMES: u8 = 104;
const OPEN: u8 = 3;
const OPEN_DIRECTORY: u8 = 11;

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
