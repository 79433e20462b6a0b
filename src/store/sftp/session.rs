//! An SFTP session over one channel. Any number of requests can be in flight; responses arrive in any order.
//!
//! No library is used for this, because the available ones keep the requests in flight behind locks of `parking_lot`, which do not
//! survive a fork (see `lock.rs`).

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

/// The requests in flight by their ids, and where their responses go; None once the session has ended.
type WaitingReply = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<Reply>>>>>;

/// A response. The caller may drop its request at any time, and whatever drops the response then closes the handle in it.
enum Reply {
    Handle(HandleGuard),
    Other(SftpResponse),
}

/// An open session, which ends on drop.
pub(super) struct Session {
    outgoing: Arc<Outgoing>,
    waiting: WaitingReply,
    tasks: [JoinHandle<()>; 2],
    /// The names of the server's extensions.
    extensions: Vec<String>,
}

impl Session {
    /// Exchanges protocol versions over `stream`, and starts the tasks that send and receive packets.
    pub async fn begin<S>(stream: S) -> Result<Session, SftpError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut incoming, mut outgoing) = split(stream);
        outgoing.write_all(&wire::INIT).await.map_err(|_| SftpError::connection_lost())?;
        outgoing.flush().await.map_err(|_| SftpError::connection_lost())?;
        let version = read_packet(&mut incoming).await.ok_or_else(SftpError::connection_lost)?;
        let extensions = wire::parse_version(version).ok_or_else(|| SftpError::invalid_response("no version"))?;
        let (packets, receiver) = mpsc::unbounded_channel();
        let sending = tokio::spawn(send(receiver, outgoing));
        let outgoing = Arc::new(Outgoing { packets, next_id: AtomicU32::new(1) });
        let waiting = WaitingReply::new(Mutex::new(Some(HashMap::new())));
        let receiving = tokio::spawn(receive(incoming, waiting.clone(), outgoing.clone()));
        Ok(Session { outgoing, waiting, tasks: [sending, receiving], extensions })
    }

    /// Returns whether the server has an extension of the protocol.
    pub fn supports(&self, extension: &str) -> bool {
        self.extensions.iter().any(|name| name == extension)
    }

    pub fn has_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Sends a request and waits for its response. A status other than OK is an error.
    pub async fn request(&self, request: SftpRequest) -> Result<SftpResponse, SftpError> {
        match self.reply(request).await? {
            Reply::Other(response) => Ok(response),
            Reply::Handle(_) => Err(SftpError::invalid_response("an unexpected handle")),
        }
    }

    /// Does the same as [`request`](Self::request), for a response that may be a handle.
    async fn reply(&self, request: SftpRequest) -> Result<Reply, SftpError> {
        const OK: u32 = 0;
        let id = self.outgoing.next_id();
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().as_mut().ok_or_else(SftpError::connection_lost)?.insert(id, sender);
        self.outgoing.packets.send(request.packet(id)).map_err(|_| SftpError::connection_lost())?;
        match reply.await {
            Ok(Reply::Other(SftpResponse::Status { code, message })) if code != OK => {
                Err(SftpError::from_status(code, &message))
            }
            Ok(reply) => Ok(reply),
            Err(_) => Err(SftpError::connection_lost()),
        }
    }

    /// Sends a request whose response is only a status.
    pub async fn command(&self, request: SftpRequest) -> Result<(), SftpError> {
        match self.request(request).await? {
            SftpResponse::Status { .. } => Ok(()),
            _ => Err(SftpError::invalid_response("no status")),
        }
    }

    /// Opens a file or directory.
    pub async fn open(&self, request: SftpRequest) -> Result<OpenHandle<'_>, SftpError> {
        match self.reply(request).await? {
            // Each request about the file repeats its handle, so a long one is expensive.
            Reply::Handle(guard) if guard.handle.len() <= wire::LONGEST_HANDLE => {
                Ok(OpenHandle { session: self, guard })
            }
            _ => Err(SftpError::invalid_response("no handle")),
        }
    }

    /// Requests the attributes of a file.
    pub async fn attributes(&self, request: SftpRequest) -> Result<Attributes, SftpError> {
        match self.request(request).await? {
            SftpResponse::Attributes(attributes) => Ok(attributes),
            _ => Err(SftpError::invalid_response("no attributes")),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An open file or directory on the server, which is closed on drop.
pub(super) struct OpenHandle<'a> {
    pub session: &'a Session,
    guard: HandleGuard,
}

impl OpenHandle<'_> {
    /// Returns the handle for a request.
    pub fn handle(&self) -> Bytes {
        self.guard.handle.clone()
    }
}

/// A handle of the server, which is closed on drop.
struct HandleGuard {
    handle: Bytes,
    outgoing: Arc<Outgoing>,
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        // The response to this request is ignored.
        let packet = SftpRequest::Close(self.handle.clone()).packet(self.outgoing.next_id());
        let _ = self.outgoing.packets.send(packet);
    }
}

/// The packets that are to be sent.
struct Outgoing {
    packets: mpsc::UnboundedSender<Vec<u8>>,
    next_id: AtomicU32,
}

impl Outgoing {
    /// Returns the id of the next request.
    fn next_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Sends packets until the session or the connection ends.
async fn send<S: AsyncWrite>(mut packets: mpsc::UnboundedReceiver<Vec<u8>>, mut stream: WriteHalf<S>) {
    while let Some(mut batch) = packets.recv().await {
        // All packets that are ready are written at once.
        while let Ok(packet) = packets.try_recv() {
            batch.extend(packet);
        }
        if stream.write_all(&batch).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Receives responses until the connection ends or a packet is invalid, and then fails all requests in flight.
async fn receive<S: AsyncRead>(mut stream: ReadHalf<S>, waiting: WaitingReply, outgoing: Arc<Outgoing>) {
    while let Some((id, response)) = read_packet(&mut stream).await.and_then(wire::parse_response) {
        let sender = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(sender) = sender {
            let reply = match response {
                SftpResponse::Handle(handle) => Reply::Handle(HandleGuard { handle, outgoing: outgoing.clone() }),
                response => Reply::Other(response),
            };
            // Fails if the caller no longer waits.
            let _ = sender.send(reply);
        }
    }
    waiting.lock().take();
}

/// Reads the next packet without its length. Returns None at the end of the stream and if the packet is too long.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = stream.read_u32().await.ok()?;
    if length > wire::LONGEST_PACKET {
        return None;
    }
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await.ok()?;
    Some(packet.into())
}
