use std::fs;

use sidegate::registry::store::{Folder, Store};

use super::{data_config, numbers, rows, split_config};
use crate::data::schema::Schema;
use crate::data::{Access, Data, DataError, Wanted};

fn open(root: &std::path::Path, path: &str) -> Result<Data, DataError> {
    opened(root, path, Wanted::Rows)
}

fn opened(root: &std::path::Path, path: &str, wanted: Wanted) -> Result<Data, DataError> {
    let root = root.to_owned();
    let bucket = move |name: &str| Ok(Box::new(Folder::new(root.join(name))) as Box<dyn Store>);
    let config = data_config(&format!("source = \"s3\"\npath = \"{path}\""));
    Data::open(&config, &split_config(""), &Access { wanted, environment: &|_| None, bucket: &bucket })
}

#[test]
fn objects_below_a_prefix_are_copied_in_the_order_of_their_keys() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("lake/sales/2024")).unwrap();
    fs::create_dir_all(root.path().join("lake/sales/_tmp")).unwrap();
    fs::write(root.path().join("lake/sales/2024/01.csv"), "v\n1\n").unwrap();
    fs::write(root.path().join("lake/sales/2024/02.csv"), "v\n2\n").unwrap();
    fs::write(root.path().join("lake/sales/_tmp/03.csv"), "v\n3\n").unwrap();
    fs::write(root.path().join("lake/sales/notes.txt"), "no rows").unwrap();
    let values = |path: &str| numbers(&rows(&open(root.path(), path).unwrap(), &Schema::default()).0[0]);
    assert_eq!(values("s3://lake/sales/"), [1.0, 2.0]);
    assert_eq!(values("s3://lake/sales/2024/02.csv"), [2.0]);
    assert_eq!(values("s3://lake/sales/*/0[1].csv"), [1.0]);
    // A dry run asks for columns alone.
    let data = opened(root.path(), "s3://lake/sales/", Wanted::Columns).unwrap();
    assert_eq!(numbers(&rows(&data, &Schema::default()).0[0]), [1.0]);
    match open(root.path(), "s3://lake/other").err() {
        Some(DataError::NoFiles { path, .. }) => assert_eq!(path, "s3://lake/other"),
        other => panic!("{other:?}"),
    }
}
