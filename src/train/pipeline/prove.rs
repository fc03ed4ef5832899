//! The served file: written, and proven to answer as the trained model does.

use serde_json::json;
use sidegate::format::{Format, Model as File};

use super::data::Prepared;
use super::{Pipeline, Reached};
use crate::evaluate::Card;
use crate::evaluate::card::{Interface, Port};
use crate::failure::Failure;
use crate::learner::Fitted;
use crate::package::{self, Package};
use crate::prove::{Prover, Subject};
use crate::rows::Source;
use crate::run::Step;
use crate::served::Served;
use crate::table::{Part, Rows as _};

/// The served file, in the folder of a run.
pub(crate) const MODEL: &str = "model.onnx";

impl Pipeline<'_> {
    pub(super) fn export(&mut self, model: &[u8]) -> Result<bool, Failure> {
        let path = self.run.write(MODEL, model)?;
        let words = format!("{} ({} bytes)", path.display(), model.len());
        self.over(Step::Export, &words, json!({ "bytes": model.len() }))
    }

    pub(super) fn prove(
        &mut self,
        source: &Source,
        prepared: &Prepared,
        fitted: &Fitted,
        model: &[u8],
        mut card: Card,
    ) -> Reached<()> {
        // Read back as a gateway would.
        let whole = File::parse(Format::Onnx, model.to_vec())?;
        let (exported, recipe) = (&self.config.export, &prepared.recipe);
        let columns = exported.columns(recipe).map_err(Failure::Config)?;
        let alone = File::parse(Format::Onnx, recipe.features_file(exported.input.as_deref())?)?;
        let answer = self.answer(source);
        let mut prover = Prover::new(&Subject {
            whole: &whole,
            alone: &alone,
            model: &fitted.model,
            recipe,
            fields: &source.fields,
            task: source.task,
            answer: &answer,
            export: exported,
        })?;
        for (engine, why) in prover.left_out() {
            let words = format!("not proven in {engine}: {why}");
            self.progress.say(
                Step::Prove.name(),
                &words,
                json!({ "engine": engine.name(), "proven": false }),
            );
        }
        let mut served =
            Served::of_columns(&whole, sidegate::config::EngineChoice::Trees, &source.fields, &columns)
                .map_err(Failure::Failed)?;
        served.predict_by(exported.prediction(source.classes.is_some())).map_err(Failure::Failed)?;
        let schema = package::schema(&served, source.classes.as_deref(), source.target());
        self.run.write(package::SCHEMA, serde_json::to_vec_pretty(&schema).unwrap_or_default())?;
        let mut package = Package::new(served, prepared.spool.count(Part::Test));
        source.scan_part(Part::Test, &mut |raw| {
            package.push(raw)?;
            prover.push(raw)
        })?;
        package.finish(&self.run.folder)?;
        card.proof = prover.finish().map_err(Failure::Failed)?;
        self.show(&card)?;
        let proven: Vec<String> =
            card.proof.iter().map(|proof| format!("{} {:.1e}", proof.engine, proof.largest)).collect();
        Ok(self.over(Step::Prove, &proven.join(", "), json!({ "proof": card.proof }))?.then_some(()))
    }
}

/// The interface of a model, for its card.
pub(crate) fn interface(file: &File) -> Interface {
    let ports = |specs: &[sidegate::model::TensorSpec]| {
        let port = |spec: &sidegate::model::TensorSpec| Port {
            name: spec.name.to_string(),
            datatype: spec.datatype.name().to_owned(),
            shape: spec.shape.clone(),
        };
        specs.iter().map(port).collect()
    };
    let signature = file.signature();
    Interface { inputs: ports(&signature.inputs), outputs: ports(&signature.outputs) }
}
