//! Temporary keys, and the services that issue them: for an instance, a container and a web identity, on one port.

use super::recorder::{Head, Recorder};
use chrono::{TimeDelta, Utc};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// The keys that a server accepts, and those that have expired.
#[derive(Clone, Default)]
pub struct KeyRing(Arc<Mutex<HashMap<String, Key>>>);

struct Key {
    secret: String,
    expired: bool,
}

impl KeyRing {
    /// Accepts this key from now on.
    pub fn admit(&self, id: &str, secret: &str) {
        let key = Key { secret: secret.to_owned(), expired: false };
        self.0.lock().expect("no panic while it was locked").insert(id.to_owned(), key);
    }

    /// Makes all present keys expire.
    pub fn expire_all(&self) {
        self.0.lock().expect("no panic while it was locked").values_mut().for_each(|key| key.expired = true);
    }
}

#[async_trait::async_trait]
impl S3Auth for KeyRing {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        match self.0.lock().expect("no panic while it was locked").get(id) {
            Some(Key { expired: true, .. }) => Err(s3_error!(ExpiredToken, "The provided token has expired")),
            Some(key) => Ok(SecretKey::from(key.secret.as_str())),
            None => Err(s3_error!(NotSignedUp, "Your account is not signed up")),
        }
    }
}

/// Issues a new key for each request, and makes the previous ones expire. It ends with the process.
#[derive(Clone)]
pub struct Issuer {
    pub endpoint: String,
    ring: KeyRing,
    issued: Arc<Mutex<Vec<String>>>,
    minutes: Arc<AtomicI64>,
    refuses: Arc<AtomicBool>,
}

/// The token that the token file of a container or workload must contain.
pub const TOKEN: &str = "a-token-of-a-workload";

/// The role of the web identity.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

const INSTANCE_TOKEN: &str = "a-token-of-an-instance";

impl Issuer {
    /// Starts a service whose keys have an expiration after this many minutes.
    pub fn start(ring: &KeyRing, minutes: i64) -> Issuer {
        let mut issuer = Issuer {
            endpoint: String::new(),
            ring: ring.clone(),
            issued: Arc::default(),
            minutes: Arc::new(minutes.into()),
            refuses: Arc::default(),
        };
        let answering = issuer.clone();
        issuer.endpoint = Recorder::start(move |head| answering.answer(head)).endpoint;
        issuer
    }

    /// Returns the ids of the issued keys.
    pub fn issued(&self) -> Vec<String> {
        self.issued.lock().expect("no panic while it was locked").clone()
    }

    /// Sets how many minutes new keys last.
    pub fn last_for(&self, minutes: i64) {
        self.minutes.store(minutes, Ordering::Relaxed);
    }

    /// Refuses every request from now on, with status 404 and a message.
    pub fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    fn answer(&self, head: &Head) -> (&'static str, String) {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let has = |name: &str, value: &str| head.header(name) == Some(value);
        if self.refuses.load(Ordering::Relaxed) {
            return ("404 Not Found", r#"{"message":"there is no role any more"}"#.to_owned());
        }
        let of_instance = has("x-aws-ec2-metadata-token", INSTANCE_TOKEN);
        match (head.method.as_str(), head.target.as_str()) {
            ("PUT", "/latest/api/token") if has("x-aws-ec2-metadata-token-ttl-seconds", "600") => {
                ("200 OK", INSTANCE_TOKEN.to_owned())
            }
            ("GET", ROLES) if of_instance => ("200 OK", "reader".to_owned()),
            ("GET", path) if of_instance && path.strip_prefix(ROLES) == Some("reader") => ("200 OK", self.json()),
            ("GET", "/pod") if has("authorization", TOKEN) => ("200 OK", self.json()),
            ("GET", "http://169.254.170.2/task") => ("200 OK", self.json()),
            ("POST", target) => self.xml(target),
            _ => ("401 Unauthorized", String::new()),
        }
    }

    fn key(&self) -> (String, String, String) {
        let mut issued = self.issued.lock().expect("no panic while it was locked");
        let (id, secret) = (format!("KEY{}", issued.len()), format!("hush-{}", issued.len()));
        self.ring.expire_all();
        self.ring.admit(&id, &secret);
        issued.push(id.clone());
        let end = Utc::now() + TimeDelta::minutes(self.minutes.load(Ordering::Relaxed));
        (id, secret, end.to_rfc3339())
    }

    fn json(&self) -> String {
        let (id, secret, end) = self.key();
        format!(
            r#"{{"Code":"Success","LastUpdated":"{end}","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"of-{id}","Expiration":"{end}"}}"#
        )
    }

    /// Returns the response of the service for web identities.
    fn xml(&self, target: &str) -> (&'static str, String) {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let pairs: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let says = |name: &str, value: &str| pairs.get(name).is_some_and(|told| told == value);
        if !says("Action", "AssumeRoleWithWebIdentity") || !says("RoleArn", ROLE) || !says("WebIdentityToken", TOKEN) {
            let error = "<Code>InvalidIdentityToken</Code><Message>No such identity</Message>";
            return ("400 Bad Request", format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"));
        }
        let (id, secret, end) = self.key();
        let result = format!(
            "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>of-{id}</SessionToken><Expiration>{end}</Expiration></Credentials>"
        );
        let result = format!("<AssumeRoleWithWebIdentityResult>{result}</AssumeRoleWithWebIdentityResult>");
        ("200 OK", format!("<AssumeRoleWithWebIdentityResponse>{result}</AssumeRoleWithWebIdentityResponse>"))
    }
}
