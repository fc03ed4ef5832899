"""What schemas cannot tell of rendered manifests: `manifests.py FOLDER` prints what is wrong, and exits with 1 if anything is.

Custom resources against the schemas of their definitions; names that refer to something; names of settings; times that have
to fit together; the same sidecar from kustomize and from the chart; alerts as config/alerts.yaml has them.
"""

import json
import pathlib
import re
import sys
import tomllib
from collections.abc import Iterator

import jsonschema
import yaml

from kubelet import quantity

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRDS = ROOT / "tests/fixtures/crd"
PROBES = {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
# Seconds that writing what is left may take after the drain (src/gateway/run.rs).
WRITING = 7


def load(path: pathlib.Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def strict(schema: object) -> object:
    """A structural schema prunes what it does not know; here that is an error."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def settings() -> set[str]:
    """Every variable that sidegate knows, from the file that lists every key; families are left out."""
    known, section = {"SIDEGATE_CONFIG"}, ""
    for line in (ROOT / "config/sidegate.toml").read_text().splitlines():
        if found := re.fullmatch(r"#?\[([a-z_.A-Z]+)\]", line):
            section = found[1]
        elif found := re.match(r"#([a-z_0-9]+) = ", line):
            known.add("SIDEGATE_" + "__".join(filter(None, [section, found[1]])).upper().replace(".", "__"))
    return known


def seconds(milliseconds: str) -> float:
    return int(milliseconds) / 1000


def pod_of(document: dict) -> dict | None:
    """The template of its pods."""
    match document["kind"]:
        case "Deployment":
            return document["spec"]["template"]
        case "CronJob":
            return document["spec"]["jobTemplate"]["spec"]["template"]
    return None


def containers(pod: dict) -> list[dict]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: dict) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def selects(selector: dict, labels: dict[str, str]) -> bool:
    """Whether a selector means them; of the operators only `In` is used here."""
    expressions = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "In" for rule in expressions), expressions
    rules = [(rule["key"], rule["values"]) for rule in expressions]
    rules += [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    return all(labels.get(key) in values for key, values in rules)


class Check:
    """The documents of one rendering."""

    def __init__(self, documents: list[dict]) -> None:
        self.documents = documents
        self.pods = [(d["metadata"]["name"], pod) for d in documents if (pod := pod_of(d))]
        self.names = {(d["kind"], d["metadata"]["name"]): d for d in documents}
        self.known = settings()

    def problems(self) -> Iterator[str]:
        if len(self.names) < len(self.documents):
            yield "two documents have the same kind and name"
        for document in self.documents:
            yield from self.custom(document)
        for name, pod in self.pods:
            yield from (f"{name}: {text}" for text in self.pod(pod))
            for container in containers(pod):
                yield from (f"{name}, {container['name']}: {text}" for text in self.container(container, pod))
        yield from self.selectors()

    def custom(self, document: dict) -> Iterator[str]:
        """What kubernetes-validate has no schema for."""
        if not document["apiVersion"].partition("/")[0].endswith(".com"):
            return
        path = CRDS / f"{document['kind']}.json"
        if document["apiVersion"] != "monitoring.coreos.com/v1" or not path.exists():
            yield f"there is no schema for {document['kind']} of {document['apiVersion']}"
            return
        schema = strict(json.loads(path.read_text()))
        schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}  # type: ignore[index]
        for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
            yield f"{document['kind']}: {'.'.join(map(str, error.absolute_path))}: {error.message}"
        if document["kind"] == "PrometheusRule":
            groups = yaml.safe_load((ROOT / "config/alerts.yaml").read_text())["groups"]
            if document["spec"]["groups"] != groups:
                yield "PrometheusRule: not the alerts of config/alerts.yaml; scripts/check-deploy.sh --write makes them so"

    def pod(self, pod: dict) -> Iterator[str]:
        spec = pod["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in self.names:
                # That of the chart's example app is its user's.
                if volume["configMap"]["name"] != "app":
                    yield f"there is no ConfigMap {volume['configMap']['name']}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"volume {volume['name']} may fill the node's disk: no sizeLimit"
        account = spec.get("serviceAccountName")
        if account and ("ServiceAccount", account) not in self.names:
            yield f"there is no ServiceAccount {account}"
        if not account and any("serviceAccountToken" in s for v in volumes.values() for s in v.get("projected", {}).get("sources", [])):
            yield "its token is that of the namespace's account `default`, which no role trusts: serviceAccountName is missing"
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{container['name']} mounts {mount['name']}, which is no volume"
        for container in containers(pod):
            if container["name"] == "sidegate":
                yield from self.sidecar(container, pod, volumes)

    def sidecar(self, sidecar: dict, pod: dict, volumes: dict[str, dict]) -> Iterator[str]:
        spec, values = pod["spec"], environment(sidecar)
        native = sidecar in spec.get("initContainers", [])
        pause = sidecar.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        delay = seconds(values["SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS"])
        drain = seconds(values["SIDEGATE_SHUTDOWN__TIMEOUT_MS"])
        app = max(
            (
                c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                for c in spec["containers"]
                if c is not sidecar
            ),
            default=0,
        )
        if native and (sidecar.get("restartPolicy") != "Always" or "lifecycle" in sidecar or delay):
            yield "a native sidecar has restartPolicy Always, no preStop (it would run at once) and no delay (it ends last)"
        if not native and (sidecar.get("restartPolicy") or pause != app or delay < 1):
            yield "a sidecar in the plain layout has the app's preStop, and a delay in which the app ends"
        least = app + delay + drain + WRITING
        if spec.get("terminationGracePeriodSeconds", 30) < least:
            yield f"terminationGracePeriodSeconds is below {least}: preStop, delay, drain and {WRITING} s"
        listens = values["SIDEGATE_OPS__LISTEN"].rpartition(":")[2]
        if [str(port["containerPort"]) for port in sidecar["ports"]] != [listens]:
            yield f"the port for probes is {listens}, and the container says {sidecar['ports']}"
        for probe, path in PROBES.items():
            if sidecar.get(probe, {}).get("httpGet") != {"path": path, "port": "sidegate-ops"}:
                yield f"{probe} asks {sidecar.get(probe, {}).get('httpGet')}, not {path} of sidegate-ops"
        mounted = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in sidecar["volumeMounts"]}
        socket = values["SIDEGATE_HTTP__UDS"].rpartition("/")[0]
        for place in (socket, values["SIDEGATE_REGISTRY__CACHE_DIR"]):
            if "emptyDir" not in mounted.get(place, {}):
                yield f"{place} is no volume of the pod"
        text = self.file(mounted, sidecar)
        if text is None:
            yield "--config names no file of a ConfigMap"
            return
        cache = mounted[values["SIDEGATE_REGISTRY__CACHE_DIR"]]["emptyDir"]["sizeLimit"]
        most = tomllib.loads(text)["registry"].get("cache_max_bytes", 2**31)
        if most >= quantity(cache):
            yield f"registry.cache_max_bytes, {most}, does not fit into the volume, {cache}: it would cost the pod"
        if "ephemeral-storage" in sidecar["resources"]["limits"]:
            yield "a limit of ephemeral-storage is one for the app's files too, which evicts its pod"

    def file(self, mounted: dict[str, dict], container: dict) -> str | None:
        """What --config names."""
        arguments = container["args"]
        folder, _, name = arguments[arguments.index("--config") + 1].rpartition("/")
        source = mounted.get(folder, {}).get("configMap", {}).get("name")
        return self.names.get(("ConfigMap", source), {}).get("data", {}).get(name)

    def container(self, container: dict, pod: dict) -> Iterator[str]:
        for name in environment(container).keys() - self.known:
            if name.startswith("SIDEGATE_"):
                yield f"{name} is no setting of sidegate"
        arguments = container.get("args", [])
        if "--config" in arguments:
            named = arguments[arguments.index("--config") + 1]
            if environment(container).get("SIDEGATE_CONFIG") != named:
                yield f"SIDEGATE_CONFIG is not {named}, which --config names: commands beside it would not know"
        if "image" not in container:  # an example of the documentation
            return
        security = container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        for key, value in wanted.items():
            if security.get(key) != value:
                yield f"securityContext.{key} is {security.get(key)}, not {value}"
        if not security.get("runAsUser"):
            yield "securityContext.runAsUser is not set: the image's user may be root, or a name"
        resources = container.get("resources", {})
        if (
            resources.get("limits", {}).get("memory") != resources.get("requests", {}).get("memory")
            and container["name"] != "monitor"
        ):
            yield "memory is limited to something else than what was asked for"
        if "memory" not in resources.get("limits", {}) or "cpu" not in resources.get("requests", {}):
            yield "resources are missing"
        for probe in PROBES:
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in [p["name"] for p in container.get("ports", [])]:
                yield f"{probe} asks port {port}, which the container has not"

    def selectors(self) -> Iterator[str]:
        for document in self.documents:
            if document["kind"] == "PodMonitor":
                chosen = [pod for _, pod in self.pods if selects(document["spec"]["selector"], pod["metadata"]["labels"])]
                ports = {port.get("name") for pod in chosen for c in containers(pod) for port in c.get("ports", [])}
                for end in document["spec"]["podMetricsEndpoints"]:
                    if end["port"] not in ports:
                        yield f"PodMonitor: no pod that it selects has a port {end['port']}"
            if document["kind"] == "Service":
                wanted = document["spec"]["selector"].items()
                chosen = [pod for _, pod in self.pods if wanted <= pod["metadata"]["labels"].items()]
                ports = {port.get("name") for pod in chosen for c in containers(pod) for port in c.get("ports", [])}
                if not {port["targetPort"] for port in document["spec"]["ports"]} <= ports:
                    yield f"Service {document['metadata']['name']}: no pod has its port"


# === the same from kustomize and from the chart ===


def sidecar(documents: list[dict]) -> dict:
    """The sidecar of the app's pod, without what only one of both has, and in one order."""
    [found] = [c for d in documents if (pod := pod_of(d)) for c in containers(pod) if c["name"] == "sidegate"]
    alike = {key: value for key, value in found.items() if key != "imagePullPolicy"}
    identity = alike["env"] = {e["name"]: e.get("value") for e in found["env"]}
    for name in ("AWS_ROLE_ARN", "AWS_REGION"):  # by a ConfigMap here, as a value there
        if name in identity:
            identity[name] = "set"
    alike["volumeMounts"] = {mount["mountPath"]: mount for mount in found["volumeMounts"]}
    return alike


def beside(documents: list[dict], kind: str, end: str) -> dict:
    """The spec of the monitor or the training, without what only one of both has."""
    [found] = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(end)]
    pod = pod_of(found)
    assert pod
    [container] = pod["spec"]["containers"]
    dropped = {"image", "imagePullPolicy", "env", "args", "volumeMounts"}
    rest = {k: v for k, v in pod["spec"].items() if k not in ("containers", "volumes", "serviceAccountName")}
    return rest | {k: v for k, v in container.items() if k not in dropped} | {"args": container["args"][:2]}


def alike(kustomize: dict[str, list[dict]], chart: dict[str, list[dict]]) -> Iterator[str]:
    for layout, documents in kustomize.items():
        ours, theirs = sidecar(documents), sidecar(chart[layout])
        # Only the kustomization for everything has an identity.
        if layout == "plain":
            for part in (ours, theirs):
                part["env"] = {k: v for k, v in part["env"].items() if not k.startswith("AWS_")}
                part["volumeMounts"] = {k: v for k, v in part["volumeMounts"].items() if "secrets" not in k}
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                yield f"{layout}: {key} of the sidecar is {ours.get(key)} by kustomize and {theirs.get(key)} by the chart"
    for kind, end in (("Deployment", "-monitor"), ("CronJob", "-train")):
        ours, theirs = beside(kustomize["native"], kind, end), beside(chart["native"], kind, end)
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                yield f"{kind}: {key} is {ours.get(key)} by kustomize and {theirs.get(key)} by the chart"


def defaults() -> Iterator[str]:
    chart = yaml.safe_load((ROOT / "deploy/helm/sidegate/values.yaml").read_text())
    if tomllib.loads(chart["config"]) != tomllib.loads((ROOT / "deploy/k8s/base/sidegate.toml").read_text()):
        yield "`config` of the chart's values.yaml says something else than deploy/k8s/base/sidegate.toml"


def main(folder: pathlib.Path) -> int:
    found = [f"{path.name}: {text}" for path in sorted(folder.glob("*.yaml")) for text in Check(load(path)).problems()]
    layouts = ("native", "plain")
    found += alike(*({layout: load(folder / f"{by}-{layout}.yaml") for layout in layouts} for by in ("k8s", "helm")))
    found += defaults()
    print("\n".join(found) or f"nothing is wrong in {folder}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
