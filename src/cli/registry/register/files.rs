//! The local files of a version: the model is read as a sidecar would read it before anything is written.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{RegisterArgs, metrics, param};
use crate::cli::failure::Failure;
use crate::cli::model_file::Found;
use crate::drift::{Layout, Reference};
use crate::format::Model;
use crate::model::{LoadError, Signature};
use crate::registry::format::Raw;
use crate::registry::layout;
use crate::registry::manifest::Manifest;
use crate::registry::operations::Registration;
use crate::serving::admission;

/// What was found and read.
pub(super) struct Files {
    model: PathBuf,
    golden: Option<PathBuf>,
    profile: Option<PathBuf>,
    /// Inputs and outputs; `None` where the model cannot be read and need not be.
    signature: Option<Signature>,
    /// Names of columns that the model itself has.
    columns: Vec<String>,
    /// That of the folder, whose word holds where no flag says otherwise.
    manifest: Option<Manifest>,
    /// What is to be said of them.
    pub(super) remark: Option<String>,
}

// === impl Files ===

impl Files {
    /// Finds and reads what the flags name.
    pub(super) fn read(args: &RegisterArgs) -> Result<Self, Failure> {
        let found = Found::at(&args.file).map_err(unchanged)?;
        let is_folder = args.file.is_dir();
        let manifest = if is_folder { found.manifest().transpose().map_err(unchanged)? } else { None };
        let beside = |given: &Option<PathBuf>, name: &str| {
            let path = args.file.join(name);
            given.clone().or_else(|| (is_folder && path.is_file()).then_some(path))
        };
        let (golden, profile) =
            (beside(&args.golden, layout::GOLDEN), beside(&args.profile, layout::PROFILE));
        let bytes = std::fs::read(&found.path).map_err(|error| {
            Failure::Failed(format!("{}: {error}; nothing was changed", found.path.display()))
        })?;
        let (signature, columns, remark) = match Model::parse(found.format, bytes) {
            Ok(model) => (Some(model.signature().clone()), model.columns().to_vec(), None),
            Err(error) if args.no_check => {
                (None, Vec::new(), Some(format!("this sidegate cannot serve it: {error}")))
            }
            Err(error) => {
                let path = found.path.display();
                let text = format!(
                    "{path} cannot be served: {error}; nothing was changed (--no-check registers it all the same)"
                );
                return Err(Failure::Failed(text));
            }
        };
        if let (Some(path), Some(signature), false) = (&golden, &signature, args.no_check) {
            let read = std::fs::read(path).map_err(|error| error.to_string());
            let checked = read
                .and_then(|bytes| admission::check_examples(&bytes, signature).map_err(|error| error.detail));
            checked
                .map_err(|why| Failure::Failed(format!("{}: {why}; nothing was changed", path.display())))?;
        }
        Ok(Self { model: found.path, golden, profile, signature, columns, manifest, remark })
    }

    /// What is registered: these files with what the flags say of them.
    pub(super) fn registration(&self, args: &RegisterArgs) -> Result<Registration, Failure> {
        let manifest = self.manifest.as_ref();
        let object = |get: fn(&Manifest) -> &Raw| -> Map<String, Value> {
            manifest.and_then(|manifest| get(manifest).read()).unwrap_or_default()
        };
        let list = |given: &[String], get: fn(&Manifest) -> &Vec<String>| {
            if given.is_empty() { manifest.map(get).cloned().unwrap_or_default() } else { given.to_vec() }
        };
        let prediction = args.prediction.clone().or_else(|| manifest.and_then(|m| m.prediction.clone()));
        let mut registration = Registration {
            golden: self.golden.clone(),
            profile: self.profile.clone(),
            stage: args.stage,
            tags: object(|manifest| &manifest.tags),
            metrics: object(|manifest| &manifest.metrics),
            params: object(|manifest| &manifest.params),
            lineage: object(|manifest| &manifest.lineage),
            gate: object(|manifest| &manifest.gate),
            rest: manifest.map(|manifest| manifest.rest.clone()).unwrap_or_default(),
            run_id: args.run.clone(),
            parent: args.parent,
            columns: list(&args.columns, |manifest| &manifest.columns),
            prediction,
            labels: list(&args.labels, |manifest| &manifest.labels),
            breaking: args.breaking || manifest.is_some_and(|manifest| manifest.breaking),
            signature: self.signature.clone(),
            why: args.why.clone(),
            evidence: args.evidence.clone(),
            ..Registration::new(&self.model)
        };
        registration.tags.extend(args.tag.iter().map(|(name, text)| (name.clone(), json!(text))));
        registration.metrics.extend(metrics(args)?);
        registration.params.extend(args.param.iter().map(|(name, text)| (name.clone(), param(text))));
        registration.lineage.extend(lineage(args));
        self.check(args, &registration)?;
        Ok(registration)
    }

    /// Holds names against the model, whose readers would refuse them.
    fn check(&self, args: &RegisterArgs, registration: &Registration) -> Result<(), Failure> {
        let Some(signature) = self.signature.as_ref().filter(|_| !args.no_check) else { return Ok(()) };
        if let Some(prediction) = &registration.prediction
            && !signature.outputs.iter().any(|output| *output.name == **prediction)
        {
            let there: Vec<&str> = signature.outputs.iter().map(|output| &*output.name).collect();
            let there = there.join(", ");
            let text = format!(
                "--prediction: the model has no output `{prediction}`; it has {there}; nothing was changed"
            );
            return Err(Failure::Failed(text));
        }
        if let Some(path) = &self.profile {
            let prediction = registration.prediction.as_deref();
            let at = prediction.and_then(|name| signature.outputs.iter().position(|o| &*o.name == name));
            let named = if registration.columns.is_empty() { &self.columns } else { &registration.columns };
            let layout = Layout::of(signature, named, at.unwrap_or(0));
            let read = std::fs::read(path).map_err(|error| error.to_string());
            let read = read.and_then(|bytes| Reference::from_stored(&bytes, &layout));
            read.map_err(|why| Failure::Failed(format!("{}: {why}; nothing was changed", path.display())))?;
        }
        let (given, [input]) = (registration.columns.len(), signature.inputs.as_slice()) else {
            return Ok(());
        };
        match input.shape.last() {
            Some(&width) if given > 0 && width > 0 && width != given as i64 => Err(Failure::Failed(format!(
                "--columns: {given} names for the {width} columns of input `{}`; nothing was changed",
                input.name
            ))),
            _ => Ok(()),
        }
    }
}

/// Where it comes from, as far as flags tell.
fn lineage(args: &RegisterArgs) -> Map<String, Value> {
    let data = match args.data_source.as_slice() {
        [] => None,
        [one] => Some(json!(one)),
        several => Some(json!(several)),
    };
    let code = args.code.as_ref().map(|code| json!(code));
    let known = [("data", data), ("code", code)];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn unchanged(error: LoadError) -> Failure {
    Failure::Failed(format!("{}; nothing was changed", error.detail))
}
