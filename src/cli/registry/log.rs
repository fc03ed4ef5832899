//! `sidegate registry log`: who changed what and why, and what was in Production at a time.

use serde_json::json;
use time::OffsetDateTime;

use super::place::PlaceArgs;
use super::{print, remark, span, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::ModelName;
use crate::registry::clock;
use crate::registry::index::AuditEntry;
use crate::registry::operations::{Tenure, log, production_at};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry log churn                      the last changes, the latest at the end
  sidegate registry log churn -n 100 --json
  sidegate registry log churn --at 2026-11-23T02:00:00Z
  sidegate registry log churn --at \"2h ago\"        what was in Production then, since when, and who decided it";

const HEADS: &[&str] = &["AT", "BY", "VERB", "VERSION", "FROM", "TO", "WHY", "EVIDENCE", "CHANGE"];

/// Flags of `sidegate registry log`.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// Tell what was in Production at a time: 2026-11-23T02:00:00Z, 2026-11-23 or "2h ago"
    #[arg(long, value_name = "TIME", value_parser = span::moment, conflicts_with = "number")]
    pub at: Option<OffsetDateTime>,
    /// The number of changes to show
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    pub number: usize,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &LogArgs) -> Result<(), Failure> {
    let store = args.place.find()?.store()?;
    let model = &args.model;
    if let Some(at) = args.at {
        let tenure = production_at(&*store, model, at)?;
        let at = clock::text(at);
        let mut value = json!({"model": model.as_str(), "at": at, "version": null, "since": null, "by": null,
            "verb": null, "why": null, "evidence": null});
        if let (Some(fields), Some(known)) = (value.as_object_mut(), json!(tenure).as_object()) {
            fields.extend(known.clone());
        }
        print(args.json, &value, || sentence(model, &at, tenure.as_ref()));
        return Ok(());
    }
    let mut trail = log(&*store, model, None)?;
    let (all, left_out) = (trail.entries.len(), trail.entries.len().saturating_sub(args.number));
    trail.entries.drain(..left_out);
    let value = json!({"model": model.as_str(), "entries": trail.entries, "gaps": trail.gaps});
    print(args.json, &value, || {
        if trail.entries.is_empty() {
            return "no changes\n".into();
        }
        let rows: Vec<_> = trail.entries.iter().map(row).collect();
        table::render(HEADS, &[], &rows)
    });
    let earlier =
        (left_out > 0).then(|| format!("{left_out} earlier entries are not shown; -n {all} shows all"));
    let gaps = trail.gaps.iter().map(|(first, last)| format!("the audit lacks entries {first} to {last}"));
    remark(args.json, &earlier.into_iter().chain(gaps).collect::<Vec<_>>());
    Ok(())
}

/// Who answered from Production, since when and why.
fn sentence(model: &ModelName, at: &str, tenure: Option<&Tenure>) -> String {
    let Some(tenure) = tenure else {
        return format!("at {at}, as far as the audit tells, no version of {model} was in Production\n");
    };
    let Tenure { version, since, by, verb, why, evidence } = tenure;
    let why = why.as_ref().map(|why| format!(", because: {why}"));
    let evidence = evidence.as_ref().map(|evidence| format!(" (evidence: {evidence})"));
    let sentence = format!(
        "at {at} version {version} of {model} was in Production, since {since}, by {verb} of {by}{}{}",
        why.unwrap_or_default(),
        evidence.unwrap_or_default()
    );
    format!("{}\n", text::line(&sentence))
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let cell = |text: &Option<String>| text::cell(text.as_deref());
    let verb =
        entry.alias.as_ref().map_or_else(|| entry.verb.clone(), |alias| format!("{} {alias}", entry.verb));
    vec![
        text::line(&entry.at),
        text::line(&entry.by),
        text::line(&verb),
        table::cell(&json!(entry.version)),
        cell(&entry.from),
        cell(&entry.to),
        cell(&entry.why),
        cell(&entry.evidence),
        cell(&entry.mutation),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_in_production_is_a_sentence() {
        let model = "churn".parse().unwrap();
        let mut tenure = Tenure {
            version: 7,
            since: "2026-11-22T08:00:00Z".into(),
            by: "ann@host".into(),
            verb: "promote".into(),
            why: Some("auc\n0.81".into()),
            evidence: Some("run:118".into()),
        };
        let at = "2026-11-23T02:00:00Z";
        assert_eq!(
            sentence(&model, at, Some(&tenure)),
            "at 2026-11-23T02:00:00Z version 7 of churn was in Production, since 2026-11-22T08:00:00Z, by promote of \
             ann@host, because: auc 0.81 (evidence: run:118)\n"
        );
        (tenure.why, tenure.evidence) = (None, None);
        assert!(sentence(&model, at, Some(&tenure)).ends_with("by promote of ann@host\n"));
        assert!(sentence(&model, at, None).contains("no version of churn"));
    }
}
