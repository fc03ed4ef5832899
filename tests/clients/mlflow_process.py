"""A real MLflow server and a door in front of it that can be shut, for tests. As a program it runs a command beside
such a server, whose address is in SIDEGATE_TEST_MLFLOW: `mlflow_process.py cargo test mlflow`."""

import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator

# It imports half of PyPI, and CI has two cores that may be compiling.
READY_SECONDS = 240.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Mlflow:
    """`mlflow server` with everything it keeps in a folder; it serves artifacts itself."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "mlflow.log"
        command = [
            str(pathlib.Path(sys.executable).with_name("mlflow")),
            "server",
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ]
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self.log.open("wb") as log:
            # A session of its own: it has children, and all of them are to end.
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> "Mlflow":
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                if answer.read() == b"OK":
                    return self
            time.sleep(0.2)
        self.__exit__()
        raise AssertionError(f"no MLflow server: {self.log.read_text(errors='replace')[-4000:]}")

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 15)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()


class Door:
    """Passes connections on to a port until it is shut; over TLS where it has a certificate."""

    def __init__(self, port: int, certificate: pathlib.Path | None = None) -> None:
        self.behind = ("127.0.0.1", port)
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.shut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.shut:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(self.behind)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.shut:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.close()


@contextlib.contextmanager
def door(port: int, certificate: pathlib.Path | None = None) -> Iterator[Door]:
    """One for the length of a `with` block."""
    made = Door(port, certificate)
    try:
        yield made
    finally:
        made.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work, Mlflow(pathlib.Path(work)) as server:
        sys.exit(subprocess.call(sys.argv[1:], env={**os.environ, "SIDEGATE_TEST_MLFLOW": server.url}))
