//! The suite every store passes; one line instantiates it. The store is empty at the start.

use super::{Body, Condition, Fault, Read, Stat, Store};

/// Runs the suite on an empty store.
pub(crate) fn suite(store: &dyn Store) {
    suite_of_folders(store);
    assert!(store.list("").unwrap().iter().all(|name| name != "d"), "nothing is left of it");
}

/// The same for a store that may keep a folder when there is nothing in it any more.
pub(crate) fn suite_of_folders(store: &dyn Store) {
    reading(store);
    conditions(store);
    deleting(store);
    racing(store);
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> String {
    store.write(key, Body::Bytes(bytes), Condition::None).unwrap()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn get(store: &dyn Store, key: &str, max: u64) -> Option<Vec<u8>> {
    store.read(key, max, None).unwrap().bytes()
}

fn reading(store: &dyn Store) {
    put(store, "churn/1/model.onnx", b"one");
    put(store, "churn/model.json", b"{}");
    put(store, "other/2/model.onnx", b"two!");
    assert_eq!(sorted(store.list("").unwrap()), ["churn", "other"]);
    assert!(sorted(store.list("churn").unwrap()).contains(&"1".to_owned()));
    assert!(store.list("nothing").unwrap().is_empty());
    assert!(store.list("chur").unwrap().is_empty(), "a prefix is a folder, not the start of a name");
    assert_eq!(sorted(store.keys("churn").unwrap()), ["churn/1/model.onnx", "churn/model.json"]);
    assert_eq!(store.keys("").unwrap().len(), 3);
    assert!(store.keys("nothing").unwrap().is_empty());
    assert_eq!(get(store, "churn/1/model.onnx", 3).unwrap(), b"one");
    let error = store.read("other/2/model.onnx", 3, None).unwrap_err();
    assert!(matches!(error.fault, Fault::TooLarge { bytes: 4, max: 3 }), "{error}");
    assert_eq!(store.read("churn/2/model.onnx", 3, None).unwrap(), Read::Absent);
    assert_eq!(store.stat("churn/7/model.onnx").unwrap(), None);
    assert_eq!(store.stat("churn").unwrap(), None, "a folder is no object");
    let before = store.stat("churn/1/model.onnx").unwrap().unwrap();
    assert_eq!(before.bytes, 3);
    assert_eq!(store.stat("churn/1/model.onnx").unwrap().unwrap().token, before.token);
    let Read::Object { token, .. } = store.read("churn/1/model.onnx", 3, None).unwrap() else { panic!() };
    assert_eq!(token, before.token, "a read and a look name the same state");
    // Whether a store says so or the whole object again, the token tells.
    match store.read("churn/1/model.onnx", 3, Some(&before.token)).unwrap() {
        Read::Unchanged => {}
        Read::Object { token, .. } => assert_eq!(token, before.token),
        Read::Absent => panic!("it is there"),
    }
    put(store, "churn/1/model.onnx", b"changed");
    assert_ne!(store.stat("churn/1/model.onnx").unwrap().unwrap().token, before.token);
    let read = store.read("churn/1/model.onnx", 9, Some(&before.token)).unwrap();
    assert_eq!(read.bytes().unwrap(), b"changed");
    downloads(store);
}

fn downloads(store: &dyn Store) {
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &large).unwrap();
    store.write("big/1/model.onnx", Body::File(file.path()), Condition::Absent).unwrap();
    let mut sink = Vec::new();
    let stat = store.download("big/1/model.onnx", 20_000_000, &mut sink).unwrap().unwrap();
    assert!(sink == large, "{} bytes came", sink.len());
    assert_eq!((stat.bytes, stat.token), {
        let Stat { bytes, token, .. } = store.stat("big/1/model.onnx").unwrap().unwrap();
        (bytes, token)
    });
    let mut sink = Vec::new();
    let error = store.download("big/1/model.onnx", 19_999_999, &mut sink).unwrap_err();
    assert!(matches!(error.fault, Fault::TooLarge { .. }) && sink.len() < 20_000_000, "{error}");
    assert!(store.download("big/2/model.onnx", 9, &mut Vec::new()).unwrap().is_none());
    put(store, "big/3/empty", b"");
    assert_eq!(store.download("big/3/empty", 9, &mut Vec::new()).unwrap().unwrap().bytes, 0);
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = store.download("big/1/model.onnx", 20_000_000, &mut Full).unwrap_err();
    assert!(matches!(error.fault, Fault::Local(_)), "{error}");
}

fn conditions(store: &dyn Store) {
    let write =
        |bytes: &[u8], condition: Condition<'_>| store.write("c/model.json", Body::Bytes(bytes), condition);
    let conflict = |result: Result<String, super::StoreError>| {
        assert!(matches!(result.unwrap_err().fault, Fault::Conflict));
    };
    conflict(write(b"0", Condition::Token("\"no such token\"")));
    let first = write(b"1", Condition::Absent).unwrap();
    assert_eq!(store.stat("c/model.json").unwrap().unwrap().token, first);
    conflict(write(b"2", Condition::Absent));
    let second = write(b"3", Condition::Token(&first)).unwrap();
    assert_ne!(first, second);
    conflict(write(b"4", Condition::Token(&first)));
    assert_eq!(get(store, "c/model.json", 9).unwrap(), b"3");
    // Equal bytes written again are a write of their own only where tokens are not digests; both are fine.
    let third = write(b"5", Condition::None).unwrap();
    write(b"6", Condition::Token(&third)).unwrap();
    assert_eq!(get(store, "c/model.json", 9).unwrap(), b"6");
}

fn deleting(store: &dyn Store) {
    put(store, "d/1/model.onnx", b"x");
    put(store, "d/1/manifest.json", b"{}");
    store.delete("d/1/model.onnx").unwrap();
    store.delete("d/1/model.onnx").unwrap();
    assert_eq!(store.keys("d").unwrap(), ["d/1/manifest.json"]);
    store.delete("d/1/manifest.json").unwrap();
    assert!(store.keys("d").unwrap().is_empty());
}

/// Eight writers on one object: each state is written on the one before it, exactly once.
fn racing(store: &dyn Store) {
    put(store, "race/model.json", b"0");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut done = 0;
                while done < 10 {
                    let Read::Object { bytes, token } = store.read("race/model.json", 9, None).unwrap()
                    else {
                        panic!("it is there")
                    };
                    let count: u32 = String::from_utf8(bytes).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    let write = store.write(
                        "race/model.json",
                        Body::Bytes(next.as_bytes()),
                        Condition::Token(&token),
                    );
                    match write.map_err(|error| error.fault) {
                        Ok(_) => done += 1,
                        Err(Fault::Conflict) => {}
                        Err(fault) => panic!("{fault}"),
                    }
                }
            });
        }
    });
    assert_eq!(get(store, "race/model.json", 9).unwrap(), b"80");
}
