"""What every kind of row shares: the programs, the machine, and how long to measure."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import cgroups, generator
from .generator import Cores, Load
from .programs import ROOT, Models, Programs, say
from .rows import QUOTAS, Row, Workload
from .servers import Answer, Place, Server, ServerError, ask, running, wait_ready

# What ends a row without figures.
NOT_MEASURED = (
    ServerError,
    generator.GeneratorError,
    cgroups.NotPermittedError,
)


def not_measured(row: str, error: Exception) -> dict:
    """The result of such a row. Only a missing permission is nobody's failure."""
    say(f"{row} not measured: {error}")
    permitted = not isinstance(error, cgroups.NotPermittedError)
    return {"row": row, "skipped": str(error), "failed": int(permitted)}


@dataclass(frozen=True)
class Bench:
    """The settings of one run of run.py."""

    programs: Programs
    models: Models
    cores: Cores
    rounds: int
    duration: float
    warmup: float
    swaps: int

    def load(self, workload: Workload, **settings: object) -> Load:
        base: dict = {
            "workload": workload,
            "body": self.models.body_file(workload),
            "header_length": self.models.header_length(workload),
            "duration": self.duration,
            "warmup": self.warmup,
        }
        return Load(**(base | settings))

    def row_load(self, row: Row, rate: float) -> Load:
        return self.load(
            row.workload,
            transport=row.transport,
            connections=row.connections,
            keepalive=row.keepalive,
            rate=rate,
        )

    def run(self, load: Load, server: Server) -> dict:
        return generator.run(self.programs.loadgen, load, server, self.cores)

    @contextlib.contextmanager
    def place(self, cpus: str) -> Iterator[Place]:
        """Without a quota pinned to the server's core; with one on any core, as in a pod."""
        with cgroups.quota(QUOTAS[cpus]) as group:
            pin = (
                None
                if group or self.cores.server is None
                else frozenset([self.cores.server])
            )
            yield Place(pin, group)

    @contextlib.contextmanager
    def candidate(
        self,
        workload: Workload,
        cpus: str,
        folder: Path,
        *,
        engine: str | None = None,
        environment: dict[str, str] | None = None,
        ready: bool = True,
    ) -> Iterator[Server]:
        """The server under test with this workload's model alone; its registry is `folder/registry`."""
        registry = self.models.registry(folder / "registry", workload.model)
        command = self.programs.candidate(
            registry=registry,
            uds=folder / "candidate.sock",
            engine=engine or workload.engine,
        )
        with (
            self.place(cpus) as place,
            running(
                command,
                place,
                folder=folder,
                name="candidate",
                environment=environment,
                cwd=ROOT,
            ) as server,
        ):
            if ready:
                body, headers = self.request(workload)
                wait_ready(server, workload.path, body, headers)
            yield server

    @contextlib.contextmanager
    def reference(self, answer_bytes: int, cpus: str, folder: Path) -> Iterator[Server]:
        """bare_hyper with answers of the same length, under the same quota."""
        command = self.programs.reference(
            uds=folder / "reference.sock", answer_bytes=answer_bytes
        )
        with (
            self.place(cpus) as place,
            running(command, place, folder=folder, name="reference") as server,
        ):
            yield server

    def request(self, workload: Workload) -> tuple[bytes, dict[str, str]]:
        body = self.models.body_file(workload).read_bytes()
        return body, self.models.headers(workload)

    def sample_answer(self, workload: Workload, server: Server) -> Answer:
        body, headers = self.request(workload)
        answer = ask(server.http, "POST", workload.path, body=body, headers=headers)
        if answer.status != 200:
            raise ServerError(f"{workload.path}: {answer.status} {answer.body[:300]!r}")
        return answer


def lasting_part(answer: Answer) -> bytes | None:
    """The part of an answer that every equal request must get: the outputs, not the id."""
    header_length = answer.headers.get("inference-header-content-length")
    if header_length is not None:
        return answer.body[int(header_length) :] or None
    # Latin-1 keeps places in the text and in the bytes the same.
    text = answer.body.decode("latin-1")
    key = text.find('"outputs"')
    start = text.find("[", key)
    if key < 0 or start < 0:
        return None
    _, end = json.JSONDecoder().raw_decode(text, start)
    return answer.body[start:end]
