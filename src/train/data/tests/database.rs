//! Against a real server: `SIDEGATE_TEST_POSTGRES` is its URL, as of somebody who may do anything, and
//! `SIDEGATE_TEST_POSTGRES_CA` the certificate of who signed its own, which is for `localhost`.
//! `tests/clients/postgres_process.py` runs such a one, and `scripts/test.sh postgres` these tests beside it; without it
//! they pass unseen.
#![expect(clippy::disallowed_methods, reason = "where the test server is, or that there is none")]

use tokio_postgres::NoTls;

use super::{DAY_ONE, data_config, numbers, rows, split_config, texts};
use crate::data::schema::Schema;
use crate::data::{Access, Data, DataError, Wanted};

/// A running server.
struct Server {
    url: String,
    authority: String,
}

fn server() -> Option<Server> {
    let variable = |name: &str| std::env::var(name).ok();
    let url = variable("SIDEGATE_TEST_POSTGRES");
    if url.is_none() {
        eprintln!("skipped: SIDEGATE_TEST_POSTGRES names no server; `scripts/test.sh postgres` runs this");
    }
    Some(Server { url: url?, authority: variable("SIDEGATE_TEST_POSTGRES_CA").unwrap_or_default() })
}

impl Server {
    /// The rows of the last statement, as texts.
    fn execute(&self, sql: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            let _connection = sidegate::task::spawn("test", async move { connection.await.unwrap() });
            let messages = client.simple_query(sql).await.unwrap();
            let rows = messages.iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            rows.collect()
        })
    }

    fn open(&self, more: &str) -> Result<Data, DataError> {
        open(&self.url, more)
    }

    /// The URL of a host, with more behind it.
    fn at(&self, host: &str, more: &str) -> String {
        format!("{}?{more}", self.url.replace("127.0.0.1", host))
    }
}

fn open(url: &str, more: &str) -> Result<Data, DataError> {
    opened(url, more, Wanted::Rows)
}

fn opened(url: &str, more: &str, wanted: Wanted) -> Result<Data, DataError> {
    let config = data_config(&format!("source = \"database\"\nurl_env = \"DB\"\n{more}"));
    let environment = |name: &str| (name == "DB").then(|| url.to_owned());
    let access = Access { wanted, environment: &environment, bucket: &|_| Err(String::new()) };
    Data::open(&config, &split_config(""), &access)
}

#[test]
fn a_table_is_read_with_its_types_range_and_order() {
    let Some(server) = server() else { return };
    server.execute(
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
    let data = server.open(&format!("table = \"Odd name\"\n{columns}\n{range}")).unwrap();
    // A dry run asks for columns alone.
    let dry =
        opened(&server.url, &format!("table = \"Odd name\"\n{columns}\n{range}"), Wanted::Columns).unwrap();
    assert_eq!((dry.columns(), dry.describe().is_ok()), (data.columns(), true));
    assert!(matches!(dry.validate(&Schema::default(), false, 0), Err(DataError::EmptyRange { .. })));
    let statement = data.describe().unwrap();
    assert!(statement.contains("\"at\" >= TIMESTAMPTZ '2024-01-01T00:00:00Z' AND \"at\" <"), "{statement}");
    assert!(!statement.contains(&server.url) && !data.origin().contains('@'));
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
    let refused = server.open("table = \"Odd name\"").err().unwrap();
    assert!(matches!(&refused, DataError::Unsupported { column, .. } if column == "ints"), "{refused}");
    let gone = server.open("table = \"Odd name\"\ncolumns = [\"x\"]").err().unwrap();
    assert!(matches!(&gone, DataError::ColumnVanished { column, .. } if column == "x"), "{gone}");
}

#[test]
fn a_query_streams_more_rows_than_a_batch_and_changes_nothing() {
    let Some(server) = server() else { return };
    let data = server
        .open("query = \"SELECT i AS v, i % 2 AS y FROM generate_series(50000, 1, -1) AS i;\"\nlimit = 30000")
        .unwrap();
    let (found, _) = rows(&data, &Schema::default());
    let values = numbers(&found[0]);
    assert_eq!((values.len(), values[0], values[29_999]), (30_000, 1.0, 30_000.0));
    server.execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept (v int); INSERT INTO kept VALUES (1)");
    let error = server
        .open("query = \"WITH gone AS (DELETE FROM kept RETURNING v) SELECT * FROM gone\"")
        .err()
        .unwrap();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(
        numbers(&rows(&server.open("table = \"public.kept\"").unwrap(), &Schema::default()).0[0]),
        [1.0]
    );
}

/// The bounds are the server's to look up: it reads what is in the range, by its index.
#[test]
fn a_range_of_dates_is_found_by_the_server_s_index() {
    let Some(server) = server() else { return };
    server.execute(
        "SET timezone = 'UTC'; DROP TABLE IF EXISTS days; CREATE TABLE days (at timestamptz, day date, milli bigint, v int);
         INSERT INTO days SELECT t, t, extract(epoch FROM t) * 1000, row_number() OVER (ORDER BY t)
           FROM generate_series('2020-01-01Z'::timestamptz, '2024-12-31Z', interval '1 hour') AS t;
         CREATE INDEX ON days (at); CREATE INDEX ON days (day); CREATE INDEX ON days (milli); ANALYZE days",
    );
    let range = "date_range = { start = \"2024-02-01\", end = \"2024-02-03\" }\ncolumns = [\"v\"]";
    for (column, more) in [("at", ""), ("day", ""), ("milli", "date_unit = \"ms\"")] {
        let data =
            server.open(&format!("table = \"days\"\ndate_column = \"{column}\"\n{more}\n{range}")).unwrap();
        let first = (366 + 365 + 365 + 365 + 31) * 24 + 1;
        let expected: Vec<f32> = (first..first + 48).map(|hour| hour as f32).collect();
        assert_eq!(numbers(&rows(&data, &Schema::default()).0[0]), expected, "{column}");
        let described = data.describe().unwrap();
        let statement = described.split("\n\n").next().unwrap();
        let plan = server.execute(&format!("EXPLAIN (ANALYZE, TIMING off) {statement}")).join("\n");
        assert!(plan.contains(&format!("Index Cond: ((\"{column}\" >= ").replace('"', "")), "{plan}");
        assert!(plan.contains("days") && plan.contains("actual rows=48"), "{plan}");
        assert!(!plan.contains("Rows Removed"), "{plan}");
    }
}

#[test]
fn a_connection_is_as_secret_as_its_url_asks_for() {
    let Some(server) = server() else { return };
    let who = "query = \"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()\"";
    let secret =
        |url: &str| open(url, who).map(|data| numbers(&rows(&data, &Schema::default()).0[0]) == [1.0]);
    let authority = format!("sslrootcert={}", server.authority);
    let other = authority.replace("ca.pem", "other.pem");
    let (local, address) = ("localhost", "127.0.0.1");
    for (host, more, expected) in [
        (address, "sslmode=disable".to_owned(), false),
        (address, "sslmode=prefer".to_owned(), true),
        (address, "sslmode=require".to_owned(), true),
        (address, authority.clone(), true),
        (address, format!("sslmode=verify-ca&{authority}"), true),
        (local, format!("sslmode=verify-full&{authority}"), true),
    ] {
        assert_eq!(secret(&server.at(host, &more)).ok(), Some(expected), "{host} {more}");
    }
    let missing = authority.replace("ca.pem", "gone.pem");
    let key = authority.replace("ca.pem", "ca.key");
    for (host, more, expected) in [
        (local, "sslmode=verify-full".to_owned(), "signed by nobody who is trusted here; sslrootcert"),
        (local, "sslmode=verify-ca".to_owned(), "signed by nobody who is trusted here; sslrootcert"),
        (local, format!("sslmode=require&{other}"), "signed by nobody who is trusted here; sslrootcert"),
        (
            address,
            format!("sslmode=verify-full&{authority}"),
            "not for `127.0.0.1` but for localhost; name the server so",
        ),
        (local, format!("sslmode=verify-full&{missing}"), "gone.pem: "),
        (local, format!("sslmode=verify-full&{key}"), "no certificate in PEM"),
    ] {
        let error = secret(&server.at(host, &more)).err().unwrap().to_string();
        assert!(error.contains(expected), "{host} {more}: {error}");
    }
    // Somebody whom the server asks for TLS and a password.
    server.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'c4nary'");
    let guest = |more: &str| server.at(local, more).replace("postgres@", "guest:c4nary@");
    assert_eq!(secret(&guest(&format!("sslmode=verify-full&{authority}"))).ok(), Some(true));
    assert_eq!(secret(&guest("")).ok(), Some(true), "what is not said is what libpq prefers");
    let plain = secret(&guest("sslmode=disable")).err().unwrap().to_string();
    assert!(plain.contains("rejects connection") && !plain.contains("c4nary"), "{plain}");
    // A server without TLS, which is this one for a moment.
    server.execute("ALTER SYSTEM SET ssl = off");
    server.execute("SELECT pg_reload_conf()");
    let asked = || secret(&server.at(local, "sslmode=require")).err().map(|error| error.to_string());
    let refused = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        asked()
    });
    let fallen = secret(&server.at(local, "sslmode=prefer")).ok();
    server.execute("ALTER SYSTEM RESET ssl");
    server.execute("SELECT pg_reload_conf()");
    assert!(
        refused.as_ref().is_some_and(|error| error.contains("server does not support TLS")),
        "{refused:?}"
    );
    assert_eq!(fallen, Some(false));
}

#[test]
fn a_server_that_is_away_is_asked_again_and_what_it_refuses_is_not() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = open(&format!("postgresql://u@127.0.0.1:{free}/db"), "table = \"t\"").err().unwrap();
    assert!(away.is_transient() && away.to_string().contains("connecting: "), "{away}");
    // One that hangs up while a secret connection is made.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let hangs_up = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 8]).unwrap();
        std::io::Write::write_all(&mut stream, b"S").unwrap();
    });
    let url = format!("postgresql://u@127.0.0.1:{port}/db?sslmode=require");
    let gone = open(&url, "table = \"t\"").err().unwrap();
    hangs_up.join().unwrap();
    assert!(gone.is_transient() && gone.to_string().contains("TLS"), "{gone}");
    let Some(server) = server() else { return };
    for (url, more, said) in [
        (server.url.clone(), "table = \"nowhere\"", "does not exist"),
        (server.url.clone(), "query = \"SELEC 1\"", "syntax error"),
        (format!("{}_", server.url), "table = \"kept\"", "does not exist"),
    ] {
        let error = open(&url, more).err().unwrap();
        assert!(!error.is_transient() && error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_url_that_is_missing_or_wrong_is_named_by_its_variable_and_not_shown() {
    let config = data_config("source = \"database\"\nurl_env = \"DB\"\ntable = \"t\"");
    for url in [None, Some("postgresql://u:secret@host:port/db")] {
        let access = Access {
            wanted: Wanted::Rows,
            environment: &|_| url.map(str::to_owned),
            bucket: &|_| Err(String::new()),
        };
        let error = Data::open(&config, &split_config(""), &access).err().unwrap();
        assert!(error.to_string().contains("`DB`") && !error.to_string().contains("secret"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
