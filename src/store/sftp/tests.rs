//! How answers that a well-behaved server never gives are taken.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// The packets that answer a request, given its kind and its number as four bytes; none once there is nothing more to say.
type Answers = fn(u8, [u8; 4]) -> Vec<u8>;

async fn serve(mut stream: DuplexStream, answers: Answers) -> std::io::Result<()> {
    let mut hello = [0; 9];
    stream.read_exact(&mut hello).await?;
    stream.write_all(&packet(&[2, 0, 0, 0, 3])).await?;
    loop {
        let length = stream.read_u32().await?;
        let mut request = vec![0; length as usize];
        stream.read_exact(&mut request).await?;
        let number = request[1..5].try_into().expect("a number");
        stream.write_all(&answers(request[0], number)).await?;
    }
}

fn packet(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes(), content].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    packet(text)
}

async fn session(answers: Answers) -> Session {
    let (ours, theirs) = duplex(1 << 16);
    tokio::spawn(serve(theirs, answers));
    Session::begin(ours).await.expect("a conversation")
}

const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAMES: u8 = 104;
const OPEN: u8 = 3;
const OPEN_DIRECTORY: u8 = 11;

fn handle(number: [u8; 4], handle: &[u8]) -> Vec<u8> {
    packet(&[&[HANDLE][..], &number, &text(handle)].concat())
}

#[tokio::test]
async fn more_data_than_was_asked_for_is_an_error() {
    let session = session(|kind, number| match kind {
        OPEN => handle(number, b"h"),
        _ => packet(&[&[DATA][..], &number, &text(b"abcdef")].concat()),
    });
    let session = session.await;
    let file = session.open(SftpRequest::Open("file".to_owned())).await.map_err(|_| "no handle").expect("a file");
    let error = piece(&file, 0..4).await.expect_err("too much").error("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("more data than was asked for"), "{error}");
}

#[tokio::test]
async fn a_handle_that_is_longer_than_the_protocol_allows_is_refused() {
    let session = session(|_, number| handle(number, &[b'h'; 257])).await;
    let error = session.open(SftpRequest::Open("file".to_owned())).await.err().expect("no handle").error("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
}

#[tokio::test]
async fn a_directory_without_an_end_ends() {
    let session = session(|kind, number| match kind {
        OPEN_DIRECTORY => handle(number, b"h"),
        _ => {
            let name = [text(b"name"), text(b""), vec![0; 4]].concat();
            packet(&[&[NAMES][..], &number, &1000u32.to_be_bytes(), &name.repeat(1000)].concat())
        }
    });
    let session = session.await;
    let allowance = Allowance::of(0);
    let listed = entries(&session, "app", Level::ZERO, Txid(0), &allowance).await;
    let error = listed.expect_err("no end").error("sftp://host");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(error.to_string().contains("turn Litestream's retention on"), "{error}");
}
