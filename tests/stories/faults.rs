//! Operations that meet faults of a server over real sockets. `replica::testing::faults` has all of them, with a model of a store.

use crate::support::files;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::s3::S3Server;

/// At least as many as the host needs.
const COPIES: usize = 50;

#[test]
fn operations_over_a_faulty_proxy_give_right_rows_or_an_error_that_names_the_cause() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    assert_eq!(
        Host::python("ledger.py").arg("create").arg(&destination.url).credentials(&destination).succeed(),
        "ok\n"
    );
    (0..COPIES).for_each(|number| files::copy(&server.path("app"), &server.path(&format!("app{number}"))));
    let host = Host::python("faults.py").arg(&destination.url).arg(COPIES.to_string()).credentials(&destination);
    let ended = host.run();
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}
