//! The configuration before the table's defaults are read into it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Admin, Auth, Config, Engine, EngineChoice, Http, Limits, Log, LogFormat, LogLevel, Memory, Metrics,
    ModelChecks, ModelConfig, Monitor, Ops, PathStyle, PredictionLog, Registry, RegistryUrl, Search,
    SegmentFormat, Shutdown, TrialLoad, Trials,
};
use crate::experiment::{Definition, Share};

impl Config {
    /// Placeholders: every field gets its value from its row of the table, which a test makes sure of.
    pub(super) fn blank() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            default_model: None,
            registry: Registry {
                url: RegistryUrl::File(PathBuf::new()),
                endpoint: None,
                region: None,
                path_style: PathStyle::Auto,
                poll_interval: Duration::ZERO,
                models: None,
                required: Vec::new(),
                max_models: 0,
                min_swap_interval: Duration::ZERO,
                keep_previous: 0,
                slow_load: false,
                cache_dir: None,
                cache_max_bytes: 0,
                single_writer: false,
                require_signature: false,
                public_keys_dir: None,
                trial_load: TrialLoad::Off,
                trial_timeout: Duration::ZERO,
                pod: String::new(),
            },
            http: Http {
                listen: nowhere,
                uds: None,
                workers: 0,
                busy_poll: Duration::ZERO,
                request_timeout: Duration::ZERO,
                max_connections: 0,
                queue_wait: Duration::ZERO,
                repository_control: false,
                reject_non_finite: false,
            },
            limits: Limits { body_bytes: 0, inflight_bytes: 0, max_rows: 0 },
            admin: Admin { listen: nowhere, token_file: None },
            ops: Ops { listen: None },
            auth: Auth { token_file: None },
            engine: Engine { default: EngineChoice::Auto, onnxruntime: None, search: Search::default() },
            memory: Memory { budget_bytes: None },
            shutdown: Shutdown { drain_delay: Duration::ZERO, timeout: Duration::ZERO },
            metrics: Metrics { max_series: 0 },
            log: Log { format: LogFormat::Text, level: LogLevel::Off },
            monitor: Monitor {
                max_bytes: 0,
                drift: false,
                performance: false,
                learn_rows: 0,
                window_rows: 0,
                window_seconds: 0,
                same_hour: false,
                max_rows_per_s: 0,
                false_alarms: 0,
                publish_interval: Duration::ZERO,
                webhook_url: None,
                webhook_token_file: None,
            },
            prediction_log: PredictionLog {
                url: None,
                models: None,
                sample: Share::ALL,
                redact: Vec::new(),
                format: SegmentFormat::Ndjson,
                max_bytes: 0,
                segment_bytes: 0,
                segment_time: Duration::ZERO,
            },
            trials: Trials {
                receipt_key_file: None,
                receipt_max_age: Duration::ZERO,
                only_replica: false,
                publish_interval: Duration::ZERO,
            },
            models: BTreeMap::new(),
            unnamed: ModelConfig {
                engine: None,
                default: false,
                allow_breaking: false,
                max_rows: None,
                warmup_rows: 0,
                checks: ModelChecks::default(),
                prediction_range: None,
            },
            experiments: Vec::new(),
            definitions: BTreeMap::new(),
            undefined: Definition::default(),
        }
    }
}
