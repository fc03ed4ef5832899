//! Clients that take their time: each is sent away at its deadline, and nobody else notices.

use std::time::{Duration, Instant};

use super::client::{Answer, Connection, Target, request};
use super::harness::{Setup, example, wait};
use super::load::{Load, Manner, quantile};

const INFER: &str = "/v2/models/breast-cancer/infer";

/// What a slow client does, and when and how it has to be sent away.
struct Row {
    name: &'static str,
    first: Vec<u8>,
    /// Sent again and again, one piece a second.
    then: &'static [u8],
    /// Statuses of the answers it gets.
    answers: &'static [u16],
    /// Seconds until it is closed, at the earliest and at the latest.
    closed: (u64, u64),
}

fn rows() -> Vec<Row> {
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: a\r\n");
    let row = |name, first: String, then, answers, closed| Row {
        name,
        first: first.into_bytes(),
        then,
        answers,
        closed,
    };
    vec![
        row("says nothing", String::new(), b"", &[], (4, 10)),
        row("one byte", "P".into(), b"", &[], (8, 15)),
        row("part of an HTTP/2 preface", "PRI * HT".into(), b"", &[], (8, 15)),
        row("part of a request line", "GET /v2/hea".into(), b"", &[], (8, 15)),
        row("header fields one byte a second", format!("{head}x-a: "), b"a", &[], (8, 15)),
        row(
            "a second request that stops",
            format!("GET /v2 HTTP/1.1\r\nhost: a\r\n\r\n{head}"),
            b"",
            &[200],
            (8, 15),
        ),
        row("a body that never comes", format!("{head}content-length: 100\r\n\r\n"), b"", &[408], (8, 15)),
        row(
            "a body of one byte a second",
            format!("{head}content-length: 100\r\n\r\n"),
            b" ",
            &[408],
            (8, 15),
        ),
        row(
            "chunks that stop",
            format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nab"),
            b"",
            &[408],
            (8, 15),
        ),
        row(
            "a chunk a second",
            format!("{head}transfer-encoding: chunked\r\n\r\n"),
            b"1\r\n \r\n",
            &[408],
            (8, 15),
        ),
        row(
            "a body that was asked for and never comes",
            format!("{head}expect: 100-continue\r\ncontent-length: 100\r\n\r\n"),
            b"",
            &[100, 408],
            (8, 15),
        ),
    ]
}

/// Plays a row; returns the statuses it got and the time until the end.
fn play(target: &Target, row: &Row) -> (Vec<u16>, Duration) {
    let mut connection = target.connect();
    let start = Instant::now();
    connection.write(&row.first).unwrap();
    let mut writer = connection.writer();
    let then = row.then;
    std::thread::spawn(move || {
        while !then.is_empty() && start.elapsed() < Duration::from_secs(30) && writer.write(then).is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let answers: Vec<Answer> = connection.answers_until_close();
    (answers.iter().map(|a| a.status).collect(), start.elapsed())
}

/// Asks and never reads until the server gives up on it; the connection is the server's to close.
fn never_reads(target: &Target) -> Connection {
    let connection = target.connect();
    connection.small_window();
    // More answers than the two kernels buffer; 30 s later the server has written nothing more.
    let ask = request("GET", "/v2/models/breast-cancer", &[], b"").repeat(200);
    // So long that only a server that has stopped reading ends it: cut short between two requests, the connection would
    // be idle, which has another deadline.
    connection.patience(Duration::from_secs(5));
    let mut writer = connection.writer();
    std::thread::spawn(move || {
        for _ in 0..2000 {
            if writer.write(&ask).is_err() {
                break;
            }
        }
    });
    connection
}

#[test]
fn slow_clients_are_closed_at_their_deadlines_while_others_are_served() {
    let mut server = Setup::with(&["breast-cancer"]).args(&["--uds", "s.sock"]).start();
    let vitals = server.vitals();
    let body = example("breast-cancer").0.to_string();
    let good = request("POST", INFER, &[], body.as_bytes());
    let judge =
        |answer: &Answer| if answer.status == 200 { Ok(1) } else { Err(format!("{}", answer.status)) };
    let measure = |pause| {
        let load = Load::start(&server.data(), &good, &[Manner::KeepAlive, Manner::OneEach], judge);
        std::thread::sleep(pause);
        load.stop()
    };
    let mut alone = measure(Duration::from_secs(1));

    let unread: Vec<Connection> = (0..20).map(|_| never_reads(&server.data())).collect();
    let mut crowd: Vec<Connection> = (0..200).map(|_| server.data().connect()).collect();
    let stalled = request("POST", INFER, &[], body.as_bytes());
    for (number, connection) in crowd.iter_mut().enumerate() {
        // Slow heads, and every fourth a slow body.
        let cut = if number % 4 == 0 { stalled.len() - 1 } else { 20 };
        connection.write(&stalled[..cut]).unwrap();
    }
    let unix = Target::Unix(server.path("s.sock"));
    let players: Vec<_> = rows()
        .into_iter()
        .flat_map(|row| {
            let row = std::sync::Arc::new(row);
            [server.data(), unix.clone()].map(|target| {
                let row = row.clone();
                std::thread::spawn(move || (play(&target, &row), row))
            })
        })
        .collect();

    let mut among = measure(Duration::from_secs(3));
    assert!(alone.failures.is_empty() && among.failures.is_empty(), "{:?}", among.failures);
    // A busy machine blurs tails; a server held up by slow clients would answer in seconds.
    let (before, during) = (quantile(&mut alone.times, 0.5), quantile(&mut among.times, 0.5));
    assert!(
        during < before * 10 + Duration::from_millis(20),
        "{before:?} alone, {during:?} among slow clients"
    );

    for player in players {
        let ((statuses, time), row) = player.join().unwrap();
        assert_eq!(statuses, row.answers, "{}", row.name);
        let (earliest, latest) = (Duration::from_secs(row.closed.0), Duration::from_secs(row.closed.1));
        assert!(earliest <= time && time <= latest, "{}: closed after {time:?}", row.name);
    }
    for mut connection in crowd {
        assert!(connection.answers_until_close().iter().all(|answer| answer.status == 408));
    }
    wait("those who never read to be closed", Duration::from_secs(40), || {
        (server.metric("sidegate_connections") == 0.0).then_some(())
    });
    drop(unread);
    server.stays_up(&vitals, "slow clients");
    server.settles(&vitals, 16 << 10);
}
