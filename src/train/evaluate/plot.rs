//! Pictures of a model, as SVG of a few kilobytes without scripts; light and dark.

mod axis;
mod bars;
mod chart;
mod classes;
mod each;
mod learning;
mod matrix;
mod numbers;

pub(crate) use bars::bars;
pub(crate) use learning::learning_curve;
pub(crate) use matrix::confusion;

use super::markup::escaped;
use super::predictions::Predictions;
use crate::table::Task;

/// The looks of plots, for the page that holds them.
pub(super) const STYLE: &str = include_str!("plot.css");

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plot {
    /// The name of its file, without an ending.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) title: String,
    width: f64,
    height: f64,
    body: String,
}

/// What is drawn of predictions, by their task; `labels` are the names of the classes, in their order.
pub(crate) fn of(predictions: &Predictions, labels: &[String]) -> Vec<Plot> {
    match predictions.task() {
        Task::Regression => vec![numbers::predicted_vs_actual(predictions), numbers::residuals(predictions)],
        Task::Binary => vec![
            classes::roc(predictions),
            classes::precision_recall(predictions),
            classes::calibration(predictions),
        ],
        Task::Multiclass { .. } => vec![
            each::roc(predictions, labels),
            each::precision_recall(predictions, labels),
            each::calibration(predictions),
        ],
    }
}

impl Plot {
    fn new(name: &'static str, title: &str, [width, height]: [f64; 2], body: &str) -> Self {
        let head = format!("<text class=\"title start\" x=\"14\" y=\"24\">{}</text>\n", escaped(title));
        Self { name, title: title.to_owned(), width, height, body: head + body }
    }

    /// Whether it needs a page's whole width to be read.
    pub(super) const fn wide(&self) -> bool {
        self.width > 500.0
    }

    /// As a part of a page that has the looks.
    pub(crate) fn inline(&self) -> String {
        self.svg("", "")
    }

    /// As a file of its own.
    pub(crate) fn file(&self) -> String {
        let size = format!(
            " xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"",
            self.width, self.height
        );
        let back = "<rect class=\"back\" width=\"100%\" height=\"100%\"/>";
        let own = ".plot .back { fill: #fff; }\n@media (prefers-color-scheme: dark) { .plot .back { fill: #1a202a; } }\n";
        self.svg(&size, &format!("<style>\n{STYLE}{own}</style>\n{back}\n"))
    }

    fn svg(&self, attributes: &str, head: &str) -> String {
        format!(
            "<svg class=\"plot\"{attributes} viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{head}{}</svg>\n",
            self.width,
            self.height,
            escaped(&self.title),
            self.body
        )
    }
}
