//! Files to register: pairs of a model and its examples that belong together.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

/// So many pairs; more are registered than that only in long runs.
const PAIRS: u64 = 64;

/// The files of one pair.
pub(crate) fn pair(number: u64) -> (PathBuf, PathBuf) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..PAIRS {
            fs::write(folder.path().join(format!("{number}.onnx")), format!("model {number}")).unwrap();
            fs::write(folder.path().join(format!("{number}.json")), format!("golden {number}")).unwrap();
        }
        folder
    });
    let number = number % PAIRS;
    (folder.path().join(format!("{number}.onnx")), folder.path().join(format!("{number}.json")))
}

/// Whether a model and examples are of one pair.
pub(crate) fn belong_together(model: &[u8], golden: Option<&[u8]>) -> bool {
    let number =
        |bytes: &[u8], prefix: &str| String::from_utf8_lossy(bytes).strip_prefix(prefix).map(str::to_owned);
    let model = number(model, "model ");
    model.is_some() && model == golden.and_then(|golden| number(golden, "golden "))
}
