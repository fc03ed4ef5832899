use super::*;
use crate::registry::store::{Fault, Stat, StoreError};

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path(), "s3://bucket/prefix");
    (dir, cache)
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn stat(bytes: &[u8]) -> Stat {
    Stat { bytes: bytes.len() as u64, token: "t".into(), settled: true }
}

fn is_kept(cache: &Cache, digest: &Digest) -> bool {
    cache.blob_path(digest).is_file()
}

/// Every file below the cache's folder.
fn files(cache: &Cache) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![cache.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(cache.root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn a_file_that_came_in_is_read_back_verified() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"model", &mut || ());
    let intake = cache.intake(Some(digest), |sink| {
        sink.write_all(b"mo").and_then(|()| sink.write_all(b"del")).unwrap();
        Ok(Some(stat(b"model")))
    });
    let intake = intake.unwrap().unwrap();
    assert_eq!((intake.digest, intake.bytes), (digest, 5));
    assert_eq!(cache.blob(&digest, 9, &mut || ()).unwrap(), b"model");
    assert!(cache.blob(&digest, 1, &mut || ()).is_none(), "who wants less means another file");
    assert!(is_kept(&cache, &digest), "which is no reason to lose this one");
    // Somebody changes it, or it was never written to the end.
    fs::write(cache.blob_path(&digest), b"mudel").unwrap();
    assert!(cache.blob(&digest, 9, &mut || ()).is_none());
    assert!(!is_kept(&cache, &digest), "and is gone");
}

#[test]
fn what_does_not_come_in_leaves_nothing() {
    let (_dir, cache) = cache();
    let wanted = Digest::of(b"model", &mut || ());
    let other = cache.intake(Some(wanted), |sink| {
        sink.write_all(b"mudel").unwrap();
        Ok(Some(stat(b"mudel")))
    });
    assert!(matches!(other, Err(IntakeError::Digest { bytes: 5, .. })), "{other:?}");
    assert!(cache.intake(Some(wanted), |_| Ok(None)).unwrap().is_none());
    let cut = cache.intake(Some(wanted), |sink| {
        sink.write_all(b"mod").unwrap();
        Err(StoreError::new("m/1/model.onnx", Fault::Changed))
    });
    assert!(matches!(cut, Err(IntakeError::Store(_))), "{cut:?}");
    let full = cache.intake(None, |_| {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        Err(StoreError::new("m/1/model.onnx", Fault::Local(error)))
    });
    assert!(matches!(full, Err(IntakeError::Disk(_))), "{full:?}");
    assert_eq!(files(&cache), [""; 0]);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let cache = Cache::new(&dir.path().join("file"), "s3://b");
    assert!(matches!(cache.intake(None, |_| Ok(None)), Err(IntakeError::Disk(_))));
    assert!(cache.keep_index(&name("m"), b"{}").is_err());
    assert!(cache.begin(&name("m"), Version::FIRST, "t").is_err());
    assert!(cache.index(&name("m")).is_none() && cache.models().is_empty() && cache.judge().is_empty());
}

#[test]
fn records_survive_and_strange_ones_do_not_matter() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"model", &mut || ());
    let listed = Listed { token: "t".into(), ..Listed::bare(Version::FIRST) };
    let served = Served::new(&listed, ("model.onnx".into(), digest), None, None);
    assert!(cache.served(&name("m")).is_none());
    cache.keep_served(&name("m"), &served).unwrap();
    assert_eq!(cache.served(&name("m")), Some(served.clone()));
    assert!(cache.former(&name("m")).is_none(), "as in a cache that an older program wrote");
    cache.keep_former(&name("m"), &served).unwrap();
    assert_eq!(cache.former(&name("m")), Some(served));
    assert_eq!(cache.models(), [name("m")]);
    cache.keep_pin(&name("m"), Version::new(3), "2026-01-01T00:00:00Z").unwrap();
    assert_eq!(cache.pin(&name("m")), Version::new(3));
    cache.keep_pin(&name("m"), None, "").unwrap();
    cache.keep_pin(&name("m"), None, "").unwrap();
    assert_eq!(cache.pin(&name("m")), None);
    cache.keep_promoted(&name("m"), (1, 12)).unwrap();
    assert_eq!(cache.promoted(&name("m")), Some((1, 12)));
    fs::write(cache.path("served", "m"), b"{\"format\": 2}").unwrap();
    assert!(cache.served(&name("m")).is_none());
}

#[test]
fn a_load_that_killed_its_process_sets_the_version_aside() {
    let (_dir, cache) = cache();
    let (model, version) = (name("m"), Version::new(8).unwrap());
    drop(cache.begin(&model, version, "t").unwrap());
    assert_eq!(cache.judge(), []);
    let alive = cache.begin(&model, version, "t").unwrap();
    assert_eq!(cache.judge(), [], "its process lives");
    let path = alive.path.clone();
    let text = fs::read(&path).unwrap();
    drop(alive);
    // What a kill leaves behind.
    let killed = || fs::write(&path, &text).unwrap();
    killed();
    assert_eq!(cache.judge(), [("m".to_owned(), 8)]);
    let first = cache.quarantine(&model, version, "t").unwrap();
    assert_eq!(first.times, 1);
    assert_eq!(cache.quarantine(&model, version, "other"), None, "other bytes are another version");
    assert_eq!(cache.judge(), [], "judged once");
    killed();
    cache.judge();
    let second = cache.quarantine(&model, version, "t").unwrap();
    assert!(second.times == 2 && second.until >= first.until + 600 - 5, "{second:?}");
    cache.release(&model, version, "t");
    assert_eq!(cache.quarantine(&model, version, "t"), None);
    killed();
    cache.judge();
    let third = cache.quarantine(&model, version, "t").unwrap();
    assert_eq!(third.times, 3, "it was let go, not forgiven");
    cache.loaded(&model, version, "t");
    assert_eq!(cache.quarantine(&model, version, "t"), None);
    killed();
    cache.judge();
    assert_eq!(cache.quarantine(&model, version, "t").unwrap().times, 1, "a load between them begins anew");
    cache.loaded(&model, version, "t");
    // The machine went down with it.
    let other_boot = String::from_utf8(text.clone()).unwrap().replace("\"boot\":\"", "\"boot\":\"x");
    fs::write(&path, other_boot).unwrap();
    assert_eq!(cache.judge(), []);
    assert_eq!(files(&cache), [""; 0]);
}

#[test]
fn the_oldest_go_first_and_what_is_needed_stays() {
    let (_dir, cache) = cache();
    let keep = |bytes: &[u8]| {
        let digest = Digest::of(bytes, &mut || ());
        cache.keep_blob(&digest, bytes).unwrap();
        // Clocks of files are coarse.
        std::thread::sleep(std::time::Duration::from_millis(15));
        digest
    };
    let [a, b, c] = [b"aaaa", b"bbbb", b"cccc"].map(|bytes| keep(bytes));
    cache.evict(12, &[]);
    assert!(is_kept(&cache, &a));
    cache.evict(8, &[a]);
    assert_eq!([a, b, c].map(|digest| is_kept(&cache, &digest)), [true, false, true]);
    assert!(cache.blob(&a, 9, &mut || ()).is_some(), "used last");
    cache.evict(4, &[]);
    assert_eq!([a, c].map(|digest| is_kept(&cache, &digest)), [true, false]);
}

#[test]
fn what_a_dead_process_left_unfinished_is_cleaned() {
    let (_dir, cache) = cache();
    let (file, path) = cache.unfinished().unwrap();
    cache.clean();
    assert!(path.exists(), "it is being written");
    drop(file);
    cache.clean();
    assert!(!path.exists());
}

#[test]
fn a_quarantine_ends_whatever_a_clock_once_said() {
    let (_dir, cache) = cache();
    let (model, version) = (name("m"), Version::new(8).unwrap());
    let note = cache.begin(&model, version, "t").unwrap();
    let (path, text) = (note.path.clone(), fs::read(&note.path).unwrap());
    drop(note);
    fs::write(&path, text).unwrap();
    cache.judge();
    let [record] = &files(&cache)[..] else { panic!("{:?}", files(&cache)) };
    let record = cache.root().join(record);
    for until in [u64::MAX, 1 << 40] {
        fs::write(&record, format!(r#"{{"format":1,"times":1,"until":{until}}}"#)).unwrap();
        let found = cache.quarantine(&model, version, "t").unwrap();
        assert!(found.left() <= Duration::from_secs(24 * 3600), "{found:?}");
        assert!(!found.until_text().is_empty());
        // Asked again and again it does not begin again and again.
        let stored: Quarantine = format::parse("quarantine", &fs::read(&record).unwrap()).unwrap();
        assert_eq!(stored, found);
    }
}

#[test]
fn a_note_of_another_container_is_left_alone() {
    let (_dir, cache) = cache();
    let theirs = cache.begin(&name("m"), Version::FIRST, "t").unwrap();
    let text = fs::read(&theirs.path).unwrap();
    // The same number of process, another process.
    assert!(cache.begin(&name("m"), Version::FIRST, "t").is_err());
    assert_eq!(fs::read(&theirs.path).unwrap(), text);
}

#[test]
fn a_filesystem_without_locks_is_used_without() {
    let error = |code: i32| Err(TryLockError::Error(io::Error::from_raw_os_error(code)));
    for code in [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP] {
        assert!(!taken(error(code)).unwrap(), "{code}");
    }
    assert!(taken(Ok(())).unwrap());
    assert!(taken(error(libc::EIO)).is_err() && taken(Err(TryLockError::WouldBlock)).is_err());
    // What nobody can tell to be in use goes once it is old.
    let (_dir, cache) = cache();
    let (file, _) = cache.unfinished().unwrap();
    assert!(!is_older(&file, LEFT_OVER));
    file.set_modified(SystemTime::now() - 2 * LEFT_OVER).unwrap();
    assert!(is_older(&file, LEFT_OVER));
}
