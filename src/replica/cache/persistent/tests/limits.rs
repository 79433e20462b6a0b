//! Processes that can open few files or start no threads.

use super::eviction::{FILLED, age_all, with_an_old_file};
use super::parts::{chunk, listed};
use super::*;
use crate::replica::cache::persistent::eviction::{RunningEviction, target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread::Builder;

/// The variable of a process that may have few files open.
const FEW_FILES: &str = "LITESTREAM_VFS_TEST_FEW_FILES";

/// Runs a test of this module in a process that may have 64 files open.
fn with_few_files(name: &str, test: impl FnOnce()) {
    if std::env::var_os(FEW_FILES).is_some() {
        return test();
    }
    let (module, mut command) = (module_path!().split_once("::").expect("the library").1, Command::new("sh"));
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(std::env::current_exe().expect("its own path"));
    let output = command.arg("--exact").arg(format!("{module}::{name}")).env(FEW_FILES, "1").output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Returns all descriptors that this process can still open.
fn descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn pages_of_many_files_are_kept_with_few_open_files() {
    with_few_files("pages_of_many_files_are_kept_with_few_open_files", || {
        let cache = Directory::new();
        let directory = cache.open();
        let before = descriptors().len();
        let files = 1..=100;
        let _slots: Vec<_> =
            files.clone().map(|file| directory.slots(file, &identity(file.into()), Box::new(all))).collect();
        for file in files.clone() {
            assert!(directory.put(PageKey { file, pgno: 1 }, &bytes(file), StoredForm::Carried));
        }
        for file in files {
            assert_eq!(page(&directory, file, 1), Some(bytes(file)), "{file}");
        }
        assert_eq!(before - descriptors().len(), 8, "an eighth of 64");
    });
}

#[test]
fn files_that_were_closed_are_opened_again() {
    with_few_files("files_that_were_closed_are_opened_again", || {
        let cache = Directory::new();
        let directory = cache.open();
        let before = descriptors().len();
        let _slots: Vec<_> = (1..=5).map(|file| directory.slots(file, &identity(file.into()), Box::new(all))).collect();
        let open = || before - descriptors().len();
        (1..=5).for_each(|file| put_all(&directory, file, 1));
        assert_eq!(open(), 5);
        directory.close_files();
        assert_eq!(open(), 0);
        assert_eq!((page(&directory, 3, 1), open()), (Some(bytes(1)), 1));
        put_all(&directory, 4, 2);
        directory.close_files();
        assert_eq!((open(), page(&directory, 4, 2)), (0, Some(bytes(2))));
    });
}

#[test]
fn many_replicas_are_measured_and_evicted_with_few_open_files() {
    with_few_files("many_replicas_are_measured_and_evicted_with_few_open_files", measure_and_evict_many);
}

fn measure_and_evict_many() {
    let (cache, replicas) = (Directory::new(), 100);
    for place in 0..replicas {
        let directory = cache.open_place(&format!("s3://bucket/{place}"));
        directory.keep_part(&listed(2, "a"), &(0..u64::from(SIZE)), &chunk("a"));
    }
    let sizes = || cache.files("").into_iter().map(|path| path.metadata().expect("metadata").blocks() * 512);
    let (directory, size) = (cache.open(), sizes().sum::<u64>());
    assert_eq!((directory.held(), sizes().count()), (size, replicas));
    // Without a descriptor for each step, the last size counts.
    for free in 0..8 {
        let mut taken = descriptors();
        taken.truncate(taken.len() - free);
        directory.evict(LARGE);
        drop(taken);
        assert_eq!(directory.held(), size, "{free} descriptors");
    }
    age_all(&cache);
    directory.evict(size / 2);
    let left = target(size / 2) / (size / replicas as u64);
    assert_eq!((sizes().count() as u64, directory.held()), (left, sizes().sum()));
}

#[test]
fn a_process_without_another_thread_evicts_on_its_own_one() {
    let (cache, directory) = with_an_old_file();
    assert_eq!(directory.held(), 1 << 20);
    directory.size.is_evicting.store(true, Ordering::Relaxed);
    // No system has so much memory for a thread.
    directory.evict_on(Builder::new().stack_size(1 << (usize::BITS - 2)), FILLED / 2);
    assert_eq!((cache.files("").len(), directory.held()), (0, 0));
    assert!(!directory.size.is_evicting.load(Ordering::Relaxed));
}

#[test]
fn threads_of_the_runtime_do_not_evict() {
    let (cache, directory) = with_an_old_file();
    directory.resize(FILLED / 2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let of_runtime = runtime.enter();
    directory.evict_if_due();
    drop(of_runtime);
    let started = Instant::now();
    while directory.size.is_evicting.load(Ordering::Relaxed) && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((cache.files("").len(), directory.held()), (0, 0));
}

#[test]
fn after_a_panic_the_next_eviction_can_begin() {
    let is_evicting = AtomicBool::new(true);
    let panic = || {
        let _running = RunningEviction(&is_evicting);
        panic!("on purpose");
    };
    assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
    assert!(!is_evicting.load(Ordering::Relaxed));
}
