//! Who runs, what time it is, and chance: one generator decides all of it.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use sidegate::registry::clock::Clock;
use time::OffsetDateTime;

use super::history::History;
use super::store::{Delayed, Objects};

/// When the simulation begins, in milliseconds.
const START: i64 = 1_800_000_000_000;

/// What a thread unwinds with when its process dies.
pub(crate) struct Crash;
/// What every thread unwinds with when a promise was broken.
pub(crate) struct Stop;

pub(crate) struct World {
    state: Mutex<State>,
    /// Who has the baton.
    turn: AtomicUsize,
    threads: OnceLock<Vec<Thread>>,
    tells: bool,
}

pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) now: i64,
    actors: Vec<Actor>,
    pub(crate) objects: Objects,
    pub(crate) delayed: Vec<Delayed>,
    pub(crate) history: History,
    /// How many of a thousand calls go wrong in each way.
    pub(crate) trouble: u64,
    pub(crate) failure: Option<String>,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    pub(crate) faults: u64,
    /// Of everything that happened, in order.
    pub(crate) trace: u64,
}

struct Actor {
    is_alive: bool,
    /// Asleep until.
    wake: i64,
    /// Cut off from the store until.
    pub(crate) cut_off: i64,
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Whether something of so many in a thousand happens.
    pub(crate) fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}

impl World {
    pub(crate) fn new(seed: u64, actors: usize, trouble: u64, tells: bool) -> Arc<Self> {
        let actors = (0..actors).map(|_| Actor { is_alive: true, wake: 0, cut_off: 0 }).collect();
        let state = State {
            random: Random::new(seed),
            now: START,
            actors,
            objects: Objects::default(),
            delayed: Vec::new(),
            history: History::default(),
            trouble,
            failure: None,
            steps: 0,
            crashes: 0,
            faults: 0,
            trace: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            turn: AtomicUsize::new(usize::MAX),
            threads: OnceLock::new(),
            tells,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Lets the actors go, whose threads these are.
    pub(crate) fn start(&self, threads: Vec<Thread>) {
        let first = self.state().random.below(threads.len() as u64) as usize;
        let threads = self.threads.get_or_init(|| threads);
        self.turn.store(first, Ordering::SeqCst);
        threads[first].unpark();
    }

    /// Waits for the baton.
    pub(crate) fn wait(&self, me: usize) {
        while self.turn.load(Ordering::SeqCst) != me {
            thread::park();
        }
    }

    /// Hands the baton on and waits until it is back; meanwhile anything may have happened.
    pub(crate) fn step(&self, me: usize) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.pass_time();
        if let Some(next) = state.next() {
            drop(state);
            self.hand(next, me);
            self.wait(me);
            state = self.state();
        }
        if state.failure.is_some() {
            drop(state);
            resume_unwind(Box::new(Stop));
        }
        state
    }

    /// Lets actor 0 do something while no thread runs.
    pub(crate) fn alone<T>(&self, act: impl FnOnce() -> T) -> T {
        let before: Vec<bool> = self.state().actors.iter().map(|actor| actor.is_alive).collect();
        self.state().actors.iter_mut().enumerate().for_each(|(me, actor)| actor.is_alive = me == 0);
        self.turn.store(0, Ordering::SeqCst);
        let acted = act();
        self.turn.store(usize::MAX, Ordering::SeqCst);
        self.state().actors.iter_mut().zip(before).for_each(|(actor, before)| actor.is_alive = before);
        acted
    }

    /// Ends an actor.
    pub(crate) fn leave(&self, me: usize) {
        let mut state = self.state();
        state.actors[me].is_alive = false;
        let next = state.next();
        drop(state);
        if let Some(next) = next {
            self.hand(next, me);
        }
    }

    fn hand(&self, next: usize, me: usize) {
        if next != me {
            self.turn.store(next, Ordering::SeqCst);
            self.threads.get().map(|threads| threads[next].unpark());
        }
    }

    pub(crate) fn sleep(&self, me: usize, pause: Duration) {
        let mut state = self.state();
        state.actors[me].wake = state.now + pause.as_millis() as i64;
        drop(state);
        drop(self.step(me));
    }

    /// Notes what happened.
    pub(crate) fn tell(&self, state: &mut State, me: usize, text: impl FnOnce() -> String) {
        let text = text();
        for byte in text.bytes() {
            state.trace = (state.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.tells {
            println!("{:>9.1} s  {me:>2}  {text}", (state.now - START) as f64 / 1000.0);
        }
    }
}

impl State {
    fn pass_time(&mut self) {
        self.steps += 1;
        self.now += self.random.below(300) as i64;
        // Long enough for reservations and graces to run out.
        if self.random.permille(4) {
            self.now += self.random.below(5_400_000) as i64;
        }
        self.land(false);
    }

    /// One of the actors that are awake; time goes on until there is one. `None` when all have left.
    fn next(&mut self) -> Option<usize> {
        let alive = |actors: &[Actor]| actors.iter().filter(|a| a.is_alive).map(|a| a.wake).min();
        self.now = self.now.max(alive(&self.actors)?);
        let awake: Vec<usize> = (0..self.actors.len())
            .filter(|number| self.actors[*number].is_alive && self.actors[*number].wake <= self.now)
            .collect();
        Some(awake[self.random.below(awake.len() as u64) as usize])
    }

    /// Whether an actor cannot reach the store now.
    pub(crate) fn is_cut_off(&mut self, me: usize) -> bool {
        if self.random.permille(self.trouble / 3) {
            self.actors[me].cut_off = self.now + self.random.below(60_000) as i64;
        }
        self.trouble > 0 && self.actors[me].cut_off > self.now
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failure.get_or_insert(what.into());
    }
}

/// The clock of one actor.
pub(crate) struct SimClock(pub(crate) Arc<World>, pub(crate) usize);

impl Clock for SimClock {
    fn now(&self) -> OffsetDateTime {
        let now = self.0.state().now;
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(now) * 1_000_000).unwrap()
    }

    fn sleep(&self, pause: Duration) {
        self.0.sleep(self.1, pause);
    }

    fn random(&self) -> u64 {
        self.0.state().random.next()
    }
}
