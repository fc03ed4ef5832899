"""The rendered manifests, lived through: every layout of the pod with the real program, by the kubelet's rules and clock.

`scripts/check-deploy.sh` renders them (into target/deploy, or $SIDEGATE_TEST_MANIFESTS) and checks their form. Linux, root.
"""

import contextlib
import copy
import http.client
import json
import math
import os
import pathlib
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import yaml

import manifests
from compose import Compose, weed
from container import isolate_network
from image import Image
from kubelet import POD_IP, Cluster, Pod, Unhealthy, quantity
from sidegate import MODELS, ROOT, binary

pytestmark = pytest.mark.deploy

MANIFESTS = pathlib.Path(os.environ.get("SIDEGATE_TEST_MANIFESTS", ROOT / "target" / "deploy"))
ROWS = [
    {
        "island": "Biscoe", "sex": "MALE", "year": 2008, "bill_length_mm": 45, "bill_depth_mm": 15,
        "flipper_length_mm": 210, "body_mass_g": 4800,
    },
]  # fmt: skip
# Which layouts are lived through; the chart's are the same, which the script holds against these.
LAYOUTS = {"native": "k8s-native.yaml", "plain": "k8s-plain.yaml"}
# What the app does before it asks, so that a request is on its way when SIGTERM comes.
THINK = 1.5
# How long after a pod was deleted the last proxy in the cluster hears of it.
PROPAGATION = 2.0
# Ports of data and admin, for containers of the pod alone, with a path of each.
PRIVATE = {8000: "/v2/health/ready", 8002: "/livez"}


@pytest.fixture(scope="session", autouse=True)
def network() -> None:
    """Ports as the manifests have them, which this machine need not have free."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.fail("containers are made here, which takes Linux and root")
    isolate_network(POD_IP)


def documents(file: str) -> list[dict]:
    path = MANIFESTS / file
    assert path.exists(), f"{path} is not there: run scripts/check-deploy.sh"
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def images() -> dict[str, Image]:
    """What an image says and has, and this machine has not."""
    assert shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin"), "there is no python3 for the app in /usr/bin"
    here = {name: binary().parent / name for name in ("sidegate", "sidegate-train")} | {"sidegate": binary()}
    found = {name: Image.of(name) for name, file in here.items() if file.is_file()}
    for name, its in found.items():
        its.files[f"/usr/local/bin/{name}"] = here[name]
    return found


def cluster(folder: pathlib.Path, file: str) -> Cluster:
    return Cluster(folder, documents(file), images())


@contextlib.contextmanager
def pod(
    folder: pathlib.Path,
    layout: str,
    think: float = THINK,
    change: dict[str, object] | None = None,
    baked: dict[str, str] | None = None,
    **environment: str,
) -> Iterator[Pod]:
    """The app's pod, with the models of this project in place of a bucket. `change` goes into the sidecar's manifest,
    `baked` into its image's environment."""
    its = cluster(folder, LAYOUTS[layout])
    its.images["sidegate"].environment |= baked or {}
    template = copy.deepcopy(its.find("Deployment", "app")["spec"]["template"])
    [sidecar] = [
        c
        for part in ("initContainers", "containers")
        for c in template["spec"].get(part, [])
        if c["name"] == "sidegate"
    ]
    sidecar.update(change or {})
    extra = {"sidegate": {"SIDEGATE_REGISTRY__URL": "/models", **environment}, "app": {"THINK": str(think)}}
    with Pod(its, template, extra=extra, mounts={"/models": (MODELS, False)}) as one:
        yield one


def ask(port: int, method: str, path: str, body: object = None, address: str = POD_IP) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Traffic:
    """What a Service sends: requests to a pod that is ready, and for a while after it is not."""

    def __init__(self, pod: Pod, clients: int = 8) -> None:
        self.pod = pod
        self.failures: list[str] = []
        self.answered = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]

    def routed(self) -> bool:
        deleted = [at for at, name, what in self.pod.events if (name, what) == ("pod", "deleted")]
        return not deleted or time.monotonic() - self.pod.begun < deleted[0] + PROPAGATION

    def one(self) -> None:
        try:
            status, body = ask(8080, "POST", "/", ROWS)
            if status == 200 and json.loads(body)["predictions"] == ["Gentoo"]:
                self.answered += 1
            else:
                self.failures.append(f"{status} {body!r}")
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))

    def client(self) -> None:
        while not self.over.is_set() and self.routed():
            self.one()

    def late(self, seconds: float) -> None:
        """One that comes when most have heard that the pod is leaving: on its way when SIGTERM comes."""
        time.sleep(seconds)
        self.one()


def lived(one: Pod) -> tuple[Traffic, list[tuple[float, str, int | None]]]:
    """Starts the pod, sends traffic, deletes it; what clients and probes were answered."""
    one.start(60)
    traffic = Traffic(one)
    seen: list[tuple[float, str, int | None]] = []

    def look() -> None:
        while not traffic.over.is_set():
            for path in ("/livez", "/readyz"):
                try:
                    seen.append((time.monotonic() - one.begun, path, ask(8003, "GET", path)[0]))
                except OSError:
                    seen.append((time.monotonic() - one.begun, path, None))
            time.sleep(0.1)

    threads = [*traffic.threads, threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    [app] = [c for c in one.main if c.name == "app"]
    pause = app.spec["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > PROPAGATION
    late = threading.Thread(target=traffic.late, args=(pause - THINK / 2,))
    late.start()
    one.end()
    traffic.over.set()
    for thread in [*threads, late]:
        thread.join()
    assert traffic.answered > 8, traffic.failures
    print(one.timeline(), f"\n{traffic.answered} answered, {len(traffic.failures)} failed")
    for container in one.containers():
        if container.name == "sidegate":
            group = container.process and container.process.group
            print(f"sidegate used {group.peak_memory() if group else None} bytes at the most")
    return traffic, seen


def answers(seen: list, path: str, begin: float, end: float) -> set[int | None]:
    return {status for at, asked, status in seen if asked == path and begin < at < end}


# === the life of a pod ===


def test_a_native_sidecar_is_there_before_the_app_and_after_it(folder: pathlib.Path) -> None:
    with pod(folder, "native") as one:
        traffic, seen = lived(one)
        assert one.when("sidegate", "started") <= one.when("app", "start")
        assert traffic.failures == []
        # Only when the app is gone is it told.
        assert one.when("app", "SIGTERM") < one.when("app", "exit 0") <= one.when("sidegate", "SIGTERM")
        # Its registry here cannot be written, so that the last windows that it publishes take the 5 s that they may.
        assert one.when("sidegate", "exit 0") - one.when("sidegate", "SIGTERM") < 6
        # Whoever asks meanwhile hears that it is live and ready: the app is still at work.
        until = one.when("app", "exit 0")
        for path in ("/livez", "/readyz"):
            assert answers(seen, path, one.when("pod", "deleted"), until - 0.2) == {200}, one.timeline()
        check_grace(one)


def test_beside_the_app_it_answers_until_the_app_is_done(folder: pathlib.Path) -> None:
    with pod(folder, "plain") as one:
        traffic, seen = lived(one)
        assert traffic.failures == []
        told = one.when("sidegate", "SIGTERM")
        assert abs(told - one.when("app", "SIGTERM")) < 1
        assert one.when("app", "exit 0") < one.when("sidegate", "exit 0")
        # Not ready from SIGTERM on, live, and open.
        delay = int(dict(environment(one, "sidegate"))["SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS"]) / 1000
        assert answers(seen, "/livez", told + 0.3, told + delay - 0.3) == {200}
        assert answers(seen, "/readyz", told + 0.3, told + delay - 0.3) == {503}
        check_grace(one)


def test_beside_the_app_requests_are_lost_without_the_pause(folder: pathlib.Path) -> None:
    """That the test above can fail."""
    with pod(folder, "plain", SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS="0") as one:
        traffic, _ = lived(one)
        assert any("no answer from the sidecar" in failure for failure in traffic.failures), one.timeline()


def test_a_probe_that_asks_elsewhere_starts_no_app(folder: pathlib.Path) -> None:
    wrong = {"httpGet": {"path": "/ready", "port": "sidegate-ops"}, "periodSeconds": 1, "failureThreshold": 2}
    with pod(folder, "native", change={"startupProbe": wrong}) as one:
        with pytest.raises(Unhealthy, match="startupProbe failed 2 times: /ready: 404"):
            one.start(60)
        assert not [event for event in one.events if event[1] == "app"]


def test_without_its_required_model_the_app_waits(folder: pathlib.Path) -> None:
    with pod(folder, "native", SIDEGATE_REGISTRY__URL="/nowhere") as one:
        with pytest.raises(Unhealthy, match="not ready after 5 s"):
            one.start(5)
        assert not [event for event in one.events if event[1] == "app"]
        assert ask(8003, "GET", "/livez")[0] == 200, "that is no reason to start it again"


def test_what_the_pod_may_reach(folder: pathlib.Path) -> None:
    """Ports, socket, users, and a change of the ConfigMap, in one start."""
    with pod(folder, "native", think=0) as one:
        one.start(60)
        status, body = ask(8003, "GET", "/metrics")
        assert status == 200 and b"sidegate_model_info" in body
        for port, path in PRIVATE.items():
            assert not reached(port, path)
            assert ask(port, "GET", path, address="127.0.0.1")[0] == 200
        [sidecar] = one.init
        pid = sidecar.process and sidecar.process.pid()
        state = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in state and "NoNewPrivs:\t1" in state
        # The app asked through the socket, as another user, from a volume that it cannot write.
        two = ROWS * 2
        assert ask(8080, "POST", "/", two)[0] == 200
        text = one.cluster.find("ConfigMap", one_config(one))["data"]["sidegate.toml"]
        one.publish(one.volumes["sidegate-config"], {"sidegate.toml": text + "\n[limits]\nmax_rows = 1\n"})
        deadline = time.monotonic() + 10
        while ask(8080, "POST", "/", two)[0] == 200:
            assert time.monotonic() < deadline, "a changed ConfigMap was not taken over"
            time.sleep(0.1)
        assert ask(8080, "POST", "/", ROWS)[0] == 200


def test_an_image_that_opens_the_data_port_is_seen(folder: pathlib.Path) -> None:
    """That the test above can fail: a container's environment is its image's too, and beats the ConfigMap."""
    with pod(folder, "native", baked={"SIDEGATE_HTTP__LISTEN": "0.0.0.0:8000"}) as one:
        one.start(60)
        assert [port for port, path in PRIVATE.items() if reached(port, path)] == [8000]


def reached(port: int, path: str) -> bool:
    try:
        return ask(port, "GET", path)[0] == 200
    except OSError:
        return False


def one_config(one: Pod) -> str:
    return next(v["configMap"]["name"] for v in one.spec["volumes"] if v["name"] == "sidegate-config")


def environment(one: Pod, name: str) -> list[tuple[str, str]]:
    [container] = [c for c in one.containers() if c.name == name]
    return list(container.environment().items())


def check_grace(one: Pod) -> None:
    """What was used, and what would be at the worst, is less than there is."""
    grace = one.spec["terminationGracePeriodSeconds"]
    assert one.when("pod", "gone") - one.when("pod", "deleted") < grace
    assert not [event for event in one.events if event[2] == "SIGKILL"]


# === that the checks can fail ===


def its_sidecar(documents: list[dict]) -> dict:
    [found] = [
        c
        for d in documents
        if d["kind"] == "Deployment"
        for c in manifests.containers(d["spec"]["template"])
        if c["name"] == "sidegate"
    ]
    return found


def variable(container: dict, name: str) -> dict:
    [found] = [entry for entry in container["env"] if entry["name"] == name]
    return found


def of(documents: list[dict], kind: str, name: str) -> dict:
    [found] = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].startswith(name)]
    return found


BROKEN = {
    "readinessProbe asks": lambda d: its_sidecar(d)["readinessProbe"]["httpGet"].update(path="/v2/health/ready"),
    "asks port ops": lambda d: its_sidecar(d)["livenessProbe"]["httpGet"].update(port="ops"),
    "the port for probes is 8004": lambda d: variable(its_sidecar(d), "SIDEGATE_OPS__LISTEN").update(value="0.0.0.0:8004"),
    "which --config names": lambda d: variable(its_sidecar(d), "SIDEGATE_CONFIG").update(value="/etc/sidegate.toml"),
    "which evicts its pod": lambda d: its_sidecar(d)["resources"]["limits"].update({"ephemeral-storage": "1Gi"}),
    "serviceAccountName is missing": lambda d: of(d, "Deployment", "app")["spec"]["template"]["spec"].pop(
        "serviceAccountName"
    ),
    "is no setting of sidegate": lambda d: its_sidecar(d)["env"].append({"name": "SIDEGATE_HTTP__SOCKET", "value": ""}),
    "ends last": lambda d: its_sidecar(d).update(lifecycle={"preStop": {"sleep": {"seconds": 5}}}),
    "terminationGracePeriodSeconds is below": lambda d: of(d, "Deployment", "app")["spec"]["template"]["spec"].update(
        terminationGracePeriodSeconds=30
    ),
    "does not fit into the volume": lambda d: next(
        one["data"] for one in d if "sidegate.toml" in one.get("data", {})
    ).update({"sidegate.toml": "[registry]\ncache_max_bytes = 2_000_000_000"}),
    "is no volume of the pod": lambda d: its_sidecar(d)["volumeMounts"].pop(2),
    "there is no ConfigMap": lambda d: d.remove(of(d, "ConfigMap", "sidegate-train")),
    "there is no ServiceAccount": lambda d: d.remove(of(d, "ServiceAccount", "sidegate-monitor")),
    "securityContext.readOnlyRootFilesystem": lambda d: its_sidecar(d)["securityContext"].pop("readOnlyRootFilesystem"),
    "memory is limited": lambda d: its_sidecar(d)["resources"]["limits"].update(memory="1Gi"),
    "podMetricsEndpoints.0: Additional properties": lambda d: of(d, "PodMonitor", "")["spec"]["podMetricsEndpoints"][
        0
    ].update(prot="x"),
    "no pod that it selects": lambda d: of(d, "PodMonitor", "")["spec"]["podMetricsEndpoints"][0].update(port="ops"),
    "not the alerts of": lambda d: of(d, "PrometheusRule", "")["spec"]["groups"][0]["rules"].pop(),
    "no schema for": lambda d: of(d, "PodMonitor", "").update(kind="ServiceMonitor"),
    "no pod has its port": lambda d: of(d, "Service", "app")["spec"]["ports"][0].update(targetPort="web"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_what_is_broken_is_told(problem: str) -> None:
    whole = [d for d in documents("k8s-native.yaml")]
    assert list(manifests.Check(whole).problems()) == []
    broken = copy.deepcopy(whole)
    BROKEN[problem](broken)
    assert any(problem in text for text in manifests.Check(broken).problems()), list(manifests.Check(broken).problems())


def test_a_chart_that_says_something_else_is_told() -> None:
    ours, theirs = ({n: documents(f"{by}-{n}.yaml") for n in LAYOUTS} for by in ("k8s", "helm"))
    its_sidecar(theirs["plain"])["readinessProbe"]["periodSeconds"] = 6
    assert [text[:44] for text in manifests.alike(ours, theirs)] == ["plain: readinessProbe of the sidecar is {'fa"]


# === what runs beside it ===


@pytest.mark.parametrize("file", ["k8s-native.yaml", "helm-native.yaml"])
def test_the_monitor_runs_with_what_it_is_given(folder: pathlib.Path, file: str) -> None:
    its = cluster(folder, file)
    [deployment] = [
        d for d in its.documents if d["kind"] == "Deployment" and d["metadata"]["name"].endswith("-monitor")
    ]
    registry = folder / "models"
    shutil.copytree(MODELS, registry)
    template = deployment["spec"]["template"]
    extra = {"monitor": {"SIDEGATE_REGISTRY__URL": "/models"}}
    with Pod(its, template, extra=extra, mounts={"/models": (registry, True)}) as one:
        one.start(30)
        time.sleep(2)
        [monitor] = one.main
        assert monitor.running() and monitor.failure is None, monitor.text()
        one.end()


def rows() -> str:
    """People who leave, mostly when little holds them: enough for the manifest's gate."""
    dice = random.Random(7)
    lines = ["tenure,monthly,calls,churned"]
    for _ in range(600):
        tenure, monthly, calls = dice.randint(0, 72), dice.uniform(20, 120), dice.randint(0, 9)
        leaves = 1 / (1 + math.exp(0.08 * tenure - 0.02 * monthly - 0.6 * calls + 1))
        lines.append(f"{tenure},{monthly:.2f},{calls},{['no', 'yes'][dice.random() < leaves]}")
    return "\n".join(lines)


@pytest.mark.skipif(not weed(), reason="SIDEGATE_TEST_WEED names no SeaweedFS: the training is NOT run")
@pytest.mark.parametrize("file", ["k8s-native.yaml", "helm-native.yaml"])
def test_the_training_runs_as_its_manifest_says(folder: pathlib.Path, file: str) -> None:
    """Its own command, on rows in a bucket, to a version there; all that it writes besides is in its volume."""
    its = cluster(folder / "train", file)
    assert "sidegate-train" in its.images, "there is no sidegate-train beside sidegate: build with --features train"
    [job] = [d for d in its.documents if d["kind"] == "CronJob"]
    # The rows are CSV here.
    [config] = [d["data"] for d in its.documents if "train.toml" in d.get("data", {})]
    config["train.toml"] = re.sub(r"^(path = .*)(\nformat.*)?$", r'\1\nformat = "csv"', config["train.toml"], flags=re.M)
    (folder / "compose").mkdir()
    with Compose(folder / "compose", MANIFESTS / "compose.json") as compose:
        compose.start("seaweedfs")
        compose.healthy("seaweedfs", 60)
        compose.done("bucket")
        assert filer("PUT", "data/churn/rows.csv", rows())[0] == 201
        store = compose.services["sidegate"]["environment"]
        keys = {name: value for name, value in store.items() if name.startswith("AWS_")}
        one = Pod(
            its,
            job["spec"]["jobTemplate"]["spec"]["template"],
            extra={"train": {"AWS_ENDPOINT_URL": "http://seaweedfs:8333", **keys}},
            mounts={"/etc/hosts": (compose.hosts, False)},
        )
        with one:
            [train] = one.main
            train.start()
            assert train.process and train.process.wait(120) == 0, train.text()
        model = json.loads(filer("GET", "prod/churn/model.json")[1])
        assert [(version["version"], version["state"]) for version in model["versions"]] == [(1, "ready")]
        lock = json.loads(filer("GET", "prod/_locks/_train/churn.json")[1])
        assert lock["last"]["status"] == "success" and "owner" not in lock, "the next one would wait"
        assert [path.name.split("-")[0] for path in (one.volumes["work"] / "runs").iterdir()] == ["churn"]


def filer(method: str, key: str, body: str | None = None) -> tuple[int, bytes]:
    """What SeaweedFS answers of the bucket where it asks for no signature."""
    connection = http.client.HTTPConnection("127.0.0.1", 8888, timeout=20)
    try:
        connection.request(method, f"/buckets/models/{key}", body, {"accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# === the compose example ===


def test_what_compose_keeps_in_memory_fits_into_it() -> None:
    """Files of a tmpfs count as their container's memory: with 256 MiB of them in 128 it is killed, not evicted."""
    told = json.loads((MANIFESTS / "compose.json").read_text())
    options = {name: volume.get("driver_opts", {}) for name, volume in told["volumes"].items()}
    sizes = {n: quantity(re.search(r"size=(\d+)m", o["o"])[1] + "Mi") for n, o in options.items() if o.get("type") == "tmpfs"}
    for name, service in told["services"].items():
        held = sum(sizes.get(mount["source"], 0) for mount in service.get("volumes", []))
        assert held < int(service.get("mem_limit", 2**63)) / 4, f"{name}: {held} bytes of {service['mem_limit']}"


@pytest.mark.skipif(not weed(), reason="SIDEGATE_TEST_WEED names no SeaweedFS: the compose example is NOT run")
@pytest.mark.skipif(not shutil.which("prometheus"), reason="there is no Prometheus: the compose example is NOT run")
def test_the_compose_example(folder: pathlib.Path) -> None:
    with Compose(folder, MANIFESTS / "compose.json") as its:
        its.start("seaweedfs")
        its.healthy("seaweedfs", 60)
        its.done("bucket")
        its.done("publish")
        its.start("sidegate")
        its.healthy("sidegate", 60)
        app = its.start("app")
        while b"listening" not in app.output.read_bytes():
            assert app.wait(0.1) is None, app.text()
        status, body = ask(8080, "POST", "/", ROWS, "127.0.0.1")
        assert (status, json.loads(body)["predictions"]) == (200, ["Gentoo"])
        assert not any(reached(port, path) for port, path in PRIVATE.items())
        its.start("prometheus")
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, ValueError):  # it says in words that it is not ready
                _, body = ask(9090, "GET", "/api/v1/query?query=model_predictions_total", None, "127.0.0.1")
                if json.loads(body)["data"]["result"]:
                    break
            assert time.monotonic() < deadline, its.processes[-1].text()[-3000:]
            time.sleep(0.5)
        _, rules = ask(9090, "GET", "/api/v1/rules", None, "127.0.0.1")
        assert len(json.loads(rules)["data"]["groups"][0]["rules"]) > 5
