//! The metric by round, on what was trained on and on what was held back.

use super::Plot;
use super::axis::Axis;
use super::chart::Chart;
use crate::evaluate::gate::short;
use crate::table::Round;

/// More points than this are not seen.
const POINTS: usize = 500;

/// Training and validation by round; `best` is the round that the model ends with.
pub(crate) fn learning_curve(rounds: &[Round], best: Option<u32>) -> Plot {
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let metric = rounds.first().map_or("metric", |round| round.metric);
    let step = rounds.len().div_ceil(POINTS).max(1);
    let kept = || rounds.iter().enumerate().filter(|(at, _)| at % step == 0 || at + 1 == rounds.len());
    let train: Vec<[f64; 2]> =
        kept().filter_map(|(_, round)| Some([f64::from(round.round), finite(round.train)?])).collect();
    let held = kept().filter_map(|(_, round)| Some([f64::from(round.round), finite(round.validation?)?]));
    let validation: Vec<[f64; 2]> = held.collect();
    let last = rounds.last().map_or(1, |round| round.round.max(1));
    let first = rounds.first().map_or(0, |round| round.round.min(last - 1));
    let x = Axis::fixed(first.into(), last.into(), 6);
    let y = Axis::of(train.iter().chain(&validation).map(|point| point[1]), 6);
    let (low, high) = (y.low, y.high);
    let mut chart = Chart::new((x, "round"), (y, metric), [620.0, 360.0]);
    let marked = best.and_then(|best| rounds.iter().find(|round| round.round == best));
    if let Some(round) = marked {
        let at = f64::from(round.round);
        chart.line("rule", &[[at, low], [at, high]]);
    }
    chart.line("line a", &train);
    chart.line("line b", &validation);
    chart.key("a", "train");
    if !validation.is_empty() {
        chart.key("b", "validation");
    }
    if let Some(round) = marked
        && let Some(value) = finite(round.validation.unwrap_or(round.train))
    {
        chart.dot("b", [round.round.into(), value], 4.5, "");
        chart.key("rule", &format!("best round {}, {metric} {}", round.round, short(value)));
    }
    chart.finish("learning-curve", "Learning curve")
}
