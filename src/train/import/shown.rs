//! What people look at: a report and a card of a model that was trained elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sidegate::format::Model as File;
use sidegate::registry::clock;

use super::ImportArgs;
use super::examine::write;
use super::rows::Rows;
use crate::evaluate::card::{self, Card, Feature, Lineage, Usage};
use crate::evaluate::{Evaluation, Predictions, plot, report};
use crate::failure::Failure;
use crate::pipeline::interface;

/// What both are about.
pub(super) struct Shown<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) model: &'a File,
    pub(super) rows: &'a Rows,
    pub(super) data: &'a str,
    pub(super) target: &'a str,
    /// Those of its matrix; none where each is an input.
    pub(super) columns: &'a [String],
}

// === impl Shown ===

impl Shown<'_> {
    /// Writes `report.html`, `card.md` and `card.json` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn write(
        &self,
        (predictions, evaluation): (Predictions, Evaluation),
        classes: &[String],
        folder: &Path,
    ) -> Result<(Card, Vec<PathBuf>), Failure> {
        let mut plots = plot::of(&predictions, classes);
        plots.extend(evaluation.confusion.iter().map(plot::confusion));
        let card = self.card(evaluation);
        let json = card.json().map_err(Failure::Failed)?;
        let files = vec![
            write(folder, "report.html", report::page(&card, &plots).as_bytes())?,
            write(folder, "card.md", card.markdown().as_bytes())?,
            write(folder, "card.json", json.as_bytes())?,
        ];
        Ok((card, files))
    }

    fn card(&self, evaluation: Evaluation) -> Card {
        let Self { args, model, rows, data, target, columns } = *self;
        let report = rows.report();
        let feature =
            |name: &String| Feature { name: name.clone(), kind: "number".to_owned(), ..Feature::default() };
        Card {
            format: 1,
            model: card::Model {
                name: args.model.to_string(),
                version: None,
                created: clock::text(time::OffsetDateTime::now_utc()),
                summary: String::new(),
                learner: format!("{}, trained elsewhere", model.family()),
                license: "other".to_owned(),
                tags: args.tag.iter().map(|(name, text)| format!("{name}:{text}")).collect(),
                facts: BTreeMap::new(),
            },
            usage: Usage::default(),
            data: card::Data {
                name: data.to_owned(),
                hub: Vec::new(),
                source: data.to_owned(),
                digest: report.digest.clone(),
                range: None,
                target: target.to_owned(),
                rows: BTreeMap::from([("test".to_owned(), report.kept)]),
                findings: report.findings.iter().map(|finding| finding.message.clone()).collect(),
            },
            interface: interface(model),
            features: columns.iter().map(feature).collect(),
            params: BTreeMap::new(),
            evaluation,
            comparison: None,
            gate: None,
            proof: Vec::new(),
            lineage: Lineage {
                program: format!("sidegate-train {}", env!("CARGO_PKG_VERSION")),
                ..Lineage::default()
            },
        }
    }
}
