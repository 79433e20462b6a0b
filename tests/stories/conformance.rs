//! The requirements that every store must meet, and the errors of each.

use crate::stories::creation;
use crate::support::s3::{Manner, S3Server};
use async_trait::async_trait;
use futures_util::future::join_all;
use litestream_vfs::ltx::{FileName, Level, Txid};
use litestream_vfs::store::{Chunk, Counting, Counts, Location, Memory, Store, StoreErrorKind, Version};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes the files of a store, as a primary does.
#[async_trait]
pub(super) trait Writer: Send + Sync {
    /// Writes or replaces a file. `name` may be any text, and may have a directory.
    async fn put(&self, level: Level, name: &str, bytes: &[u8]);
    /// Deletes an existing file.
    async fn delete(&self, level: Level, name: &str);
}

pub(super) fn name(min: u64, max: u64) -> FileName {
    FileName { min: Txid(min), max: Txid(max) }
}

/// Returns bytes that differ between nearby offsets.
pub(super) fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

const LENGTH: usize = 10_000;

pub(super) async fn check(store: &dyn Store, writer: &dyn Writer) {
    lists(store, writer).await;
    reads_ranges(store, writer).await;
    distinguishes_versions(store, writer).await;
    reads_in_parallel(store, writer).await;
    lists_while_files_are_deleted(store, writer).await;
}

pub(super) async fn names(store: &dyn Store, level: Level, from: u64) -> Vec<FileName> {
    let listed = store.list(level, Txid(from)).await.expect("a listing");
    assert!(listed.iter().all(|file| file.level == level));
    listed.into_iter().map(|file| file.name).collect()
}

async fn lists(store: &dyn Store, writer: &dyn Writer) {
    for level in Level::all() {
        assert_eq!(names(store, level, 0).await, [], "level {level} does not exist yet");
    }
    let level = Level::ZERO;
    let present = [name(1, 1), name(2, 2), name(9, 15), name(16, 16), name(255, 255), name(256, u64::MAX - 1)];
    for file in present.iter().rev() {
        writer.put(level, &file.to_string(), &content(file.min.0 as usize, 0)).await;
    }
    for foreign in ["readme.txt", "0000000000000010-0000000000000010.ltx.tmp", "0000000000000010.ltx", ".DS_Store"] {
        writer.put(level, foreign, b"foreign").await;
    }
    writer.put(level, "0000000000000011-0000000000000011.ltx/inside", b"foreign").await;
    for from in [0, 1, 2, 3, 9, 10, 16, 17, 255, 256, 257, u64::MAX] {
        let expected: Vec<FileName> = present.into_iter().filter(|file| file.min.0 >= from).collect();
        assert_eq!(names(store, level, from).await, expected, "from {from}");
        for to in [0, 1, 2, 3, 9, 16, 17, 256, 257, u64::MAX] {
            let listed = store.list_range(level, Txid(from)..Txid(to)).await.expect("a listing");
            let listed: Vec<FileName> = listed.into_iter().map(|file| file.name).collect();
            let expected: Vec<FileName> = expected.iter().copied().filter(|file| file.min.0 < to).collect();
            assert_eq!(listed, expected, "from {from} to {to}");
        }
    }
    for file in store.list(level, Txid(0)).await.expect("a listing") {
        assert_eq!(file.size, file.name.min.0);
        assert!(file.modified_ms == 0 || file.modified_ms > 1_700_000_000_000, "{}", file.modified_ms);
        let chunk =
            store.read(level, file.name, 0..1, file.version.as_ref()).await.expect("the version that was listed");
        assert_eq!((chunk.file_size, Some(chunk.version)), (file.size, file.version));
    }
    let top = Level::SNAPSHOT;
    writer.put(top, &name(1, 7).to_string(), b"snapshot").await;
    assert_eq!(names(store, top, 0).await, [name(1, 7)]);
    assert_eq!(names(store, Level::new(1).expect("a level"), 0).await, [], "levels are separate");
}

async fn read(
    store: &dyn Store,
    file: FileName,
    range: Range<u64>,
    expected: Option<&Version>,
) -> Result<Chunk, StoreErrorKind> {
    store.read(Level::SNAPSHOT, file, range, expected).await.map_err(|error| error.kind())
}

async fn reads_ranges(store: &dyn Store, writer: &dyn Writer) {
    let (file, whole, end) = (name(1, 20), content(LENGTH, 7), LENGTH as u64);
    writer.put(Level::SNAPSHOT, &file.to_string(), &whole).await;
    let edges = [0, 1, 2, 4096, end - 1, end, end + 1, end + 1000, u64::MAX];
    for start in edges {
        for stop in edges {
            let chunk = read(store, file, start..stop, None).await.expect("a file");
            let (from, to) = (start.min(end) as usize, stop.min(end) as usize);
            assert!(chunk.bytes == whole[from..to.max(from)], "{start}..{stop} returned {} bytes", chunk.bytes.len());
            assert_eq!(chunk.file_size, end, "{start}..{stop}");
        }
    }
    let empty = name(1, 21);
    writer.put(Level::SNAPSHOT, &empty.to_string(), b"").await;
    for range in [0..0, 0..1, 5..9] {
        let chunk = read(store, empty, range, None).await.expect("an empty file");
        assert_eq!((chunk.bytes.len(), chunk.file_size), (0, 0));
    }
    for range in [0..10, 0..0, 10..10] {
        assert_eq!(read(store, name(1, 22), range, None).await.err(), Some(StoreErrorKind::NotFound));
    }
}

async fn distinguishes_versions(store: &dyn Store, writer: &dyn Writer) {
    let (file, before, after) = (name(1, 30), content(LENGTH, 1), content(LENGTH, 2));
    writer.put(Level::SNAPSHOT, &file.to_string(), &before).await;
    let old = read(store, file, 0..10, None).await.expect("a file").version;
    let (past, nothing) = (LENGTH as u64 + 5, 10..10);
    let ranges = [0..100, 5..LENGTH as u64, nothing, past..past + 1];
    for range in ranges.clone() {
        let again = read(store, file, range, Some(&old)).await.expect("the same file");
        assert_eq!(again.version, old);
    }
    writer.put(Level::SNAPSHOT, &file.to_string(), &after).await;
    for range in ranges {
        assert_eq!(read(store, file, range, Some(&old)).await.err(), Some(StoreErrorKind::Changed));
    }
    let chunk = read(store, file, 0..100, None).await.expect("the new file");
    assert_ne!(chunk.version, old);
    assert_eq!(chunk.bytes, after[..100]);
    assert!(read(store, file, 100..200, Some(&chunk.version)).await.is_ok());
    writer.delete(Level::SNAPSHOT, &file.to_string()).await;
    assert_eq!(read(store, file, 0..100, Some(&chunk.version)).await.err(), Some(StoreErrorKind::NotFound));
}

async fn reads_in_parallel(store: &dyn Store, writer: &dyn Writer) {
    let (file, whole) = (name(1, 40), content(LENGTH, 9));
    writer.put(Level::SNAPSHOT, &file.to_string(), &whole).await;
    let reads = (0..64u64).map(|number| {
        let start = number * 150;
        async move { (start as usize, read(store, file, start..start + 400, None).await.expect("a range")) }
    });
    for (start, chunk) in join_all(reads).await {
        assert!(chunk.bytes == whole[start..LENGTH.min(start + 400)], "the read at {start}");
    }
}

async fn lists_while_files_are_deleted(store: &dyn Store, writer: &dyn Writer) {
    let level = Level::new(3).expect("a level");
    for txid in 1..=60 {
        writer.put(level, &name(txid, txid).to_string(), b"file").await;
    }
    let vanish = async {
        for txid in 1..=30 {
            writer.delete(level, &name(txid, txid).to_string()).await;
        }
    };
    let look = async {
        for _ in 0..30 {
            let listed = names(store, level, 0).await;
            assert!(listed.is_sorted() && listed.len() >= 30, "{listed:?}");
            assert!(listed.ends_with(&(31..=60).map(|txid| name(txid, txid)).collect::<Vec<_>>()), "{listed:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(vanish, look);
    assert_eq!(names(store, level, 0).await.len(), 30);
}

pub(super) fn at(url: &str, variable: impl Fn(&str) -> Option<OsString>) -> Arc<dyn Store> {
    let location = Location::parse_with(url, variable).expect("a location");
    location.connect().expect("a store")
}

struct Shelf(Arc<Memory>);

#[async_trait]
impl Writer for Shelf {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        // This store holds files with valid names only.
        if let Some(name) = FileName::parse(name) {
            self.0.insert(level, name, bytes.to_vec());
        }
    }

    async fn delete(&self, level: Level, name: &str) {
        assert!(self.0.remove(level, FileName::parse(name).expect("a name")), "{name} existed");
    }
}

#[tokio::test]
async fn the_memory_store_passes() {
    let memory = Arc::new(Memory::new());
    check(&*memory, &Shelf(memory.clone())).await;
    creation::check(&(memory as Arc<dyn Store>)).await;
}

pub(super) struct Directory(pub PathBuf);

impl Directory {
    pub fn path(&self, level: Level, name: &str) -> PathBuf {
        self.0.join("ltx").join(level.to_string()).join(name)
    }
}

#[async_trait]
impl Writer for Directory {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        let (path, draft) = (self.path(level, name), self.0.join("draft"));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory is created");
        std::fs::write(&draft, bytes).expect("a file is written");
        std::fs::rename(&draft, &path).expect("a file gets its name");
    }

    async fn delete(&self, level: Level, name: &str) {
        std::fs::remove_file(self.path(level, name)).expect("a file is deleted");
    }
}

fn file_url(path: &Path) -> String {
    format!("file:///{}", path.display().to_string().replace('\\', "/").trim_start_matches('/'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_passes() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = dir.path().join("replica of 100% my app");
    let store = at(&file_url(&replica), |_| None);
    assert_eq!(names(&*store, Level::ZERO, 0).await, [], "a missing directory");
    std::fs::create_dir(&replica).expect("a directory is created");
    check(&*store, &Directory(replica)).await;
    creation::check(&store).await;
}

#[tokio::test]
async fn a_directory_with_the_encoded_name_of_the_url_has_precedence() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = at(&file_url(&dir.path().join("my%20app")), |_| None);
    for called in ["my app", "my%20app"] {
        Directory(dir.path().join(called)).put(Level::ZERO, &name(1, 1).to_string(), called.as_bytes()).await;
        let chunk = store.read(Level::ZERO, name(1, 1), 0..100, None).await.expect("a file");
        assert_eq!(chunk.bytes, called.as_bytes(), "the directory that Litestream writes has precedence");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_and_a_file_is_not_a_replica() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a directory");
    let directory = Directory(dir.path().to_owned());
    directory.put(Level::ZERO, &name(1, 1).to_string(), b"file").await;
    symlink("nowhere", directory.path(Level::ZERO, &name(2, 2).to_string())).expect("a link");
    symlink(name(1, 1).to_string(), directory.path(Level::ZERO, &name(3, 3).to_string())).expect("a link");
    let itself = name(4, 4).to_string();
    symlink(&itself, directory.path(Level::ZERO, &itself)).expect("a link");
    symlink(format!("{}/inside", name(1, 1)), directory.path(Level::ZERO, &name(5, 5).to_string())).expect("a link");
    let store = at(&file_url(dir.path()), |_| None);
    assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1), name(3, 3)], "broken links are left out");

    let file = directory.path(Level::ZERO, &name(1, 1).to_string());
    let inside = at(&file_url(&file), |_| None);
    let error = inside.list(Level::ZERO, Txid(0)).await.expect_err("a file is not a replica");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("not a directory"), "{error}");
}

#[cfg(unix)]
pub(super) use dated::Dated;

/// Tests with servers that run on Unix only.
#[cfg(unix)]
mod dated {
    use super::{Directory, Level, Writer};
    use async_trait::async_trait;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    /// A directory whose files have modification times, as Litestream sets them.
    pub struct Dated(Directory, AtomicU64);

    impl Dated {
        pub fn new(root: PathBuf) -> Dated {
            Dated(Directory(root), AtomicU64::new(0))
        }
    }

    #[async_trait]
    impl Writer for Dated {
        async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
            self.0.put(level, name, bytes).await;
            let second = self.1.fetch_add(1, Ordering::Relaxed);
            let file = std::fs::File::options().write(true).open(self.0.path(level, name)).expect("a file");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000 + second);
            file.set_modified(time).expect("a file has a time");
        }

        async fn delete(&self, level: Level, name: &str) {
            self.0.delete(level, name).await;
        }
    }
}

/// A bucket of any service, and the names of the levels below the path of the replica.
pub(super) struct Bucket {
    pub objects: Arc<dyn ObjectStore>,
    pub level: fn(Level) -> String,
}

/// The tests' own clients need a TLS provider; those of the library set one.
pub(super) fn speak_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Bucket {
    pub fn of(server: &S3Server) -> Bucket {
        speak_tls();
        let builder = AmazonS3Builder::new().with_bucket_name("bucket").with_endpoint(&server.endpoint);
        let builder = builder.with_access_key_id(&server.access_key).with_secret_access_key(&server.secret_key);
        let objects = Arc::new(builder.with_allow_http(true).build().expect("a client"));
        Bucket { objects, level: |level| format!("{:04x}", level.number()) }
    }

    fn key(&self, level: Level, name: &str) -> object_store::path::Path {
        format!("backups/my app/{}/{name}", (self.level)(level)).into()
    }
}

#[async_trait]
impl Writer for Bucket {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        self.objects.put(&self.key(level, name), bytes.to_vec().into()).await.expect("an object is put");
    }

    async fn delete(&self, level: Level, name: &str) {
        self.objects.delete(&self.key(level, name)).await.expect("an object is deleted");
    }
}

/// The path of the files of a [`Bucket`].
pub(super) const REPLICA: &str = "backups/my%20app";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_bucket_passes() {
    let server = S3Server::start();
    let store = at(&server.url(REPLICA), |name| server.variable(name));
    check(&*store, &Bucket::of(&server)).await;
    creation::check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oss_bucket_passes() {
    let server = S3Server::start();
    let url = format!("oss://bucket/{REPLICA}?endpoint={}", server.endpoint);
    let store = at(&url, |name| match name {
        "OSS_ACCESS_KEY_ID" => Some(server.access_key.as_str().into()),
        "OSS_ACCESS_KEY_SECRET" => Some(server.secret_key.as_str().into()),
        _ => None,
    });
    check(&*store, &Bucket::of(&server)).await;
    creation::check(&store).await;
}

#[tokio::test]
async fn a_long_listing_comes_in_pages_and_starts_at_the_requested_txid() {
    let server = S3Server::start();
    let store = at(&server.url("app"), |name| server.variable(name));
    std::fs::create_dir_all(server.path("app/0000")).expect("a directory");
    for txid in 1..=1200 {
        std::fs::write(server.path(&format!("app/0000/{}", name(txid, txid))), b"").expect("an object");
    }
    let all: Vec<FileName> = (1..=1200).map(|txid| name(txid, txid)).collect();
    assert_eq!(names(&*store, Level::ZERO, 0).await, all);
    assert_eq!(server.take_requests().len(), 2, "two pages");
    assert_eq!(names(&*store, Level::ZERO, 1101).await, all[1100..]);
    let requests = server.take_requests();
    assert_eq!(requests.len(), 1, "one page");
    assert!(requests[0].uri.contains("start-after=app%2F0000%2F000000000000044d"), "{requests:?}");
    for (range, pages) in [(500..510, 1), (100..1099, 1), (1..1200, 2), (1190..u64::MAX, 1)] {
        let listed = store.list_range(Level::ZERO, Txid(range.start)..Txid(range.end)).await.expect("a listing");
        let expected = &all[range.start as usize - 1..(range.end as usize - 1).min(all.len())];
        assert!(listed.iter().map(|file| &file.name).eq(expected), "{range:?}");
        assert_eq!(server.take_requests().len(), pages, "{range:?}");
    }
}

#[tokio::test]
async fn a_read_is_one_ranged_request_for_the_expected_version() {
    let server = S3Server::start();
    let counting = Counting::new(at(&server.url(REPLICA), |name| server.variable(name)));
    Bucket::of(&server).put(Level::ZERO, &name(5, 5).to_string(), &content(LENGTH, 0)).await;
    assert_eq!(server.object(&format!("backups/my app/0000/{}", name(5, 5))), content(LENGTH, 0));
    server.take_requests();
    let chunk = counting.read(Level::ZERO, name(5, 5), 10..5000, None).await.expect("a file");
    counting.read(Level::ZERO, name(5, 5), 9_990..90_000, Some(&chunk.version)).await.expect("the same file");
    let asked: Vec<_> = server.take_requests().into_iter().map(|request| (request.range, request.if_match)).collect();
    let tag = format!("\"{}\"", chunk.version.0);
    let range = |text: &str| Some(text.to_owned());
    assert_eq!(asked, [(range("bytes=10-4999"), None), (range("bytes=9990-89999"), Some(tag))]);
    counting.list(Level::ZERO, Txid(0)).await.expect("a listing");
    assert_eq!(counting.counts(), Counts { lists: 1, reads: 2, writes: 0, bytes: 5000 });
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found() {
    let server = S3Server::start_with(Manner { region: Some("eu-north-1"), ..Manner::default() });
    let store = at(&server.url("app"), |name| server.variable(name));
    assert_eq!(names(&*store, Level::ZERO, 0).await, []);
    assert_eq!(server.take_requests().len(), 2, "one request to the wrong region, one to the right one");
    assert_eq!(names(&*store, Level::ZERO, 0).await, []);
    assert_eq!(server.take_requests().len(), 1, "the region is remembered");
}

/// Returns the error of a listing.
pub(super) async fn complaint(url: &str, variable: impl Fn(&str) -> Option<OsString>) -> (StoreErrorKind, String) {
    let error = at(url, variable).list(Level::ZERO, Txid(0)).await.expect_err("the listing fails");
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("hush") && !shown.contains("test-secret-key"), "{shown}");
    }
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn wrong_credentials_missing_credentials_and_a_missing_bucket_differ() {
    let server = S3Server::start();
    let url = server.url("app");
    let secret = |name: &str| match name {
        "AWS_SECRET_ACCESS_KEY" => Some("hush".into()),
        name => server.variable(name),
    };
    let (kind, text) = complaint(&url, secret).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert_eq!(text.split(": ").nth(1), Some(&*format!("{} denies access (SignatureDoesNotMatch)", server.endpoint)));

    let stranger = |name: &str| if name == "AWS_ACCESS_KEY_ID" { Some("hush".into()) } else { server.variable(name) };
    let (kind, text) = complaint(&url, stranger).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("NotSignedUp: Your account is not signed up"), "{text}");

    let nobody = |name: &str| (name == "AWS_METADATA_ENDPOINT").then(|| REFUSED.into());
    let (kind, text) = complaint(&url, nobody).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"), "{text}");

    let (kind, text) = complaint(&format!("{url}&anonymous=true"), |_| None).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("Signature is required"), "{text}");

    let (kind, text) = complaint(&url.replace("bucket", "pail"), |name| server.variable(name)).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.starts_with("s3://pail/app: the bucket does not exist at http://127.0.0.1:"), "{text}");
    let store = at(&url.replace("bucket", "pail"), |name| server.variable(name));
    assert!(store.read(Level::ZERO, name(1, 1), 0..1, None).await.is_err());
}

#[tokio::test]
async fn a_missing_permission_to_list_is_reported() {
    let server = S3Server::start_with(Manner { unlistable: true, ..Manner::default() });
    let (kind, text) = complaint(&server.url("app"), |name| server.variable(name)).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("denies access (AccessDenied: Access Denied)"), "{text}");

    let store = at(&server.url(REPLICA), |name| server.variable(name));
    Bucket::of(&server).put(Level::ZERO, &name(1, 1).to_string(), b"file").await;
    assert_eq!(store.read(Level::ZERO, name(1, 1), 0..9, None).await.expect("a file").bytes, "file");
    let error = store.read(Level::ZERO, name(2, 2), 0..9, None).await.expect_err("no file");
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(error.to_string().contains("without permission to list, this may mean a missing file"), "{error}");
}

/// An endpoint without a server: port 1 is unused.
const REFUSED: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn an_absent_server_is_unreachable() {
    let url = format!("s3://bucket/app?endpoint={REFUSED}");
    let keys = |name: &str| name.starts_with("AWS_").then(|| OsString::from("hush")).filter(|_| name.contains("KEY"));
    let (kind, text) = complaint(&url, keys).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    let refused = format!("s3://bucket/app: cannot connect to {REFUSED}: ");
    assert!(text.starts_with(&refused) && text.to_lowercase().contains("refused"), "{text}");
}
