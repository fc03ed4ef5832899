"""The Runtime API of AWS Lambda, version 2018-06-01, as its documentation has it, and a function that asks it.

Standard library only. Whether it is right is shown by AWS's own client, awslambdaric, in test_lambda.py: what that is
served with, sidegate is served with.
"""

import dataclasses
import http.server
import json
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid

from sidegate import READY_SECONDS, STOP_SECONDS, environment

# The documented limit of a response; a request's is enforced before there is an invocation.
MOST = 6_291_556
BASE = "/2018-06-01/runtime/"
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:predict"


@dataclasses.dataclass
class Outcome:
    """What became of an invocation: `response` or `error` as the function said it, `timeout` where it said nothing."""

    kind: str
    payload: bytes
    headers: dict[str, str]
    seconds: float

    def json(self) -> object:
        return json.loads(self.payload)


class Invocation:
    def __init__(self, payload: bytes, seconds: float) -> None:
        self.id = str(uuid.uuid4())
        self.number = str(uuid.uuid4())
        self.payload = payload
        self.deadline = time.time() + seconds
        self.handed_out = 0.0
        self.outcome: queue.Queue[Outcome] = queue.Queue(1)


class Quiet(http.server.ThreadingHTTPServer):
    """Whoever ends while it waits resets its connection."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


class RuntimeApi:
    """The API on a free port. One environment, so one invocation at a time."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[Invocation] = queue.Queue()
        self.current: Invocation | None = None
        self.init_error: Outcome | None = None
        self.begun = threading.Event()  # the init phase is over, one way or the other
        self.closed = threading.Event()
        # Method, path without the name of the invocation, status, and the fields in small letters.
        self.calls: list[tuple[str, str, int, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.server = Quiet(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def invoke(self, event: object, seconds: float = 30.0) -> Outcome:
        """What `aws lambda invoke` would do."""
        invocation = Invocation(event if isinstance(event, bytes) else json.dumps(event).encode(), seconds)
        self.waiting.put(invocation)
        try:
            return invocation.outcome.get(timeout=seconds + 1)
        except queue.Empty:
            return Outcome("timeout", b"", {}, seconds)

    def asked(self) -> list[tuple[str, str, int]]:
        """The conversation so far, answered calls only."""
        with self.lock:
            return [call[:3] for call in self.calls]

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    # === one method a path ===

    def next(self) -> tuple[int, dict[str, str], bytes] | None:
        self.begun.set()
        while True:
            if self.closed.is_set():
                return None
            try:
                invocation = self.waiting.get(timeout=0.02)
                break
            except queue.Empty:
                pass
        self.current = invocation
        invocation.handed_out = time.monotonic()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Invocation-Id": invocation.number,
            "Lambda-Runtime-Deadline-Ms": str(round(invocation.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            "Content-Type": "application/json",
        }
        return 200, headers, invocation.payload

    def finish(self, kind: str, name: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        invocation = self.current
        if invocation is None or invocation.id != name:
            return 400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}'
        self.current = None
        seconds = time.monotonic() - invocation.handed_out
        if len(body) > MOST:
            message = f"Response payload size exceeded maximum allowed payload size ({MOST} bytes)."
            said = json.dumps({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}).encode()
            invocation.outcome.put(Outcome("error", said, headers, seconds))
            return 413, b'{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}'
        invocation.outcome.put(Outcome(kind, body, headers, seconds))
        return 202, b'{"status":"OK"}\n'

    def refuse_start(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.begun.is_set():
            return 403, b'{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}'
        self.init_error = Outcome("error", body, headers, 0.0)
        self.begun.set()
        return 202, b'{"status":"OK"}\n'

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                answer = api.next() if self.path == BASE + "invocation/next" else (404, {}, b"{}")
                if answer is None:
                    self.close_connection = True
                    return
                self.answer("invocation/next", *answer)

            def do_POST(self) -> None:
                fields = {name.lower(): value for name, value in self.headers.items()}
                if "chunked" in fields.get("transfer-encoding", ""):
                    body = self.chunked()
                else:
                    body = self.rfile.read(int(fields.get("content-length", 0)))
                match self.path.removeprefix(BASE).split("/"):
                    case ["init", "error"]:
                        self.answer("init/error", *api.refuse_start(fields, body))
                    case ["invocation", name, ("response" | "error") as kind]:
                        self.answer(f"invocation/{kind}", *api.finish(kind, name, fields, body))
                    case _:
                        self.answer(self.path, 404, b"{}")

            def chunked(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def answer(self, path: str, status: int, *rest: dict[str, str] | bytes) -> None:
                *more, body = rest
                with api.lock:
                    fields = {name.lower(): value for name, value in self.headers.items()}
                    api.calls.append((self.command, path, status, fields))
                try:
                    self.send_response(status)
                    for name, value in (more[0] if more else {"Content-Type": "application/json"}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Function:
    """A process beside a Runtime API, as Lambda starts it. Leaving the `with` block ends both."""

    def __init__(
        self,
        command: list[str],
        folder: pathlib.Path,
        variables: dict[str, str] | None = None,
        *,
        cwd: pathlib.Path | None = None,
    ) -> None:
        self.api = RuntimeApi()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "function.log"
        env = {
            **environment(),
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "predict",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": "eu-central-1",
            "LAMBDA_TASK_ROOT": str(folder),
            "PYTHONPATH": str(folder),
            **(variables or {}),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=cwd or folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def begun(self) -> "Function":
        """Returns when it asked for its first invocation, or said that it never will."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.api.begun.wait(0.02):
            ended = self.process.poll()
            assert ended is None, f"it ended with {ended} without a word to Lambda\n{self.output()}"
            assert time.monotonic() < deadline, f"no first question within {READY_SECONDS:.0f} s\n{self.output()}"
        return self

    def serving(self) -> "Function":
        """Returns when it asked for its first invocation."""
        assert self.begun().api.init_error is None, self.output()
        return self

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-8000:]

    def wait(self) -> int:
        """Its exit code, once it ends."""
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no exit within {STOP_SECONDS:.0f} s\n{self.output()}") from None

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> "Function":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.api.close()
