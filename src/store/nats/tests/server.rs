//! A server with the metadata of a bucket, which is large or does not respond.

use super::config_of;
use crate::lock::Mutex;
use crate::store::nats::{NatsConfig, NatsStore};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const INFO: &str = r#"INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"headers":true}"#;

/// What a server does with requests for single messages.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    #[default]
    Responds,
    Refuses,
    IsSilent,
}

/// The metadata of a bucket. Its objects have no bytes.
///
/// No message is sent to a consumer, as by servers of version 2.9 after a purge: the metadata is listed by subjects, and requested one by one.
#[derive(Default)]
pub struct FakeBucket {
    pub manner: Manner,
    /// The number of complete lists of subjects so far.
    pub lists: usize,
    last: u64,
    subjects: HashMap<String, u64>,
    messages: BTreeMap<u64, (String, Value)>,
}

impl FakeBucket {
    /// Writes the metadata of an object, or the marker that Litestream leaves of it.
    pub fn put(&mut self, name: &str, is_deleted: bool) {
        let subject = subject_of(name);
        self.purge(&subject, u64::MAX);
        self.last += 1;
        let metadata = json!({"name": name, "nuid": format!("id{}", self.last), "deleted": is_deleted});
        self.subjects.insert(subject.clone(), self.last);
        self.messages.insert(self.last, (subject, metadata));
    }

    /// Purges the message of a subject if its number is less than `before`.
    pub fn purge(&mut self, subject: &str, before: u64) {
        if let Some(sequence) = self.subjects.get(subject).copied().filter(|sequence| *sequence < before) {
            self.subjects.remove(subject);
            self.messages.remove(&sequence);
        }
    }

    /// Returns the response to a request, if there is one.
    fn respond(&mut self, subject: &str, request: &Value) -> Option<Value> {
        match subject.strip_prefix("$JS.API.STREAM.")? {
            "INFO.OBJ_app" => Some(self.info(request)),
            "PURGE.OBJ_app" => {
                self.purge(request["filter"].as_str()?, request["seq"].as_u64().unwrap_or(u64::MAX));
                Some(json!({"success": true, "purged": 1}))
            }
            "MSG.GET.OBJ_app" => match self.manner {
                Manner::Responds => Some(self.message(request)),
                Manner::Refuses => Some(json!({"error": {"code": 500, "err_code": 10000, "description": "refused"}})),
                Manner::IsSilent => None,
            },
            _ => None,
        }
    }

    fn info(&mut self, request: &Value) -> Value {
        let is_first = request["offset"].as_u64().unwrap_or(0) == 0;
        let subjects = request.get("subjects_filter").filter(|_| is_first).map(|_| {
            self.lists += 1;
            self.subjects.keys().map(|subject| (subject.clone(), 1.into())).collect::<serde_json::Map<_, _>>()
        });
        let count = self.subjects.len();
        json!({
            "config": {"name": "OBJ_app", "discard": "new", "retention": "limits", "storage": "file", "num_replicas": 1},
            "created": "2026-11-21T00:00:00Z",
            "state": {
                "messages": count, "bytes": 0, "first_seq": 0, "first_ts": "0001-01-01T00:00:00Z", "last_seq": self.last,
                "last_ts": "0001-01-01T00:00:00Z", "consumer_count": 0, "num_subjects": count, "subjects": subjects,
            },
            "offset": 0, "limit": 100_000, "total": count,
        })
    }

    fn message(&self, request: &Value) -> Value {
        let sequence = match (&request["last_by_subj"], &request["seq"]) {
            (Value::String(subject), _) => self.subjects.get(subject).copied(),
            (_, from) => self.messages.range(from.as_u64().unwrap_or(0)..).next().map(|(sequence, _)| *sequence),
        };
        let message = sequence.and_then(|sequence| Some((sequence, self.messages.get(&sequence)?)));
        match message {
            None => json!({"error": {"code": 404, "err_code": 10037, "description": "no message found"}}),
            Some((sequence, (subject, metadata))) => json!({"message": {
                "subject": subject, "seq": sequence, "data": STANDARD.encode(metadata.to_string()),
                "time": "2026-11-21T00:00:00Z",
            }}),
        }
    }
}

/// Returns the subject of an object's metadata.
pub fn subject_of(name: &str) -> String {
    format!("$O.app.M.{}", URL_SAFE.encode(name))
}

/// Starts a server with this bucket.
pub async fn start(bucket: &Arc<Mutex<FakeBucket>>) -> NatsConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    let bucket = bucket.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, bucket.clone()));
        }
    });
    config_of(vec![host])
}

/// Starts a server with this bucket, and returns the replica in it.
pub async fn store_of(bucket: &Arc<Mutex<FakeBucket>>) -> NatsStore {
    NatsStore::new("nats://h/app".into(), start(bucket).await)
}

async fn serve(client: TcpStream, bucket: Arc<Mutex<FakeBucket>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    client.write_all(format!("{INFO}\r\n").as_bytes()).await?;
    let mut line = String::new();
    while client.read_line(&mut line).await? > 0 {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["PING"] => client.write_all(b"PONG\r\n").await?,
            ["PUB", subject, inbox, length] => {
                let mut request = vec![0; length.parse::<usize>().expect("a length") + 2];
                client.read_exact(&mut request).await?;
                let request = serde_json::from_slice(&request).unwrap_or_default();
                let response = bucket.lock().respond(subject, &request);
                if let Some(response) = response.map(|response| response.to_string()) {
                    let response = format!("MSG {inbox} 0 {}\r\n{response}\r\n", response.len());
                    client.write_all(response.as_bytes()).await?;
                }
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}
