//! The replica in `sample/`, and a machine on which the examples of the documentation run.

use super::extension;
use super::hosts::Host;
use super::litestream::{Destination, Primary, Schedule};
use super::s3::S3Server;
use super::workload;
use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The time that `sample/README.md` shows: before the prices rose.
pub fn earlier() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sample/README.md")).expect("the README");
    let (_, rest) = readme.split_once("--at '").expect("it shows a time");
    rest.split_once('\'').expect("the time is quoted").0.to_owned()
}

/// Creates a second replica with a table of cities, which match those of the sample's customers.
pub fn cities(dir: &TempDir) -> String {
    let destination = Destination::directory(&dir.path().join("cities"));
    let database = dir.path().join("cities.db");
    let conn = workload::create(&database, "");
    workload::run(
        &conn,
        "CREATE TABLE cities (city TEXT PRIMARY KEY, country TEXT);
         INSERT INTO cities VALUES ('Lisbon', 'Portugal'), ('Oslo', 'Norway'), ('Nairobi', 'Kenya'), ('Kyoto', 'Japan'),
             ('Lima', 'Peru'), ('Dublin', 'Ireland'), ('Porto', 'Portugal (north)'), ('Hanoi', 'Vietnam'),
             ('Tallinn', 'Estonia'), ('Accra', 'Ghana')",
    );
    Primary::start(&database, &destination, Schedule::QUIET).sync();
    destination.url
}

/// Copies the sample's files to a path of the bucket.
pub fn upload_sample(server: &S3Server, path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/replica/ltx");
    for level in root.read_dir().expect("the sample exists").flatten() {
        let number: u8 = level.file_name().to_str().and_then(|name| name.parse().ok()).expect("levels are numbers");
        let keys = server.path(&format!("{path}/{number:04x}"));
        fs::create_dir_all(&keys).expect("a directory is created");
        for file in level.path().read_dir().expect("a level is a directory").flatten() {
            fs::copy(file.path(), keys.join(file.file_name())).expect("a file is copied");
        }
    }
}

/// The machine of a reader who follows a document: the library is in the current directory, the sample in a bucket.
pub struct Machine {
    pub dir: TempDir,
    pub destination: Destination,
    _server: S3Server,
}

impl Machine {
    pub fn new() -> Machine {
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start());
        extension::copy_to(&dir.path().join(format!("litestream-vfs{DLL_SUFFIX}")));
        upload_sample(&server, "app");
        Machine { dir, destination: Destination::s3(&server, "app"), _server: server }
    }

    /// The code blocks of a document in a language, with the URL of this bucket, and the time of the sample in place of
    /// the document's.
    pub fn blocks(&self, document: &str, language: &str, time: &str) -> Vec<String> {
        let start = format!("```{language}\n");
        let blocks = document.split(&start).skip(1).map(|rest| rest.split_once("```").expect("a block ends").0);
        blocks.map(|text| text.replace("s3://bucket/app", &self.destination.url).replace(time, &earlier())).collect()
    }

    /// Writes a block to a file, and returns what the host prints that `host` makes of the file.
    pub fn run(&self, name: &str, block: &str, host: impl FnOnce(&Path) -> Host) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, block).expect("a file is written");
        host(&path).within(self.dir.path()).credentials(&self.destination).succeed()
    }
}
