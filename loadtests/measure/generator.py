"""Runs the load generator against a server and adds what the rest of the machine did meanwhile."""

import json
import os
import resource
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .rows import Workload
from .servers import Server


@dataclass(frozen=True)
class Cores:
    """Which processors the two sides use; None where the machine has only one."""

    server: int | None
    generator: int | None

    @classmethod
    def of_this_machine(cls) -> "Cores":
        cpus = sorted(os.sched_getaffinity(0))
        return cls(cpus[0], cpus[1]) if len(cpus) > 1 else cls(None, None)


class GeneratorError(Exception):
    """The generator could not run: not a matter of speed."""


@dataclass(frozen=True)
class Load:
    """How a server is to be loaded."""

    workload: Workload
    body: Path
    header_length: int | None
    transport: str = "tcp"
    connections: int = 8
    keepalive: bool = True
    rate: float = 0.0
    duration: float = 2.0
    warmup: float = 0.5
    expect_body: Path | None = None
    stop_file: Path | None = None

    def arguments(self, server: Server) -> list[str]:
        if self.transport == "uds":
            if server.uds is None:
                raise GeneratorError("the server has no Unix socket")
            where = ["--uds", server.uds, "--path", self.workload.path]
        else:
            where = ["--url", f"http://{server.http}{self.workload.path}"]
        options: dict[str, object] = {
            "--body": self.body,
            "--header-length": self.header_length,
            "--connections": self.connections,
            "--duration": self.duration,
            "--warmup": self.warmup,
            "--rate": round(self.rate, 3),
            "--pid": server.pid,
            "--expect-body": self.expect_body,
            "--stop-file": self.stop_file,
        }
        given = ((key, value) for key, value in options.items() if value is not None)
        flags = [] if self.keepalive else ["--no-keepalive"]
        return [*where, *flags, *(str(part) for pair in given for part in pair)]


class Running:
    """A generator at work; `result` waits for it."""

    def __init__(self, program: Path, load: Load, server: Server, cores: Cores) -> None:
        pin = [] if cores.generator is None else ["taskset", "-c", str(cores.generator)]
        self._server = server
        self._busy = _machine_busy()
        self._server_cpu = server.cpu_seconds()
        self._own_cpu = _children_cpu()
        self.process = subprocess.Popen(
            [*pin, str(program), *load.arguments(server)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> dict:
        try:
            output, errors = self.process.communicate()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        if self.process.returncode != 0:
            raise GeneratorError(
                errors.strip() or f"exit code {self.process.returncode}"
            )
        result = json.loads(output)
        busy, seconds = (
            b - a for a, b in zip(self._busy, _machine_busy(), strict=True)
        )
        ours = (
            self._server.cpu_seconds()
            - self._server_cpu
            + _children_cpu()
            - self._own_cpu
        )
        # Processors that others (or the hypervisor) used: what makes a figure doubtful.
        result["others_cpus"] = round(max(0.0, busy - ours) / max(seconds, 0.01), 2)
        return result


def run(program: Path, load: Load, server: Server, cores: Cores) -> dict:
    return Running(program, load, server, cores).result()


def failed(result: dict) -> int:
    """Answers that were no good; a 503 is a refusal under load and not among them."""
    return result["errors"]["total"]


def median_of(results: Iterable[dict]) -> dict:
    """Medians of every figure; errors, refusals and throttled periods are summed."""
    runs = list(results)
    median: dict = {}
    for key in runs[0]:
        values = [run[key] for run in runs if run.get(key) is not None]
        if not values:
            median[key] = None
        elif isinstance(values[0], bool | str):
            median[key] = values[0]
        elif isinstance(values[0], int | float):
            total = key in ("requests", "unsent", "reconnects")
            median[key] = sum(values) if total else statistics.median(values)
        elif key in ("errors", "throttled"):
            median[key] = _sum(values)
        elif key == "shed":
            count = sum(value["count"] for value in values)
            worst = max((value["p99_us"] or 0 for value in values), default=0)
            median[key] = {"count": count, "p99_us": worst or None}
        else:
            median[key] = median_of(values)
    return median


def _sum(values: list[dict]) -> dict:
    total: dict = {}
    for value in values:
        for key, number in value.items():
            if isinstance(number, dict):
                total[key] = _sum([total.get(key, {}), number])
            else:
                total[key] = total.get(key, 0) + number
    return total


def _machine_busy() -> tuple[float, float]:
    """Processor seconds used by everyone so far (stolen ones too), and the time of day."""
    fields = [
        int(field)
        for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK"), float(
        Path("/proc/uptime").read_text().split()[0]
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
