//! Hosts that open, share and close connections in every order.

use crate::support::extension::sample_url;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::s3::S3Server;
use crate::support::sample::{earlier, upload_sample};

#[test]
fn hundreds_of_connections_in_fifty_threads_work() {
    assert_eq!(Host::python("crowd.py").arg(sample_url()).succeed(), "ok\n");
}

#[test]
fn every_wait_for_a_server_can_be_interrupted() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    for how in ["interrupt", "progress handler"] {
        let host = Host::python("hanging.py").arg(&destination.url).arg(earlier()).arg(server.stall_file()).arg(how);
        assert_eq!(host.credentials(&destination).succeed(), "ok\n");
    }
}

#[test]
fn during_an_outage_a_known_replica_opens_at_once_and_others_fail_in_time() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    let ended =
        Host::python("outage.py").arg(&destination.url).arg(server.stall_file()).credentials(&destination).run();
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    let expected = "cannot be opened within 1 s: the listing of level 1 has not been answered";
    assert!(ended.stderr.contains(expected) && ended.stderr.contains("open_timeout"), "{}", ended.stderr);
}
