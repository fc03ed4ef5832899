"""Processor quotas: one child cgroup per server, version 1 or 2, whichever has the cpu controller."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD_US = 100_000


class NotPermittedError(Exception):
    """This machine does not let us set quotas."""


def _mounts() -> list[list[str]]:
    return [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]


def _own_group(*, controller: str | None) -> str:
    """This process's group in the hierarchy of `controller`; None is version 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (controller or "") in controllers.split(","):
            return path.lstrip("/")
    return ""


def _create_v1(name: str, quota: float) -> Path | None:
    for _, mount, kind, options, *_ in _mounts():
        if kind == "cgroup" and "cpu" in options.split(","):
            group = Path(mount) / _own_group(controller="cpu") / name
            limits = {
                "cpu.cfs_period_us": str(PERIOD_US),
                "cpu.cfs_quota_us": str(int(quota * PERIOD_US)),
            }
            return _create(group, limits)
    return None


def _create_v2(name: str, quota: float) -> Path | None:
    for _, mount, kind, *_ in _mounts():
        root = Path(mount)
        if kind != "cgroup2" or "cpu" not in _words(root / "cgroup.controllers"):
            continue
        limits = {"cpu.max": f"{int(quota * PERIOD_US)} {PERIOD_US}"}
        own = root / _own_group(controller=None)
        # Refused as "busy" where processes live beside the new child: then the root is tried.
        with contextlib.suppress(OSError):
            _enable_cpu(own)
            return _create(own / name, limits)
        _enable_cpu(root)
        return _create(root / name, limits)
    return None


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def _enable_cpu(group: Path) -> None:
    """Lets the children of a version 2 group have the cpu controller."""
    control = group / "cgroup.subtree_control"
    if "cpu" not in _words(control):
        control.write_text("+cpu")


def _create(group: Path, limits: dict[str, str]) -> Path:
    group.mkdir()
    try:
        for file, value in limits.items():
            (group / file).write_text(value)
    except OSError:
        _remove(group)
        raise
    return group


@contextlib.contextmanager
def quota(cpus: float | None) -> Iterator[Path | None]:
    """A group limited to `cpus` processors, for `join`; None for no limit."""
    if cpus is None:
        yield None
        return
    name = f"sidegate-loadtest-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group = _create_v1(name, cpus) or _create_v2(name, cpus)
    except OSError as error:
        raise NotPermittedError(f"cgroup: {error}") from error
    if group is None:
        raise NotPermittedError("no cgroup hierarchy with a writable cpu controller")
    try:
        yield group
    finally:
        _remove(group)


def join(group: Path) -> None:
    """Put the calling process into the group."""
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _remove(group: Path) -> None:
    # A killed process leaves its group a moment after it was waited for.
    for _ in range(100):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
