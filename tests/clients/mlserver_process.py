"""Starts a real MLServer, asks it directly, and ends or suspends it."""

import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
READY_SECONDS = 60.0
STOP_SECONDS = 20.0


def free_port() -> int:
    """A port that nobody listens at, below those that the system gives to clients: nobody takes it while MLServer is
    away."""
    for port in random.sample(range(18000, 28000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 18000 and 28000")


class MLServer:
    """One MLServer that can go and come back at the same port."""

    def __init__(self, folder: pathlib.Path, models: dict[str, dict]) -> None:
        """`models` are what model-settings.json holds, by name; each has a folder for its files."""
        self.folder = folder
        self.port = free_port()
        self.log = folder / "mlserver.log"
        for name, settings in models.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "model-settings.json").write_text(json.dumps({"name": name, **settings}))
        server = {
            "host": "127.0.0.1",
            "http_port": self.port,
            "grpc_port": free_port(),
            "metrics_endpoint": None,
            "parallel_workers": 0,  # one process: what is ended is all of it
        }
        (folder / "settings.json").write_text(json.dumps(server))
        self.start()

    def url(self, model: str) -> str:
        """What a remote variant names."""
        return f"http://127.0.0.1:{self.port}/v2/models/{model}"

    def start(self) -> None:
        """Starts it, and returns when its models are loaded."""
        env = {name: value for name, value in os.environ.items() if not name.upper().startswith("MLSERVER_")}
        env["PYTHONPATH"] = str(HERE)
        command = [str(pathlib.Path(sys.executable).parent / "mlserver"), "start", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"MLServer ended with {self.process.returncode}\n{self.output()}")
            try:
                if self._exchange("GET", "/v2/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.end()
        raise TimeoutError(f"MLServer is not ready\n{self.output()}")

    def ask(self, model: str, request: dict) -> dict:
        """MLServer's own answer."""
        status, body = self._exchange("POST", f"/v2/models/{model}/infer", json.dumps(request).encode())
        assert status == 200, body
        return json.loads(body)

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def suspend(self) -> None:
        """Leaves its connections open and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on with what it was sent meanwhile."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Asks it to end, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"MLServer did not end by itself\n{self.output()}") from None

    def end(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """What it wrote, for a failure's message."""
        return self.log.read_text(errors="replace")[-8000:] if self.log.exists() else ""

    def __enter__(self) -> "MLServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
