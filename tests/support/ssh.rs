//! SSH servers: OpenSSH, and a server in this process with password authentication, which OpenSSH has for system users
//! only. Both serve files by OpenSSH's `sftp-server`.

use super::lossy::LossyConnection;
use super::programs::{Ended, program, run, wait_until};
use russh::keys::{PrivateKey, decode_secret_key};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, run_stream};
use russh::{Channel, ChannelId};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

const LIMIT: Duration = Duration::from_secs(60);

fn keygen(arguments: &[&str], file: &Path) -> Ended {
    let ended = run(Command::new(program("ssh-keygen")).args(arguments).arg("-f").arg(file), LIMIT);
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    ended
}

/// Creates a key; without encryption if the passphrase is empty.
pub fn make_key(kind: &str, passphrase: &str, file: &Path) {
    keygen(&["-q", "-t", kind, "-N", passphrase], file);
}

/// Returns the public key in the format of authorized_keys.
pub fn public_line(file: &Path) -> String {
    std::fs::read_to_string(file.with_extension("pub")).expect("a public key").trim().to_owned()
}

/// Returns the fingerprint of a key, as OpenSSH prints it.
pub fn fingerprint(file: &Path) -> String {
    let shown = keygen(&["-l"], file).stdout;
    shown.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

/// A running OpenSSH agent. It ends when it is dropped.
pub struct Agent {
    pub socket: PathBuf,
    child: Child,
    _dir: TempDir,
}

impl Agent {
    pub fn start() -> Agent {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("agent");
        let mut command = Command::new(program("ssh-agent"));
        let child = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().expect("ssh-agent starts");
        wait_until("ssh-agent listens", || socket.exists());
        Agent { socket, child, _dir: dir }
    }

    /// Moves a key into the agent, and deletes its file.
    pub fn take(&self, key: &Path) {
        let added = run(Command::new(program("ssh-add")).env("SSH_AUTH_SOCK", &self.socket).arg(key), LIMIT);
        assert!(added.status.success(), "{added:?}");
        std::fs::remove_file(key).expect("a file is deleted");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// OpenSSH's server, with one process for each connection. It accepts connections until this process ends.
pub struct OpenSsh {
    pub port: u16,
    /// The user whom [`OpenSsh::key`] authenticates.
    pub user: String,
    pub key: PathBuf,
    pub host_key: PathBuf,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    accepted: Arc<AtomicUsize>,
    _dir: TempDir,
}

impl OpenSsh {
    /// Starts a server whose sessions start in `home`.
    pub fn start(home: &Path) -> OpenSsh {
        let dir = tempfile::tempdir().expect("a directory");
        let (host_key, key) = (dir.path().join("host"), dir.path().join("user"));
        make_key("ed25519", "", &host_key);
        make_key("ed25519", "", &key);
        std::fs::write(dir.path().join("authorized"), public_line(&key)).expect("a file is written");
        let config = dir.path().join("config");
        std::fs::write(&config, sshd_config(dir.path(), home)).expect("a file is written");
        if dir.path().metadata().expect("a directory").uid() == 0 {
            // The system's service creates this directory.
            std::fs::create_dir_all("/run/sshd").expect("a directory is made");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (connections, accepted) = (Arc::<Mutex<Vec<TcpStream>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (list, count) = (connections.clone(), accepted.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                list.lock().expect("no panic").push(stream.try_clone().expect("a socket"));
                serve_one(stream, &config);
            }
        });
        let user = run(Command::new("id").arg("-un"), LIMIT).stdout.trim().to_owned();
        OpenSsh { port, user, key, host_key, connections, accepted, _dir: dir }
    }

    /// Authorizes an additional key.
    pub fn authorize(&self, key: &Path) {
        let file = self.key.with_file_name("authorized");
        let lines = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(file, format!("{lines}\n{}\n", public_line(key))).expect("a file is written");
    }

    /// Returns the number of connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        for connection in self.connections.lock().expect("no panic").drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        self.cut();
    }
}

fn sshd_config(dir: &Path, home: &Path) -> String {
    format!(
        "HostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         PidFile none\nLogLevel QUIET\nSubsystem sftp internal-sftp -d {home}\n",
        dir = dir.display(),
        home = home.display()
    )
}

fn serve_one(stream: TcpStream, config: &Path) {
    let input = OwnedFd::from(stream.try_clone().expect("a socket"));
    let child = Command::new(program("sshd"))
        .args(["-i", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(OwnedFd::from(stream)))
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("sshd starts");
    std::thread::spawn(move || child.wait());
}

/// A server in this process with password authentication. It stops when it is dropped.
pub struct PasswordSsh {
    pub port: u16,
    has_lost: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The credentials of a [`PasswordSsh`].
pub const USER: &str = "replica";
pub const PASSWORD: &str = "p@ss/word";

impl PasswordSsh {
    /// Starts a server of all files of the machine. With `by_dialogue`, it accepts the password in a keyboard-interactive
    /// dialogue only.
    pub fn start(by_dialogue: bool) -> PasswordSsh {
        PasswordSsh::start_with(Manners { by_dialogue, ..Manners::default() })
    }

    /// As [`PasswordSsh::start`]. When it responds to the first request that contains `part`, the connection breaks instead.
    pub fn start_lossy(part: &'static str) -> PasswordSsh {
        PasswordSsh::start_with(Manners { loses: Some(part), ..Manners::default() })
    }

    /// Returns whether a response was lost.
    pub fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::SeqCst)
    }

    fn start_with(manners: Manners) -> PasswordSsh {
        let has_lost = manners.has_lost.clone();
        let dir = tempfile::tempdir().expect("a directory");
        make_key("ed25519", "", &dir.path().join("host"));
        let key = std::fs::read_to_string(dir.path().join("host")).expect("a key");
        let key: PrivateKey = decode_secret_key(&key, None).expect("a key");
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: Duration::from_millis(1),
            nodelay: true,
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, config, manners) => {}
                    _ = stopped => {}
                }
            });
        });
        PasswordSsh { port, has_lost, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the URL of a directory.
    pub fn url(&self, directory: &Path) -> String {
        let password = PASSWORD.replace('@', "%40").replace('/', "%2F");
        format!("sftp://{USER}:{password}@127.0.0.1:{}{}", self.port, directory.display())
    }
}

impl Drop for PasswordSsh {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// How a [`PasswordSsh`] behaves.
#[derive(Clone, Default)]
struct Manners {
    by_dialogue: bool,
    /// A part of the request whose response is lost.
    loses: Option<&'static str>,
    has_lost: Arc<AtomicBool>,
}

async fn serve(listener: TcpListener, config: Arc<Config>, manners: Manners) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let stream = stream.into_std().expect("a socket");
        let connection = stream.try_clone().expect("a socket");
        let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
        let (config, manners) = (config.clone(), manners.clone());
        tokio::spawn(async move {
            // A client that disconnects is not a failure of the server.
            if let Ok(session) = run_stream(config, stream, Door { manners, connection, channel: None }).await {
                let _ = session.await;
            }
        });
    }
}

/// One connection of a [`PasswordSsh`].
struct Door {
    manners: Manners,
    connection: TcpStream,
    channel: Option<Channel<Msg>>,
}

impl Door {
    fn judge(&self, user: &str, password: &[u8]) -> Auth {
        if user == USER && password == PASSWORD.as_bytes() { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(if self.manners.by_dialogue { Auth::reject() } else { self.judge(user, password.as_bytes()) })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        Ok(match response {
            None => Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            },
            Some(mut answers) => self.judge(user, &answers.next().unwrap_or_default()),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        assert_eq!(name, "sftp");
        let channel = self.channel.take().expect("a channel was opened");
        let mut server = tokio::process::Command::new(program("sftp-server"));
        let child = server.args(["-d", "/"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let child = child.expect("sftp-server starts");
        session.channel_success(id)?;
        let (manners, connection) = (self.manners.clone(), self.connection.try_clone().expect("a socket"));
        tokio::spawn(async move {
            let mut child = child;
            let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
            let (mut from, mut to) = tokio::io::split(channel.into_stream());
            let Some(part) = manners.loses else {
                return tokio::select! {
                    _ = tokio::io::copy(&mut from, &mut input) => {}
                    _ = tokio::io::copy(&mut output, &mut to) => {}
                };
            };
            let lossy = LossyConnection::new(part, status_response, manners.has_lost);
            let requests = pass(&mut from, &mut input, |bytes| {
                lossy.request(bytes);
                true
            });
            tokio::select! {
                () = requests => {}
                () = pass(&mut output, &mut to, |bytes| lossy.may_respond(bytes)) => {}
            }
            let _ = connection.shutdown(Shutdown::Both);
        });
        Ok(())
    }
}

/// Returns the type and the number of the response to an extended request, whose name is preceded by the number and the length of the name.
fn status_response(before_name: &[u8]) -> Vec<u8> {
    const STATUS: u8 = 101;
    let number = &before_name[before_name.len() - 8..before_name.len() - 4];
    [&[STATUS], number].concat()
}

/// Copies bytes until the end, or until they may not pass.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut may_pass: impl FnMut(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if !may_pass(bytes) || to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
}
