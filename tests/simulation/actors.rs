//! Publishers and readers: what they do, and what they check of what they are told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sidegate::model::{ModelName, Reason, Stage, Version};
use sidegate::registry::Registry;
use sidegate::registry::clock::Clock as _;
use sidegate::registry::index::{AuditEntry, Index};
use sidegate::registry::layout;
use sidegate::registry::operations::{
    Gc, Promotion, Registration, Rollback, Severity, gc, hold, promote, raise_epoch, register, release,
    remove_alias, rollback, set_alias, verify_all,
};
use sidegate::registry::store::{Body, Condition, Store as _};
use sidegate::registry::writer::{self, ChangeError, Done, Writer};

use super::content;
use super::store::SimStore;
use super::world::{Crash, SimClock, Stop, World};

const PUBLISHERS: usize = 5;
const READERS: usize = 10;
/// How often each publisher does something.
const CHANGES: usize = 6;
/// How often each reader looks.
const LOOKS: usize = 6;
/// How long `gc` leaves the files of what it marked.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// What became of a seed, or of many.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failure: Option<String>,
    trace: u64,
    steps: u64,
    generations: u64,
    crashes: u64,
    faults: u64,
    unknown: u64,
    segments: u64,
    loads: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Self) {
        self.trace ^= other.trace.rotate_left(self.steps as u32);
        self.steps += other.steps;
        self.generations += other.generations;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.unknown += other.unknown;
        self.segments += other.segments;
        self.loads += other.loads;
    }

    /// Whether everything that can happen did.
    pub(crate) fn is_varied(&self) -> bool {
        [self.generations, self.crashes, self.faults, self.unknown, self.segments, self.loads]
            .iter()
            .all(|n| *n > 0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps, {} generations of model.json, {} loads by readers, {} crashes, {} faults, {} changes of which \
             the maker could not know, {} audit segments; trace {:016x}",
            self.steps,
            self.generations,
            self.loads,
            self.crashes,
            self.faults,
            self.unknown,
            self.segments,
            self.trace
        )
    }
}

/// What the actors counted.
#[derive(Default)]
struct Counts {
    unknown: u64,
    loads: u64,
}

/// One seed, to its end.
pub(crate) fn run(seed: u64, tells: bool) -> Outcome {
    // Every third seed is of order alone, every third of a bad day.
    let trouble = [0, 20, 80][seed as usize % 3];
    let world = World::new(seed, PUBLISHERS + READERS, trouble, tells);
    if seed % 4 == 1 {
        long_history(&world);
    }
    let mut threads = Vec::new();
    for me in 0..PUBLISHERS + READERS {
        let world = world.clone();
        threads.push(thread::spawn(move || {
            world.wait(me);
            let counts = live(&world, me, seed);
            world.leave(me);
            counts
        }));
    }
    world.start(threads.iter().map(|handle| handle.thread().clone()).collect());
    let mut counts = Counts::default();
    for handle in threads {
        let of_one = handle.join().unwrap();
        counts.unknown += of_one.unknown;
        counts.loads += of_one.loads;
    }
    let mut state = world.state();
    if state.failure.is_none() {
        state.land(true);
        drop(state);
        ending(&world);
        state = world.state();
    }
    Outcome {
        failure: state.failure.clone(),
        trace: state.trace,
        steps: state.steps,
        generations: state.history.generations(),
        crashes: state.crashes,
        faults: state.faults,
        unknown: counts.unknown,
        segments: state.history.segments,
        loads: counts.loads,
    }
}

fn model() -> ModelName {
    "churn".parse().unwrap()
}

/// A `model.json` that is about to move entries to a segment.
fn long_history(world: &Arc<World>) {
    let mut index = Index::new(&model());
    index.generation = 95;
    index.audit = (1..=95)
        .map(|seq| AuditEntry {
            seq,
            at: "2026-01-01T00:00:00Z".into(),
            verb: "alias".into(),
            ..AuditEntry::default()
        })
        .collect();
    let trouble = std::mem::take(&mut world.state().trouble);
    let store = SimStore { world: world.clone(), me: 0, is_remote: false };
    // Nobody has the baton yet, and nobody waits for it.
    world.alone(|| {
        store.write(&layout::index(&model()), Body::Bytes(&index.to_bytes()), Condition::Absent).unwrap();
    });
    world.state().trouble = trouble;
}

/// An actor's processes, one after the other: each ends by itself or by a crash.
fn live(world: &Arc<World>, me: usize, seed: u64) -> Counts {
    let mut counts = Counts::default();
    let mut left = if me < PUBLISHERS { CHANGES } else { LOOKS };
    while left > 0 {
        let process = catch_unwind(AssertUnwindSafe(|| {
            if me < PUBLISHERS {
                publisher(world, me, seed % 5 == 2, &mut left, &mut counts);
            } else {
                reader(world, me, &mut left, &mut counts);
            }
        }));
        match process {
            Ok(()) => {}
            Err(cause) if cause.is::<Crash>() => left = left.saturating_sub(1),
            Err(cause) if cause.is::<Stop>() => break,
            Err(cause) => {
                let text = cause.downcast_ref::<String>().cloned();
                let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                world.state().fail(format!("actor {me} panicked: {}", text.unwrap_or_default()));
                break;
            }
        }
    }
    counts
}

fn publisher(world: &Arc<World>, me: usize, is_remote: bool, left: &mut usize, counts: &mut Counts) {
    let store = Box::new(SimStore { world: world.clone(), me, is_remote });
    let clock = Box::new(SimClock(world.clone(), me));
    let writer = Writer::with_clock(store, format!("publisher{me}"), clock);
    while *left > 0 {
        let (kind, a, b) = {
            let mut state = world.state();
            (state.random.below(20), state.random.next(), state.random.next())
        };
        let version = Version::new(a % 8 + 1).unwrap();
        let model = model();
        let back = Rollback { to: None, why: "simulated".into(), check: true };
        match kind {
            0..=5 => {
                let (file, golden) = content::pair(b);
                let stage = [Stage::None, Stage::Staging, Stage::Production][a as usize % 3];
                let registration = Registration { golden: Some(golden), stage, ..Registration::new(file) };
                told(world, counts, &register(&writer, &model, &registration, None, &mut |_, _, _| ()));
            }
            6..=10 => {
                let stages = [Stage::Production, Stage::Production, Stage::Staging, Stage::Archived];
                let promotion = Promotion {
                    archive_existing: !b.is_multiple_of(4),
                    override_hold: b % 5 == 1,
                    rollout: (b % 3 == 1).then_some(Duration::from_secs(60)),
                    ..Promotion::new(version, stages[b as usize % 4])
                };
                told(world, counts, &promote(&writer, &model, &promotion, None));
            }
            11..=12 => told(world, counts, &rollback(&writer, &model, &back, None)),
            13 => told(world, counts, &hold(&writer, &model, None, "simulated")),
            14 => told(world, counts, &release(&writer, &model, None)),
            15..=16 => told(world, counts, &set_alias(&writer, &model, "champion", version, None)),
            17 if b.is_multiple_of(2) => {
                told(world, counts, &remove_alias(&writer, &model, "champion", None))
            }
            17 => told(world, counts, &raise_epoch(&writer, &model, "simulated", None)),
            _ => {
                let rules = Gc { keep: b as usize % 3, grace: GRACE, dry_run: false };
                told(world, counts, &gc(&writer, &model, &rules));
            }
        }
        *left -= 1;
    }
}

/// Compares what a publisher was told with what happened.
fn told<T>(world: &Arc<World>, counts: &mut Counts, result: &Result<Done<T>, ChangeError>) {
    let mut state = world.state();
    match result {
        Ok(Done { generation, mutation: Some(change), .. }) => {
            if let Err(what) = state.history.acknowledged(&model(), change, *generation) {
                state.fail(what);
            }
        }
        Ok(_) => {}
        Err(ChangeError { outcome: writer::Outcome::Unknown, .. }) => counts.unknown += 1,
        Err(ChangeError { mutation: Some(change), .. }) => state.history.denied(&model(), change),
        Err(_) => {}
    }
}

/// What the loader of a gateway does: look, choose, fetch, and never go back.
fn reader(world: &Arc<World>, me: usize, left: &mut usize, counts: &mut Counts) {
    let mut registry = Registry::new(Box::new(SimStore { world: world.clone(), me, is_remote: false }), None);
    let clock = SimClock(world.clone(), me);
    let mut seen = (0, 0);
    while *left > 0 {
        *left -= 1;
        clock.sleep(Duration::from_secs(clock.random() % 20));
        let catalog = match registry.catalog(&model()) {
            Ok(Ok(catalog)) => catalog,
            Err(_) => continue,
            // Nobody goes back here, and nothing is written twice.
            Ok(Err(error)) => {
                world.state().fail(format!("reader {me}: {error}"));
                continue;
            }
        };
        let Some(index) = catalog.index.clone() else { continue };
        let place = (index.epoch, index.generation);
        if place < seen {
            world.state().fail(format!("reader {me} saw {place:?} after {seen:?}"));
        }
        seen = place;
        // The plain name, an alias, or whatever else is listed.
        let wanted = match clock.random() % 3 {
            0 => index.default_version(),
            1 => index.aliases.get("champion").copied(),
            _ => catalog.versions.first().map(|listed| listed.version.get()),
        };
        let listed = catalog.versions.iter().find(|listed| Some(listed.version.get()) == wanted);
        let Some(listed) = listed else { continue };
        let source = registry.source();
        let fetched = source
            .describe(&model(), listed)
            .and_then(|described| source.fetch(&model(), listed.version, described, &mut || ()));
        match fetched {
            Ok(artefact) if content::belong_together(&artefact.model, artefact.golden.as_deref()) => {
                counts.loads += 1
            }
            Ok(_) => world.state().fail(format!("reader {me} got files of different versions")),
            Err(error) if error.code == Reason::Unreachable => {}
            // It took so long to fetch that the version was taken away meanwhile.
            Err(error)
                if error.code == Reason::MissingFile
                    && !world.state().history.is_listed(&model(), listed.version) => {}
            Err(error) => world.state().fail(format!("reader {me}: version {}: {error}", listed.version)),
        }
    }
}

/// When all is quiet again, everything works and nothing is left that cannot be explained.
fn ending(world: &Arc<World>) {
    world.state().trouble = 0;
    let store = || Box::new(SimStore { world: world.clone(), me: 0, is_remote: false });
    let writer = Writer::with_clock(store(), "operator", Box::new(SimClock(world.clone(), 0)));
    let clean = catch_unwind(AssertUnwindSafe(|| {
        world.alone(|| {
            let register = |number| {
                let (file, golden) = content::pair(number);
                let registration = Registration { golden: Some(golden), ..Registration::new(file) };
                register(&writer, &model(), &registration, None, &mut |_, _, _| ())
            };
            let version = Version::new(register(0)?.value.version).unwrap();
            let promotion = Promotion { override_hold: true, ..Promotion::new(version, Stage::Production) };
            promote(&writer, &model(), &promotion, None)?;
            register(1)?;
            // The first ends reservations, and marks, also the highest number; the second takes away what is marked.
            world.state().now += 7_200_000;
            let rules = Gc { keep: 0, grace: GRACE, dry_run: false };
            gc(&writer, &model(), &rules)?;
            world.state().now += 7_200_000;
            gc(&writer, &model(), &rules)?;
            register(2)?;
            assert_eq!(writer.read(&model())?.default_version(), Some(version.get()));
            Ok::<_, ChangeError>(verify_all(writer.store(), None, writer.clock().now())?)
        })
    }));
    let mut state = world.state();
    match clean {
        Ok(Ok((_, findings))) => {
            let bad = findings.into_iter().find(|finding| finding.severity != Severity::Info);
            if let Some(bad) = bad {
                state.fail(format!("at the end: {bad:?}"));
            }
        }
        Ok(Err(error)) => state.fail(format!("at the end: {error}")),
        Err(_) => state.fail("at the end: panicked"),
    }
    if let Err(what) = state.history.end() {
        state.fail(what);
    }
}
