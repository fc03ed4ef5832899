//! `sidegate explain`: which rule or slot of an experiment decides about a request.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin_client::Client;
use super::failure::Failure;
use super::{AdminArgs, say, table};
use crate::config::{self, Sources};
use crate::experiment::Given;
use crate::model::ModelName;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate explain churn --unit user-42            which variant this user gets, by the configuration file
  sidegate explain churn --unit user-42 --header x-country=DE --body '{\"age\": 17}'
  sidegate explain churn --unit user-42 --admin 127.0.0.1:8002
                                                   and which version of a running sidegate that is";

/// Flags of `sidegate explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The model, or its experiment
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The unit, wherever the experiment finds it in requests
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<String>,
    /// A header field of the request; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// A cookie of the request; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub cookie: Vec<String>,
    /// The JSON body of the request
    #[arg(long, value_name = "JSON")]
    pub body: Option<String>,
    /// Ask the sidegate with this admin port; otherwise the configuration file is enough
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// File with the token of the admin port [default: that of the configuration]
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub token_file: Option<PathBuf>,
    /// Configuration file [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    match explain(args) {
        Ok(explanation) if args.json => say(&format!("{explanation:#}\n")),
        Ok(explanation) => say(&render(&explanation)),
        Err(failure) => return failure.exit(),
    }
    ExitCode::SUCCESS
}

fn explain(args: &ExplainArgs) -> Result<Value, Failure> {
    let one = |name: &'static str, value: &Option<String>| value.clone().map(|value| (name, value));
    let mut parameters: Vec<(&str, String)> = one("unit", &args.unit).into_iter().collect();
    parameters.extend(args.header.iter().map(|header| ("header", header.clone())));
    parameters.extend(args.cookie.iter().map(|cookie| ("cookie", cookie.clone())));
    parameters.extend(one("body", &args.body));
    let wanted = args.model.as_str();
    let none = |all: Vec<&str>| {
        let all = if all.is_empty() {
            "there is none at all".into()
        } else {
            format!("there is {}", all.join(", "))
        };
        Failure::Failed(format!(
            "no experiment that is switched on is called `{wanted}` or routes that model; {all}"
        ))
    };
    let Some(admin) = &args.admin else {
        let sources = Sources { file: args.config.clone(), ..Sources::from_process(Vec::new()) };
        let all = config::load(&sources)?.experiments;
        let found = all.iter().find(|e| e.name.as_str() == wanted || e.model.as_str() == wanted);
        let found = found.ok_or_else(|| none(all.iter().map(|e| e.name.as_str()).collect()))?;
        let mut given = Given::default();
        for (name, value) in &parameters {
            given.add(found, name, value).map_err(Failure::Usage)?;
        }
        return Ok(json!(found.explain(&given)));
    };
    let client = Client::new(&AdminArgs {
        admin: Some(admin.clone()),
        token_file: args.token_file.clone(),
        config: args.config.clone(),
    })?;
    let (all, _) = client.json("/experiments")?;
    let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|e| e["name"] == wanted || e["model"] == wanted);
    let names = || all.iter().filter_map(|e| e["name"].as_str()).collect();
    let name = found.and_then(|found| found["name"].as_str()).ok_or_else(|| none(names()))?;
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    Ok(client.json(&format!("/experiments/{name}/explain?{}", query.join("&")))?.0)
}

fn percent_encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A line per step, in the order in which they decide.
fn render(explanation: &Value) -> String {
    let cell = |name: &str| table::cell(&explanation[name]);
    let number = |name: &str| explanation[name].as_u64();
    let mut lines = vec![
        ("experiment", format!("{} on model {}", cell("experiment"), cell("model"))),
        (
            "unit",
            match explanation["unit"].as_str() {
                Some(_) => format!("{} ({})", cell("unit"), cell("unit_from")),
                None => format!("none in {}", cell("unit_from")),
            },
        ),
    ];
    for (name, yes, no) in [("rules", "decides", "does not apply"), ("segment", "holds", "does not hold")] {
        for held in explanation[name].as_array().into_iter().flatten() {
            let holds = if held["holds"] == true { yes } else { no };
            lines.push((name, format!("{} : {holds}", table::cell(&held["text"]))));
        }
    }
    // What a rule or the segment has decided, no slot decides.
    let by_slot = !["rule", "hold_out", "segment"].contains(&cell("reason").as_str());
    if let (Some(slot), Some(coverage), true) = (number("enrol_slot"), number("coverage_slots"), by_slot) {
        let below = if slot < coverage { "below" } else { "not below" };
        lines.push(("coverage", format!("enrol slot {slot} is {below} {coverage}")));
    }
    if let Some(slot) = number("slot").filter(|_| by_slot) {
        let range = match explanation["range"].as_str() {
            Some(_) => format!("in {}", cell("range")),
            None => "in no range".into(),
        };
        lines.push(("slot", format!("{slot}, {range} ({} of salt {})", cell("hash"), cell("salt"))));
    }
    let variant = match explanation["variant"].as_str() {
        Some(_) => format!("{}, which serves {}", cell("variant"), cell("serve")),
        None => "none: what the model's name means".into(),
    };
    let enrolled = match cell("reason") {
        reason if explanation["enrolled"] == true => reason,
        reason => format!("not enrolled ({reason})"),
    };
    lines.push(("variant", format!("{variant}; {enrolled}")));
    if let Some(answer) = explanation["answer"].as_object() {
        let cell = |name: &str| table::cell(answer.get(name).unwrap_or(&Value::Null));
        lines.push((
            "answers",
            format!("version {} as variant {} ({})", cell("version"), cell("variant"), cell("reason")),
        ));
    }
    // A name stands before the first of its lines only.
    let mut text = String::new();
    let mut last = "";
    for (name, line) in lines {
        text += &format!("{:<12}{line}\n", if name == last { "" } else { name });
        last = name;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_line() {
        let explanation = json!({
            "experiment": "checkout", "model": "churn", "unit_from": "header:x-user", "unit": "u 1", "hash": "xxh3",
            "salt": "s", "rules": [{"text": "a: x -> b", "holds": false}, {"text": "c: y -> d", "holds": false}],
            "segment": [{"text": "z", "holds": true}], "enrol_slot": 7, "coverage_slots": 7, "slot": 9,
            "range": "0..10", "enrolled": false, "reason": "coverage", "variant": "control", "serve": "1",
            "answer": {"variant": "control", "version": "1", "reason": "coverage"},
        });
        let expected = "\
experiment  checkout on model churn
unit        u 1 (header:x-user)
rules       a: x -> b : does not apply
            c: y -> d : does not apply
segment     z : holds
coverage    enrol slot 7 is not below 7
slot        9, in 0..10 (xxh3 of salt s)
variant     control, which serves 1; not enrolled (coverage)
answers     version 1 as variant control (coverage)
";
        assert_eq!(render(&explanation), expected);
        let forced = json!({"rules": [{"text": "a", "holds": true}], "slot": 9, "enrol_slot": 7, "coverage_slots": 8,
            "reason": "rule", "variant": "b", "serve": "2", "enrolled": false});
        let text = render(&forced);
        assert!(text.contains("a : decides\n") && !text.contains("slot"), "{text}");
        let none = json!({"unit_from": "cookie:u", "reason": "no_unit", "range": null});
        let text = render(&none);
        assert!(
            text.contains("none in cookie:u\n") && text.contains("what the model's name means"),
            "{text}"
        );
    }

    #[test]
    fn what_a_url_may_not_hold_is_escaped() {
        assert_eq!(percent_encoded("a-Z_0.9 é&=%/?#\n"), "a-Z_0.9%20%C3%A9%26%3D%25%2F%3F%23%0A");
    }
}
