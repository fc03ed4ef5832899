//! What a test found: a page for people, the JSON of the founding document, JUnit XML for CI.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::subject::Subject;
use crate::cli::markup::escaped;
use crate::cli::table;
use crate::model::TensorSpec;
use crate::serving::checks::{Finding, Status};

/// The findings, and what they are about.
pub struct Report {
    /// The model as it was named.
    pub(super) model: String,
    /// What it is; the format where it could not be loaded.
    pub(super) model_type: String,
    /// What it takes and gives, and what runs it; null where it could not be loaded.
    pub(super) about: Value,
    /// What was found, in the order in which it was looked for.
    pub findings: Vec<Finding>,
    /// Every metric that was computed, by name.
    pub metrics: Vec<(String, f64)>,
    pub(super) timestamp: String,
}

// === impl Report ===

impl Report {
    /// Nothing found yet; the model could not be opened, unless [`Report::describe`] says otherwise.
    pub(super) fn new(model: String, model_type: String) -> Self {
        let timestamp = OffsetDateTime::now_utc();
        let timestamp = timestamp.replace_nanosecond(0).unwrap_or(timestamp);
        Self {
            model,
            model_type,
            about: Value::Null,
            findings: Vec::new(),
            metrics: Vec::new(),
            timestamp: timestamp.format(&Rfc3339).unwrap_or_default(),
        }
    }

    /// Takes down what the model is.
    pub(super) fn describe(&mut self, subject: &Subject) {
        self.model_type.clone_from(&subject.model_type);
        let specs = |specs: &[TensorSpec]| -> Vec<Value> {
            let spec = |spec: &TensorSpec| json!({"name": &*spec.name, "datatype": spec.datatype.name(), "shape": spec.shape});
            specs.iter().map(spec).collect()
        };
        let file = &subject.file;
        self.about = json!({
            "signature": {"inputs": specs(&file.signature.inputs), "outputs": specs(&file.signature.outputs)},
            "engine": file.loaded.kind.name(),
            "engine_reason": file.loaded.reason,
            "bytes": file.bytes,
            "load_ms": file.load_time.as_secs_f64() * 1e3,
        });
    }

    /// How many came out so.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.count(Status::Failed) == 0
    }

    /// The report of the founding document, and what else is known.
    pub fn json(&self) -> Value {
        let detail = |finding: &Finding| {
            json!({"name": finding.name, "status": finding.status.name(), "detail": finding.detail,
                "duration_ms": milliseconds(finding)})
        };
        // What is no finite number has no JSON form, and becomes null.
        let metrics: Map<String, Value> =
            self.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "timestamp": self.timestamp,
            "model_type": self.model_type,
            "tests_passed": self.count(Status::Passed),
            "tests_failed": self.count(Status::Failed),
            "tests_skipped": self.count(Status::Skipped),
            "test_details": self.findings.iter().map(detail).collect::<Vec<_>>(),
            "metrics": metrics,
            "model": self.model,
            "interface": self.about,
        })
    }

    /// One page for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}", self.model, self.model_type);
        if let Some(reason) = self.about["engine_reason"].as_str() {
            let (bytes, load) =
                (table::bytes(&self.about["bytes"]), table::milliseconds(&self.about["load_ms"]));
            let _ = write!(text, ", {bytes}, loaded in {load}: {reason}");
        }
        text.push('\n');
        for (side, specs) in [("input", "inputs"), ("output", "outputs")] {
            for spec in self.about["signature"][specs].as_array().into_iter().flatten() {
                let (name, datatype) = (table::cell(&spec["name"]), table::cell(&spec["datatype"]));
                let _ = writeln!(text, "  {side:<6} {name} {datatype} {}", spec["shape"]);
            }
        }
        let row = |finding: &Finding| {
            let detail = table::cell(&Value::String(finding.detail.clone()));
            vec![finding.name.clone(), finding.status.name().to_owned(), detail]
        };
        let rows: Vec<_> = self.findings.iter().map(row).collect();
        let _ = write!(text, "\n{}", table::render(&["CHECK", "RESULT", "DETAIL"], &[], &rows));
        let [passed, failed, skipped] =
            [Status::Passed, Status::Failed, Status::Skipped].map(|status| self.count(status));
        let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
        text
    }

    /// JUnit XML, as CI servers read it.
    pub(super) fn junit(&self) -> String {
        let seconds = |ms: f64| format!("{:.6}", ms / 1e3);
        let total: f64 = self.findings.iter().map(milliseconds).sum();
        let (suite, time) = (escaped(&self.model), seconds(total));
        let counts = format!(
            r#"tests="{}" failures="{}" errors="0" skipped="{}""#,
            self.findings.len(),
            self.count(Status::Failed),
            self.count(Status::Skipped)
        );
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
        let stamp = escaped(&self.timestamp);
        let _ = writeln!(xml, r#"<testsuite name="{suite}" {counts} time="{time}" timestamp="{stamp}">"#);
        for finding in &self.findings {
            let (name, detail) = (escaped(&finding.name), escaped(&finding.detail));
            let inner = match finding.status {
                Status::Passed => format!("<system-out>{detail}</system-out>"),
                Status::Failed => format!(r#"<failure message="{detail}"/>"#),
                Status::Skipped => format!(r#"<skipped message="{detail}"/>"#),
            };
            let time = seconds(milliseconds(finding));
            let _ = writeln!(
                xml,
                r#"<testcase classname="sidegate.{suite}" name="{name}" time="{time}">{inner}</testcase>"#
            );
        }
        xml + "</testsuite>\n</testsuites>\n"
    }
}

fn milliseconds(finding: &Finding) -> f64 {
    (finding.took.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn report() -> Report {
        let mut report = Report::new("m<1>".into(), "onnx tree ensemble (trees)".into());
        report.findings = vec![
            Finding::new("shape", Ok("fine".into()), Instant::now()),
            Finding::new("range", Err("`y` & \"z\": 2 > 1\u{1b}[1m".into()), Instant::now()),
            Finding::skipped("agreement", "one engine"),
        ];
        report.metrics = vec![("r2".into(), f64::NAN), ("mae".into(), 0.5)];
        report
    }

    #[test]
    fn json_has_the_fields_of_the_founding_document() {
        let json = report().json();
        assert_eq!(
            (&json["tests_passed"], &json["tests_failed"], &json["tests_skipped"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!(json["model_type"], "onnx tree ensemble (trees)");
        let stamp = json["timestamp"].as_str().unwrap();
        assert!(OffsetDateTime::parse(stamp, &Rfc3339).is_ok() && stamp.ends_with('Z'), "{stamp}");
        let detail = &json["test_details"][1];
        assert_eq!((&detail["name"], &detail["status"]), (&json!("range"), &json!("failed")));
        assert!(detail["duration_ms"].is_number());
        assert_eq!(json["metrics"], json!({"r2": null, "mae": 0.5}));
    }

    #[test]
    fn the_page_is_a_table_without_control_characters() {
        let text = report().text();
        assert!(text.contains("\nrange      failed   `y` & \"z\": 2 > 1 [1m\n"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed, 1 skipped\n") && !report().passed());
    }

    #[test]
    fn junit_is_well_formed() {
        let xml = report().junit();
        assert!(
            xml.contains(r#"<testsuite name="m&lt;1&gt;" tests="3" failures="1" errors="0" skipped="1""#),
            "{xml}"
        );
        assert!(xml.contains(r#"<failure message="`y` &amp; &quot;z&quot;: 2 &gt; 1 [1m"/>"#), "{xml}");
        assert!(xml.contains(r#"<skipped message="one engine"/></testcase>"#), "{xml}");
    }
}
