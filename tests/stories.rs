//! Tests of the extension as its users run it: with the real Litestream, real SQLite hosts and real servers.

mod support;

/// One module for each subject.
mod stories {
    #[cfg(target_os = "linux")]
    mod artifacts;
    #[cfg(unix)]
    mod attach;
    #[cfg(all(unix, feature = "azure"))]
    mod azure;
    #[cfg(unix)]
    mod budgets;
    #[cfg(unix)]
    mod byte_for_byte;
    #[cfg(unix)]
    mod cache;
    #[cfg(unix)]
    mod cache_limits;
    #[cfg(unix)]
    mod changes;
    #[cfg(target_os = "linux")]
    mod chaos;
    #[cfg(unix)]
    mod clients;
    #[cfg(unix)]
    mod compaction;
    mod conformance;
    mod creation;
    #[cfg(unix)]
    mod credentials;
    #[cfg(unix)]
    mod crowd;
    #[cfg(unix)]
    mod default_vfs;
    #[cfg(unix)]
    mod disturbed;
    #[cfg(unix)]
    mod errors;
    #[cfg(target_os = "linux")]
    mod faults;
    #[cfg(unix)]
    mod following;
    #[cfg(unix)]
    mod fork;
    #[cfg(all(unix, feature = "gcs"))]
    mod gcs;
    #[cfg(unix)]
    mod golden_sql;
    #[cfg(unix)]
    mod guide;
    #[cfg(unix)]
    mod histories;
    #[cfg(all(unix, feature = "azure", feature = "gcs"))]
    mod identities;
    #[cfg(unix)]
    mod interrupts;
    #[cfg(unix)]
    mod journal;
    #[cfg(unix)]
    mod large_index;
    mod layers;
    #[cfg(unix)]
    mod limits;
    #[cfg(all(unix, feature = "http", feature = "webdav"))]
    mod manifest;
    mod measures;
    #[cfg(all(unix, feature = "nats"))]
    mod nats;
    #[cfg(target_os = "linux")]
    mod one_follower;
    mod open_statements;
    #[cfg(unix)]
    mod own_vfs;
    #[cfg(unix)]
    mod page_sizes;
    #[cfg(target_os = "linux")]
    mod processes;
    #[cfg(unix)]
    mod readme;
    #[cfg(unix)]
    mod rebuilds;
    #[cfg(unix)]
    mod redirects;
    #[cfg(unix)]
    mod requests;
    #[cfg(unix)]
    mod row_diff;
    #[cfg(unix)]
    mod row_history;
    #[cfg(unix)]
    mod s3;
    #[cfg(unix)]
    mod sample;
    #[cfg(all(unix, feature = "sftp"))]
    mod sftp;
    #[cfg(target_os = "linux")]
    mod small_stacks;
    #[cfg(unix)]
    mod soak;
    #[cfg(unix)]
    mod statements;
    #[cfg(unix)]
    mod status;
    #[cfg(unix)]
    mod tables;
    #[cfg(target_os = "linux")]
    mod tenants;
    #[cfg(unix)]
    mod time_travel;
    #[cfg(target_os = "linux")]
    mod tokio_applications;
    #[cfg(all(unix, feature = "http"))]
    mod trust;
    #[cfg(unix)]
    mod undo;
    #[cfg(unix)]
    mod urls;
    #[cfg(unix)]
    mod verification;
    #[cfg(unix)]
    mod waiting;
    #[cfg(all(unix, feature = "http", feature = "webdav"))]
    mod web;
    #[cfg(unix)]
    mod wire;
    #[cfg(unix)]
    mod writers;
    #[cfg(unix)]
    mod writing;
}
