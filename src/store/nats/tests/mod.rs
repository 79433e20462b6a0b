//! Tests of the client with servers that run inside the test.

mod listings;
mod lost_server;
mod server;

use super::config::{NatsConfig, NatsCredentials};

/// Returns the configuration of a replica in the bucket `app` on these servers.
fn config_of(servers: Vec<String>) -> NatsConfig {
    NatsConfig {
        servers,
        bucket: "app".to_owned(),
        credentials: NatsCredentials::None,
        tls: false,
        authorities: Vec::new(),
        certificate: None,
    }
}
