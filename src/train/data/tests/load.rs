use std::fs;

use super::{DAY_ONE, data_config, file, numbers, open, rows, texts};
use crate::data::DataError;
use crate::data::config::DataConfig;
use crate::data::schema::Schema;

#[test]
fn a_folder_and_a_pattern_are_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::write(folder.path().join("c[1].csv"), "v\n3\n").unwrap();
    fs::write(folder.path().join("b/x.csv"), "v\n2\n").unwrap();
    fs::write(folder.path().join("a.csv"), "v\n1\n").unwrap();
    fs::write(folder.path().join("_part.csv"), "w\n9\n").unwrap();
    let (columns, _) = rows(&open(&file(folder.path(), "")).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0]), [1.0, 2.0, 3.0]);
    let (columns, _) = rows(&open(&file(&folder.path().join("[ac]*.csv"), "")).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0]), [1.0, 3.0]);
    let (columns, _) = rows(&open(&file(folder.path(), "limit = 2")).unwrap(), &Schema::default());
    assert_eq!(numbers(&columns[0]), [1.0, 2.0]);
}

#[test]
fn columns_come_as_asked_and_roles_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.txt");
    fs::write(&path, "a,b,w,y\n1,x,2,0\n2,y,2,1\n").unwrap();
    let more = "format = \"csv\"\ncolumns = [\"b\"]\ntarget_column = \"y\"\nweight_column = \"w\"";
    let data = open(&file(&path, more)).unwrap();
    assert_eq!(data.columns().iter().map(|field| &*field.name).collect::<Vec<_>>(), ["b", "y", "w"]);
    assert_eq!(texts(&rows(&data, &Schema::default()).0[0]), ["x", "y"]);
    match open(&file(&path, "format = \"csv\"\ntarget_column = \"z\"")).err() {
        Some(DataError::ColumnVanished { column, role, present }) => {
            assert_eq!((&*column, role, &*present), ("z", "data.target_column", "a, b, w, y"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_come_by_date_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "d,v\n2024-01-03,3\n2024-01-01,1\nNA,9\n2024-01-02,2\n").unwrap();
    let data = open(&file(&path, "date_column = \"d\"\norder = \"date\"")).unwrap();
    assert_eq!(numbers(&rows(&data, &Schema::default()).0[1]), [1.0, 2.0, 3.0, 9.0]);
    assert!(data.plan().display_indent().to_string().contains("Sort: "));
}

#[test]
fn faults_have_their_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "d,y,c\n2024-01-01,1,k\n2024-01-02,1,k\n").unwrap();
    let validate = |more: &str, classes| {
        open(&file(&path, more)).unwrap().validate(&Schema::default(), classes, DAY_ONE).err()
    };
    let nothing = "date_column = \"d\"\ndate_range = { start = \"2025-01-01\", end = \"2026-01-01\" }";
    assert!(
        matches!(validate(nothing, false), Some(DataError::EmptyRange { start, .. }) if start == "2025-01-01")
    );
    assert!(
        matches!(validate("target_column = \"y\"", false), Some(DataError::ConstantTarget { value, .. }) if value == "1")
    );
    assert!(
        matches!(validate("target_column = \"c\"", true), Some(DataError::OneClass { class, .. }) if class == "k")
    );
    fs::write(&path, "y\n1\nNA\n2\n").unwrap();
    assert!(matches!(
        validate("target_column = \"y\"", false),
        Some(DataError::MissingTarget { missing: 1, rows: 3, .. })
    ));
    let data = open(&file(&path, "target_column = \"y\"\nmissing_target = \"drop\"")).unwrap();
    assert_eq!(numbers(&rows(&data, &Schema::default()).0[0]), [1.0, 2.0]);
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(&file(&path, "")).err(), Some(DataError::NoFiles { .. })));
}

#[test]
fn a_configuration_that_cannot_be_is_refused_with_its_key() {
    let cases = [
        ("source = \"file\"", "path"),
        ("source = \"file\"\npath = \"x\"\nlimits = 1", "limits"),
        ("source = \"file\"\npath = \"x\"\nlimit = 0", "limit"),
        ("source = \"s3\"\npath = \"x\"", "s3://"),
        ("source = \"file\"\npath = \"x\"\ndate_range = { start = \"2024-01-01\" }", "date_column"),
        ("source = \"database\"\ntable = \"t\"", "url_env"),
        ("source = \"database\"\nurl_env = \"U\"", "query"),
        ("source = \"file\"\npath = \"x\"\nmemory_limit = 1", "memory_limit"),
    ];
    for (text, key) in cases {
        let error = DataConfig::from_table(text.parse().unwrap()).unwrap_err();
        assert!(matches!(&error, DataError::Config(text) if text.contains(key)), "{key}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
    let backwards = "source = \"file\"\npath = \"x\"\ndate_column = \"d\"\ndate_range = { start = \"2024-02-01\", end = \"2024-01-01\" }";
    assert!(data_config(backwards).date_range.unwrap().instants().is_err());
}
