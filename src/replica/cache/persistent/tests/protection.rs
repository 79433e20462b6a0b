//! What other users could have put into the directory.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn the_directory_is_of_this_user_alone() {
    let cache = Directory::new();
    cache.open();
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").mode() & 0o7777;
    let path = cache.path();
    assert_eq!((mode(&path), mode(&path.join(FORMAT))), (0o700, 0o700));
    for (unsafe_mode, expected) in [(0o770, true), (0o702, true), (0o755, false)] {
        std::fs::set_permissions(&path, Permissions::from_mode(unsafe_mode)).expect("a mode");
        let opened = CacheDirectory::open(&path, "s3://bucket/app", LARGE);
        assert_eq!(opened.is_err(), expected, "{unsafe_mode:o}");
        if let Err(error) = opened {
            let text = error.to_string();
            assert!(text.contains("other users can write to it") && text.contains("0700"), "{text}");
        }
    }
    let link = cache.dir.path().join("link");
    symlink(&path, &link).expect("a link");
    let error = CacheDirectory::open(&link, "s3://bucket/app", LARGE).expect_err("a link").to_string();
    assert!(error.contains("symbolic link"), "{error}");
    let error = CacheDirectory::open(Path::new("/proc/self/no"), "x", LARGE).expect_err("no directory").to_string();
    assert!(error.contains("cache_dir") && error.contains("/proc/self/no"), "{error}");
}

#[test]
fn links_and_pipes_in_the_directory_are_replaced_and_never_followed() {
    let cache = Directory::new();
    let directory = cache.open();
    let _slots = directory.slots(1, &identity(5), Box::new(all));
    let key = PageKey { file: 1, pgno: 1 };
    directory.put(key, &bytes(1), StoredForm::Block(70));
    let (path, victim) = (cache.files(".p-").remove(0), cache.dir.path().join("victim"));
    std::fs::write(&victim, b"untouched").expect("a file");
    let replaced_by = |make: &dyn Fn()| {
        std::fs::remove_file(&path).expect("a file");
        make();
        let other = cache.open();
        let _other = other.slots(1, &identity(5), Box::new(all));
        assert_eq!(page(&other, 1, 1), None);
        other.put(key, &bytes(1), StoredForm::Block(70));
        assert_eq!(page(&other, 1, 1), Some(bytes(1)));
    };
    replaced_by(&|| symlink(&victim, &path).expect("a link"));
    replaced_by(&|| {
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
    });
    assert_eq!(std::fs::read(&victim).expect("a file"), b"untouched");
}
