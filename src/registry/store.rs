//! Dumb storage behind the registry: list, stat, read. `cli` picks one by URL.

mod folder;

pub use folder::{Folder, SingleFile};

/// Storage of a registry. Keys are `/`-separated and come from [`super::layout`] only.
pub trait Store: Send {
    /// Names directly below `prefix` ("" is the root) that can hold something; no order.
    ///
    /// # Errors
    /// When the store cannot be reached. A prefix that is not there is empty, except the root.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Size and change token of an object, `None` when it is not there.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError>;

    /// An object's bytes, `None` when it is not there.
    ///
    /// # Errors
    /// When it is larger than `max` bytes or the store cannot be reached.
    fn read(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Size and change token of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Size in bytes.
    pub bytes: u64,
    /// Changes whenever the object does.
    pub token: String,
    /// Whether it was last written long enough ago that nobody is still at it.
    pub settled: bool,
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is larger than its cap.
    #[error("{key} has {bytes} bytes, at most {max} are read")]
    TooLarge {
        /// The object.
        key: String,
        /// Its size.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// Anything else, by the key it concerns.
    #[error("{key} cannot be read: {error}")]
    Io {
        /// The object or prefix.
        key: String,
        /// The cause.
        error: std::io::Error,
    },
}

/// The suite every store passes; one line instantiates it.
#[cfg(test)]
pub(crate) fn suite(store: &dyn Store, put: &dyn Fn(&str, &[u8])) {
    put("churn/1/model.onnx", b"one");
    put("churn/model.json", b"{}");
    put("other/2/model.onnx", b"two!");
    let sorted = |prefix: &str| {
        let mut names = store.list(prefix).unwrap();
        names.sort();
        names
    };
    assert_eq!(sorted(""), ["churn", "other"]);
    assert!(sorted("churn").contains(&"1".to_owned()));
    assert!(sorted("nothing").is_empty());
    assert_eq!(store.read("churn/1/model.onnx", 3).unwrap().unwrap(), b"one");
    assert!(matches!(store.read("other/2/model.onnx", 3), Err(StoreError::TooLarge { bytes: 4, .. })));
    assert_eq!(store.read("churn/2/model.onnx", 3).unwrap(), None);
    assert_eq!(store.stat("churn/7/model.onnx").unwrap(), None);
    let before = store.stat("churn/1/model.onnx").unwrap().unwrap();
    assert_eq!(before.bytes, 3);
    assert_eq!(store.stat("churn/1/model.onnx").unwrap().unwrap(), before);
    put("churn/1/model.onnx", b"changed");
    assert_ne!(store.stat("churn/1/model.onnx").unwrap().unwrap(), before);
}
