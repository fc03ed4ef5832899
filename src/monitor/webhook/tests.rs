use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::drift::Alert;

const QUICK: Patience = Patience {
    attempt: Duration::from_millis(300),
    first: Duration::from_millis(5),
    most: Duration::from_millis(20),
    all: Duration::from_secs(10),
};

/// A request's head and body.
type Received = (String, Value);

/// A receiver that gives these answers, one connection each; an empty one is none.
fn receiver(answers: &'static [&'static str]) -> (SocketAddr, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            tell.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, told)
}

fn start(
    address: SocketAddr,
    patience: Patience,
    token_file: Option<PathBuf>,
) -> (Webhook, JoinHandle<()>, WebhookCounts) {
    let url = WebhookUrl { host: address.ip().to_string(), port: address.port(), path: "/events?a=b".into() };
    let counts = Metrics::new().unwrap().webhook;
    let told = Told { url, token_file, counts: counts.clone(), patience };
    let (webhook, thread) = told.start("pod 7").unwrap();
    (webhook, thread, counts)
}

fn alert() -> Change {
    Change::Raised(Alert {
        feature: "distance".into(),
        kind: "unit",
        since: 1,
        last: 2,
        peak: 3.0,
        detail: "values are about 1000 times as large".into(),
    })
}

fn tell(webhook: &Webhook, change: &Change) {
    webhook.alert(&"flights".parse().unwrap(), "7".parse().unwrap(), change);
}

fn counted(counts: &WebhookCounts) -> [u64; 4] {
    [&counts.delivered, &counts.refused, &counts.failed, &counts.dropped].map(|counter| counter.get())
}

#[test]
fn an_event_is_the_same_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    let answers = &["HTTP/1.1 503 Busy\r\n\r\n", "", "nonsense\r\n", "HTTP/1.1 204 No Content\r\n\r\n"];
    let (address, received) = receiver(answers);
    let (webhook, thread, counts) = start(address, QUICK, Some(token));
    tell(&webhook, &alert());
    drop(webhook);
    thread.join().unwrap();
    let all: Vec<Received> = received.iter().collect();
    assert_eq!((all.len(), counted(&counts)), (4, [1, 0, 0, 0]));
    let (head, event) = &all[0];
    assert!(all.iter().all(|again| again == &all[0]), "{all:?}");
    for line in [
        "POST /events?a=b HTTP/1.1\r\n",
        "\r\ncontent-type: application/cloudevents+json\r\n",
        "\r\nauthorization: Bearer 0123456789abcdef\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(event["id"].as_str().unwrap().len() == 32 && event["time"].as_str().unwrap().ends_with('Z'));
    for (name, value) in [
        ("specversion", "1.0"),
        ("source", "/sidegate/pod%207"),
        ("type", "io.sidegate.drift.alert.raised"),
        ("subject", "flights/7/distance"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event[name], value, "{event}");
    }
    let data = json!({"model": "flights", "version": "7", "feature": "distance", "kind": "unit", "since": 1, "last": 2,
        "peak": 3.0, "detail": "values are about 1000 times as large"});
    assert_eq!(event["data"], data);
}

#[test]
fn what_is_refused_is_not_tried_again_and_the_next_one_is_told() {
    let (address, received) =
        receiver(&["HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]);
    let (webhook, thread, counts) = start(address, QUICK, None);
    tell(&webhook, &alert());
    let Change::Raised(over) = alert() else { unreachable!() };
    tell(&webhook, &Change::Cleared(over, 300_000));
    drop(webhook);
    thread.join().unwrap();
    let [(head, first), (_, second)] = received.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(counted(&counts), [1, 1, 0, 0]);
    assert!(!head.contains("authorization"), "{head}");
    assert_eq!(
        (&second["type"], &second["data"]["lasted"]),
        (&json!("io.sidegate.drift.alert.cleared"), &json!(300_000))
    );
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn where_nobody_answers_tellers_do_not_wait_and_everything_is_counted() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let patience = Patience { attempt: Duration::from_millis(10), all: Duration::ZERO, ..QUICK };
    let (webhook, thread, counts) = start(silent.local_addr().unwrap(), patience, None);
    let told = Instant::now();
    (0..QUEUE + 20).for_each(|_| tell(&webhook, &alert()));
    assert!(told.elapsed() < Duration::from_millis(100), "{:?}", told.elapsed());
    drop(webhook);
    thread.join().unwrap();
    let [delivered, refused, failed, dropped] = counted(&counts);
    assert_eq!((delivered, refused, failed + dropped), (0, 0, QUEUE as u64 + 20));
    // Some may have been tried before the queue was full.
    assert!((5..=20).contains(&dropped), "{dropped}");
}

#[test]
fn without_a_webhook_nobody_is_told() {
    tell(&Webhook::default(), &alert());
}
