//! `sidegate registry compare`: two versions side by side.

use serde_json::{Value, json};

use super::place::PlaceArgs;
use super::{print, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::{ModelName, Version};
use crate::registry::operations::{Better, Comparison, MetricComparison, compare};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry compare churn 6 7              metrics, parameters that differ, size
  sidegate registry compare churn 6 7 --json | jq .metric_comparison.auc.improvement

The change of a metric is in percent of the first version's value. Which of two is better is told where it is known of
the metric: more for auc, less for rmse. What only one of them has stands beside a `-`.";

/// Flags of `sidegate registry compare`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The first version
    #[arg(value_name = "VERSION1")]
    pub version1: Version,
    /// The second version
    #[arg(value_name = "VERSION2")]
    pub version2: Version,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let store = args.place.find()?.store()?;
    let comparison = compare(&*store, &args.model, args.version1, args.version2)?;
    print(args.json, &json!(comparison), || render(&comparison));
    Ok(())
}

fn render(comparison: &Comparison) -> String {
    let Comparison { version1, version2, metric_comparison, params_diff, size } = comparison;
    let (first, second) = (format!("VERSION {}", version1.version), format!("VERSION {}", version2.version));
    let row = |name: &str, a: String, b: String| vec![name.to_owned(), a, b];
    let created = |side: &Option<String>| text::cell(side.as_deref());
    let rows = [
        row("stage", version1.stage.name().into(), version2.stage.name().into()),
        row("created", created(&version1.created), created(&version2.created)),
        row("size", table::bytes(&json!(size.version1)), table::bytes(&json!(size.version2))),
    ];
    let mut text = table::render(&["", &first, &second], &[], &rows);
    let metrics: Vec<_> =
        metric_comparison.iter().map(|(name, metric)| metric_row(name, metric, comparison)).collect();
    text += "\n";
    text += &if metrics.is_empty() {
        "neither has a metric\n".to_owned()
    } else {
        let heads = ["METRIC", &first, &second, "CHANGE", "BETTER"];
        table::render(&heads, &[&first, &second, "CHANGE"], &metrics)
    };
    let param = |value: &Value| table::cell(value);
    let params: Vec<_> = params_diff
        .iter()
        .map(|(name, pair)| row(&text::line(name), param(&pair.version1), param(&pair.version2)))
        .collect();
    if !params.is_empty() {
        text += "\n";
        text += &table::render(&["PARAMETER", &first, &second], &[], &params);
    }
    text
}

fn metric_row(name: &str, metric: &MetricComparison, comparison: &Comparison) -> Vec<String> {
    let better = match metric.better {
        Some(Better::Version1) => comparison.version1.version.clone(),
        Some(Better::Version2) => comparison.version2.version.clone(),
        Some(Better::Equal) => "equal".into(),
        None => "-".into(),
    };
    let change = metric.improvement.map_or_else(|| "-".into(), |percent| format!("{percent:+.2} %"));
    let value = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| value.to_string());
    vec![text::line(name), value(metric.version1), value(metric.version2), change, better]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stage;
    use crate::registry::operations::{Side, Sizes};

    #[test]
    fn two_versions_stand_side_by_side() {
        let side = |version: &str, stage| Side {
            version: version.into(),
            stage,
            created: Some("2026-11-23T00:00:00Z".into()),
            metrics: json!({}),
            params: json!({}),
        };
        let metric = |version1, version2, improvement, better| MetricComparison {
            version1,
            version2,
            improvement,
            better,
        };
        let comparison = Comparison {
            version1: side("6", Stage::Archived),
            version2: side("7", Stage::Production),
            metric_comparison: [
                ("auc".into(), metric(Some(0.8), Some(0.82), Some(2.5), Some(Better::Version2))),
                ("loss".into(), metric(Some(0.0), Some(0.1), None, None)),
                ("old".into(), metric(Some(3.0), None, None, None)),
            ]
            .into(),
            params_diff: [(
                "depth".into(),
                crate::registry::operations::Difference { version1: json!(6), version2: Value::Null },
            )]
            .into(),
            size: Sizes { version1: Some(2048), version2: None, difference: None },
        };
        let expected = "         VERSION 6             VERSION 7
stage    Archived              Production
created  2026-11-23T00:00:00Z  2026-11-23T00:00:00Z
size     2.0 KiB               -

METRIC  VERSION 6  VERSION 7   CHANGE  BETTER
auc           0.8       0.82  +2.50 %  7
loss            0        0.1        -  -
old             3          -        -  -

PARAMETER  VERSION 6  VERSION 7
depth      6          -
";
        assert_eq!(render(&comparison), expected);
    }
}
