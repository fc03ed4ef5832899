"""SageMaker's contract with a container, on the real program: the argument `serve`, the environment that
deploy/terraform/sagemaker.tf and `sidegate-train deploy` give it, and a version's folder of the registry where SageMaker
lays it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html: one port, /ping within 2 s,
/invocations, connections accepted within 250 ms, 30 s from SIGTERM to SIGKILL.
https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html: what it asks of a container with many models.
"""

import concurrent.futures
import contextlib
import hashlib
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
import urllib.parse
from collections.abc import Callable, Iterator

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
        self.models = folder / "opt/ml/models"
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

    # --- many models ---

    def lay(self, model: str, name: str = "") -> tuple[str, str]:
        """Lays a shipped model where SageMaker unpacks its archive; what SageMaker calls it, and the folder."""
        name = name or hashlib.md5(f"{model}.tar.gz".encode()).hexdigest()
        place = self.models / hashlib.md5(name.encode()).hexdigest() / "model"
        if not place.exists():
            shutil.copytree(MODELS / model / "1", place)
        return name, str(place)

    def load(self, name: str, url: str) -> tuple[int, dict]:
        body = json.dumps({"model_name": name, "url": url}).encode()
        status, _, answer = self.ask("POST", "/models", body, "application/json", Accept="application/json")
        return status, json.loads(answer)

    def unload(self, name: str) -> int:
        return self.ask("DELETE", f"/models/{urllib.parse.quote(name, safe='')}")[0]

    def invoke_model(self, name: str, body: object, content_type: str = "application/json") -> tuple[int, dict]:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = f"/models/{urllib.parse.quote(name, safe='')}/invoke"
        status, _, answer = self.ask("POST", path, body, content_type, X_Amzn_SageMaker_Target_Model="team/model.tar.gz")
        return status, json.loads(answer)

    def loaded(self, **parameters: object) -> dict:
        status, _, answer = self.ask("GET", f"/models?{urllib.parse.urlencode(parameters)}", Accept="application/json")
        assert status == 200, answer
        return json.loads(answer)

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


@contextlib.contextmanager
def container_of_many(folder: pathlib.Path, **more: str) -> Iterator[Container]:
    """One with SAGEMAKER_MULTI_MODEL, whose models are laid below a folder of the test's."""
    url = f"sagemaker://{folder}/opt/ml/models"
    with container(folder, None, SAGEMAKER_MULTI_MODEL="true", SIDEGATE_REGISTRY__URL=url, **more) as its:
        its.models.mkdir()
        its.wait()
        yield its


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


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    onnxruntime()
    with container_of_many(tmp_path_factory.mktemp("many")) as its:
        yield its


@pytest.fixture
def flights(many: Container) -> Iterator[str]:
    """Many models, of which one is loaded."""
    name, url = many.lay(MODEL)
    assert many.load(name, url) == (200, {"modelName": name, "modelUrl": url})
    yield name
    assert many.unload(name) == 200
    assert many.loaded() == {"models": []}


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
FORMS = pytest.mark.parametrize(
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


@FORMS
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


SHIPPED = sorted(path.name for path in MODELS.iterdir() if (path / "model.json").exists())


@pytest.mark.parametrize("model", SHIPPED)
def test_every_shipped_model_is_served_with_its_examples(folder: pathlib.Path, model: str) -> None:
    """Loading asks the golden examples of the version's folder."""
    onnxruntime()
    with container(folder, model) as its:
        assert os.path.isfile(its.model / "golden.json")
        assert its.end() < KILL_SECONDS


# === many models ===


def test_sagemaker_says_that_there_are_many(folder: pathlib.Path) -> None:
    for more, url, origin in [
        ({"SAGEMAKER_MULTI_MODEL": "true"}, "sagemaker:///opt/ml/models", "SAGEMAKER_MULTI_MODEL"),
        ({"SAGEMAKER_MULTI_MODEL": "false"}, "file:models", "default"),
        ({"SAGEMAKER_MULTI_MODEL": "true", "SIDEGATE_REGISTRY__URL": "x"}, "file:x", "SIDEGATE_REGISTRY__URL"),
    ]:
        shown = subprocess.run([binary(), "check", "--json"], cwd=folder, env={**environment(), **more}, capture_output=True)
        answer = json.loads(shown.stdout)
        values = {value["key"]: value for value in answer["values"]}
        assert (values["registry.url"]["value"], values["registry.url"]["origin"]) == (url, origin)
        if url.startswith("sagemaker:"):
            # It hears that there is no room before the kernel does.
            assert values["memory.budget_bytes"]["value"] > 0


def test_it_is_healthy_without_a_model(folder: pathlib.Path) -> None:
    with container_of_many(folder) as its:
        assert (its.ping(), its.loaded()) == (200, {"models": []})
        assert its.invoke_model("gone", {"instances": ROWS})[0] == 404
        assert its.ask("GET", "/models/gone")[0] == its.unload("gone") == 404
        assert its.end() < KILL_SECONDS


def test_a_model_is_loaded_listed_shown_and_unloaded(many: Container) -> None:
    name, url = many.lay(MODEL)
    shown = {"modelName": name, "modelUrl": url}
    assert many.load(name, url) == (200, shown)
    assert many.load(name, url)[0] == 409
    status, headers, answer = many.ask("GET", f"/models/{name}", Accept="application/json")
    assert (status, headers["content-type"], json.loads(answer)) == (200, "application/json", shown)
    assert many.loaded() == {"models": [shown]}
    assert many.invoke_model(name, {"instances": ROWS})[0] == 200
    assert many.unload(name) == 200
    assert many.unload(name) == many.ask("GET", f"/models/{name}")[0] == 404
    assert many.invoke_model(name, {"instances": ROWS})[0] == 404
    assert many.loaded() == {"models": []}


@FORMS
def test_every_form_is_answered_as_by_one_model(
    many: Container, flights: str, wanted: list[float], body: object, content_type: str
) -> None:
    status, answer = many.invoke_model(flights, body, content_type)
    assert (status, answer["predictions"]) == (200, wanted)


def test_tensors_travel_in_the_carrier_to_each(many: Container, flights: str, wanted: list[float]) -> None:
    values = np.array(ROWS, "<f4").tobytes()
    tensor = {"name": "input", "shape": [2, 8], "datatype": "FP32", "parameters": {"binary_data_size": len(values)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    status, answer = many.invoke_model(flights, head + values, f"{CARRIER};json-header-size={len(head)}")
    assert status == 200 and np.allclose(answer["outputs"][0]["data"], wanted)
    assert many.invoke_model(flights, head + values, CARRIER)[0] == 400
    assert many.invoke_model(flights, b"\x93NUMPY", "application/x-npy")[0] == 415


def test_all_shipped_models_answer_their_examples_side_by_side(many: Container) -> None:
    laid = {model: many.lay(model) for model in SHIPPED}
    for name, url in laid.values():
        assert many.load(name, url)[0] == 200
    for model, (name, _) in laid.items():
        [case, *_] = json.loads((MODELS / model / "1/golden.json").read_text())["cases"]
        status, answer = many.invoke_model(name, {"inputs": case["inputs"]})
        assert status == 200, answer
        for output in case["outputs"]:
            got = np.array(answer["outputs"][output["name"]]).ravel()
            want = np.array(output["data"])
            assert (got == want).all() if want.dtype.kind == "U" else np.allclose(got, want, 1e-4, 1e-5), model
    names, token = [], None
    while token is not None or not names:
        page = many.loaded(limit=2, **({"next_page_token": token} if token else {}))
        names += [entry["modelName"] for entry in page["models"]]
        token = page.get("nextPageToken")
    assert sorted(names) == sorted(name for name, _ in laid.values())
    for name, _ in laid.values():
        assert many.unload(name) == 200


def test_others_are_answered_while_models_come_and_go(many: Container, flights: str, wanted: list[float]) -> None:
    stop = threading.Event()

    def keep_asking() -> int:
        count = 0
        while not stop.is_set():
            status, answer = many.invoke_model(flights, {"instances": ROWS})
            assert (status, answer["predictions"]) == (200, wanted)
            assert many.ping() == 200
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(keep_asking) for _ in range(2)]
        try:
            for round in range(6):
                name, url = many.lay(["digits", "wine"][round % 2], f"passing-{round}")
                assert many.load(name, url)[0] == 200
                assert many.unload(name) == 200
        finally:
            stop.set()
        assert all(client.result() for client in clients)


def link_out(its: Container, place: pathlib.Path) -> None:
    shutil.rmtree(place)
    place.symlink_to(MODELS / "wine/1")


def link_file_out(its: Container, place: pathlib.Path) -> None:
    (place / "model.onnx").unlink()
    (place / "model.onnx").symlink_to(MODELS / "wine/1/model.onnx")


def another_file(its: Container, place: pathlib.Path) -> None:
    shutil.copy(MODELS / "wine/1/model.onnx", place / "model.onnx")


def another_example(its: Container, place: pathlib.Path) -> None:
    golden = json.loads((place / "golden.json").read_text())
    golden["cases"][0]["outputs"][0]["data"] = [-1] * len(golden["cases"][0]["outputs"][0]["data"])
    (place / "golden.json").write_text(json.dumps(golden))
    (place / "manifest.json").unlink()


def cut_short(its: Container, place: pathlib.Path) -> None:
    data = (place / "model.onnx").read_bytes()
    (place / "model.onnx").write_bytes(data[: len(data) // 2])
    (place / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (link_out, "missing_file"),
        (link_file_out, "missing_file"),
        (another_file, "bad_digest"),
        (another_example, "golden_mismatch"),
        (cut_short, "parse"),
        (lambda its, place: shutil.rmtree(place), "missing_file"),
    ],
    ids=["link", "linked file", "other file", "other example", "cut short", "gone"],
)
def test_what_fails_the_checks_is_not_loaded(
    many: Container, flights: str, harm: Callable[[Container, pathlib.Path], None], code: str
) -> None:
    name, url = many.lay(MODEL, f"harmed {code} {harm.__name__}")
    harm(many, pathlib.Path(url))
    status, answer = many.load(name, url)
    assert (status, answer["code"]) == (400, code), answer
    assert str(many.models) not in answer["error"]
    assert many.ask("GET", f"/models/{urllib.parse.quote(name)}")[0] == 404
    assert [entry["modelName"] for entry in many.loaded()["models"]] == [flights]
    assert many.ping() == 200 and many.invoke_model(flights, {"instances": ROWS})[0] == 200


@pytest.mark.parametrize("url", ["/opt/ml/model", "/", "{models}", "{models}/../../../wine", "wine", "../wine", "{shipped}/wine/1"])
def test_what_lies_elsewhere_is_not_loaded(many: Container, url: str) -> None:
    status, answer = many.load("elsewhere", url.format(models=many.models, shipped=MODELS))
    assert (status, answer["code"]) == (400, "missing_file"), answer
    assert many.loaded() == {"models": []}


def test_sagemaker_hears_that_there_is_no_room_and_makes_some(folder: pathlib.Path) -> None:
    with container_of_many(folder, SIDEGATE_REGISTRY__MAX_MODELS="2") as its:
        models = [its.lay(model) for model in ["wine", "penguins", MODEL]]
        assert [its.load(*model)[0] for model in models] == [200, 200, 507]
        assert its.unload(models[0][0]) == 200
        assert its.load(*models[2])[0] == 200
    # Nothing fits beside the program itself.
    with container_of_many(folder / "small", SIDEGATE_MEMORY__BUDGET_BYTES="1000000") as its:
        status, answer = its.load(*its.lay("wine"))
        assert (status, answer["code"]) == (507, "memory")
        assert (its.ping(), its.loaded()) == (200, {"models": []})


def test_a_container_that_starts_again_begins_with_nothing(folder: pathlib.Path) -> None:
    cache = str(folder / "cache")
    for _ in range(2):
        shutil.rmtree(folder / "opt", ignore_errors=True)
        with container_of_many(folder, SIDEGATE_REGISTRY__CACHE_DIR=cache) as its:
            assert its.loaded() == {"models": []}
            name, url = its.lay(MODEL)
            assert its.load(name, url)[0] == 200
            assert its.invoke_model(name, {"instances": ROWS})[0] == 200
            assert its.end() < KILL_SECONDS
