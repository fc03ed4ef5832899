//! Files of a training among the artifacts of its run.

use super::client::Client;
use super::{RunView, Status, VersionView};

/// Where MLflow takes artifacts.
const PROXY: &str = "/api/2.0/mlflow-artifacts/artifacts";
/// Digits of a digest that tell folders apart.
const DIGITS: usize = 12;

/// The folder of what a gateway needs, within the artifacts: one for each version that came of the run, as what is served
/// never changes. A run that was judged again may be version 1 of another registry too, which is another version.
pub(super) fn model_folder(run: &RunView<'_>) -> String {
    let Some(VersionView { number, digest, .. }) = &run.version else { return "model".to_owned() };
    let digits = digest.trim_start_matches("sha256:");
    format!("model/{number}-{}", digits.get(..DIGITS).unwrap_or(digits))
}

/// What a gateway needs, the model first.
const SERVED: [&str; 3] = ["model.onnx", "golden.json", "profile.json"];
/// What people look at.
const SHOWN: [&str; 9] = [
    "report.html",
    "card.md",
    "card.json",
    "validation.json",
    "validation.html",
    "schema.json",
    "gate.json",
    "tests.json",
    "run.json",
];

/// Where the artifacts of a run are put.
pub(super) struct Target {
    path: String,
}

// === impl Target ===

impl Target {
    /// Of the address that the server gives; none where that is not MLflow itself.
    pub(super) fn of(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("mlflow-artifacts:")?;
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/')?.1,
            None => rest.trim_start_matches('/'),
        };
        Some(Self { path: format!("{PROXY}/{}", path.trim_end_matches('/')) })
    }
}

/// The model, and what is served beside it; whether the model is there now.
pub(super) fn model(client: &mut Client<'_>, target: Option<&Target>, run: &RunView<'_>) -> bool {
    let Some(target) = target else {
        client.say("artifacts were not tracked: the server keeps them where it takes none itself (mlflow server --serve-artifacts)");
        return false;
    };
    if run.status == Status::Running {
        return false;
    }
    let folder = model_folder(run);
    SERVED.iter().map(|name| put(client, target, run, name, &folder)).collect::<Vec<_>>().first()
        == Some(&true)
}

/// Everything else.
pub(super) fn rest(client: &mut Client<'_>, target: Option<&Target>, run: &RunView<'_>) {
    let Some(target) = target else { return };
    if run.status == Status::Running {
        return;
    }
    for name in SHOWN {
        put(client, target, run, name, "");
    }
    let files = std::fs::read_dir(run.folder).into_iter().flatten().flatten();
    let mut plots: Vec<String> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
    plots.retain(|name| name.ends_with(".svg"));
    plots.sort();
    for name in plots {
        put(client, target, run, &name, "plots");
    }
}

/// Whether the file is there now.
fn put(client: &mut Client<'_>, target: &Target, run: &RunView<'_>, name: &str, folder: &str) -> bool {
    let file = run.folder.join(name);
    let below = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    file.is_file() && client.upload(name, &format!("{}/{below}", target.path), &file)
}
