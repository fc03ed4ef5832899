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
    assert!(cache.blob_file(&digest).is_some());
    // Somebody changes it, or it was never written to the end.
    fs::write(cache.blob_file(&digest).unwrap(), b"mudel").unwrap();
    assert!(cache.blob(&digest, 9, &mut || ()).is_none());
    assert!(cache.blob_file(&digest).is_none(), "and is gone");
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
    let served = Served::new(&listed, ("model.onnx".into(), digest), None);
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
    assert!(cache.blob_file(&a).is_some());
    cache.evict(8, &[a]);
    assert_eq!([a, b, c].map(|digest| cache.blob_file(&digest).is_some()), [true, false, true]);
    assert!(cache.blob(&a, 9, &mut || ()).is_some(), "used last");
    cache.evict(4, &[]);
    assert_eq!([a, c].map(|digest| cache.blob_file(&digest).is_some()), [true, false]);
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
