//! Processes that share a cache directory: one of them polls for all.

use crate::support::archive::ArchiveBank;
use crate::support::bank;
use crate::support::litestream::{Destination, Schedule};
use crate::support::programs::wait_until;
use crate::support::s3::S3Server;
use crate::support::session::Session;
use litestream_vfs::ltx::Txid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);

/// Processes with one connection each.
struct Crowd {
    server: S3Server,
    bank: ArchiveBank,
    sessions: Vec<(Session, usize)>,
    /// The newest state that each of them has seen.
    seen: Vec<String>,
}

impl Crowd {
    fn open(count: usize) -> Crowd {
        let server = S3Server::start();
        let bank = ArchiveBank::start(|_| Destination::s3(&server, "app"), Schedule::QUIET);
        let sessions = (0..count).map(|_| bank.open_polling("200ms", &[])).collect();
        Crowd { server, bank, sessions, seen: vec![String::new(); count] }
    }

    fn commit(&self) -> Txid {
        bank::transfer(&self.bank.conn);
        self.bank.primary.sync()
    }

    /// Waits until all processes but those that `skipped` names have a transaction. None of them may go back.
    fn reach(&mut self, txid: Txid, skipped: Option<usize>) {
        wait_until("all processes have the newest state", || {
            let mut all = true;
            for (number, ((session, connection), seen)) in self.sessions.iter_mut().zip(&mut self.seen).enumerate() {
                if Some(number) == skipped {
                    continue;
                }
                let now = session.query(*connection, "SELECT head_txid FROM litestream_status");
                assert!(now >= *seen, "from {seen} back to {now}");
                all &= now >= txid.to_string();
                *seen = now;
            }
            all
        });
    }

    /// Waits until the server gets at most twice the requests of one process. If each polled for itself, it would get one for each.
    fn wait_for_one_follower(&self) {
        wait_until("only one process polls", || {
            self.server.take_requests();
            let started = Instant::now();
            thread::sleep(INTERVAL * 10);
            let polls = started.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
            (self.server.take_requests().len() as f64) < polls * 2.0
        });
    }

    /// Returns the number of the process that has the lock of the leader.
    fn leader(&self) -> Option<usize> {
        let format = self.bank.cache().join("litestream-vfs-1");
        let mut folders = format.read_dir().expect("a folder").flatten().map(|entry| entry.path());
        let inode = fs::metadata(folders.find(|path| path.is_dir())?.join("leader")).ok()?.ino();
        let pid = lock_holder(Path::new("/proc/locks"), inode)?;
        self.sessions.iter().position(|(session, _)| session.id() == pid)
    }
}

/// Returns the process that has a lock of this file.
fn lock_holder(locks: &Path, inode: u64) -> Option<u32> {
    let locks = fs::read_to_string(locks).expect("the locks of the system");
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_held = fields.get(1) == Some(&"FLOCK") && fields.get(5)?.ends_with(&format!(":{inode}"));
        if is_held { fields.get(4)?.parse().ok() } else { None }
    })
}

#[test]
fn another_process_takes_over_while_the_leader_is_suspended() {
    let mut crowd = Crowd::open(5);
    let newest = crowd.commit();
    crowd.reach(newest, None);
    crowd.wait_for_one_follower();
    // Each of them leads at some time, because the one that does is suspended.
    for _ in 0..crowd.sessions.len() {
        crowd.sessions[0].0.freeze();
        let newest = crowd.commit();
        crowd.reach(newest, Some(0));
        crowd.sessions[0].0.thaw();
        let newest = crowd.commit();
        crowd.reach(newest, None);
    }
}

#[test]
fn fifty_processes_send_the_requests_of_one_also_after_the_leader_was_killed() {
    let mut crowd = Crowd::open(50);
    let newest = crowd.commit();
    crowd.reach(newest, None);
    crowd.wait_for_one_follower();
    let mut leader = None;
    wait_until("one process leads", || {
        leader = crowd.leader();
        leader.is_some()
    });
    // The end of a session kills its process.
    let number = leader.expect("a process");
    drop(crowd.sessions.remove(number));
    crowd.seen.remove(number);
    let newest = crowd.commit();
    crowd.reach(newest, None);
    crowd.wait_for_one_follower();
    let newest = crowd.commit();
    crowd.reach(newest, None);
}
