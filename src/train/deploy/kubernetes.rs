//! A Deployment that serves the model by itself, with what it needs. Beside an app sidegate is a sidecar: deploy/k8s. The
//! container is that of deploy/k8s/components/sidecar, which a test holds it against.

use serde_json::{Value, json};

use super::plan::{Call, Plan, Step};
use super::subject::Subject;
use super::{DeployArgs, following};
use crate::failure::Failure;

const CACHE: &str = "/var/cache/sidegate";
/// Below the limit of the cache's volume: one that is over it costs the pod.
const CACHE_BYTES: u64 = 805_306_368;

/// The manifests.
///
/// # Errors
/// For a name that Kubernetes does not take.
pub(super) fn plan(args: &DeployArgs, subject: &Subject) -> Result<Plan, Failure> {
    let name = args.name()?;
    let labels = json!({ "app.kubernetes.io/name": "sidegate", "app.kubernetes.io/instance": name });
    let meta = json!({ "name": name, "labels": labels });
    let selector = json!({ "app.kubernetes.io/instance": name, "app.kubernetes.io/name": "sidegate" });
    let items = json!([
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": meta,
            "automountServiceAccountToken": false,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": args.instances,
                "selector": { "matchLabels": selector },
                "template": { "metadata": { "labels": pod_labels(&labels) }, "spec": pod(args, subject, &name) },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "selector": selector,
                "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta,
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector } },
        },
    ]);
    let files = ["service-account", "deployment", "service", "disruption-budget"];
    let items = items.as_array().into_iter().flatten();
    let make =
        files.iter().zip(items).map(|(file, item)| Call::kubectl(&format!("{file}.json"), item.clone()));
    let step = Step { probe: None, settled: None, make: make.collect(), change: Vec::new() };
    let next = format!("wait for it: kubectl rollout status deployment/{name}");
    Ok(Plan { steps: vec![step], next })
}

/// Those of the workload, and what the PodMonitor looks for.
fn pod_labels(labels: &Value) -> Value {
    let mut labels = labels.clone();
    labels["sidegate"] = json!("sidecar");
    labels
}

fn pod(args: &DeployArgs, subject: &Subject, name: &str) -> Value {
    let image = args.image.clone().unwrap_or_else(|| format!("sidegate:{}", env!("CARGO_PKG_VERSION")));
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "sidegate-ops" },
            "periodSeconds": period,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
        })
    };
    json!({
        "serviceAccountName": name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // 5 s in which everybody learns that it leaves, 20 s of drain, up to 7 s to write what is left.
        "terminationGracePeriodSeconds": 60,
        "containers": [{
            "name": "sidegate",
            "image": image,
            "args": ["serve"],
            "env": environment(subject),
            "envFrom": [{ "secretRef": { "name": "sidegate-store", "optional": true } }],
            "ports": [
                { "name": "http", "containerPort": 8000 },
                { "name": "sidegate-ops", "containerPort": 8003 },
            ],
            "startupProbe": probe("/startupz", 1, 300),
            "readinessProbe": probe("/readyz", 5, 2),
            "livenessProbe": probe("/livez", 10, 6),
            "resources": {
                "requests": { "cpu": "250m", "memory": "128Mi" },
                "limits": { "cpu": "1", "memory": "128Mi" },
            },
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [{ "name": "sidegate-cache", "mountPath": CACHE }],
        }],
        "volumes": [{ "name": "sidegate-cache", "emptyDir": { "sizeLimit": "1Gi" } }],
    })
}

/// What follows from the layout of the pod, beside the registry.
fn environment(subject: &Subject) -> Value {
    let own = [
        // It is asked from outside of the pod.
        ("SIDEGATE_HTTP__LISTEN", "0.0.0.0:8000".to_owned()),
        ("SIDEGATE_OPS__LISTEN", "0.0.0.0:8003".to_owned()),
        ("SIDEGATE_REGISTRY__CACHE_MAX_BYTES", CACHE_BYTES.to_string()),
        // Half of the 64 MiB that are the default is what such a container has for it.
        ("SIDEGATE_MONITOR__MAX_BYTES", (16 << 20).to_string()),
        // Not ready, but open, until everybody has learned that it leaves.
        ("SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS", "5000".to_owned()),
        ("SIDEGATE_SHUTDOWN__TIMEOUT_MS", "20000".to_owned()),
    ];
    let following = following(subject, CACHE);
    let registry = following.as_object().into_iter().flatten();
    let registry = registry.map(|(name, value)| json!({ "name": name, "value": value }));
    registry.chain(own.map(|(name, value)| json!({ "name": name, "value": value }))).collect()
}
