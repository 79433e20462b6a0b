//! The real Litestream: a primary that replicates a database, and the restores that the tests compare with.

use super::programs::{self, program};
use super::s3::S3Server;
use litestream_vfs::ltx::Txid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// The URL of a replica, and the credentials for it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// As Litestream and the extension both accept it.
    pub url: String,
    /// The credentials, as environment variables.
    pub environment: Vec<(&'static str, String)>,
}

impl Destination {
    /// A directory.
    pub fn directory(path: &Path) -> Destination {
        Destination { url: format!("file://{}", path.display()), environment: Vec::new() }
    }

    /// A path on an S3 server.
    pub fn s3(server: &S3Server, path: &str) -> Destination {
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", server.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", server.secret_key.clone()),
        ];
        Destination { url: server.url(path), environment }
    }

    /// Returns the replica's files as (level, min, max).
    pub fn files(&self) -> Vec<(u8, Txid, Txid)> {
        let listed = self.litestream(&["ltx", "-level", "all", &self.url]);
        assert!(listed.status.success(), "cannot list {}: {}", self.url, listed.stderr);
        let file = |line: &str| {
            let mut words = line.split_whitespace();
            let mut next = || words.next().unwrap_or_else(|| panic!("a file has a level and two TXIDs: {line:?}"));
            (next().parse().expect("a level"), next().parse().expect("a TXID"), next().parse().expect("a TXID"))
        };
        // Log lines may precede the table.
        listed.stdout.lines().skip_while(|line| !line.starts_with("level")).skip(1).map(file).collect()
    }

    /// Returns the last TXID of every file in ascending order.
    pub fn txids(&self) -> Vec<Txid> {
        let mut txids: Vec<Txid> = self.files().into_iter().map(|(_, _, max)| max).collect();
        txids.sort_unstable();
        txids.dedup();
        txids
    }

    /// Restores the database at exactly this TXID to `output`. Returns false if the replica does not contain it.
    pub fn restore(&self, txid: Txid, output: &Path) -> bool {
        self.restore_with(&["-txid", &txid.to_string()], output)
    }

    /// Restores the database to `output` with these arguments. Returns false if the replica does not contain that state.
    pub fn restore_with(&self, position: &[&str], output: &Path) -> bool {
        let output = output.to_str().expect("the paths of tests are text");
        let arguments: Vec<&str> = ["restore", "-force"].iter().chain(position).copied().collect();
        let ended = self.litestream(&[&arguments[..], &["-o", output, &self.url]].concat());
        if !ended.status.success() {
            let unavailable = ended.stderr.contains("no matching backup files available");
            assert!(unavailable, "cannot restore {} at {position:?}: {}{}", self.url, ended.stdout, ended.stderr);
        }
        ended.status.success()
    }

    fn litestream(&self, arguments: &[&str]) -> programs::Ended {
        programs::run(self.command().args(arguments), LIMIT)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program("litestream"));
        // Litestream's S3 client fails on a bundle that it cannot merge with its own settings.
        command.env_remove("AWS_CA_BUNDLE").envs(self.environment.iter().cloned());
        command
    }
}

/// How often the primary checks its database and compacts its replica.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The time between two checks of the database. None if only [`Primary::sync`] checks it.
    pub monitor_interval: Option<Duration>,
    /// The time between two compactions into level 1, into level 2, and so on.
    pub compactions: &'static [Duration],
    /// The time between two snapshots.
    pub snapshot: Duration,
    /// How long files stay at level 0 after they are compacted into level 1.
    pub l0_retention: Duration,
}

const NEVER: Duration = Duration::from_secs(3600);

impl Schedule {
    /// All levels fill within seconds, and nothing is deleted.
    pub const BUSY: Schedule = Schedule {
        monitor_interval: None,
        compactions: &[Duration::from_secs(1), Duration::from_secs(3)],
        snapshot: Duration::from_secs(5),
        l0_retention: NEVER,
    };

    /// As [`Schedule::BUSY`], but files of level 0 are deleted as soon as possible.
    pub const SHORT_RETENTION: Schedule = Schedule { l0_retention: Duration::from_secs(1), ..Schedule::BUSY };

    /// Only level 0.
    pub const QUIET: Schedule = Schedule {
        monitor_interval: None,
        compactions: &[NEVER],
        snapshot: Duration::from_secs(24 * 3600),
        l0_retention: NEVER,
    };

    /// A file for nearly every commit without a sync, and constant compactions and deletions.
    pub const CONTINUOUS: Schedule = Schedule {
        monitor_interval: Some(Duration::from_millis(50)),
        compactions: &[Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)],
        snapshot: Duration::from_secs(8),
        l0_retention: Duration::from_secs(1),
    };
}

/// A running `litestream replicate`. It checks the database only on request, so that each [`Primary::sync`] is one step.
pub struct Primary {
    child: Child,
    dir: PathBuf,
    database: PathBuf,
    destination: Destination,
    schedule: Schedule,
}

/// A primary that is not running.
pub struct Stopped {
    database: PathBuf,
    destination: Destination,
    schedule: Schedule,
}

impl Stopped {
    /// Starts it again.
    pub fn start(self) -> Primary {
        Primary::start(&self.database, &self.destination, self.schedule)
    }

    /// Runs `litestream reset`, which deletes Litestream's metadata of the database.
    pub fn reset(&self) {
        self.run(&["reset"], Some(&self.database));
    }

    /// Replicates all committed transactions and a snapshot.
    pub fn force_snapshot(&self) {
        self.run(&["replicate", "-once", "-force-snapshot"], None);
    }

    fn run(&self, command: &[&str], database: Option<&PathBuf>) {
        let config = self.database.with_file_name("litestream.yml");
        let config = config.to_str().expect("the paths of tests are text");
        let database = database.map(|path| path.to_str().expect("the paths of tests are text"));
        let arguments: Vec<&str> = command.iter().copied().chain(["-config", config]).chain(database).collect();
        let ended = self.destination.litestream(&arguments);
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    }
}

impl Primary {
    /// Replicates `database`, which must be in WAL mode, to `destination`. Litestream keeps its own files next to the database.
    pub fn start(database: &Path, destination: &Destination, schedule: Schedule) -> Primary {
        let dir = database.parent().expect("a database is in a directory").to_owned();
        let socket = dir.join("socket");
        let _ = std::fs::remove_file(&socket);
        std::fs::write(dir.join("litestream.yml"), config(database, &socket, destination, schedule))
            .expect("a file is written");
        let log = File::create(dir.join("litestream.log")).expect("a log is created");
        let mut child = destination
            .command()
            .args(["replicate", "-config"])
            .arg(dir.join("litestream.yml"))
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("litestream starts");
        programs::wait_until("litestream opens its control socket", || {
            let ended = child.try_wait().expect("the state of a child can be read");
            assert!(
                ended.is_none(),
                "litestream ended: {}",
                std::fs::read_to_string(dir.join("litestream.log")).unwrap()
            );
            socket.exists()
        });
        Primary { child, dir, database: database.to_owned(), destination: destination.clone(), schedule }
    }

    /// Replicates all committed transactions, and returns the newest TXID of the replica.
    pub fn sync(&self) -> Txid {
        let database = self.database.to_str().expect("the paths of tests are text");
        let socket = self.dir.join("socket");
        let socket = socket.to_str().expect("the paths of tests are text");
        let ended = self.destination.litestream(&["sync", "-wait", "-timeout", "100", "-socket", socket, database]);
        let txid = ended.stdout.lines().find_map(|line| line.strip_prefix("replica_txid: "));
        match txid {
            Some(txid) => Txid(txid.parse().expect("sync prints a decimal TXID")),
            None => panic!("no sync: {ended:?}\n{}", self.log()),
        }
    }

    /// Waits until the replica has a file at each of these levels.
    pub fn wait_for_levels(&self, levels: &[u8]) {
        programs::wait_until("the primary fills its levels", || {
            let files = self.destination.files();
            levels.iter().all(|level| files.iter().any(|file| file.0 == *level))
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("litestream.log")).unwrap_or_default()
    }

    /// Stops it. The replica is unchanged.
    pub fn stop(self) -> Stopped {
        Stopped { database: self.database.clone(), destination: self.destination.clone(), schedule: self.schedule }
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // Litestream writes files under a temporary name first, so that killing it leaves no partial file.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log of litestream:\n{}", self.log());
        }
    }
}

fn config(database: &Path, socket: &Path, destination: &Destination, schedule: Schedule) -> String {
    let Schedule { monitor_interval, compactions, snapshot, l0_retention } = schedule;
    let monitor_interval = monitor_interval.unwrap_or(NEVER);
    let levels: Vec<String> = compactions.iter().map(|interval| format!("{{interval: {interval:?}}}")).collect();
    format!(
        "socket: {{enabled: true, path: {socket:?}}}\n\
         levels: [{}]\n\
         snapshot: {{interval: {snapshot:?}, retention: 24h}}\n\
         l0-retention: {l0_retention:?}\n\
         l0-retention-check-interval: 1s\n\
         dbs:\n\
         - path: {database:?}\n  \
           monitor-interval: {monitor_interval:?}\n  \
           replica: {{url: {:?}, sync-interval: {monitor_interval:?}}}\n",
        levels.join(", "),
        destination.url,
    )
}
