//! How fast both sides answer, in turns: A, B, A, B, so that whatever else the machine does happens to both.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::usage::{Held, Processes};
use crate::cli::peer::connection::{Connection, Peer};
use crate::cli::peer::reply::excerpt;

/// Fewest requests of a turn: below, a percentile means nothing.
const FEWEST: usize = 20;

/// Most requests of a turn, so that the latencies stay small in memory.
const MOST: usize = 100_000;

/// A side: whom to ask what, and what came of it.
pub(super) struct Side {
    pub(super) peer: Peer,
    /// Whole requests, head and body.
    pub(super) requests: Vec<Vec<u8>>,
    /// Its processes, or why they cannot be seen.
    pub(super) processes: Result<Processes, String>,
    pub(super) taken: Taken,
}

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Nanoseconds of each request.
    pub(super) latencies: Vec<u64>,
    /// Time in which they were answered.
    pub(super) elapsed: Duration,
    /// Processor time of the side meanwhile.
    pub(super) cpu_nanos: Option<u64>,
    pub(super) held: Option<Held>,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// For all turns together.
    pub(super) time: Duration,
    pub(super) connections: usize,
}

/// Requests of each turn, the same for every side: what fits into the time, given what one request took each side.
pub(super) fn requests_per_turn(plan: Plan, typical: &[Duration]) -> usize {
    let together: f64 = typical.iter().map(Duration::as_secs_f64).sum();
    let turn = plan.time.as_secs_f64() / plan.rounds as f64;
    let fitting = turn * plan.connections as f64 / together.max(1e-6);
    (fitting as usize).clamp(FEWEST.max(plan.connections), MOST)
}

/// Lets the sides take turns; `progress` hears how many turns are over.
///
/// # Errors
/// The number of the side that failed, and how.
pub(super) fn rounds(
    sides: &mut [Side],
    plan: Plan,
    per_turn: usize,
    mut progress: impl FnMut(usize),
) -> Result<(), (usize, String)> {
    let mut turns = 0;
    for round in 0..plan.rounds {
        for (number, side) in sides.iter_mut().enumerate() {
            turn(side, plan.connections, per_turn, round * per_turn).map_err(|error| (number, error))?;
            turns += 1;
            progress(turns);
        }
    }
    Ok(())
}

/// `count` requests over `connections` connections that were opened and used once before.
fn turn(side: &mut Side, connections: usize, count: usize, first: usize) -> Result<(), String> {
    let (requests, peer) = (&side.requests, &side.peer);
    let request = |number: usize| requests[(first + number) % requests.len()].as_slice();
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut connection = Connection::open(peer)?;
        checked(&mut connection, request(number))?;
        open.push(connection);
    }
    let clock = side.processes.as_ref().ok().map(Processes::clock);
    let (next, failed, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let work = |connection: &mut Connection<'_>| {
        let mut latencies = Vec::with_capacity(count / connections + 1);
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count || failed.load(Relaxed) {
                return latencies;
            }
            let start = Instant::now();
            match checked(connection, request(number)) {
                Ok(()) => latencies.push(start.elapsed().as_nanos() as u64),
                Err(error) => {
                    failed.store(true, Relaxed);
                    if let Ok(mut first) = failure.lock() {
                        first.get_or_insert(error);
                    }
                }
            }
        }
    };
    let start = Instant::now();
    let latencies = match open.as_mut_slice() {
        [only] => work(only),
        several => std::thread::scope(|scope| {
            let threads: Vec<_> =
                several.iter_mut().map(|connection| scope.spawn(|| work(connection))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        }),
    };
    side.taken.elapsed += start.elapsed();
    if let Ok(Some(error)) = failure.into_inner() {
        return Err(error);
    }
    side.taken.latencies.extend(latencies);
    if let (Ok(processes), Some(clock)) = (&side.processes, clock) {
        let spent = processes.since(&clock);
        side.taken.cpu_nanos = match (side.taken.cpu_nanos, spent) {
            (Some(before), Some(spent)) => Some(before + spent),
            (before, spent) => before.or(spent),
        };
        side.taken.held = processes.held().or(side.taken.held);
    }
    Ok(())
}

/// Only whether it answers well: what it answers was compared before, and reading it would be measured along.
fn checked(connection: &mut Connection<'_>, request: &[u8]) -> Result<(), String> {
    let answer = connection.ask(request)?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(format!("status {}: {}", answer.status, excerpt(&answer.body)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers every request on two connections per turn; `bad` is the number of the request that fails.
    fn side(bad: usize) -> Side {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::sync::Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, served) = (stream.unwrap(), served.clone());
                std::thread::spawn(move || {
                    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                        let status = if served.fetch_add(1, Relaxed) == bad { "500 No" } else { "200 OK" };
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        let peer = Peer {
            address,
            host: "h".into(),
            headers: String::new(),
            patience: Duration::from_secs(5),
            secure: None,
        };
        let requests = vec![peer.request("POST", "/", "text/plain", b"1")];
        Side { peer, requests, processes: Ok(Processes::of(std::process::id())), taken: Taken::default() }
    }

    #[test]
    fn both_sides_answer_as_many_requests() {
        let plan = Plan { rounds: 3, time: Duration::from_secs(1), connections: 2 };
        let (mut sides, mut turns) = ([side(usize::MAX), side(usize::MAX)], Vec::new());
        rounds(&mut sides, plan, 20, |turn| turns.push(turn)).unwrap();
        assert_eq!(turns, [1, 2, 3, 4, 5, 6]);
        for side in &sides {
            assert_eq!(side.taken.latencies.len(), 60);
            assert!(side.taken.elapsed > Duration::ZERO && side.taken.held.is_some());
        }
        let failed = rounds(&mut [side(usize::MAX), side(10)], plan, 20, |_| ()).unwrap_err();
        assert_eq!(failed, (1, "status 500: no".to_owned()));
    }

    #[test]
    fn a_turn_is_as_long_as_the_time_allows() {
        let plan = Plan { rounds: 5, time: Duration::from_secs(5), connections: 1 };
        let millis = Duration::from_millis;
        assert_eq!(requests_per_turn(plan, &[millis(1), millis(4)]), 200);
        assert_eq!(requests_per_turn(plan, &[millis(900)]), FEWEST);
        assert_eq!(requests_per_turn(Plan { connections: 4, ..plan }, &[millis(1), millis(4)]), 800);
    }
}
