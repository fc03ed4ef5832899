//! A store in memory that does to its callers what networks and buckets do.

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, MutexGuard};

use sidegate::registry::store::{Body, Condition, Fault, Read, Stat, Store, StoreError};

use super::world::{Crash, State, World};

/// What is stored.
pub(crate) type Objects = BTreeMap<String, Object>;

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) token: u64,
}

/// A request that arrives after its sender gave it up, or a second time.
pub(crate) struct Delayed {
    arrives: i64,
    me: usize,
    change: Change,
}

#[derive(Clone)]
enum Change {
    Write { key: String, bytes: Vec<u8>, condition: Wanted },
    Delete { key: String },
}

#[derive(Clone)]
enum Wanted {
    Anything,
    Absent,
    Token(u64),
}

/// The store as one actor reaches it.
pub(crate) struct SimStore {
    pub(crate) world: Arc<World>,
    pub(crate) me: usize,
    pub(crate) is_remote: bool,
}

impl SimStore {
    /// A call that changes nothing: it may fail, or be the last that its process makes.
    fn reading(&self, what: &str, key: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.world.step(self.me);
        let trouble = state.trouble;
        let outcome = if state.is_cut_off(self.me) || state.random.permille(trouble) {
            Some(Fault::Unreachable("simulated".into()))
        } else if state.random.permille(trouble / 2) {
            Some(Fault::Throttled("simulated".into()))
        } else {
            None
        };
        let dies = state.random.permille(trouble / 4);
        let told = if outcome.is_some() { ": no answer" } else { "" };
        self.world
            .tell(&mut state, self.me, || format!("{what} {key}{told}{}", if dies { ", dies" } else { "" }));
        if dies {
            self.die(state);
        }
        match outcome {
            Some(fault) => {
                state.faults += 1;
                Err(StoreError::new(key, fault))
            }
            None => Ok(state),
        }
    }

    fn die(&self, mut state: MutexGuard<'_, State>) -> ! {
        state.crashes += 1;
        drop(state);
        resume_unwind(Box::new(Crash))
    }

    /// A call that changes something: it may happen or not, now or later or twice, and be answered or not.
    fn changing(&self, change: Change) -> Result<String, StoreError> {
        let mut state = self.world.step(self.me);
        let trouble = state.trouble;
        let mut ways = |share: u64| state.random.permille(share);
        let (happens, later, again) = (!ways(trouble), ways(trouble), ways(trouble / 2));
        let (answered, throttled, dies) = (!ways(trouble * 2), ways(trouble / 2), ways(trouble / 2));
        let reaches = !state.is_cut_off(self.me);
        let key = change.key().to_owned();
        let now = reaches && happens && !later && !throttled;
        let told = format!(
            "{}{}{}{}",
            change.describe(),
            if now { "" } else { ": does not happen" },
            if now && answered { "" } else { ", no answer" },
            if dies { ", dies" } else { "" },
        );
        self.world.tell(&mut state, self.me, || told);
        if reaches && !throttled && (later || again) {
            let span = if state.random.permille(100) { 7_200_000 } else { 20_000 };
            let arrives = state.now + state.random.below(span) as i64;
            state.delayed.push(Delayed { arrives, me: self.me, change: change.clone() });
        }
        let done = now.then(|| state.apply(&change));
        if let Some(Err(fault)) = &done {
            self.world.tell(&mut state, self.me, || format!("  {fault}"));
        }
        if dies {
            self.die(state);
        }
        let fault = match done {
            Some(outcome) if answered => return outcome.map_err(|fault| StoreError::new(&key, fault)),
            _ if throttled => Fault::Throttled("simulated".into()),
            _ => Fault::Unreachable("simulated".into()),
        };
        state.faults += 1;
        Err(StoreError::new(&key, fault))
    }
}

impl Change {
    fn key(&self) -> &str {
        match self {
            Self::Write { key, .. } | Self::Delete { key } => key,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Write { key, condition: Wanted::Anything, .. } => format!("write {key}"),
            Self::Write { key, condition: Wanted::Absent, .. } => format!("write {key} if absent"),
            Self::Write { key, condition: Wanted::Token(token), .. } => format!("write {key} if {token}"),
            Self::Delete { key } => format!("delete {key}"),
        }
    }
}

impl State {
    /// Lets what is under way arrive; at the end all of it.
    pub(crate) fn land(&mut self, is_end: bool) {
        while let Some(position) = self.delayed.iter().position(|late| is_end || late.arrives <= self.now) {
            let late = self.delayed.swap_remove(position);
            // A second time round the condition mostly does not hold any more, which nobody hears.
            let _ = self.apply(&late.change);
            self.trace ^= late.me as u64 + 1;
        }
    }

    /// What the store does when a request arrives: this is all there is of it at one moment.
    fn apply(&mut self, change: &Change) -> Result<String, Fault> {
        match change {
            Change::Delete { key } => {
                if let Err(what) = self.history.deleting(key, self.now) {
                    self.fail(what);
                }
                self.objects.remove(key);
                Ok(String::new())
            }
            Change::Write { key, bytes, condition } => {
                let token = self.objects.get(key).map(|object| object.token);
                let holds = match condition {
                    Wanted::Anything => true,
                    Wanted::Absent => token.is_none(),
                    Wanted::Token(wanted) => token == Some(*wanted),
                };
                if !holds {
                    return Err(Fault::Conflict);
                }
                let next = self.history.next_token();
                self.objects.insert(key.clone(), Object { bytes: bytes.clone(), token: next });
                if let Err(what) = self.history.written(key, &self.objects) {
                    self.fail(what);
                }
                Ok(next.to_string())
            }
        }
    }
}

impl Store for SimStore {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let state = self.reading("list", prefix)?;
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let inside = state.objects.keys().filter_map(|key| key.strip_prefix(&folder)?.split_once('/'));
        let mut names: Vec<String> = inside.map(|(name, _)| name.to_owned()).collect();
        names.dedup();
        Ok(names)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let state = self.reading("keys", prefix)?;
        let folder = format!("{prefix}/");
        Ok(state.objects.keys().filter(|key| key.starts_with(&folder)).cloned().collect())
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        let state = self.reading("stat", key)?;
        Ok(state.objects.get(key).map(stat))
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        let state = self.reading("read", key)?;
        let Some(object) = state.objects.get(key) else { return Ok(Read::Absent) };
        let (bytes, token) = (object.bytes.clone(), object.token.to_string());
        if bytes.len() as u64 > max {
            return Err(StoreError::new(key, Fault::TooLarge { bytes: bytes.len() as u64, max }));
        }
        Ok(if known == Some(&token) { Read::Unchanged } else { Read::Object { bytes, token } })
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        let Read::Object { bytes, token } = self.read(key, max, None)? else { return Ok(None) };
        sink.write_all(&bytes).map_err(|error| StoreError::new(key, Fault::Local(error)))?;
        Ok(Some(Stat { bytes: bytes.len() as u64, token, settled: true }))
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        let bytes = match body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::File(path) => std::fs::read(path).unwrap(),
        };
        let condition = match condition {
            Condition::None => Wanted::Anything,
            Condition::Absent => Wanted::Absent,
            Condition::Token(token) => Wanted::Token(token.parse().unwrap()),
        };
        self.changing(Change::Write { key: key.to_owned(), bytes, condition })
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.changing(Change::Delete { key: key.to_owned() }).map(drop)
    }

    fn is_remote(&self) -> bool {
        self.is_remote
    }
}

fn stat(object: &Object) -> Stat {
    Stat { bytes: object.bytes.len() as u64, token: object.token.to_string(), settled: true }
}
