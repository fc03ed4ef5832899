"""A real Prometheus and a receiver of webhooks, for tests. Standard library only."""

import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest

# What the goal of monitoring calls "a scrape".
SCRAPE_SECONDS = 1


def program(name: str) -> str:
    """Prometheus or promtool; without them a test fails, or is skipped where somebody said so."""
    found = shutil.which(name)
    if not found:
        if os.environ.get("SIDEGATE_WITHOUT_PROMTOOL") == "1":
            pytest.skip(f"SIDEGATE_WITHOUT_PROMTOOL=1: NOT checked by {name}")
        pytest.fail(f"{name} is missing: install Prometheus, or set SIDEGATE_WITHOUT_PROMTOOL=1 to do without")
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Prometheus:
    """One that scrapes an address, with alerting rules."""

    def __init__(self, folder: pathlib.Path, target: str, rules: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "sidegate", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "prometheus.log"
        command = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def get(self, path: str, **parameters: str) -> dict:
        """`data` of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict]:
        """What an expression gives now."""
        return self.get("query", query=expression)["result"]

    def wait(self, expression: str, seconds: float, wanted: Callable[[list[dict]], bool] = bool) -> list[dict]:
        """The same, once it is as wanted."""
        deadline = time.monotonic() + seconds
        found: object = None
        while time.monotonic() < deadline:
            try:
                found = self.query(expression)
                if wanted(found):
                    return found
            except OSError as error:
                found = error
            time.sleep(0.1)
        raise AssertionError(f"{expression}: {found} after {seconds} s\n{self.log.read_text(errors='replace')[-2000:]}")

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


class Receiver:
    """Takes events as `answers` says, then all of them, each after `seconds`; remembers heads and bodies."""

    def __init__(self, answers: list[int], seconds: float) -> None:
        self.events: list[tuple[dict[str, str], dict]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.events.append(({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}, body))
                status = answers.pop(0) if answers else 200
                time.sleep(seconds)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
