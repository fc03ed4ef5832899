//! What people see: every known version with its state, and whether this process is ready.

use serde::Serialize;

/// A picture of the registry and of what became of each version; replaced as a whole by the loader.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// By model name.
    pub models: Vec<ModelStatus>,
    /// Why not ready; `None` is ready.
    pub not_ready: Option<String>,
    /// Whether the registry answered at the last look.
    pub registry_up: bool,
    /// When it last answered, for staleness.
    pub registry_seen: Option<std::time::Instant>,
    /// The experiments that are switched on.
    pub experiments: Vec<ExperimentStatus>,
}

/// An experiment with what answers for its variants.
#[derive(Clone, Debug, Serialize)]
pub struct ExperimentStatus {
    /// Its name.
    pub name: String,
    /// The model it routes.
    pub model: String,
    /// Its variants, in its order.
    pub variants: Vec<VariantStatus>,
    /// Its shadows.
    pub shadows: Vec<ShadowStatus>,
}

/// One variant in [`ExperimentStatus`].
#[derive(Clone, Debug, Serialize)]
pub struct VariantStatus {
    /// Its name.
    pub name: String,
    /// The version, stage or alias that it serves.
    pub serve: String,
    /// Its slots of a million.
    pub slots: String,
    /// The version that answers.
    pub version: Option<String>,
    /// Why another variant answers in its place.
    pub problem: Option<String>,
    /// What was decided of it.
    pub ruling: Option<&'static str>,
}

/// One shadow in [`ExperimentStatus`].
#[derive(Clone, Debug, Serialize)]
pub struct ShadowStatus {
    /// Its name.
    pub name: String,
    /// The version, stage or alias that it predicts with.
    pub serve: String,
    /// That version.
    pub version: Option<String>,
    /// Why nothing is copied to it.
    pub problem: Option<String>,
}

/// One entry of `GET /models` on the admin port.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    /// The model.
    pub name: String,
    /// What is wrong with the model as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ReasonStatus>,
    /// The version that an operator of this sidecar fixed, whatever the registry says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Its versions, ascending.
    pub versions: Vec<VersionStatus>,
}

/// One version in [`ModelStatus`].
#[derive(Clone, Debug, Serialize)]
pub struct VersionStatus {
    /// The number, as text.
    pub version: String,
    /// Its stage.
    pub stage: &'static str,
    /// Aliases that point at it.
    pub aliases: Vec<String>,
    /// What became of it.
    pub state: State,
    /// The engine that runs it.
    pub engine: Option<&'static str>,
    /// Why that engine.
    pub engine_reason: Option<String>,
    /// `sha256:…` of the model file.
    pub digest: Option<String>,
    /// Milliseconds from the first byte read to served.
    pub load_ms: Option<f64>,
    /// Estimated memory.
    pub bytes: Option<usize>,
    /// Why it is not served.
    pub reason: Option<ReasonStatus>,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Answers requests.
    Serving,
    /// Being loaded.
    Loading,
    /// Loaded, and kept for rollback; or listed and not wanted now.
    Standby,
    /// Refused.
    Failed,
    /// Set aside after it brought a process down.
    Quarantined,
}

/// A published reason code with its text.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonStatus {
    /// The code.
    pub code: &'static str,
    /// What to do.
    pub detail: String,
}

impl Status {
    /// Before the first look at the registry.
    pub fn starting() -> Self {
        Self { not_ready: Some("starting: the registry has not been read yet".into()), ..Self::default() }
    }

    /// Whether every model was tried, or the registry turned out to be out of reach.
    pub fn first_look_is_over(&self) -> bool {
        let waiting = self
            .not_ready
            .as_deref()
            .is_some_and(|reason| reason.starts_with("starting") || reason.ends_with("still loading"));
        let loading = self.models.iter().flat_map(|m| &m.versions).any(|v| v.state == State::Loading);
        !waiting && !loading
    }
}

impl From<&crate::model::LoadError> for ReasonStatus {
    fn from(error: &crate::model::LoadError) -> Self {
        Self { code: error.code.name(), detail: error.detail.clone() }
    }
}
