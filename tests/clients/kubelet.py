"""Plays the life of one pod from its rendered manifest, as the kubelet does, with its timings: start order, probes, volumes,
environment, preStop, order of SIGTERM, grace. Standard library only.

What it knows is what our manifests use; anything else in them is an error, so that nothing is passed over.
"""

import http.client
import itertools
import pathlib
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from container import Group, Process
from image import Image

POD_IP = "10.244.0.9"
LEAST_GRACE = 2.0  # what the kubelet gives every container
KNOWN = {
    "name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "resources", "restartPolicy", "lifecycle",
    "startupProbe", "readinessProbe", "livenessProbe", "securityContext", "volumeMounts", "workingDir",
}  # fmt: skip


class Unhealthy(AssertionError):
    """A probe failed as often as it may."""


@dataclass
class Cluster:
    """What a pod finds there."""

    folder: pathlib.Path
    documents: list[dict]
    # Of others nothing is known but that they are as this machine.
    images: dict[str, Image]

    def find(self, kind: str, name: str) -> dict:
        for document in self.documents:
            if (document["kind"], document["metadata"]["name"]) == (kind, name):
                return document
        raise LookupError(f"{kind} {name} is not among the manifests")


def quantity(text: str | int) -> float:
    """`250m`, `128Mi`, `1` as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


class Container:
    """One container of a pod, running or to be run."""

    def __init__(self, pod: "Pod", spec: dict) -> None:
        unknown = spec.keys() - KNOWN
        assert not unknown, f"this kubelet does not know {sorted(unknown)}"
        self.pod, self.spec, self.name = pod, spec, spec["name"]
        self.sidecar = spec.get("restartPolicy") == "Always"
        self.image = pod.cluster.images.get(spec["image"].partition(":")[0], Image())
        self.process: Process | None = None
        self.started = self.ready = False
        self.failure: str | None = None

    # === start ===

    def environment(self) -> dict[str, str]:
        environment = dict(self.image.environment)
        for source in self.spec.get("envFrom", []):
            # Secrets are nobody's here; ours are optional.
            assert source["secretRef"]["optional"], source
        for entry in self.spec.get("env", []):
            value = entry.get("value")
            if value is None:
                origin = entry["valueFrom"]
                if "configMapKeyRef" in origin:
                    of = origin["configMapKeyRef"]
                    value = self.pod.cluster.find("ConfigMap", of["name"])["data"][of["key"]]
                else:
                    assert origin == {"fieldRef": {"fieldPath": "metadata.name"}}, origin
                    value = self.pod.name
            environment[entry["name"]] = value
        return environment | self.pod.extra.get(self.name, {})

    def command(self, environment: dict[str, str]) -> list[str]:
        # A command is without the image's own arguments, too.
        command = self.spec.get("command") or self.image.entrypoint
        default = [] if "command" in self.spec else self.image.command
        arguments = [*command, *self.spec.get("args", default)]
        return [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], text) for text in arguments]

    def start(self) -> None:
        mounts = {place: (file, False) for place, file in self.image.files.items()}
        for mount in self.spec.get("volumeMounts", []):
            mounts[mount["mountPath"]] = (self.pod.volumes[mount["name"]], not mount.get("readOnly", False))
        security, limits = self.spec["securityContext"], self.spec["resources"]["limits"]
        memory = int(quantity(limits["memory"])) if "memory" in limits else None
        cpus = quantity(limits["cpu"]) if "cpu" in limits else None
        environment = self.environment()
        self.pod.note(self.name, "start")
        self.process = Process(
            self.pod.folder / self.name,
            self.command(environment),
            environment | {"HOSTNAME": self.pod.name},
            mounts=mounts | self.pod.mounts,
            work=self.spec.get("workingDir", self.image.folder),
            user=security["runAsUser"],
            read_only=security["readOnlyRootFilesystem"],
            group=Group(f"sidegate-test-{self.pod.name}-{self.name}", memory, cpus),
        )
        threading.Thread(target=self.watch, daemon=True).start()

    # === probes ===

    def ask(self, probe: dict) -> str | None:
        """What is wrong, if anything is."""
        assert probe.keys() <= {
            "httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold", "initialDelaySeconds", "successThreshold",
        }  # fmt: skip
        where = probe["httpGet"]
        port = where["port"]
        if isinstance(port, str):
            [port] = [p["containerPort"] for p in self.spec["ports"] if p["name"] == where["port"]]
        connection = http.client.HTTPConnection(POD_IP, port, timeout=probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", where["path"])
            answer = connection.getresponse()
            return None if 200 <= answer.status < 400 else f"{where['path']}: {answer.status} {answer.read(200)!r}"
        except OSError as error:
            return f"{where['path']} on {POD_IP}:{port}: {error}"
        finally:
            connection.close()

    def probe(self, which: str, done: Callable[[bool], bool]) -> None:
        """Asks until `done` says so of a result."""
        probe = self.spec[which]
        time.sleep(probe.get("initialDelaySeconds", 0))
        failures = 0
        while self.running() and not self.pod.ending.is_set():
            wrong = self.ask(probe)
            failures = failures + 1 if wrong else 0
            if failures >= probe.get("failureThreshold", 3) and which != "readinessProbe":
                self.failure = f"{self.name}: {which} failed {failures} times: {wrong}\n{self.text()[-3000:]}"
                self.pod.note(self.name, "unhealthy")
                return
            if not wrong or failures >= probe.get("failureThreshold", 3):
                if done(not wrong):
                    return
            self.pod.ending.wait(probe.get("periodSeconds", 10))

    def watch(self) -> None:
        """Startup first, then readiness and liveness side by side."""
        if "startupProbe" in self.spec:
            self.probe("startupProbe", lambda passed: passed)
            if self.failure or not self.running():
                return
        self.started = True
        self.pod.note(self.name, "started")
        if "livenessProbe" in self.spec:
            threading.Thread(target=self.probe, args=("livenessProbe", lambda _: False), daemon=True).start()
        if "readinessProbe" in self.spec:
            self.probe("readinessProbe", self.becomes)
        else:
            self.becomes(True)

    def becomes(self, ready: bool) -> bool:
        if ready != self.ready:
            self.ready = ready
            self.pod.note(self.name, "ready" if ready else "not ready")
        return False

    def running(self) -> bool:
        return self.process is not None and self.process.process.poll() is None

    def text(self) -> str:
        return self.process.text() if self.process else ""

    # === end ===

    def end(self, grace: float, turn: Callable[[float], None]) -> None:
        """preStop, whose turn it is, SIGTERM, SIGKILL, in the kubelet's order."""
        begun = time.monotonic()
        left = lambda: grace - (time.monotonic() - begun)  # noqa: E731
        if before := self.spec.get("lifecycle", {}).get("preStop"):
            time.sleep(min(before["sleep"]["seconds"], grace))
        turn(left())
        assert self.process
        self.pod.note(self.name, "SIGTERM")
        self.process.signal(signal.SIGTERM)
        code = self.process.wait(max(left(), LEAST_GRACE))
        if code is None:
            self.pod.note(self.name, "SIGKILL")
            self.process.signal(signal.SIGKILL)
            code = self.process.wait(10)
        self.pod.note(self.name, f"exit {code}")


class Pod:
    """A pod from a template. Leaving the `with` block kills what is left."""

    def __init__(
        self,
        cluster: Cluster,
        template: dict,
        *,
        extra: dict[str, dict[str, str]] | None = None,
        mounts: dict[str, tuple[pathlib.Path, bool]] | None = None,
    ) -> None:
        """`extra` is environment by container, `mounts` what every container gets besides: the cluster's own affairs."""
        self.cluster, self.spec = cluster, template["spec"]
        self.name = cluster.folder.name
        self.folder = cluster.folder
        self.extra, self.mounts = extra or {}, mounts or {}
        self.volumes = {volume["name"]: self.volume(volume) for volume in self.spec.get("volumes", [])}
        self.init = [Container(self, spec) for spec in self.spec.get("initContainers", [])]
        self.main = [Container(self, spec) for spec in self.spec["containers"]]
        self.events: list[tuple[float, str, str]] = []
        self.begun = time.monotonic()
        self.ending = threading.Event()

    def volume(self, volume: dict) -> pathlib.Path:
        folder = self.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True)
        if "emptyDir" in volume:
            folder.chmod(0o777)
        elif "configMap" in volume:
            self.publish(folder, self.cluster.find("ConfigMap", volume["configMap"]["name"])["data"])
        else:
            for source in volume["projected"]["sources"]:
                (folder / source["serviceAccountToken"]["path"]).write_text("a token")
        return folder

    def publish(self, folder: pathlib.Path, files: dict[str, str]) -> None:
        """As the kubelet changes a ConfigMap's volume: a new folder, then one link that is renamed."""
        data = next(folder / f"..{n}" for n in itertools.count() if not (folder / f"..{n}").exists())
        data.mkdir()
        for name, text in files.items():
            (data / name).write_text(text)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..data_tmp").symlink_to(data.name)
        (folder / "..data_tmp").rename(folder / "..data")

    def note(self, container: str, what: str) -> None:
        self.events.append((time.monotonic() - self.begun, container, what))

    def when(self, container: str, what: str) -> float:
        """Seconds from the pod's beginning to the first such event."""
        for at, name, found in self.events:
            if (name, found) == (container, what):
                return at
        raise LookupError(f"{container} was never `{what}`: {self.timeline()}")

    def timeline(self) -> str:
        return "\n".join(f"{at:7.2f} s  {name:10} {what}" for at, name, what in self.events)

    def containers(self) -> list[Container]:
        return [*self.init, *self.main]

    def ready(self) -> bool:
        """Sidecars count; while the pod ends nobody is sent there by its endpoints any more."""
        counted = [c for c in self.containers() if c.sidecar or c in self.main]
        return not self.ending.is_set() and all(c.ready for c in counted)

    def start(self, seconds: float) -> None:
        """Returns when every container runs and is ready."""
        deadline = time.monotonic() + seconds

        def wait(what: Callable[[], bool]) -> None:
            while not what():
                for container in self.containers():
                    if container.failure:
                        raise Unhealthy(container.failure)
                    if container.process and not container.running():
                        raise Unhealthy(f"{container.name} ended by itself:\n{container.text()[-3000:]}")
                if time.monotonic() > deadline:
                    raise Unhealthy(f"not ready after {seconds} s\n{self.timeline()}")
                time.sleep(0.02)

        for container in self.init:
            assert container.sidecar, "other init containers are not played"
            container.start()
            wait(lambda container=container: container.started)
        for container in self.main:
            container.start()
        wait(self.ready)

    def end(self) -> None:
        """As when the pod is deleted. Returns when all is over."""
        self.note("pod", "deleted")
        self.ending.set()
        grace = float(self.spec.get("terminationGracePeriodSeconds", 30))
        over = {container.name: threading.Event() for container in self.containers()}

        def end(container: Container) -> None:
            after = [c for c in self.main] if container.sidecar else []
            after += self.init[self.init.index(container) + 1 :] if container.sidecar else []

            def turn(left: float) -> None:
                deadline = time.monotonic() + left
                for other in after:
                    over[other.name].wait(max(0.0, deadline - time.monotonic()))

            container.end(grace, turn)
            over[container.name].set()

        threads = [threading.Thread(target=end, args=(container,)) for container in self.containers()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.note("pod", "gone")

    def __enter__(self) -> "Pod":
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for container in self.containers():
            if container.process:
                container.process.kill()
