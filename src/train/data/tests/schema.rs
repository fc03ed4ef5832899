use std::fs;

use super::{DAY, DAY_ONE, file, numbers, open, rows};
use crate::data::DataError;
use crate::data::kind::Kind;
use crate::data::schema::{Action, Schema, ValidationConfig};
use crate::data::validate::Report;
use crate::data::validate::report::Check;

const TEXT: &str =
    "id,age,city,when,y\n1,20,x,2024-01-01,0\n2,150,x,2023-12-30,1\n3,-4,q,2023-12-31,1\n3,,x,2023-12-31,0\n";

fn report(schema: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, TEXT).unwrap();
    let schema = read(schema).unwrap();
    open(&file(&path, "date_column = \"when\""))
        .unwrap()
        .validate(&schema, false, DAY_ONE + 3 * DAY)
        .unwrap()
        .report
}

fn read(text: &str) -> Result<Schema, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.toml");
    fs::write(&path, format!("format = 1\n{text}")).unwrap();
    Schema::read(&path)
}

fn found(report: &Report) -> Vec<(&str, Check, Action, u64)> {
    report.findings.iter().map(|f| (&*f.column, f.check, f.action, f.count)).collect()
}

#[test]
fn each_check_counts_what_falls_through_it() {
    let report = report(
        "[columns.age]\ntype = \"integer\"\nrange = { min = 0, max = 120 }\n\
         [columns.city]\ncategories = { allowed = [\"x\"], action = \"drop\" }\n\
         [columns.id]\nunique = { action = \"fail\" }\n\
         [columns.when]\nfresh = { within = \"2d\" }\nrange = { min = \"2023-12-31\" }\n\
         [columns.y]\ntype = \"text\"\ntype_action = \"warn\"",
    );
    assert_eq!(
        found(&report),
        [
            ("age", Check::Missing, Action::Warn, 1),
            ("when", Check::Fresh, Action::Warn, 4),
            ("y", Check::Type, Action::Warn, 4),
            ("age", Check::Range, Action::Warn, 2),
            ("city", Check::Categories, Action::Drop, 1),
            ("id", Check::Unique, Action::Fail, 1),
            ("when", Check::Range, Action::Warn, 1),
        ]
    );
    assert!(!report.passed);
    assert_eq!((report.rows, report.kept), (4, 3));
    assert_eq!(report.first_date.as_deref(), Some("2023-12-30T00:00:00Z"));
    assert_eq!(report.last_date.as_deref(), Some("2024-01-01T00:00:00Z"));
    let age = &report.columns[1];
    assert_eq!(
        (age.missing, age.min, age.max, age.mean.map(|mean| mean.round())),
        (1, Some(-4.0), Some(150.0), Some(55.0))
    );
    assert_eq!(report.findings[3].examples, ["150", "-4"]);
    assert_eq!(serde_json::from_str::<Report>(&report.json()).unwrap(), report);
}

#[test]
fn the_page_needs_nothing_else_and_escapes_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "\"<b>\",c\n1,<script>\n2,y\n").unwrap();
    let schema = read("[columns.c]\ncategories = { allowed = [\"y\"] }").unwrap();
    let page = open(&file(&path, "")).unwrap().validate(&schema, false, DAY_ONE).unwrap().report.html();
    assert!(
        page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;") && !page.contains("<script"),
        "{page}"
    );
    assert!(!page.contains("src=") && !page.contains("href=") && page.contains("passed"));
}

#[test]
fn what_is_dropped_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, TEXT).unwrap();
    let schema = read(
        "[columns.age]\nrange = { max = 120, action = \"drop\" }\nmissing = { max = 0.9 }\n\
         [columns.id]\nunique = { action = \"drop\" }\n\
         [columns.city]\ntype = \"number\"\ntype_action = \"drop\"",
    )
    .unwrap();
    let data = open(&file(&path, "")).unwrap();
    let validated = data.validate(&schema, false, DAY_ONE).unwrap();
    assert!(validated.report.passed);
    assert_eq!(validated.report.kept, 2);
    assert_eq!(
        validated.fields.iter().map(|field| &*field.name).collect::<Vec<_>>(),
        ["id", "age", "when", "y"]
    );
    for _ in 0..2 {
        let (columns, parts) = rows(&data, &schema);
        assert_eq!(parts.len(), 2);
        assert_eq!(numbers(&columns[0]), [1.0, 3.0]);
    }
}

#[test]
fn a_column_that_vanished_stops_unless_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, TEXT).unwrap();
    let validate =
        |schema: &str| open(&file(&path, "")).unwrap().validate(&read(schema).unwrap(), false, DAY_ONE).err();
    match validate("[columns.gone]") {
        Some(DataError::ColumnVanished { column, .. }) => assert_eq!(column, "gone"),
        other => panic!("{other:?}"),
    }
    assert!(validate("[columns.gone]\nrequired = false").is_none());
}

#[test]
fn a_fault_with_which_nothing_can_be_trained_is_the_first_finding_of_a_report_that_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    for (text, more, schema, column, check, columns) in [
        ("d,y\n2024-01-01,1\n2024-01-02,\n", "", "", "y", Check::MissingTarget, 2),
        ("d,y\n2024-01-01,1\n2024-01-02,1\n", "", "", "y", Check::ConstantTarget, 2),
        ("d,y\n2024-01-01,1\n2024-01-02,2\n", "", "[columns.gone]", "gone", Check::Present, 2),
        ("d,y\n2024-01-01,1\n", "date_range = { start = \"2031-01-01\" }", "", "", Check::Rows, 2),
    ] {
        fs::write(&path, text).unwrap();
        let config = format!("target_column = \"y\"\ndate_column = \"d\"\n{more}");
        let data = open(&file(&path, &config)).unwrap();
        let examined = data.examine(&read(schema).unwrap(), false, DAY_ONE, &mut |_| {}).unwrap();
        let report = examined.report.clone();
        let fault = examined.sound().err().unwrap();
        let first = &report.findings[0];
        assert_eq!((&*first.column, first.check, first.action), (column, check, Action::Fail), "{report:?}");
        assert_eq!(
            (&first.message, report.passed, report.columns.len()),
            (&fault.to_string(), false, columns)
        );
        let same = report.findings.iter().filter(|found| found.check == check).count();
        assert_eq!(same, 1, "it is told once: {report:?}");
        assert_eq!(serde_json::from_str::<Report>(&report.json()).unwrap(), report);
    }
    let vanished = open(&file(&path, "target_column = \"z\"")).err().unwrap();
    let report = Report::of_fault("a.csv", &vanished);
    assert_eq!(found(&report), [("z", Check::Present, Action::Fail, 0)]);
    assert!(report.html().contains("column `z` (data.target_column)"), "{}", report.html());
}

#[test]
fn a_schema_inferred_from_data_lets_that_data_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, TEXT).unwrap();
    let data = open(&file(&path, "")).unwrap();
    let first = data.validate(&Schema::default(), false, DAY_ONE).unwrap().report;
    let text = Schema::infer(&first).to_toml();
    let schema = read(text.strip_prefix("format = 1\n").unwrap()).unwrap();
    assert_eq!(schema.columns["age"].kind, Some(Kind::Integer));
    assert_eq!(schema.columns["city"].categories.as_ref().unwrap().allowed, ["q", "x"]);
    assert_eq!(schema, Schema::infer(&first));
    let again = data.validate(&schema, false, DAY_ONE).unwrap().report;
    assert_eq!(again.findings, []);
    let json = folder.path().join("schema.json");
    fs::write(&json, serde_json::to_string(&schema).unwrap()).unwrap();
    assert_eq!(Schema::read(&json).unwrap(), schema);
}

#[test]
fn short_forms_warn_and_fail_as_they_always_did() {
    let text = "missing_threshold = 0.3\nexpected_types = { age = \"int64\", city = \"float64\", gone = \"int64\" }\n\
                value_ranges = { age = [0, 120], gone = [0, 1] }";
    let config: ValidationConfig = toml::from_str(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, TEXT).unwrap();
    let report =
        open(&file(&path, "")).unwrap().validate(&config.schema().unwrap(), false, DAY_ONE).unwrap().report;
    assert_eq!(
        found(&report),
        [("city", Check::Type, Action::Fail, 4), ("age", Check::Range, Action::Warn, 2)]
    );
    let wrong: ValidationConfig = toml::from_str("expected_types = { a = \"complex\" }").unwrap();
    assert!(wrong.schema().unwrap_err().to_string().contains("complex"));
}

#[test]
fn a_schema_that_cannot_be_is_refused() {
    for text in [
        "[columns.a]\ntpye = \"text\"",
        "missing_threshold = 2.0",
        "[columns.a]\nfresh = { within = \"soon\" }",
        "[columns.a]\nfresh = { within = \"1d\", action = \"drop\" }",
        "[columns.a]\nrange = { min = \"yesterday\" }",
    ] {
        assert!(matches!(read(text), Err(DataError::Config(_))), "{text}");
    }
}
