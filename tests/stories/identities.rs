//! The services from which machines, workloads and service principals of Google Cloud and Azure get a token.

use crate::support::extension::uri;
use crate::support::hosts::Host;
use crate::support::recorder::{Head, Recorder};
use crate::support::wire::{Certificate, Proxy};

/// Opens an empty replica through proxies that receive every request. Returns stderr.
fn look_for(url: &str, proxies: [&str; 2], variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let outcome = dir.path().join("outcome");
    let host = Host::python("failing.py").arg(uri(url, &[("open_timeout", "0")])).arg(&outcome);
    let [https, http] = proxies;
    let proxies = [("HTTPS_PROXY", https), ("https_proxy", https), ("HTTP_PROXY", http), ("http_proxy", http)];
    let home = ("HOME", dir.path().to_str().expect("text"));
    let variables = proxies.iter().chain([&home]).chain(variables);
    let ended = variables.fold(host, |host, (name, value)| host.env(name, value)).run();
    let result = std::fs::read_to_string(&outcome).expect("an outcome");
    assert!(result.contains("no backup"), "{result}");
    ended.stderr
}

/// A service: the URL of the replica, the server, the environment variables, and the issuer of the token.
struct Identity(&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

const IDENTITIES: [Identity; 5] = [
    Identity(
        "gs://bucket/app",
        "storage.googleapis.com:443",
        &[],
        "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
    ),
    Identity(
        "gs://bucket/app",
        "storage.googleapis.com:443",
        &[("GCE_METADATA_HOST", "metadata.test")],
        "http://metadata.test/computeMetadata/v1/instance/service-accounts/default/token",
    ),
    Identity(
        "abs://me@box/app",
        "me.blob.core.windows.net:443",
        &[],
        "http://169.254.169.254/metadata/identity/oauth2/token",
    ),
    Identity(
        "abs://me@box/app",
        "me.blob.core.windows.net:443",
        &[("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_CLIENT_SECRET", "hush")],
        "/tenant/oauth2/v2.0/token",
    ),
    Identity(
        "abs://me@box/app",
        "me.blob.core.windows.net:443",
        &[("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_FEDERATED_TOKEN_FILE", "/dev/null")],
        "/tenant/oauth2/v2.0/token",
    ),
];

/// Each identity fetches a token, and sends it with every request to the server.
#[test]
fn identity_tokens_of_google_and_azure_are_fetched_and_used() {
    let recorder = Recorder::start(|head| match head.target.contains("/token") {
        true => (
            "200 OK",
            concat!(
                r#"{"access_token":"a-token","token_type":"Bearer","expires_in":3600,"#,
                r#""expires_on":"4102444800"}"#
            )
            .to_owned(),
        ),
        false if head.target.contains("comp=list") => {
            ("200 OK", "<EnumerationResults><Blobs/></EnumerationResults>".to_owned())
        }
        false => ("200 OK", "<ListBucketResult></ListBucketResult>".to_owned()),
    });
    let dir = tempfile::tempdir().expect("a directory");
    let proxy = Proxy::start(recorder.endpoint.trim_start_matches("http://"), &Certificate::new(dir.path()));
    for Identity(url, server, variables, giver) in IDENTITIES {
        let stderr = look_for(&format!("{url}?skipVerify=true"), [&proxy.url, &recorder.endpoint], variables);
        assert!(
            stderr.contains("no backup") && !stderr.contains("hush") && !stderr.contains("a-token"),
            "{url}: {stderr}"
        );
        let (given, asked): (Vec<Head>, Vec<Head>) =
            recorder.take().into_iter().partition(|head| head.target.contains("/token"));
        assert!(given[0].target.starts_with(giver), "{url}: {given:?}");
        assert_eq!(given.len(), 1, "{url}: the token is fetched once");
        let with_it = |head: &Head| head.header("authorization") == Some("Bearer a-token");
        assert!(asked.len() >= 10 && asked.iter().all(with_it), "{url}: {asked:?}");
        let servers = proxy.take_servers();
        assert!(servers.contains(&server.to_owned()), "{url}: {servers:?}");
        let others = servers.iter().filter(|other| *other != server && *other != "login.microsoftonline.com:443");
        assert_eq!(others.count(), 0, "{url}: {servers:?}");
    }
}
