//! What must be true at every moment, checked where the store changes; and what publishers were told, checked against
//! it.

use std::collections::{BTreeMap, BTreeSet};

use sidegate::model::{ModelName, Stage, Version};
use sidegate::registry::audit::Segment;
use sidegate::registry::clock;
use sidegate::registry::digest::Digest;
use sidegate::registry::hint::Hint;
use sidegate::registry::index::{AuditEntry, Index, State as VersionState};
use sidegate::registry::layout;
use sidegate::registry::manifest::Manifest;

use super::actors::GRACE;
use super::store::Objects;

#[derive(Default)]
pub(crate) struct History {
    token: u64,
    models: BTreeMap<String, ModelHistory>,
    /// The content of every file of a version that was ever there.
    files: BTreeMap<String, Digest>,
    hint: BTreeMap<String, (u64, u64)>,
    /// Changes that their makers were told had not been made.
    denied: Vec<(String, String)>,
    pub(crate) segments: u64,
}

#[derive(Default)]
struct ModelHistory {
    index: Option<Index>,
    /// Every entry there ever was.
    entries: Vec<AuditEntry>,
    /// The change of each generation.
    generations: BTreeMap<u64, String>,
    changes: BTreeSet<String>,
    numbers: BTreeSet<u64>,
    /// Versions whose entries were taken away.
    purged: BTreeSet<u64>,
}

impl History {
    pub(crate) fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    pub(crate) fn generations(&self) -> u64 {
        self.models.values().map(|model| model.generations.len() as u64).sum()
    }

    /// Called after each write.
    pub(crate) fn written(&mut self, key: &str, objects: &Objects) -> Result<(), String> {
        let (folder, rest) = key.split_once('/').unwrap_or(("", key));
        let bytes = &objects[key].bytes;
        if key == layout::HINT {
            return self.hinted(bytes);
        }
        let Ok(name) = folder.parse::<ModelName>() else { return Ok(()) };
        if rest == "model.json" {
            let next = Index::parse(bytes).map_err(|error| format!("{key}: {error}"))?;
            self.segments = objects.keys().filter(|key| key.contains("/audit/")).count() as u64;
            let model = self.models.entry(folder.to_owned()).or_default();
            return model.follow(&name, next, objects).map_err(|what| format!("{key}: {what}"));
        }
        let digest = Digest::of(bytes, &mut || ());
        match self.files.insert(key.to_owned(), digest) {
            Some(before) if before != digest => Err(format!("{key} was written with other content")),
            _ => Ok(()),
        }
    }

    /// Called before each deletion, at a time in milliseconds.
    pub(crate) fn deleting(&self, key: &str, now: i64) -> Result<(), String> {
        let Some(model) = key.split('/').next().and_then(|name| self.models.get(name)) else { return Ok(()) };
        let Some(index) = &model.index else { return Ok(()) };
        let Ok(name) = index.model.parse() else { return Ok(()) };
        let Some(version) = layout::version_of(&name, key) else { return Err(format!("{key} was deleted")) };
        match index.version(version).map(|entry| &entry.state) {
            Some(VersionState::Ready | VersionState::Uploading { .. }) => {
                Err(format!("{key} was deleted while model.json lists it"))
            }
            // What is found again later was purged before, and no reader has known it since.
            Some(VersionState::Deleted { at, .. }) if !model.purged.contains(&version.get()) => {
                let marked = clock::parse(at).map_or(0, |at| at.unix_timestamp() * 1000);
                let is_over = marked + GRACE.as_millis() as i64 <= now;
                if is_over { Ok(()) } else { Err(format!("{key} was deleted before the grace was over")) }
            }
            _ => Ok(()),
        }
    }

    fn hinted(&mut self, bytes: &[u8]) -> Result<(), String> {
        let hint = Hint::parse(bytes).map_err(|error| error.to_string())?;
        for (name, entry) in &hint.models {
            let (next, before) =
                ((entry.epoch, entry.generation), self.hint.get(name).copied().unwrap_or_default());
            let index = self.models.get(name).and_then(|model| model.index.as_ref());
            let actual = index.map_or((0, 0), |index| (index.epoch, index.generation));
            if next < before || next > actual {
                return Err(format!(
                    "the hint of {name} went from {before:?} to {next:?}, the model is at {actual:?}"
                ));
            }
            self.hint.insert(name.clone(), next);
        }
        Ok(())
    }

    /// Whether readers are told of a version now.
    pub(crate) fn is_listed(&self, model: &ModelName, version: Version) -> bool {
        let index = self.models.get(model.as_str()).and_then(|model| model.index.as_ref());
        index.and_then(|index| index.version(version)).is_some_and(|entry| entry.state == VersionState::Ready)
    }

    /// A publisher was told that its change made this generation.
    pub(crate) fn acknowledged(
        &mut self,
        model: &ModelName,
        change: &str,
        generation: u64,
    ) -> Result<(), String> {
        let made = self.models.get(model.as_str()).and_then(|model| model.generations.get(&generation));
        if made.is_some_and(|made| made == change) {
            return Ok(());
        }
        Err(format!("{change} was said to be generation {generation} of {model}, which is {made:?}"))
    }

    /// A publisher was told that its change was not made and will not be.
    pub(crate) fn denied(&mut self, model: &ModelName, change: &str) {
        self.denied.push((model.to_string(), change.to_owned()));
    }

    /// Called when nothing can happen any more.
    pub(crate) fn end(&self) -> Result<(), String> {
        for (model, change) in &self.denied {
            if self.models.get(model).is_some_and(|model| model.changes.contains(change)) {
                return Err(format!("{change} was said not to be made, and is in the history of {model}"));
            }
        }
        Ok(())
    }
}

impl ModelHistory {
    fn follow(&mut self, name: &ModelName, next: Index, objects: &Objects) -> Result<(), String> {
        let (before, seeded) = (self.index.take(), self.generations.is_empty() && next.mutation.is_none());
        let change = next.mutation.clone().unwrap_or_default();
        let generation = before.as_ref().map_or(0, |before| before.generation);
        if next.generation != generation + 1 && !seeded {
            return Err(format!("generation {} was written on {generation}", next.generation));
        }
        if !self.changes.insert(change.clone()) {
            return Err(format!("{change} was made twice"));
        }
        self.generations.insert(next.generation, change.clone());
        self.audit(name, &next, objects, seeded)?;
        self.numbers(&next, before.as_ref(), seeded)?;
        for entry in next.ready() {
            let is_new = before
                .as_ref()
                .is_none_or(|before| !before.ready().iter().any(|e| e.version == entry.version));
            complete(name, entry.version, entry.manifest.as_deref(), objects, is_new)?;
        }
        next.catalog().map_err(|error| error.to_string())?;
        if let Some(before) = before {
            rules(&before, &next)?;
            let stays = |number: u64| next.versions.iter().any(|entry| entry.version == number);
            self.purged
                .extend(before.versions.iter().map(|entry| entry.version).filter(|number| !stays(*number)));
        }
        self.index = Some(next);
        Ok(())
    }

    /// The entries that there were are those that there are; what `model.json` lacks is in segments.
    fn audit(
        &mut self,
        name: &ModelName,
        next: &Index,
        objects: &Objects,
        seeded: bool,
    ) -> Result<(), String> {
        let first = next.audit.first().map_or(0, |entry| entry.seq);
        let known = self.entries.len() as u64;
        for (position, entry) in next.audit.iter().enumerate() {
            if entry.seq != first + position as u64 {
                return Err(format!("entry {} is numbered {}", first + position as u64, entry.seq));
            }
            if entry.seq <= known {
                if self.entries[entry.seq as usize - 1] != *entry {
                    return Err(format!("entry {} was changed", entry.seq));
                }
            } else if entry.mutation != next.mutation && !seeded {
                return Err(format!("entry {} is of another change", entry.seq));
            } else {
                self.entries.push(entry.clone());
            }
        }
        if self.entries.len() as u64 == known || first > known + 1 {
            return Err(format!("entries after {known} are missing, the first is {first}"));
        }
        let mut stored = Vec::new();
        for (key, object) in objects.range(layout::segments(name)..) {
            if layout::segment_range(key).is_none() || !key.starts_with(&layout::segments(name)) {
                break;
            }
            stored.extend(Segment::parse(&object.bytes).map_err(|error| error.to_string())?.entries);
        }
        let moved = first as usize - 1;
        if stored.len() < moved || stored[..moved] != self.entries[..moved] {
            return Err(format!("entries before {first} are not all in segments"));
        }
        Ok(())
    }

    /// Numbers are given once.
    fn numbers(&mut self, next: &Index, before: Option<&Index>, seeded: bool) -> Result<(), String> {
        let reserved = before.map_or(0, |before| before.reserved);
        if next.reserved < reserved {
            return Err(format!("reserved went from {reserved} to {}", next.reserved));
        }
        for entry in &next.versions {
            let was = before.and_then(|before| before.versions.iter().find(|e| e.version == entry.version));
            let is_gone = matches!(entry.state, VersionState::Deleted { .. });
            if was.is_none()
                && !is_gone
                && !seeded
                && (entry.version <= reserved || self.numbers.contains(&entry.version))
            {
                return Err(format!("number {} was given twice", entry.version));
            }
            let was_gone = was.is_some_and(|was| matches!(was.state, VersionState::Deleted { .. }));
            if was_gone && !is_gone {
                return Err(format!("version {} came back", entry.version));
            }
            if let Some(was) = was.filter(|was| was.state == VersionState::Ready)
                && (&was.manifest, &was.created) != (&entry.manifest, &entry.created)
            {
                return Err(format!("version {} was changed", entry.version));
            }
            self.numbers.insert(entry.version);
        }
        Ok(())
    }
}

/// A version that is listed has its files, and they are what its manifest says.
fn complete(
    name: &ModelName,
    number: u64,
    digest: Option<&str>,
    objects: &Objects,
    is_new: bool,
) -> Result<(), String> {
    let version = Version::new(number).ok_or("version 0")?;
    let bytes = |file: &str| {
        let object = objects.get(&layout::file(name, version, file));
        object
            .map(|object| object.bytes.as_slice())
            .ok_or(format!("version {number} is listed without {file}"))
    };
    let manifest = bytes(layout::MANIFEST)?;
    if !is_new {
        return Ok(());
    }
    if Some(Digest::of(manifest, &mut || ()).to_string().as_str()) != digest {
        return Err(format!("version {number} has another manifest than is named"));
    }
    let manifest = Manifest::parse(manifest, name, version).map_err(|error| error.to_string())?;
    for file in manifest.files.keys() {
        let bytes = bytes(file)?;
        manifest.verify(file, bytes, &Digest::of(bytes, &mut || ())).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a change may do.
fn rules(before: &Index, next: &Index) -> Result<(), String> {
    let verbs: BTreeSet<&str> =
        next.audit.iter().filter(|e| e.mutation == next.mutation).map(|e| &*e.verb).collect();
    let has = |verb: &str| verbs.contains(verb);
    let moved = before.in_stage(Stage::Production) != next.in_stage(Stage::Production);
    if before.hold.is_some() && moved && !has("rollback") && !has("release") {
        return Err(format!("Production changed under a hold by {verbs:?}"));
    }
    let sweeps = verbs.iter().all(|verb| matches!(*verb, "delete" | "abandon" | "purge"));
    if sweeps && before.default_version() != next.default_version() {
        return Err(format!("{verbs:?} changed what the plain name means"));
    }
    let epoch = before.epoch + u64::from(has("epoch"));
    if next.epoch != epoch { Err(format!("epoch {} became {}", before.epoch, next.epoch)) } else { Ok(()) }
}
