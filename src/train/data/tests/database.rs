//! Against a real server: `SIDEGATE_TEST_POSTGRES` is its URL, as of somebody who may create tables.

use tokio_postgres::NoTls;

use super::{DAY_ONE, data_config, numbers, rows, split_config, texts};
use crate::data::schema::Schema;
use crate::data::{Access, Data, DataError};

fn url() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the test server is")]
    std::env::var("SIDEGATE_TEST_POSTGRES").expect("SIDEGATE_TEST_POSTGRES is not set")
}

fn execute(sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
        let _connection = sidegate::task::spawn("test", async move { connection.await.unwrap() });
        client.batch_execute(sql).await.unwrap();
    });
}

fn open(more: &str) -> Result<Data, DataError> {
    let config = data_config(&format!("source = \"database\"\nurl_env = \"DB\"\n{more}"));
    let access = Access { environment: &|name| (name == "DB").then(url), bucket: &|_| Err(String::new()) };
    Data::open(&config, &split_config(""), &access)
}

#[test]
#[ignore = "needs a PostgreSQL server"]
fn a_table_is_read_with_its_types_range_and_order() {
    execute(
        "DROP TABLE IF EXISTS \"Odd name\"; DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('ok', 'sad');
         CREATE TABLE \"Odd name\" (id bigint, price numeric(10,2), ratio real, ok boolean, name varchar, feeling mood,
           day date, at timestamptz, local timestamp, \"doc\" jsonb, ints int[]);
         INSERT INTO \"Odd name\" VALUES
           (2, 12.50, 0.5, true, 'b', 'ok', '2024-01-02', '2024-01-02 01:00+01', '2024-01-02 00:00', '{}', '{1}'),
           (1, NULL, 'NaN', NULL, NULL, NULL, NULL, '2024-01-01 00:00+00', 'infinity', NULL, NULL),
           (3, 1, 1, false, 'c', 'sad', '2024-01-03', '2024-01-03 00:00+00', NULL, NULL, NULL);",
    );
    let columns = "columns = [\"id\", \"price\", \"ratio\", \"ok\", \"name\", \"feeling\", \"day\", \"local\", \"doc\"]";
    let range = "date_column = \"at\"\ndate_range = { start = \"2024-01-01\", end = \"2024-01-03\" }";
    let data = open(&format!("table = \"Odd name\"\n{columns}\n{range}")).unwrap();
    let statement = data.describe().unwrap();
    assert!(statement.contains("\"at\" >= TIMESTAMPTZ '2024-01-01T00:00:00Z' AND \"at\" <"), "{statement}");
    assert!(!statement.contains(&url()) && !data.origin().contains('@'));
    let (found, _) = rows(&data, &Schema::default());
    assert_eq!(numbers(&found[0]), [1.0, 2.0]);
    assert_eq!(numbers(&found[1]), [-1.0, 12.5]);
    assert_eq!(numbers(&found[2]), [-1.0, 0.5]);
    assert_eq!(numbers(&found[3]), [-1.0, 1.0]);
    assert_eq!(texts(&found[4]), ["", "b"]);
    assert_eq!(texts(&found[5]), ["", "ok"]);
    assert_eq!(found[6], super::times([None, Some(DAY_ONE + super::DAY)]));
    assert_eq!(found[7], super::times([None, Some(DAY_ONE + super::DAY)]));
    assert_eq!(texts(&found[8]), ["", "{}"]);
    assert_eq!(found[9], super::times([Some(DAY_ONE), Some(DAY_ONE + super::DAY)]));
    let refused = open("table = \"Odd name\"").err().unwrap();
    assert!(matches!(&refused, DataError::Unsupported { column, .. } if column == "ints"), "{refused}");
    let gone = open("table = \"Odd name\"\ncolumns = [\"x\"]").err().unwrap();
    assert!(matches!(&gone, DataError::ColumnVanished { column, .. } if column == "x"), "{gone}");
}

#[test]
#[ignore = "needs a PostgreSQL server"]
fn a_query_streams_more_rows_than_a_batch_and_changes_nothing() {
    let data =
        open("query = \"SELECT i AS v, i % 2 AS y FROM generate_series(50000, 1, -1) AS i;\"\nlimit = 30000")
            .unwrap();
    let (found, _) = rows(&data, &Schema::default());
    let values = numbers(&found[0]);
    assert_eq!((values.len(), values[0], values[29_999]), (30_000, 1.0, 30_000.0));
    execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept (v int); INSERT INTO kept VALUES (1)");
    let error =
        open("query = \"WITH gone AS (DELETE FROM kept RETURNING v) SELECT * FROM gone\"").err().unwrap();
    assert!(error.is_transient(), "{error}");
    assert_eq!(numbers(&rows(&open("table = \"public.kept\"").unwrap(), &Schema::default()).0[0]), [1.0]);
}

#[test]
fn a_url_that_is_missing_or_wrong_is_named_by_its_variable_and_not_shown() {
    let config = data_config("source = \"database\"\nurl_env = \"DB\"\ntable = \"t\"");
    for url in [None, Some("postgresql://u:secret@host:port/db")] {
        let access = Access { environment: &|_| url.map(str::to_owned), bucket: &|_| Err(String::new()) };
        let error = Data::open(&config, &split_config(""), &access).err().unwrap();
        assert!(error.to_string().contains("`DB`") && !error.to_string().contains("secret"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
