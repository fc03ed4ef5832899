//! How a version is asked for predictions, and what is right of an answer.

use super::examples::Example;
use crate::cli::answer::Answer;
use crate::cli::peer::compare::{Answers, Judge};
use crate::cli::peer::connection::Peer;
use crate::cli::peer::reply::{self, excerpt};
use crate::cli::peer::wire::Form;
use crate::model::{ModelName, Signature, Version};

/// The media type of everything but binary tensors.
pub(super) const JSON: &str = "application/json";

/// One way to ask for predictions.
pub(super) struct Way {
    pub(super) endpoint: String,
    /// Behind the endpoint in the report, where that has two.
    pub(super) remark: &'static str,
    pub(super) request: fn(&Peer, &str, &Example) -> Vec<u8>,
}

/// Every way to ask a version. Its number is named each time, for an experiment may send what names none elsewhere.
pub(super) fn ways(model: &ModelName, version: Version) -> [Way; 4] {
    let infer = format!("/v2/models/{model}/versions/{version}/infer");
    let query = format!("?model={model}%40{version}");
    [
        Way {
            endpoint: infer.clone(),
            remark: "",
            request: |peer, path, example| peer.request("POST", path, JSON, &example.json),
        },
        Way {
            endpoint: infer,
            remark: " (binary)",
            request: |peer, path, example| {
                let length = example.json_length;
                let headers = format!(
                    "content-type: application/octet-stream\r\ninference-header-content-length: {length}\r\n"
                );
                peer.request_with("POST", path, &headers, &example.binary)
            },
        },
        Way {
            endpoint: format!("/predict{query}"),
            remark: "",
            request: |peer, path, example| rows(peer, path, example, &["records", "rows"]),
        },
        Way {
            endpoint: format!("/invocations{query}"),
            remark: "",
            request: |peer, path, example| rows(peer, path, example, &["split", "inputs"]),
        },
    ]
}

/// The first of these forms that the rows can take.
fn rows(peer: &Peer, path: &str, example: &Example, forms: &[&str]) -> Vec<u8> {
    let (all, count) = (&example.rows, example.rows.len());
    let form = Form::all(forms, all, count);
    let body = form.first().map(|form| form.body(all, &(0..count))).unwrap_or_default();
    peer.request("POST", path, JSON, &body)
}

/// Whether an answer is what the example says; of zeros, whether every output is there.
pub(super) fn judge(
    answer: Result<Answer, String>,
    example: &Example,
    tolerance: f64,
    signature: &Signature,
) -> Result<(), String> {
    let answer = answer?;
    if answer.status != 200 {
        return Err(excerpt(&answer.body));
    }
    let theirs = reply::read(&answer.body)?;
    let Some(expected) = &example.expected else {
        let missing =
            signature.outputs.iter().find(|spec| !theirs.iter().any(|output| output.name == *spec.name));
        return missing.map_or(Ok(()), |spec| Err(format!("output `{}` is missing", spec.name)));
    };
    let answers = [Answers { request: 0, rows: example.rows.len(), ours: expected.clone(), theirs }];
    let mut judge = Judge::new(&answers, tolerance).ok_or("nothing in it is what the example expects")?;
    judge.take(&answers[0]);
    if let Some(missing) = judge.found.not_compared.first() {
        return Err(format!("output `{missing}` is missing"));
    }
    judge.found.first.map_or(Ok(()), |first| {
        Err(format!("row {}: `{}` is {}, expected {}", first.row, first.output, first.theirs, first.ours))
    })
}
