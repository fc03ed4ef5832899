"""Starts the real sidegate and knows where it listens. Standard library only: every environment can use it."""

import hashlib
import http.client
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
# Generous, because CI has two cores and may be compiling; what is ready sooner is not waited for.
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


def binary() -> pathlib.Path:
    """The program under test: $SIDEGATE_BINARY, else the one that `cargo build` makes."""
    named = os.environ.get("SIDEGATE_BINARY")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(named) if named else target / "debug" / "sidegate"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `cargo build`, or name a binary in SIDEGATE_BINARY")
    return path.resolve()


def environment() -> dict[str, str]:
    """That of this process; settings of the person who runs the tests are not under test."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("SIDEGATE_")}


def run(folder: pathlib.Path, *arguments: str | pathlib.Path) -> str:
    """What a command prints."""
    command = [binary(), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class UnixConnection(http.client.HTTPConnection):
    """`http.client` over a Unix domain socket."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Server:
    """One sidegate process on free ports. Leaving the `with` block sends SIGTERM and wants a clean exit."""

    def __init__(
        self,
        folder: pathlib.Path,
        registry: pathlib.Path | str | None = None,
        *,
        model_file: pathlib.Path | None = None,
        engine: str | None = None,
        settings: dict[str, object] | None = None,
        config: str | None = None,
        wait: bool = True,
        cwd: pathlib.Path = ROOT,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Socket paths hold 107 bytes, and pytest's folders are long.
        self.uds = pathlib.Path(f"/tmp/sidegate-{os.getpid()}-{id(self):x}.sock")
        self.log = folder / "sidegate.log"
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        command = [str(binary()), "serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--uds", str(self.uds)]
        if model_file:
            command += [str(model_file)]
        else:
            command += ["--registry", str(registry or MODELS)]
        if engine:
            command += ["--engine", engine]
        if config is not None:
            (folder / "sidegate.toml").write_text(config)
            command += ["--config", str(folder / "sidegate.toml")]
        env = environment()
        for key, value in (settings or {}).items():
            env["SIDEGATE_" + key.replace(".", "__").upper()] = str(value)
        with self.log.open("wb") as log:
            # The root of the tree is where lib/ holds ONNX Runtime.
            self.process = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            listening = self.line("listening ")
            fields = dict(field.split("=", 1) for field in listening.split()[1:])
            self.http, self.admin = fields["http"], fields["admin"]
            if wait:
                self.wait_ready()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    @property
    def url(self) -> str:
        """Base of the data port's URLs."""
        return f"http://{self.http}"

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._fresh.put(line.rstrip("\n"))
        self._fresh.put(None)

    def line(self, start: str) -> str:
        """The line of standard output that begins so; waits for it."""
        for line in self.lines:
            if line.startswith(start):
                return line
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                line = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no line `{start}…` within {READY_SECONDS:.0f} s\n{self.output()}") from None
            if line is None:
                raise RuntimeError(f"sidegate ended with {self.process.wait()} before `{start}…`\n{self.output()}")
            self.lines.append(line)
            if line.startswith(start):
                return line

    def wait_ready(self) -> None:
        """Returns when every model was tried and the server says ready."""
        deadline = time.monotonic() + READY_SECONDS
        answer: object = None
        while time.monotonic() < deadline:
            status, answer = self.get("/v2/health/ready")
            if status == 200:
                return
            time.sleep(0.02)
        raise TimeoutError(f"not ready: {answer}\n{self.output()}")

    def get(self, path: str, *, admin: bool = False) -> tuple[int, object]:
        """Status and JSON of a GET on a connection of its own."""
        status, _, body = self.exchange("GET", path, admin=admin)
        return status, json.loads(body)

    def exchange(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, admin: bool = False
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body, on a connection of its own."""
        connection = http.client.HTTPConnection(self.admin if admin else self.http, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def served(self) -> dict[str, dict[str, str]]:
        """Engine of every version that serves, by model and version; failures are no part of it."""
        _, models = self.get("/models", admin=True)
        assert isinstance(models, list)
        return {
            m["name"]: {v["version"]: v["engine"] for v in m["versions"] if v["state"] == "serving"} for m in models
        }

    def wait_served(self, model: str, version: str) -> None:
        """Returns when the plain name means this version."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            _, ready = self.get(f"/model/info?model={model}")
            if isinstance(ready, dict) and ready.get("version") == version:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{model} {version} is not served: {self.get('/models', admin=True)}\n{self.output()}")

    def refused(self) -> dict[str, str]:
        """Reason code of every model that has a failed version."""
        _, models = self.get("/models", admin=True)
        assert isinstance(models, list)
        return {m["name"]: v["reason"]["code"] for m in models for v in m["versions"] if v["state"] == "failed"}

    def output(self) -> str:
        """What the process wrote, for a failure's message."""
        log = self.log.read_text(errors="replace")[-8000:] if self.log.exists() else ""
        return "\n".join(["--- standard output", *self.lines, "--- standard error", log])

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no exit within {STOP_SECONDS:.0f} s of SIGTERM\n{self.output()}") from None
        finally:
            self.uds.unlink(missing_ok=True)
        return code

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        early = self.process.poll()
        if early is not None and kind is None:
            raise AssertionError(f"sidegate ended by itself with {early}\n{self.output()}")
        code = self.stop()
        if kind is None:
            assert code == 0, f"exit code {code} after SIGTERM\n{self.output()}"
            assert "panicked" not in self.output(), self.output()


def onnxruntime() -> pathlib.Path:
    """The ONNX Runtime library in lib/, fetched when it is not there."""
    library = ROOT / "lib" / "libonnxruntime.so"
    if not library.exists():
        subprocess.run(
            [str(ROOT / "scripts" / "onnxruntime.sh"), str(ROOT / "lib")],
            check=True,
            env={**os.environ, "PYTHON": os.environ.get("PYTHON") or sys.executable},
        )
    return library


def copy_models(target: pathlib.Path, *names: str) -> pathlib.Path:
    """A registry that holds copies of some shipped models."""
    for name in names:
        shutil.copytree(MODELS / name, target / name)
    return target


def take_profile(models: pathlib.Path, name: str) -> None:
    """Takes the reference away from a copied model: a gateway learns one from what it is asked."""
    folder = models / name
    manifest = json.loads((folder / "1/manifest.json").read_text())
    del manifest["files"]["profile.json"]
    data = json.dumps(manifest).encode()
    record = json.loads((folder / "model.json").read_text())
    record["versions"][0]["manifest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (folder / "1/manifest.json").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "1/profile.json").unlink()
