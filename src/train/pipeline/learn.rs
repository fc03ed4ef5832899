//! Train and evaluate.

use std::collections::BTreeMap;

use serde_json::json;

use super::data::Prepared;
use super::{Pipeline, Reached};
use crate::failure::Failure;
use crate::judge::{self, Judged};
use crate::kept;
use crate::learner::Fitted;
use crate::rows::Source;
use crate::run::Step;
use crate::search::{self, Trained};
use crate::spool::Spool;
use crate::table::Rows;

impl Pipeline<'_> {
    pub(super) fn train(&mut self, source: &Source, prepared: &mut Prepared) -> Reached<Trained> {
        let (config, spool) = (self.config, &mut prepared.spool);
        spool.constrain(&config.model.monotone)?;
        if let (Some(_), Some(classes)) = (config.model.class_weight, &source.classes) {
            spool.balance(classes.len())?;
        }
        let known = self.from > Step::Train;
        let trained = if known {
            Trained::read(&self.run.path(kept::FILE))?
        } else {
            let trained = search::train(self, config.learner(), source, spool)?;
            self.keep(&trained, spool)?;
            trained
        };
        self.rounds.clone_from(&trained.rounds);
        let Fitted { rounds, .. } = trained.fitted;
        let words = format!("{}, {rounds} rounds", config.kind.name());
        let words = if known { format!("{words}, as {} has them", kept::FILE) } else { words };
        let numbers = json!({ "rounds": rounds, "learner": config.kind.name() });
        Ok(self.over(Step::Train, &words, numbers)?.then_some(trained))
    }

    /// Writes what was learned: as the library saves it, for people, and for a run that is taken up.
    fn keep(&self, trained: &Trained, spool: &Spool) -> Result<(), Failure> {
        let fitted = &trained.fitted;
        if let Some((format, bytes)) = &fitted.file {
            let name = match format {
                sidegate::booster::Source::LightgbmText => "learner.txt",
                sidegate::booster::Source::XgboostJson => "learner.json",
                sidegate::booster::Source::XgboostUbj => "learner.ubj",
            };
            self.run.write(name, bytes)?;
        }
        if !fitted.importance.is_empty() {
            let columns = spool.columns().iter().zip(&fitted.importance);
            let own: serde_json::Map<_, _> = columns
                .map(|(column, worth)| {
                    (column.name.clone(), json!({ "gain": worth.gain, "splits": worth.splits }))
                })
                .collect();
            self.run.write("importance.json", serde_json::to_vec_pretty(&own).unwrap_or_default())?;
        }
        trained.keep(&self.run.path(kept::FILE))
    }

    pub(super) fn evaluate(
        &mut self,
        source: &Source,
        prepared: &Prepared,
        trained: &Trained,
    ) -> Reached<Judged> {
        let judged = judge::judge(self.config, source, &prepared.spool, trained, &prepared.slices)?;
        let metrics = judge::named(&judged.evaluation);
        self.run.record.metrics.clone_from(&metrics);
        self.draw(source, &judged, &trained.fitted)?;
        let over = self.over(Step::Evaluate, &headline(&metrics), json!({ "metrics": metrics }))?;
        Ok(over.then_some(judged))
    }
}

/// The metrics that are looked at first.
fn headline(metrics: &BTreeMap<String, f64>) -> String {
    let first = ["test_rmse", "test_mae", "test_r2", "test_auc", "test_accuracy", "test_log_loss", "test_f1"];
    let shown = first.iter().filter_map(|name| metrics.get(*name).map(|value| format!("{name} {value:.4}")));
    shown.collect::<Vec<_>>().join(", ")
}
