//! `scripts/check-artifact` refuses broken release artifacts.

use crate::support::hosts::Host;

#[test]
fn the_checker_refuses_broken_artifacts_of_every_platform() {
    let dir = tempfile::tempdir().expect("a directory");
    let host = Host::python("artifacts.py").arg(env!("CARGO_MANIFEST_DIR")).arg(dir.path().display().to_string());
    assert_eq!(host.succeed(), "ok\n");
}
