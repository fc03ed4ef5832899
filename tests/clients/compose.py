"""The services of deploy/compose as containers of this machine: their own commands, files, users and health checks, all in one
network. Standard library only.
"""

import json
import os
import pathlib
import shutil
import time

from container import Process
from image import Image
from sidegate import binary


def weed() -> str | None:
    return os.environ.get("SIDEGATE_TEST_WEED")


def image(name: str) -> Image:
    """What an image has and this machine has not."""
    if name == "sidegate":
        its = Image.of(name)
        its.files["/usr/local/bin/sidegate"] = binary()
        return its
    programs = {"chrislusf/seaweedfs": weed(), "prom/prometheus": shutil.which("prometheus")}
    if name not in programs:
        return Image()
    file = pathlib.Path(programs[name] or "")
    return Image(entrypoint=[file.name], files={f"/usr/local/bin/{file.name}": file})


class Compose:
    """Services of the example, one by one, as containers of this machine."""

    def __init__(self, folder: pathlib.Path, config: pathlib.Path) -> None:
        self.folder = folder
        self.services = json.loads(config.read_text())["services"]
        self.processes: list[Process] = []
        self.volumes = {name: folder / name for name in ("bucket", "run", "cache", "prometheus")}
        for volume in self.volumes.values():
            volume.mkdir()
            volume.chmod(0o1777)
        self.hosts = folder / "hosts"
        self.hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *self.services]))

    def start(self, name: str, command: list[str] | None = None) -> Process:
        service = self.services[name]
        its = image(service["image"].partition(":")[0])
        mounts = {"/etc/hosts": (self.hosts, False)} | {place: (file, False) for place, file in its.files.items()}
        if its.entrypoint == ["prometheus"]:  # a volume of its image
            mounts["/prometheus"] = (self.volumes["prometheus"], True)
        for mount in service.get("volumes", []):
            source = self.volumes[mount["source"]] if mount["type"] == "volume" else pathlib.Path(mount["source"])
            mounts[mount["target"]] = (source, not mount.get("read_only", False))
        # An entry point is without the image's own arguments, too.
        named = service.get("entrypoint")
        entrypoint, default = (named, []) if named else (its.entrypoint, its.command)
        command = command or [*entrypoint, *(service.get("command") or default)]
        if command[:2] == ["weed", "server"]:
            command.append("-volume.port=18080")  # the app's port: here all have one network
        user = service.get("user", "").partition(":")[0]
        process = Process(
            self.folder / name,
            command,
            its.environment | {key: str(value) for key, value in (service.get("environment") or {}).items()},
            mounts=mounts,
            work=its.folder,
            user=int(user) if user else None,
            read_only=service.get("read_only", False),
        )
        self.processes.append(process)
        return process

    def healthy(self, name: str, seconds: float) -> None:
        """By the service's own check."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        command = test if kind == "CMD" else ["/bin/sh", "-c", *test]
        deadline = time.monotonic() + seconds
        while (check := self.start(name, command)).wait(30) != 0:
            assert time.monotonic() < deadline, f"{name}: {check.text()[-3000:]}"
            time.sleep(0.5)

    def done(self, name: str) -> None:
        process = self.start(name)
        assert process.wait(60) == 0, process.text()

    def __enter__(self) -> "Compose":
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.kill()
