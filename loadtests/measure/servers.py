"""Starts servers on chosen processors and quotas, and asks them the few things run.py needs."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cgroups

READY_WITHIN = 30.0


class ServerError(Exception):
    """A server did not start, or answered a plain request wrongly."""


@dataclass(frozen=True)
class Place:
    """Where a server may run."""

    cpus: frozenset[int] | None
    group: Path | None = None


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    started: float
    log: Path
    http: str
    admin: str | None
    uds: str | None

    @property
    def pid(self) -> int:
        return self.process.pid

    def rss_kib(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def complaint(self) -> str:
        """The end of what it wrote to standard error."""
        return self.log.read_text(errors="replace").strip()[-2000:]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(address: str, method: str, path: str, **request: object) -> Answer:
    """One request over one new TCP connection."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, **request)  # type: ignore[arg-type]
        response = connection.getresponse()
        headers = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sidegate-loadtest-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    place: Place,
    *,
    folder: Path,
    name: str,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Runs a server until the block ends. It is listening, not necessarily ready."""
    out, log = folder / f"{name}.out", folder / f"{name}.log"

    def settle() -> None:
        if place.group is not None:
            cgroups.join(place.group)
        if place.cpus is not None:
            os.sched_setaffinity(0, place.cpus)

    # Files, not pipes: a full pipe that nobody reads would stop the server.
    with out.open("w") as output, log.open("w") as errors:
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=errors,
                cwd=cwd,
                env=os.environ | (environment or {}),
                preexec_fn=settle,  # noqa: PLW1509 one thread when servers are started
            )
        except OSError as error:
            raise ServerError(str(error)) from error
    try:
        addresses = _listening(process, out, log)
        server = Server(
            process=process,
            started=started,
            log=log,
            http=addresses["http"],
            admin=_given(addresses.get("admin")),
            uds=_given(addresses.get("uds")),
        )
        yield server
    finally:
        _end(process)


def wait_ready(server: Server, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Until `/readyz` says so (where there is an admin port) and a request is answered."""
    deadline = time.monotonic() + READY_WITHIN
    last = "no answer"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerError(f"the server ended: {server.complaint()}")
        try:
            if server.admin:
                answer = ask(server.admin, "GET", "/readyz")
                last = f"/readyz {answer.status}: {answer.body[:300]!r}"
            if not server.admin or answer.status == 200:
                answer = ask(server.http, "POST", path, body=body, headers=headers)
                last = f"{path} {answer.status}: {answer.body[:300]!r}"
                if answer.status == 200:
                    return
        except OSError as error:
            last = str(error)
        time.sleep(0.02)
    raise ServerError(
        f"not ready after {READY_WITHIN:g} s: {last}\n{server.complaint()}"
    )


def first_answer(
    server: Server, path: str, body: bytes, headers: dict[str, str]
) -> float:
    """Seconds from the start of the process to its first good answer."""
    host, port = server.http.rsplit(":", 1)
    lines = [f"POST {path} HTTP/1.1", f"Host: {server.http}", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    request = "\r\n".join(lines).encode() + body
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, int(port)), 5) as tcp,
        ):
            tcp.sendall(request)
            if tcp.recv(65536).startswith(b"HTTP/1.1 200"):
                return time.monotonic() - server.started
        if server.process.poll() is not None:
            break
        time.sleep(0.0005)
    raise ServerError(f"no answer: {server.complaint()}")


def serving_version(server: Server, model: str) -> int | None:
    """The highest version of the model that the admin port calls serving."""
    if server.admin is None:
        return None
    answer = ask(server.admin, "GET", "/models")
    if answer.status != 200:
        raise ServerError(f"GET /models: {answer.status}")
    for entry in json.loads(answer.body):
        if entry.get("name") == model:
            serving = [
                int(version["version"])
                for version in entry["versions"]
                if version["state"] == "serving"
            ]
            return max(serving, default=None)
    return None


def _given(address: str | None) -> str | None:
    return None if address in (None, "-") else address


def _listening(
    process: subprocess.Popen[bytes], out: Path, log: Path
) -> dict[str, str]:
    """Waits for the line `listening http=… admin=… uds=…`."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        for line in out.read_text(errors="replace").splitlines(keepends=True):
            if line.startswith("listening ") and line.endswith("\n"):
                return dict(
                    word.split("=", 1) for word in line.split()[1:] if "=" in word
                )
        if ended:
            break
        time.sleep(0.0005)
    text = log.read_text(errors="replace").strip()[-2000:]
    raise ServerError(f"no `listening` line (exit code {process.returncode}): {text}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks politely, then does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
