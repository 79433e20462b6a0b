//! A conversation over one channel: any number of requests on their way, answered in whatever order.
//!
//! Written here rather than taken from a library, because what there is keeps its requests behind `parking_lot`, which
//! does not survive a fork (`lock.rs`).

use super::error::SftpError;
use super::wire::{self, Attributes, SftpRequest, SftpResponse};
use crate::lock::Mutex;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Who waits for the answer to which request; None once no answer will come.
type WaitingReply = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<SftpResponse>>>>>;

/// An open conversation. Ends when it is dropped.
pub(super) struct Session {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    waiting: WaitingReply,
    next: AtomicU32,
    tasks: [JoinHandle<()>; 2],
}

impl Session {
    /// Greets the server at the other end of `stream`.
    pub async fn begin<S>(stream: S) -> Result<Session, SftpError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut incoming, mut outgoing) = split(stream);
        outgoing.write_all(&wire::HELLO).await.map_err(|_| SftpError::lost())?;
        outgoing.flush().await.map_err(|_| SftpError::lost())?;
        let hello = packet(&mut incoming).await.ok_or_else(SftpError::lost)?;
        if hello.first() != Some(&wire::HELLO_BACK) {
            return Err(SftpError::nonsense("no version"));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = WaitingReply::new(Mutex::new(Some(HashMap::new())));
        let tasks = [tokio::spawn(send(receiver, outgoing)), tokio::spawn(receive(incoming, waiting.clone()))];
        Ok(Session { outgoing: sender, waiting, next: AtomicU32::new(1), tasks })
    }

    pub fn has_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Sends a request at once, and waits for the answer to it when polled.
    pub async fn ask(&self, request: SftpRequest) -> Result<SftpResponse, SftpError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().as_mut().ok_or_else(SftpError::lost)?.insert(number, answer);
        self.outgoing.send(request.packet(number)).map_err(|_| SftpError::lost())?;
        match answered.await {
            Ok(SftpResponse::Status { code, message }) if code != OK => Err(SftpError::status(code, &message)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(SftpError::lost()),
        }
    }

    /// Opens a file or directory; it is closed when the answer is dropped.
    pub async fn open(&self, request: SftpRequest) -> Result<Open<'_>, SftpError> {
        match self.ask(request).await? {
            // Each request about the file repeats its handle.
            SftpResponse::Handle(handle) if handle.len() <= wire::LONGEST_HANDLE => Ok(Open { session: self, handle }),
            _ => Err(SftpError::nonsense("no handle")),
        }
    }

    pub async fn attributes(&self, request: SftpRequest) -> Result<Attributes, SftpError> {
        match self.ask(request).await? {
            SftpResponse::Attributes(attributes) => Ok(attributes),
            _ => Err(SftpError::nonsense("no attributes")),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

const OK: u32 = 0;

/// An open file or directory of the server's.
pub(super) struct Open<'a> {
    pub session: &'a Session,
    pub handle: Bytes,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Nobody waits for the answer.
        let number = self.session.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.session.outgoing.send(SftpRequest::Close(self.handle.clone()).packet(number));
    }
}

async fn send<S: AsyncWrite>(mut packets: mpsc::UnboundedReceiver<Vec<u8>>, mut stream: WriteHalf<S>) {
    while let Some(mut batch) = packets.recv().await {
        // Requests that were made together travel together.
        while let Ok(packet) = packets.try_recv() {
            batch.extend(packet);
        }
        if stream.write_all(&batch).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn receive<S: AsyncRead>(mut stream: ReadHalf<S>, waiting: WaitingReply) {
    while let Some((number, answer)) = packet(&mut stream).await.and_then(wire::answer) {
        let asker = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&number));
        if let Some(asker) = asker {
            // Who has stopped waiting does not mind.
            let _ = asker.send(answer);
        }
    }
    waiting.lock().take();
}

/// The next packet without its length; None at the end of the stream, and where what comes is no packet.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = stream.read_u32().await.ok()?;
    if length > wire::LONGEST {
        return None;
    }
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await.ok()?;
    Some(packet.into())
}
