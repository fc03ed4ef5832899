//! What charts share: the frame with its ticks, a legend, lines, bands, dots.

use std::fmt::Write as _;

use super::Plot;
use super::axis::Axis;
use crate::evaluate::markup::escaped;

/// Beside, below and above the drawing area.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 50.0;

/// A chart with two scales.
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    width: f64,
    height: f64,
    names: [String; 2],
    body: String,
    legend: Vec<(&'static str, String)>,
    /// Room for the legend beside the drawing; above it where there is none.
    side: f64,
}

impl Chart {
    pub(super) fn new(x: (Axis, &str), y: (Axis, &str), [width, height]: [f64; 2]) -> Self {
        let names = [x.1, y.1].map(escaped);
        Self { x: x.0, y: y.0, width, height, names, body: String::new(), legend: Vec::new(), side: 0.0 }
    }

    /// Puts the legend beside the drawing, before anything is drawn: for more names than a line above holds.
    pub(super) fn beside(&mut self, room: f64) {
        self.width += room - self.side;
        self.side = room;
    }

    /// Where the drawing ends.
    fn right(&self) -> f64 {
        self.width - RIGHT - self.side
    }

    fn left(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (self.right() - LEFT)
    }

    fn top(&self, y: f64) -> f64 {
        TOP + (1.0 - self.y.place(y)) * (self.height - TOP - BOTTOM)
    }

    fn path(&self, points: &[[f64; 2]]) -> String {
        let places: Vec<String> =
            points.iter().map(|[x, y]| format!("{:.1},{:.1}", self.left(*x), self.top(*y))).collect();
        places.join(" ")
    }

    /// Names a colour.
    pub(super) fn key(&mut self, class: &'static str, name: &str) {
        self.legend.push((class, escaped(name)));
    }

    pub(super) fn line(&mut self, class: &str, points: &[[f64; 2]]) {
        let path = self.path(points);
        let _ = writeln!(self.body, "<polyline class=\"{class}\" points=\"{path}\"/>");
    }

    /// What lies between two lines.
    pub(super) fn band(&mut self, class: &str, low: &[[f64; 2]], high: &[[f64; 2]]) {
        let mut edge = low.to_vec();
        edge.extend(high.iter().rev());
        let path = self.path(&edge);
        let _ = writeln!(self.body, "<polygon class=\"fill band {class}\" points=\"{path}\"/>");
    }

    pub(super) fn dot(&mut self, class: &str, [x, y]: [f64; 2], radius: f64, title: &str) {
        let (left, top) = (self.left(x), self.top(y));
        let title =
            if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) };
        let _ = writeln!(
            self.body,
            "<circle class=\"fill {class}\" cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"{radius}\">{title}</circle>"
        );
    }

    /// A rectangle between two corners.
    pub(super) fn cell(&mut self, class: &str, [x, y]: [f64; 2], [x2, y2]: [f64; 2], opacity: f64) {
        let (left, right, top, bottom) = (self.left(x), self.left(x2), self.top(y2), self.top(y));
        let _ = writeln!(
            self.body,
            "<rect class=\"fill {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill-opacity=\"{opacity:.2}\"/>",
            (right - left).max(0.0),
            (bottom - top).max(0.0)
        );
    }

    pub(super) fn finish(self, name: &'static str, title: &str) -> Plot {
        let (right, bottom) = (self.right(), self.height - BOTTOM);
        let mut head = String::new();
        for tick in &self.x.ticks {
            let (at, label) = (self.left(*tick), self.x.label(*tick));
            let _ = writeln!(
                head,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 17.0
            );
        }
        for tick in &self.y.ticks {
            let (at, label) = (self.top(*tick), self.y.label(*tick));
            let _ = writeln!(
                head,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 7.0,
                at + 4.0
            );
        }
        let middle = f64::midpoint(TOP, bottom);
        let _ = writeln!(
            head,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\n\
             <text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"middle\" x=\"16\" y=\"{middle:.1}\" transform=\"rotate(-90 16 {middle:.1})\">{}</text>",
            f64::midpoint(LEFT, right),
            bottom + 38.0,
            self.names[0],
            self.names[1]
        );
        let is_beside = self.side > 0.0;
        let (mut at, mut line) = if is_beside { (right + 18.0, TOP + 8.0) } else { (LEFT, 42.0) };
        for (class, name) in &self.legend {
            let sign = if class.contains("rule") {
                format!(
                    "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{:.1}\" y1=\"{line}\" y2=\"{line}\"/>",
                    at + 16.0
                )
            } else {
                format!(
                    "<rect class=\"fill {class}\" x=\"{at:.1}\" y=\"{}\" width=\"16\" height=\"10\" rx=\"3\"/>",
                    line - 5.0
                )
            };
            let text = (at + 22.0, line + 4.0);
            let _ = writeln!(
                head,
                "{sign}<text class=\"start\" x=\"{:.1}\" y=\"{}\">{name}</text>",
                text.0, text.1
            );
            if is_beside {
                line += 20.0;
                continue;
            }
            // Letters of this size are about so wide; an escape counts as one.
            let letters =
                name.split('&').map(|part| part.split(';').next_back().unwrap_or_default().chars().count());
            at += 46.0 + 6.6 * letters.sum::<usize>() as f64;
        }
        Plot::new(name, title, [self.width, self.height], &(head + &self.body))
    }
}
