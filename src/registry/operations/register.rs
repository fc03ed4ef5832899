//! Registering: a new version from local files.
//!
//! The number is reserved first, by compare-and-swap, so that no two publishers share one. Then the files are written,
//! the manifest last of them, and a second change of `model.json` makes the version visible. Whoever dies in between
//! leaves a number that nobody uses and files that `gc` takes away.

mod bare;
mod files;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ChangeError, Done, Draft, Index, Writer, entry, hold, index, lost, manifest, number, promote};
use super::{Promoted, Promotion, vet};
use crate::model::{ModelName, Signature, Stage, Version};
use crate::registry::clock;
use crate::registry::digest::Digest;
use crate::registry::format::Rest;
use crate::registry::index::{AuditEntry, IndexVersion, State};
use crate::registry::layout;
use crate::registry::manifest::Manifest;
use crate::registry::signature::SigningKey;
use crate::registry::store::Body;
use crate::registry::writer::Outcome;
use files::LocalFile;

/// How long a reservation lasts.
const RESERVED_FOR: Duration = Duration::from_secs(3600);
/// So many versions are looked at for the same content.
const MOST_COMPARED: usize = 50;

/// What is registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The model file; its ending says what it is.
    pub model_file: PathBuf,
    /// Golden examples.
    pub golden: Option<PathBuf>,
    /// How its features were distributed, in the form of `profile.json`.
    pub profile: Option<PathBuf>,
    /// More files of the version, under their own names: a report, a card, a schema.
    pub beside: Vec<PathBuf>,
    /// Where the version is put as soon as it is there; `None` for nowhere.
    pub stage: Stage,
    /// Free labels.
    pub tags: Map<String, Value>,
    /// Evaluation metrics.
    pub metrics: Map<String, Value>,
    /// Training parameters.
    pub params: Map<String, Value>,
    /// Where it comes from: data, code, parent, run.
    pub lineage: Map<String, Value>,
    /// What it was measured against before it was let through.
    pub gate: Map<String, Value>,
    /// Fields of the manifest that this program does not know.
    pub rest: Rest,
    /// The training run, which goes into the lineage.
    pub run_id: Option<String>,
    /// The version it was made from, which goes into the lineage and must be one of the model's.
    pub parent: Option<Version>,
    /// Feature names of a model with one tensor input, in order.
    pub columns: Vec<String>,
    /// The output that `/predict` answers with.
    pub prediction: Option<String>,
    /// Class labels, in the order of the probabilities.
    pub labels: Vec<String>,
    /// Whether changed inputs or outputs are meant.
    pub breaking: bool,
    /// Inputs and outputs, as the model file has them.
    pub signature: Option<Signature>,
    /// Why.
    pub why: Option<String>,
    /// What that rests on.
    pub evidence: Option<String>,
}

/// A version that was registered.
#[derive(Clone, Debug, Serialize)]
pub struct Registered {
    /// Its number.
    pub version: u64,
    /// Digest of the model file.
    pub digest: String,
    /// Digest of the manifest.
    pub manifest: String,
    /// An older version with the same model file.
    pub same_as: Option<u64>,
    /// What became of the wish for a stage.
    pub promoted: Option<Promoted>,
    /// Versions of a folder without `model.json` that were taken over.
    pub adopted: Vec<u64>,
    /// What may not be expected.
    pub notes: Vec<String>,
}

// === impl Registration ===

impl Registration {
    /// A model file and nothing else.
    pub fn new(model_file: impl Into<PathBuf>) -> Self {
        Self {
            model_file: model_file.into(),
            golden: None,
            profile: None,
            beside: Vec::new(),
            stage: Stage::None,
            tags: Map::new(),
            metrics: Map::new(),
            params: Map::new(),
            lineage: Map::new(),
            gate: Map::new(),
            rest: Rest::new(),
            run_id: None,
            parent: None,
            columns: Vec::new(),
            prediction: None,
            labels: Vec::new(),
            breaking: false,
            signature: None,
            why: None,
            evidence: None,
        }
    }

    fn manifest(
        &self,
        model: &ModelName,
        version: Version,
        created: String,
        files: &[LocalFile],
    ) -> Manifest {
        let mut lineage = self.lineage.clone();
        lineage.extend(self.parent.map(|parent| ("parent".to_owned(), Value::from(parent.get()))));
        lineage.extend(self.run_id.clone().map(|run| ("run".to_owned(), Value::String(run))));
        let mut manifest = Manifest::new(model, version, created, self.signature.as_ref());
        manifest.files = files.iter().map(LocalFile::entry).collect();
        (manifest.columns, manifest.labels) = (self.columns.clone(), self.labels.clone());
        (manifest.prediction, manifest.breaking) = (self.prediction.clone(), self.breaking);
        manifest.metrics = Value::Object(self.metrics.clone()).into();
        manifest.params = Value::Object(self.params.clone()).into();
        manifest.tags = Value::Object(self.tags.clone()).into();
        manifest.lineage = Value::Object(lineage).into();
        manifest.gate = Value::Object(self.gate.clone()).into();
        manifest.rest = self.rest.clone();
        manifest
    }

    fn note(&self, verb: &str) -> AuditEntry {
        AuditEntry { why: self.why.clone(), evidence: self.evidence.clone(), ..entry(verb) }
    }
}

/// Registers a new version, and signs it if there is a key. A model that is not there is created; a folder of numbered
/// versions without `model.json` is taken over, the highest as Production, so that what serves keeps serving.
/// `progress` is told of each file before and after it is written: its name, bytes done, bytes in all.
///
/// # Errors
/// When a local file cannot be used, a hold forbids the stage, or something could not be written; then nothing is
/// visible of the version, unless the error says that it is not known.
pub fn register(
    writer: &Writer,
    model: &ModelName,
    registration: &Registration,
    key: Option<&SigningKey>,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Done<Registered>, ChangeError> {
    let files = files::local(registration)?;
    let same_as = same_content(writer, model, &files[0].digest);
    let reserved = reserve(writer, model, registration)?;
    let (version, adopted) = reserved.value;
    let invisible = |error: ChangeError| {
        let remark =
            format!("version {version} was reserved, and is not visible; the number is not used again");
        error.remark(remark)
    };
    let created = clock::text(writer.clock().now());
    let mut faults = 0;
    for file in &files {
        progress(&file.name, 0, file.bytes);
        let object = layout::file(model, version, &file.name);
        writer
            .upload(&object, Body::File(&file.path), (&file.digest, file.bytes), &mut faults)
            .and_then(|()| file.is_unchanged())
            .map_err(invisible)?;
        progress(&file.name, file.bytes, file.bytes);
    }
    let bytes = registration.manifest(model, version, created.clone(), &files).to_bytes();
    let manifest = Digest::of(&bytes, &mut || ());
    let object = layout::file(model, version, layout::MANIFEST);
    let content = (&manifest, bytes.len() as u64);
    writer.upload(&object, Body::Bytes(&bytes), content, &mut faults).map_err(invisible)?;
    let done = writer.mutate(model, |draft| {
        publish(draft, model, version, &manifest, &created)?;
        if let Some(key) = key {
            draft.index.add_signature(key.sign_version(model, version, &manifest));
        }
        draft.note(AuditEntry { version: Some(version.get()), ..registration.note("register") });
        let before = draft.index.in_stage(Stage::Production).last().copied().and_then(Version::new);
        let change = before.filter(|_| registration.stage != Stage::None).and_then(|before| {
            let signature = (registration.signature.clone(), registration.breaking);
            vet::changed(writer, &draft.index, model, signature, before)
        });
        let (promoted, refusal) = place(draft, model, version, registration, key);
        let notes = refusal.into_iter().chain(change).chain(serves(draft, version));
        Ok((promoted, notes.collect::<Vec<String>>()))
    });
    let done = done.map_err(|error| match error.outcome {
        Outcome::Unchanged => invisible(error),
        Outcome::Unknown => error.remark(format!("it is that of version {version}")),
    })?;
    let (done, (promoted, mut notes)) = done.split();
    notes.extend(same_as.map(|other| format!("version {other} has the same model file")));
    if !adopted.is_empty() {
        notes.push("versions that had no model.json were taken over; the highest is in Production".into());
    }
    let value = Registered {
        version: version.get(),
        digest: files[0].digest.to_string(),
        manifest: manifest.to_string(),
        same_as,
        promoted,
        adopted,
        notes,
    };
    Ok(done.with(value))
}

/// Takes the next number. Reservations that ran out are ended on the way.
fn reserve(
    writer: &Writer,
    model: &ModelName,
    registration: &Registration,
) -> Result<Done<(Version, Vec<u64>)>, ChangeError> {
    // Folders that model.json does not know, as people or a restored backup leave them, keep their numbers too.
    let folders = bare::folders(writer, model)?;
    writer.mutate(model, |draft| {
        if registration.stage == Stage::Production {
            // Said again at the end; but nobody should upload gigabytes to hear it.
            let mut trial = draft.clone();
            hold::check(&mut trial, false)?;
        }
        let is_new = draft.index.generation == 0 && draft.index.versions.is_empty();
        if is_new && writer.patiently(&mut 0, || lost::had_index(writer.store(), model))? {
            return Err(ChangeError::refused(lost::lost(model)));
        }
        let is_own = |parent: &Version| folders.contains(parent) || draft.index.version(*parent).is_some();
        // What `gc` took away was there once.
        let is_known = |parent: &Version| parent.get() <= draft.index.reserved || is_own(parent);
        if let Some(parent) = registration.parent.filter(|parent| !is_known(parent)) {
            return Err(ChangeError::refused(format!(
                "`{model}` has no version {parent} that could be its parent; nothing was changed"
            )));
        }
        let adopted = if is_new { bare::adopt(writer, draft, model, &folders)? } else { Vec::new() };
        expire(draft);
        let listed = draft.index.versions.iter().map(|entry| entry.version);
        let highest = listed.chain(folders.iter().map(|folder| folder.get())).max().unwrap_or(0);
        let next = draft.index.reserved.max(highest).checked_add(1).and_then(Version::new);
        let version = next.ok_or_else(|| ChangeError::refused("no number is left"))?;
        let next = version.get();
        draft.index.reserved = next;
        let owner = draft.by().to_owned();
        let deadline = Some(clock::text(draft.now() + RESERVED_FOR));
        draft.index.versions.push(IndexVersion {
            version: next,
            stage: Stage::None,
            manifest: None,
            created: None,
            state: State::Uploading { owner, deadline, rest: Rest::new() },
            rest: Rest::new(),
        });
        draft.note(AuditEntry { version: Some(next), ..entry("reserve") });
        Ok((version, adopted))
    })
}

/// Ends the reservations whose time is over: their owners find them gone, and `gc` takes their files away.
pub(super) fn expire(draft: &mut Draft) -> Vec<u64> {
    let (now, at) = (draft.now(), draft.at());
    let is_over = |state: &State| {
        let State::Uploading { deadline: Some(deadline), .. } = state else { return false };
        clock::parse(deadline).is_some_and(|deadline| deadline < now)
    };
    let mut expired = Vec::new();
    for entry in draft.index.versions.iter_mut().filter(|entry| is_over(&entry.state)) {
        entry.state = State::Deleted { at: at.clone(), rest: Rest::new() };
        expired.push(entry.version);
    }
    for version in &expired {
        draft.note(AuditEntry { version: Some(*version), ..entry("abandon") });
    }
    expired
}

/// Makes a reserved version visible.
fn publish(
    draft: &mut Draft,
    model: &ModelName,
    version: Version,
    manifest: &Digest,
    created: &str,
) -> Result<(), ChangeError> {
    let mut entries = draft.index.versions.iter_mut();
    let reserved = entries
        .find(|entry| entry.version == version.get())
        .filter(|entry| matches!(entry.state, State::Uploading { .. }));
    let Some(reserved) = reserved else {
        let text = format!(
            "the reservation of version {version} of `{model}` has run out, an hour after it began; register it again"
        );
        return Err(ChangeError::refused(text));
    };
    reserved.state = State::Ready;
    reserved.manifest = Some(manifest.to_string());
    reserved.created = Some(created.to_owned());
    Ok(())
}

/// Puts a version where it is wanted. A refusal is said and does not undo that it is registered.
fn place(
    draft: &mut Draft,
    model: &ModelName,
    version: Version,
    registration: &Registration,
    key: Option<&SigningKey>,
) -> (Option<Promoted>, Option<String>) {
    if registration.stage == Stage::None {
        return (None, None);
    }
    let promotion = Promotion {
        why: registration.why.clone(),
        evidence: registration.evidence.clone(),
        ..Promotion::new(version, registration.stage)
    };
    let mut trial = draft.clone();
    match promote::apply(&mut trial, model, &promotion, key) {
        Ok(promoted) => {
            *draft = trial;
            (Some(promoted), None)
        }
        Err(error) => (None, Some(format!("it was not put into {}: {error}", registration.stage.name()))),
    }
}

/// Says of a version that it serves because it is there, which who has not begun with stages may not expect.
fn serves(draft: &Draft, version: Version) -> Option<String> {
    let Index { model, .. } = &draft.index;
    let is_staged = draft.index.ready().iter().any(|entry| entry.stage != Stage::None);
    let is_default = draft.index.default_version() == Some(version.get());
    (is_default && !is_staged).then(|| {
        format!(
            "no version of {model} has a stage, so the highest serves: version {version} does from now on"
        )
    })
}

/// The newest version with the same model file, as far as manifests can be read.
fn same_content(writer: &Writer, model: &ModelName, digest: &Digest) -> Option<u64> {
    let index = index(writer.store(), model).ok()?;
    let same = |entry: &&&IndexVersion| {
        let manifest = number(entry).and_then(|_| manifest(writer.store(), model, entry));
        let manifest = manifest.ok().flatten();
        manifest.is_some_and(|manifest| manifest.files.values().any(|file| file.digest() == Some(*digest)))
    };
    index.ready().iter().rev().take(MOST_COMPARED).find(same).map(|entry| entry.version)
}
