//! Which class was taken for which.

use std::fmt::Write as _;

use super::Plot;
use crate::evaluate::evaluation::Confusion;
use crate::evaluate::gate::short;
use crate::evaluate::markup::{clipped, escaped};

const LEFT: f64 = 120.0;
const TOP: f64 = 76.0;
/// Letters of a label that have room.
const LETTERS: usize = 13;

/// Cells as dark as their share of the class that came.
pub(crate) fn confusion(matrix: &Confusion) -> Plot {
    let classes = matrix.labels.len().max(1);
    let size = (340.0 / classes as f64).clamp(30.0, 110.0);
    let side = size * classes as f64;
    let mut body = String::new();
    for (at, label) in matrix.labels.iter().enumerate() {
        let middle = (at as f64 + 0.5) * size;
        let letters = ((size / 7.0) as usize).clamp(3, LETTERS);
        let _ = writeln!(
            body,
            "<text class=\"end strong\" x=\"{:.1}\" y=\"{:.1}\">{}<title>{full}</title></text>\
             <text class=\"middle strong\" x=\"{:.1}\" y=\"{:.1}\">{}<title>{full}</title></text>",
            LEFT - 8.0,
            TOP + middle + 4.0,
            clipped(label, LETTERS),
            LEFT + middle,
            TOP - 8.0,
            clipped(label, letters),
            full = escaped(label)
        );
    }
    for (truth, row) in matrix.counts.iter().enumerate() {
        let whole = row.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        for (predicted, count) in row.iter().enumerate() {
            let (x, y) = (LEFT + predicted as f64 * size, TOP + truth as f64 * size);
            let (class, share) = (if truth == predicted { "a" } else { "b" }, count / whole);
            let _ = writeln!(
                body,
                "<rect class=\"fill {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"4\" \
                 fill-opacity=\"{:.2}\"/>",
                x + 1.5,
                y + 1.5,
                size - 3.0,
                size - 3.0,
                0.05 + 0.6 * share
            );
            let middle = x + size / 2.0;
            if size >= 60.0 {
                let _ = writeln!(
                    body,
                    "<text class=\"middle strong\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>\
                     <text class=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{:.1} %</text>",
                    y + size / 2.0 - 2.0,
                    short(*count),
                    y + size / 2.0 + 15.0,
                    100.0 * share
                );
            } else if *count > 0.0 {
                let text = if *count >= 1e4 { format!("{:.0}k", count / 1e3) } else { short(count.round()) };
                let _ = writeln!(
                    body,
                    "<text class=\"middle strong\" x=\"{middle:.1}\" y=\"{:.1}\">{text}</text>",
                    y + size / 2.0 + 4.0
                );
            }
        }
    }
    let threshold =
        matrix.threshold.map_or_else(String::new, |threshold| format!(" from {} on", short(threshold)));
    let middle = TOP + side / 2.0;
    let _ = writeln!(
        body,
        "<text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">predicted{threshold}</text>\n\
         <text class=\"middle\" x=\"18\" y=\"{middle:.1}\" transform=\"rotate(-90 18 {middle:.1})\">actual</text>",
        LEFT + side / 2.0,
        TOP - 28.0,
    );
    Plot::new("confusion", "Confusion matrix", [(LEFT + side + 18.0).max(300.0), TOP + side + 16.0], &body)
}
