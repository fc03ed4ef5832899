"""SageMaker's contract with a container, on the real program: the argument `serve`, the environment that
deploy/terraform/sagemaker.tf and `sidegate-train deploy` give it, and a version's folder of the registry where SageMaker
lays it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html: one port, /ping within 2 s,
/invocations, connections accepted within 250 ms, 30 s from SIGTERM to SIGKILL.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from image import Image
from sidegate import MODELS, READY_SECONDS, ROOT, binary, environment, onnxruntime

PING_SECONDS, CONNECT_SECONDS, KILL_SECONDS = 2.0, 0.25, 30.0
MODEL = "flight-delay"
CARRIER = "application/vnd.sagemaker-triton.binary+json"
COLUMNS = ["dep_delay", "distance", "planned_minutes", "hour", "weekday", "wind_speed", "precip", "visib"]
ROWS = [[10, 500, 90, 8, 1, 5, 0, 10], [60, 1000, 180, 20, 5, 20, 0.5, 2]]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Container:
    """`docker run IMAGE serve`, without the container."""

    def __init__(self, folder: pathlib.Path, **more: str) -> None:
        self.model = folder / "opt/ml/model"
        self.port = free_port()
        self.log = folder / "log"
        # A container has a network of its own; here others listen too.
        env = {
            "SIDEGATE_HTTP__LISTEN": f"127.0.0.1:{self.port}",
            "SIDEGATE_REGISTRY__URL": f"{self.model}/model.onnx",
            "SIDEGATE_ADMIN__LISTEN": "127.0.0.1:0",
            **more,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "serve"], cwd=ROOT, env={**environment(), **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PING_SECONDS if path == "/ping" else 60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            named["Content-Type"] = content_type
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def invoke(self, body: object, content_type: str = "application/json", **headers: str) -> dict:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.ask("POST", "/invocations", body, content_type, **headers)
        assert status == 200, answer
        return json.loads(answer)

    def ping(self) -> int:
        """Status of the health check; 0 while nobody listens."""
        with contextlib.suppress(ConnectionError):
            return self.ask("GET", "/ping")[0]
        return 0

    def wait(self, status: int = 200) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self.ping() != status:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> float:
        """Seconds from SIGTERM to a clean exit."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(KILL_SECONDS) == 0, self.log.read_text()
        finally:
            self.process.kill()
        return time.monotonic() - begun


@contextlib.contextmanager
def container(folder: pathlib.Path, model: str | None = MODEL, **more: str) -> Iterator[Container]:
    """One with this model's version 1."""
    (folder / "opt/ml").mkdir(parents=True)
    if model:
        shutil.copytree(MODELS / model / "1", folder / "opt/ml/model")
    its = Container(folder, **more)
    try:
        if model:
            its.wait()
        yield its
    finally:
        its.process.kill()
        its.process.wait()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    onnxruntime()
    with container(tmp_path_factory.mktemp("sagemaker")) as its:
        yield its


@pytest.fixture(scope="module")
def wanted(serving: Container) -> list[float]:
    """What the open protocol answers, which other tests hold against ONNX Runtime."""
    values = [value for row in ROWS for value in row]
    answer = serving.invoke({"inputs": [{"name": "input", "shape": [2, 8], "datatype": "FP32", "data": values}]})
    predicted = answer.get("predictions") or answer["outputs"][0]["data"]
    assert len(predicted) == 2 and predicted[0] != predicted[1]
    return predicted


# === /ping ===


def test_ping_says_no_until_the_model_is_loaded(folder: pathlib.Path) -> None:
    with container(folder, model=None) as its:
        its.wait(503)
        shutil.copytree(MODELS / MODEL / "1", folder / "being-copied")
        (folder / "being-copied").rename(its.model)
        its.wait(200)
        assert its.end() < KILL_SECONDS


def test_a_file_that_is_not_the_versions_is_not_served(folder: pathlib.Path) -> None:
    """The manifest beside it has the digest."""
    with container(folder, model=None) as its:
        shutil.copytree(MODELS / MODEL / "1", its.model)
        other = (MODELS / "wine/1/model.onnx").read_bytes()
        (its.model / "model.onnx").write_bytes(other)
        deadline = time.monotonic() + READY_SECONDS
        while "bad_digest" not in its.log.read_text():
            assert time.monotonic() < deadline, its.log.read_text()
            time.sleep(0.05)
        assert its.ping() == 503


def test_ping_and_connections_are_prompt_while_much_is_asked(serving: Container) -> None:
    body = json.dumps({"instances": ROWS * 2000}).encode()
    stop = threading.Event()

    def load() -> int:
        count = 0
        while not stop.is_set():
            status, headers, _ = serving.ask("POST", "/invocations", body, "application/json")
            # What is too much is told so, and comes again later.
            assert status == 200 or (status == 503 and "retry-after" in headers)
            count += status == 200
        return count

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        try:
            for _ in range(20):
                begun = time.monotonic()
                with socket.create_connection(("127.0.0.1", serving.port), CONNECT_SECONDS):
                    assert time.monotonic() - begun < CONNECT_SECONDS
                # Its connection gives up after 2 s.
                assert serving.ping() == 200
        finally:
            stop.set()
        assert sum(load.result() for load in loads)


# === /invocations ===


FRAME = {"columns": COLUMNS, "data": ROWS}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"instances": ROWS}, "application/json"),
        ({"dataframe_split": FRAME}, "application/json"),
        ({"dataframe_records": [dict(zip(COLUMNS, row)) for row in ROWS]}, "application/json; charset=utf-8"),
        ([dict(zip(COLUMNS, row)) for row in ROWS], "application/json"),
        ("\n".join(",".join(map(str, row)) for row in ROWS).encode(), "text/csv"),
        ("\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in ROWS)]).encode(), "text/csv"),
    ],
    ids=["instances", "split", "records", "bare records", "csv", "csv with a header"],
)
def test_every_form_has_the_same_answer(serving: Container, wanted: list[float], body: object, content_type: str) -> None:
    assert serving.invoke(body, content_type)["predictions"] == wanted


def test_columns_go_by_their_names_and_not_by_their_order(serving: Container, wanted: list[float]) -> None:
    """The model takes one matrix; which column is which stands in the manifest of the version's folder."""
    records = [dict(reversed(list(zip(COLUMNS, row)))) for row in ROWS]
    assert serving.invoke(records)["predictions"] == wanted
    turned = {"columns": COLUMNS[::-1], "data": [row[::-1] for row in ROWS]}
    assert serving.invoke({"dataframe_split": turned})["predictions"] == wanted


def test_tensors_travel_in_the_carrier(serving: Container, wanted: list[float]) -> None:
    """SageMaker strips the header field that says where JSON ends, so the content type does."""
    values = np.array(ROWS, "<f4").tobytes()
    head = json.dumps({
        "inputs": [{"name": "input", "shape": [2, 8], "datatype": "FP32", "parameters": {"binary_data_size": len(values)}}],
        "parameters": {"binary_data_output": True},
    }).encode()  # fmt: skip
    content_type = f"{CARRIER};json-header-size={len(head)}"
    status, headers, body = serving.ask("POST", "/invocations", head + values, content_type)
    assert status == 200, body
    kind, _, size = headers["content-type"].partition(";json-header-size=")
    assert kind == CARRIER
    [output] = json.loads(body[: int(size)])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(body) - int(size)
    assert np.allclose(np.frombuffer(body[int(size) :], "<f4"), wanted)
    for wrong in [CARRIER, f"{CARRIER};json-header-size=x", f"{CARRIER};json-header-size={len(head) + len(values) + 1}"]:
        assert serving.ask("POST", "/invocations", head + values, wrong)[0] == 400, wrong


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-npy", b"\x93NUMPY", 415),
        ("application/json", b"{", 400),
        ("application/json", b'{"instances":[[1,2]]}', 400),
        ("text/csv", b"1,2", 400),
    ],
)
def test_what_it_cannot_read_is_refused_with_a_reason(
    serving: Container, content_type: str, body: bytes, status: int
) -> None:
    got, headers, answer = serving.ask("POST", "/invocations", body, content_type)
    assert (got, headers["content-type"]) == (status, "application/json")
    assert json.loads(answer)["error"]


def test_fields_of_sagemaker_change_nothing(serving: Container, wanted: list[float]) -> None:
    answer = serving.invoke(
        {"instances": ROWS},
        X_Amzn_SageMaker_Custom_Attributes="trace-id=7;c000b4f9",
        X_Amzn_SageMaker_Target_Variant="AllTraffic",
        X_Amzn_SageMaker_Inference_Id="abc",
        Accept="application/json",
    )
    assert answer["predictions"] == wanted


def test_a_body_is_sent_when_it_is_asked_for(serving: Container, wanted: list[float]) -> None:
    body = json.dumps({"instances": ROWS}).encode()
    with socket.create_connection(("127.0.0.1", serving.port), 10) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"] == wanted


# === how it ends, and where it listens ===


def test_what_has_begun_is_answered_after_sigterm(folder: pathlib.Path) -> None:
    body = json.dumps({"instances": ROWS}).encode()
    with container(folder) as its:
        with socket.create_connection(("127.0.0.1", its.port), 10) as connection:
            connection.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body[:10]
            )
            time.sleep(0.3)
            ended = concurrent.futures.ThreadPoolExecutor(1).submit(its.end)
            time.sleep(0.5)
            assert its.process.poll() is None
            connection.sendall(body[10:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert ended.result() < KILL_SECONDS


def test_sagemaker_may_say_the_port(folder: pathlib.Path) -> None:
    """As its local mode and inference pipelines do; the variable is told as the one that says it."""
    env = {**environment(), **Image.of("sidegate").environment, "SAGEMAKER_BIND_TO_PORT": "18080"}
    for more, listen, origin in [
        ({}, "0.0.0.0:18080", "SAGEMAKER_BIND_TO_PORT"),
        ({"SIDEGATE_HTTP__LISTEN": "127.0.0.1:1"}, "127.0.0.1:1", "SIDEGATE_HTTP__LISTEN"),
    ]:
        shown = subprocess.run([binary(), "check", "--json"], cwd=folder, env={**env, **more}, capture_output=True)
        values = {value["key"]: value for value in json.loads(shown.stdout)["values"]}
        assert (values["http.listen"]["value"], values["http.listen"]["origin"]) == (listen, origin)


@pytest.mark.parametrize("model", sorted(path.name for path in MODELS.iterdir() if (path / "model.json").exists()))
def test_every_shipped_model_is_served_with_its_examples(folder: pathlib.Path, model: str) -> None:
    """Loading asks the golden examples of the version's folder."""
    onnxruntime()
    with container(folder, model) as its:
        assert os.path.isfile(its.model / "golden.json")
        assert its.end() < KILL_SECONDS
