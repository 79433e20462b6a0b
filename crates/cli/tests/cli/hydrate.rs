//! `hydrate`: it succeeds only if the whole newest state is in the cache directory.

use crate::support::programs::{Ended, run};
use crate::support::replica::Replica;
use crate::support::store::Store;
use crate::support::{LIMIT, failure, interruptible, sample, send};
use std::process::{Child, Command, Stdio};

/// Reads every row of [`Replica::big`].
const EVERYTHING: &str = "SELECT count(*), sum(length(text)) FROM big";

const MEGABYTE: usize = 1 << 20;

/// A replica in a store that stalls after some bytes, and a cache directory.
struct Stalling {
    replica: Replica,
    store: Store,
    cache: String,
}

impl Stalling {
    fn after(bytes: usize) -> Stalling {
        let replica = Replica::big();
        let (store, cache) = (Store::start(&replica.path("replica"), bytes), replica.argument("cache"));
        Stalling { replica, store, cache }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = interruptible(arguments);
        self.store.credentials(&mut command).env("LITESTREAM_CACHE_DIR", &self.cache);
        command
    }

    fn hydrate(&self) -> Command {
        self.command(&["hydrate", &self.store.url(), "--cache", &self.cache, "--set", "open_timeout=2s"])
    }

    /// Starts hydration in a process, and waits until the store stalls.
    fn stalled(&self) -> Child {
        let child = self.hydrate().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        self.store.wait_until_stalled();
        child
    }

    /// Reads every row in a process.
    fn read(&self) -> Ended {
        run(
            &mut self.command(&["sql", &self.store.url(), EVERYTHING, "--format", "csv", "--set", "open_timeout=2s"]),
            LIMIT,
        )
    }

    fn size(&self) -> usize {
        let snapshot = self.replica.path("replica/ltx/0").read_dir().expect("a level").next().expect("a file");
        usize::try_from(snapshot.expect("an entry").metadata().expect("metadata").len()).expect("a size")
    }
}

#[test]
fn a_killed_hydration_goes_on_where_it_was_and_then_the_store_is_not_needed() {
    let stalling = Stalling::after(3 * MEGABYTE);
    let mut child = stalling.stalled();
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    let first = stalling.store.take_passed();
    assert!(first > 2 * MEGABYTE, "{first} bytes");
    stalling.store.open();
    let ended = run(&mut stalling.hydrate(), LIMIT);
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines.len() > 1 && lines[..lines.len() - 1].iter().all(|line| line.starts_with("hydrating: ")),
        "{lines:?}"
    );
    assert!(
        lines[lines.len() - 1]
            .starts_with(&format!("{}: complete, the state of TXID 0000000000000001", stalling.cache))
    );
    // What was in flight, and the ends of the file, are fetched twice.
    let (second, size) = (stalling.store.take_passed(), stalling.size());
    assert!(first + second < size + 2 * MEGABYTE, "{first} bytes, then {second} of {size}");

    stalling.store.close();
    let read = stalling.read();
    assert!(read.status.success() && read.stdout.ends_with("\n10000,6000000\n"), "{read:?}");
    assert_eq!(stalling.store.take_passed(), 0);
    let ended = run(&mut stalling.hydrate(), LIMIT);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("is complete, but may not be the newest: "), "{ended:?}");
}

/// Returns the command in docs/caching.md that begins like this, with another directory instead of each of `replaced`.
fn documented(beginning: &str, replaced: [(&str, &str); 2]) -> String {
    let document = include_str!("../../../../docs/caching.md");
    let start = document.find(&format!("`{beginning}")).expect("a command") + 1;
    let command = document[start..].split('`').next().expect("a command");
    replaced.iter().fold(command.replace('\n', " "), |command, (from, to)| command.replace(from, to))
}

#[test]
fn a_directory_in_an_image_is_copied_with_the_documented_commands_and_read_without_the_store() {
    let mut stalling = Stalling::after(usize::MAX);
    let ended = run(&mut stalling.hydrate(), LIMIT);
    assert!(ended.status.success(), "{ended:?}");
    stalling.store.close();
    let copy = stalling.replica.argument("copy");
    for beginning in ["chmod -R a+rX", "cp -r --sparse=always"] {
        let replaced = [("/var/cache/app", stalling.cache.as_str()), ("/tmp/litestream", copy.as_str())];
        let ended = run(Command::new("sh").arg("-c").arg(documented(beginning, replaced)), LIMIT);
        assert!(ended.status.success(), "{ended:?}");
    }
    stalling.cache = copy;
    stalling.store.take_passed();
    let read = stalling.read();
    assert!(read.status.success() && read.stdout.ends_with("\n10000,6000000\n"), "{read:?}");
    assert_eq!(stalling.store.take_passed(), 0);
}

#[test]
fn an_interrupted_hydration_fails_and_keeps_what_it_has() {
    let stalling = Stalling::after(3 * MEGABYTE);
    let child = stalling.stalled();
    send("-INT", &child);
    let ended = child.wait_with_output().expect("a child can be waited for");
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).ends_with("error: interrupted\n"), "{ended:?}");
    let first = stalling.store.take_passed();
    stalling.store.open();
    let ended = run(&mut stalling.hydrate(), LIMIT);
    assert!(ended.status.success(), "{ended:?}");
    let (second, size) = (stalling.store.take_passed(), stalling.size());
    assert!(first + second < size + 2 * MEGABYTE, "{first} bytes, then {second} of {size}");
}

#[test]
fn what_cannot_be_hydrated_is_explained() {
    let replica = Replica::big();
    let cache = replica.argument("cache");
    let explained = |arguments: &[&str], text: &str| {
        let reason = failure(&[&["hydrate", &replica.url], arguments].concat(), 1);
        assert!(reason.lines().any(|line| line.starts_with("error: ") && line.contains(text)), "{reason}");
    };
    explained(&[], "name one with --cache");
    explained(&["--cache", &cache, "--set", "disk_cache_size=0"], "leave disk_cache_size above 0");
    explained(&["--cache", &cache, "--set", "disk_cache_size=1MB"], "set a larger disk_cache_size");
    explained(&["--cache", &cache, "--set", "verify=full"], "set verify=off");
    explained(&["--cache", "/dev/null"], "the cache_dir /dev/null cannot be used");
    let reason = failure(&["hydrate", "file:///nonexistent", "--cache", &cache], 1);
    assert!(reason.contains("/nonexistent"), "{reason}");
    assert_eq!(
        failure(&["hydrate", &sample(), "--at", "yesterday"], 2).lines().next(),
        Some("error: unexpected argument '--at' found")
    );
}
