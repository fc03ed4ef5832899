//! The front matter that the Hugging Face Hub reads.

use std::fmt::Write as _;

use super::Card;

/// YAML between two lines of dashes. Texts stand in JSON's quotes, which are YAML's too.
pub(super) fn render(card: &Card) -> String {
    let task =
        if card.evaluation.task == "regression" { "tabular-regression" } else { "tabular-classification" };
    let mut tags =
        vec!["tabular".to_owned(), "onnx".to_owned(), "sidegate".to_owned(), card.evaluation.task.clone()];
    // The learner's name without its version.
    tags.extend(card.model.learner.split_whitespace().next().map(str::to_owned));
    tags.extend(card.model.tags.iter().cloned());
    let mut seen = Vec::new();
    tags.retain(|tag| {
        !tag.is_empty() && !seen.contains(tag) && {
            seen.push(tag.clone());
            true
        }
    });
    // Without one the Hub asks for a word all the same; this is the one of the field.
    let data = card.data.hub.first().map_or("unknown", String::as_str);
    let license = if card.model.license.is_empty() { "other" } else { &card.model.license };
    let mut out =
        format!("---\nlicense: {}\nlibrary_name: sidegate\npipeline_tag: {task}\n", quoted(license));
    list(&mut out, "tags", &tags);
    if !card.data.hub.is_empty() {
        list(&mut out, "datasets", &card.data.hub);
    }
    let metrics: Vec<String> = card.evaluation.metrics.iter().map(|metric| metric.name.clone()).collect();
    list(&mut out, "metrics", &metrics);
    let _ = write!(
        out,
        "model-index:\n- name: {}\n  results:\n  - task:\n      type: {task}\n    dataset:\n      name: {}\n      \
         type: {}\n      split: test\n    metrics:\n",
        quoted(&card.model.name),
        quoted(&card.data.name),
        quoted(data)
    );
    for metric in &card.evaluation.metrics {
        // Debug keeps the point of whole numbers, without which they would be integers.
        let _ =
            writeln!(out, "    - type: {}\n      value: {}", quoted(&metric.name), yaml_number(metric.value));
    }
    out + "---\n"
}

fn list(out: &mut String, name: &str, values: &[String]) {
    let _ = writeln!(out, "{name}:");
    values.iter().for_each(|value| {
        let _ = writeln!(out, "- {}", quoted(value));
    });
}

/// As YAML 1.1 reads it too: an exponent needs a point and a sign.
fn yaml_number(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        None => text,
        Some((number, power)) => {
            let number = if number.contains('.') { number.to_owned() } else { format!("{number}.0") };
            let power = if power.starts_with('-') { power.to_owned() } else { format!("+{power}") };
            format!("{number}e{power}")
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
