//! An agent with more keys than the server lets a client try.

use super::*;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{Auth, Config, Handler, PublicKeyOffer, run_stream};
use tokio::net::{TcpListener, UnixListener};

/// A server that knows no key.
struct Stranger;

impl Handler for Stranger {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _user: &str, _offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::reject())
    }
}

fn key(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

/// Serves a client that connects, and ends the connection after so many refusals.
async fn serve_ssh(listener: TcpListener, refusals: usize) {
    let config = Config {
        keys: vec![key(0)],
        auth_rejection_time: Duration::from_millis(1),
        max_auth_attempts: refusals,
        ..Config::default()
    };
    let (stream, _) = listener.accept().await.expect("a client");
    let session = run_stream(config.into(), stream, Stranger).await.expect("a session");
    let _ = session.await;
}

/// Serves an agent that lists two keys.
async fn serve_agent(listener: UnixListener) -> std::io::Result<()> {
    const KEYS: u8 = 12;
    let (mut stream, _) = listener.accept().await?;
    stream.read_exact(&mut [0; 5]).await?;
    let entries = [key(1), key(2)].map(|key| {
        let key = key.public_key().to_bytes().expect("a key");
        [string(&key), string(b"a comment")].concat()
    });
    stream.write_all(&string(&[&[KEYS, 0, 0, 0, 2], &entries.concat()[..]].concat())).await
}

#[tokio::test]
async fn a_server_that_ends_the_connection_after_the_keys_of_the_agent_denies_access() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join(".ssh")).expect("a directory");
    let default_key = key(3).to_openssh(LineEnding::LF).expect("a key");
    std::fs::write(home.path().join(".ssh/id_ed25519"), default_key.as_bytes()).expect("a file");
    let socket = home.path().join("agent");
    // Of three keys, the last one is that of the file.
    for (refusals, tried) in [
        (1, "the keys of the agent and then ends the connection".to_owned()),
        (2, format!("the keys of the agent, the key {}/.ssh/id_ed25519 and then ends", home.path().display())),
        (9, format!("the keys of the agent, the key {}/.ssh/id_ed25519; set", home.path().display())),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let agent = UnixListener::bind(&socket).expect("a socket");
        tokio::spawn(serve_ssh(listener, refusals));
        tokio::spawn(serve_agent(agent));
        let variable = |name: &str| match name {
            "HOME" => Some(home.path().as_os_str().to_owned()),
            "SSH_AUTH_SOCK" => Some(socket.as_os_str().to_owned()),
            _ => None,
        };
        let url = format!("sftp://me@127.0.0.1:{port}/app?insecure-host-key=true");
        let location = crate::store::Location::parse_with(&url, variable).expect("a location");
        let error = location.connect().expect("a store").list(Level::ZERO, Txid(1)).await.expect_err("no key is known");
        assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("rejects user me with {tried}")) && text.contains("set key-path"), "{text}");
        std::fs::remove_file(&socket).expect("a socket");
    }
}
