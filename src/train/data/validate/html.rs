//! The report as a page that needs nothing else.

use std::fmt::Write as _;

use super::report::{ColumnSummary, Finding, Report};
use crate::data::kind::Kind;
use crate::data::range::format_instant;
use crate::data::schema::Action;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;\
color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{text-align:left;\
padding:.3rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}td.n{text-align:right;\
font-variant-numeric:tabular-nums}.warn{color:#7d4e00}.fail{color:#b3261e}.pass{color:#116329}.bar{background:#eaeef2;\
width:6rem;height:.6rem;display:inline-block}.bar i{background:#57606a;height:100%;display:block}code{font-size:90%}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.warn{color:#e3b341}\
.fail{color:#ff7b72}.pass{color:#56d364}.bar{background:#21262d}.bar i{background:#8b949e}}";

impl Report {
    /// As a page of its own.
    pub(crate) fn html(&self) -> String {
        let (class, verdict) = if self.passed { ("pass", "passed") } else { ("fail", "failed") };
        let range = match (&self.first_date, &self.last_date) {
            (Some(first), Some(last)) => {
                format!("<tr><th>dates</th><td>{} to {}</td></tr>", escape(first), escape(last))
            }
            _ => String::new(),
        };
        let digest = match self.digest.as_str() {
            "" => String::new(),
            digest => format!("<tr><th>digest</th><td><code>{}</code></td></tr>", escape(digest)),
        };
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Validation {verdict}</title><style>{STYLE}</style></head><body>\
             <h1>Validation <span class=\"{class}\">{verdict}</span></h1><table><tr><th>source</th><td>{}</td></tr>\
             <tr><th>rows</th><td>{}, of which {} are kept</td></tr>{range}{digest}</table>",
            escape(&self.origin),
            self.rows,
            self.kept,
        );
        if !self.findings.is_empty() {
            page.push_str(
                "<h2>Findings</h2><table><thead><tr><th>column</th><th>check</th><th>action</th><th>rows</th>\
                 <th>share</th><th>what</th></tr></thead><tbody>",
            );
            self.findings.iter().for_each(|finding| finding.row(&mut page));
            page.push_str("</tbody></table>");
        }
        if self.columns.is_empty() {
            page.push_str("</body></html>\n");
            return page;
        }
        page.push_str(
            "<h2>Columns</h2><table><thead><tr><th>column</th><th>type</th><th>missing</th><th>least</th>\
             <th>greatest</th><th>mean</th><th>deviation</th><th>values</th></tr></thead><tbody>",
        );
        self.columns.iter().for_each(|column| column.row(self.rows, &mut page));
        page.push_str("</tbody></table></body></html>\n");
        page
    }
}

impl Finding {
    fn row(&self, page: &mut String) {
        let action = match self.action {
            Action::Warn => "warn",
            Action::Drop => "drop",
            Action::Fail => "fail",
        };
        let check = serde_json::to_value(self.check).ok();
        let check = check.as_ref().and_then(|check| check.as_str()).unwrap_or_default().replace('_', " ");
        let examples = match self.examples.as_slice() {
            [] => String::new(),
            some => format!(
                " (such as {})",
                some.iter().map(|e| format!("<code>{}</code>", escape(e))).collect::<Vec<_>>().join(", ")
            ),
        };
        // Writing into a string cannot fail.
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{check}</td><td class=\"{action}\">{action}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{:.2} %</td><td>{}{examples}</td></tr>",
            escape(&self.column),
            self.count,
            self.share * 100.0,
            escape(&self.message)
        );
    }
}

impl ColumnSummary {
    fn row(&self, rows: u64, page: &mut String) {
        let share = self.missing as f64 / rows.max(1) as f64 * 100.0;
        #[expect(clippy::cast_possible_truncation, reason = "it was milliseconds before")]
        let bound = |value: Option<f64>| match (value, self.kind) {
            (None, _) => String::new(),
            (Some(value), Kind::Time) => format_instant(value as i64),
            (Some(value), _) => short(value),
        };
        let moment = |value: Option<f64>| value.map(short).unwrap_or_default();
        let values = match &self.categories {
            Some(found) => found.len().to_string(),
            None if self.kind == Kind::Text => "over 1000".into(),
            None => String::new(),
        };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td><span class=\"bar\"><i style=\"width:{share:.1}%\"></i></span> {share:.1} %</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{values}</td></tr>",
            escape(&self.name),
            self.kind.name(),
            bound(self.min),
            bound(self.max),
            moment(self.mean),
            moment(self.sd)
        );
    }
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value}") } else { format!("{value:.4}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
