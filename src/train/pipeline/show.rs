//! What people look at: the card, the report and the plots.

use std::collections::BTreeMap;

use sidegate::model::Version;

use super::Pipeline;
use super::data::{Prepared, told};
use crate::evaluate::card::{Card, Interface, Lineage, Usage};
use crate::evaluate::{Comparison, Decision, card, plot, report};
use crate::failure::Failure;
use crate::judge::Judged;
use crate::learner::Fitted;
use crate::rows::Source;
use crate::table::{Part, Rows};

/// The card as it is stored, in the folder of a run.
pub(crate) const CARD: &str = "card.json";

impl Pipeline<'_> {
    pub(super) fn card(
        &self,
        source: &Source,
        prepared: &Prepared,
        (judged, params): (Judged, &toml::Table),
        comparison: Option<Comparison>,
        gate: Decision,
        facts: BTreeMap<String, f64>,
    ) -> Card {
        let (config, report) = (self.config, &source.validated.report);
        let rows = [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)];
        let params = match serde_json::to_value(params) {
            Ok(serde_json::Value::Object(params)) => params.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        Card {
            format: 1,
            model: card::Model {
                name: config.name.to_string(),
                version: None,
                created: self.run.record.started.clone(),
                summary: config.card.summary.clone(),
                learner: config.kind.name().to_owned(),
                license: config.card.license.clone().unwrap_or_else(|| "other".to_owned()),
                tags: config.card.tags.clone(),
                facts,
            },
            usage: Usage {
                intended: config.card.intended.clone(),
                limitations: config.card.limitations.clone(),
            },
            data: card::Data {
                name: config.card.data.clone().unwrap_or_else(|| source.origin().to_owned()),
                hub: config.card.datasets.clone(),
                source: source.origin().to_owned(),
                digest: report.digest.clone(),
                range: report.first_date.clone().zip(report.last_date.clone()).map(|(from, to)| [from, to]),
                target: source.target().to_owned(),
                rows: rows.map(|(name, part)| (name.to_owned(), prepared.spool.count(part) as u64)).into(),
                findings: report.findings.iter().map(told).collect(),
            },
            interface: Interface::default(),
            features: judged.features,
            params,
            evaluation: judged.evaluation,
            comparison,
            gate: Some(gate),
            proof: Vec::new(),
            lineage: Lineage {
                code: self.run.record.code.clone(),
                config: Some(config.digest.clone()),
                parent: self.parent.map(Version::get),
                run: Some(self.run.record.run.clone()),
                seed: Some(config.seed),
                program: format!("sidegate-train {}", env!("CARGO_PKG_VERSION")),
            },
        }
    }

    /// Draws what was found, into the folder of the run and for the report.
    pub(super) fn draw(&mut self, source: &Source, judged: &Judged, fitted: &Fitted) -> Result<(), Failure> {
        let named: Vec<(String, f64)> = judged
            .features
            .iter()
            .map(|feature| {
                let worth = feature.shap.or(feature.permutation.map(|shuffled| shuffled.loss));
                (feature.name.clone(), worth.unwrap_or_default())
            })
            .collect();
        let mut plots = plot::of(&judged.predictions, source.classes.as_deref().unwrap_or_default());
        plots.extend(judged.evaluation.confusion.iter().map(plot::confusion));
        let label = if judged.features.iter().any(|feature| feature.shap.is_some()) {
            "mean |SHAP|"
        } else {
            "loss when shuffled"
        };
        plots.push(plot::bars("importance", "Importance", label, &named));
        if self.rounds.len() > 1 {
            plots.push(plot::learning_curve(&self.rounds, Some(fitted.rounds)));
        }
        for plot in &plots {
            self.run.write(&format!("{}.svg", plot.name), plot.file())?;
        }
        self.drawn = plots;
        Ok(())
    }

    /// Writes everything that people look at.
    pub(super) fn show(&self, card: &Card) -> Result<(), Failure> {
        self.run.write("report.html", report::page(card, &self.drawn))?;
        self.run.write("card.md", card.markdown())?;
        self.run.write(CARD, card.json().map_err(Failure::Failed)?)?;
        Ok(())
    }

    /// The card of a run that is taken up behind its proof.
    ///
    /// # Errors
    /// When it is not there, or not whole.
    pub(crate) fn kept_card(&self) -> Result<Card, Failure> {
        let bytes = self.run.read(CARD)?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::file(&self.run.path(CARD), &error))
    }
}
