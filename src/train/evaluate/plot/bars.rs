//! Importance: a bar per feature, the longest first.

use std::fmt::Write as _;

use super::Plot;
use super::axis::{Axis, digits};
use crate::evaluate::markup::{clipped, escaped};

const WIDTH: f64 = 620.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 78.0;
const TOP: f64 = 44.0;
const STEP: f64 = 24.0;
/// More features are not drawn, but counted.
const MOST: usize = 20;

/// Bars of the largest values. `unit` says what they are.
pub(crate) fn bars(name: &'static str, title: &str, unit: &str, values: &[(String, f64)]) -> Plot {
    let mut ranked: Vec<&(String, f64)> = values.iter().filter(|(_, value)| value.is_finite()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let left_out = ranked.len().saturating_sub(MOST);
    ranked.truncate(MOST);
    let axis = Axis::of(ranked.iter().map(|row| row.1).chain([0.0]), 5);
    let place = |value: f64| LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + STEP * ranked.len() as f64;
    let mut body = String::new();
    for tick in &axis.ticks {
        let at = place(*tick);
        let _ = writeln!(
            body,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 17.0,
            axis.label(*tick)
        );
    }
    for (at, (feature, value)) in ranked.into_iter().enumerate() {
        let top = TOP + STEP * at as f64;
        let (from, to) = (place(value.min(0.0)), place(value.max(0.0)));
        let _ = writeln!(
            body,
            "<text class=\"end strong\" x=\"{:.1}\" y=\"{:.1}\">{}<title>{}</title></text>\
             <rect class=\"fill a\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/>\
             <text class=\"start\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 10.0,
            top + 16.0,
            clipped(feature, 26),
            escaped(feature),
            top + 4.0,
            to - from,
            STEP - 8.0,
            to + 6.0,
            top + 16.0,
            digits(*value)
        );
    }
    let rest = if left_out > 0 { format!("; {left_out} more features") } else { String::new() };
    let _ = writeln!(
        body,
        "<line class=\"axis\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
         <text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        bottom + 36.0,
        escaped(&(unit.to_owned() + &rest)),
        zero = place(0.0)
    );
    Plot::new(name, title, [WIDTH, bottom + 48.0], &body)
}
