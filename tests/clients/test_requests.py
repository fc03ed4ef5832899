"""Plain HTTP as an app writes it: `requests`, and `http.client` over the Unix socket."""

import gzip
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
import requests
import urllib3

import golden
import small_models
from sidegate import MODELS, Server, UnixConnection, copy_models

LIMIT = 8 << 20


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def infer_body(case: golden.Case, **more: object) -> dict:
    tensors = [
        {"name": n, "shape": list(a.shape), "datatype": golden.datatype(a), "data": a.ravel().tolist()}
        for n, a in case.inputs.items()
    ]
    return {"inputs": tensors, **more}


def check_infer(answer: dict, case: golden.Case) -> None:
    assert [output["name"] for output in answer["outputs"]] == list(case.outputs)
    for output in answer["outputs"]:
        wanted = case.outputs[output["name"]]
        golden.assert_near(np.array(output["data"], wanted.dtype).reshape(output["shape"]), wanted, output["name"])


# === connections ===


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with every connection that `requests` opens."""
    opened: list[object] = []
    connect = urllib3.connection.HTTPConnection.connect

    def counted(connection: urllib3.connection.HTTPConnection) -> None:
        opened.append(connection)
        connect(connection)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", counted)
    return opened


def test_a_session_keeps_its_connection(server: Server, session: requests.Session, opened: list[object]) -> None:
    [case, *_] = golden.cases("wine")
    url = f"{server.url}/v2/models/wine/infer"
    for number in range(30):
        answer = session.post(url, json=infer_body(case, id=f"keep {number}"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == f"keep {number}"
        check_infer(answer.json(), case)
        assert answer.headers.get("Connection", "keep-alive").lower() == "keep-alive"
        assert answer.headers["Content-Type"] == "application/json"
        assert re.search(r"\btotal;dur=[0-9.]+", answer.headers["Server-Timing"])
    assert len(opened) == 1


def test_an_error_keeps_the_connection_too(server: Server, session: requests.Session, opened: list[object]) -> None:
    url = f"{server.url}/v2/models/wine/infer"
    for _ in range(10):
        assert session.post(url, data=b"{").status_code == 400
        assert session.post(f"{server.url}/nowhere", data=b"x" * 1000).status_code == 404
        assert session.get(url).status_code == 405
    assert len(opened) == 1


def test_connection_close(server: Server, session: requests.Session, opened: list[object]) -> None:
    [case, *_] = golden.cases("wine")
    url = f"{server.url}/v2/models/wine/infer"
    for _ in range(10):
        answer = session.post(url, json=infer_body(case), headers={"Connection": "close"})
        assert answer.status_code == 200
        check_infer(answer.json(), case)
        assert answer.headers["Connection"].lower() == "close"
    assert len(opened) == 10


def test_without_a_session(server: Server, opened: list[object]) -> None:
    [case, *_] = golden.cases("wine")
    for _ in range(10):
        answer = requests.post(f"{server.url}/v2/models/wine/infer", json=infer_body(case))
        check_infer(answer.json(), case)
    assert len(opened) == 10


def test_a_body_in_chunks(server: Server, session: requests.Session) -> None:
    [case, *_] = golden.cases("digits")
    body = json.dumps(infer_body(case)).encode()
    pieces = (body[at : at + 7] for at in range(0, len(body), 7))
    answer = session.post(f"{server.url}/v2/models/digits/infer", data=pieces)
    assert answer.status_code == 200, answer.text
    check_infer(answer.json(), case)


def test_head_has_no_body(server: Server, session: requests.Session) -> None:
    answer = session.head(f"{server.url}/v2/health/ready")
    assert (answer.status_code, answer.content) == (200, b"")
    assert session.get(f"{server.url}/v2/health/ready").json() == {"ready": True}


def test_unix_socket(server: Server) -> None:
    [case, *_] = golden.cases("penguins")
    body = json.dumps(infer_body(case))
    connection = UnixConnection(server.uds)
    for _ in range(20):
        connection.request("POST", "/v2/models/penguins/infer", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        check_infer(json.loads(text), case)
    connection.request("GET", "/v2/health/live", headers={"Connection": "close"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, {"live": True})
    assert answer.will_close
    connection.close()


# === Open Inference Protocol by hand ===


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("name", golden.NAMES)
def test_compressed_json(server: Server, session: requests.Session, name: str, encoding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    for case in golden.cases(name):
        answer = session.post(
            f"{server.url}/v2/models/{name}/infer",
            data=pack(json.dumps(infer_body(case)).encode()),
            headers={"Content-Type": "application/json", "Content-Encoding": encoding},
        )
        assert answer.status_code == 200, answer.text
        check_infer(answer.json(), case)


def test_raw_body(server: Server, session: requests.Session) -> None:
    [case, *_] = golden.cases("digits")
    answer = session.post(
        f"{server.url}/v2/models/digits/infer",
        data=case.inputs["input"].tobytes(),
        headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    length = int(answer.headers["Inference-Header-Content-Length"])
    at = length
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        wanted = case.outputs[output["name"]]
        got = np.frombuffer(answer.content[at : at + size], wanted.dtype).reshape(output["shape"])
        golden.assert_near(got, wanted, output["name"])
        at += size
    assert at == len(answer.content)


def test_nested_data_and_null_and_unknown_fields(server: Server, session: requests.Session) -> None:
    rows = golden.many("breast-cancer", 3)["input"]
    rows[0, 0] = np.nan
    tensor = {"name": "input", "shape": [3, 30], "datatype": "FP32"}
    with_null = [[None if np.isnan(v) else float(v) for v in row] for row in rows]
    url = f"{server.url}/v2/models/breast-cancer/infer"
    nested = session.post(url, json={"model_name": "any", "inputs": [{**tensor, "data": with_null}]})
    # Python's own writer makes a bare NaN of it.
    flat = session.post(url, data=json.dumps({"inputs": [{**tensor, "data": rows.ravel().tolist()}]}))
    assert nested.status_code == flat.status_code == 200, nested.text + flat.text
    assert nested.json()["outputs"] == flat.json()["outputs"]


def test_request_ids(server: Server, session: requests.Session) -> None:
    [case, *_] = golden.cases("wine")
    url = f"{server.url}/v2/models/wine/infer"
    header = {"x-request-id": "from the header"}
    assert session.post(url, json=infer_body(case, id="body"), headers=header).json()["id"] == "body"
    assert session.post(url, json=infer_body(case), headers=header).json()["id"] == "from the header"
    made = {session.post(url, json=infer_body(case)).json()["id"] for _ in range(5)}
    assert len(made) == 5 and all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id) for id in made)


def test_listing(server: Server, session: requests.Session) -> None:
    assert session.get(f"{server.url}/v2/models").json() == {"models": sorted(golden.NAMES)}
    for path in ("/v2", "/v2/"):
        assert session.get(server.url + path).json()["name"] == "sidegate"
    ready = session.post(f"{server.url}/v2/repository/index", json={"ready": True}).json()
    assert {entry["name"] for entry in ready} == set(golden.NAMES)


# === the founding endpoints and SageMaker's ===


def table(name: str, case: golden.Case) -> tuple[list[str], list[list]]:
    """Column names and rows of a request."""
    if len(case.inputs) > 1:
        rows = [list(cells) for cells in zip(*(a.ravel().tolist() for a in case.inputs.values()), strict=True)]
        return list(case.inputs), rows
    [array] = case.inputs.values()
    return golden.manifest(name)["columns"], array.tolist()


def check_predictions(answer: requests.Response, name: str, case: golden.Case) -> None:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model_name"] == name
    assert body["model_version"] == "1"
    assert body["variant"] is None
    assert body["id"]
    assert body["timestamp"].endswith("Z")
    age = datetime.now().astimezone() - datetime.fromisoformat(body["timestamp"])
    assert abs(age) < timedelta(minutes=5)
    assert set(body["outputs"]) == set(case.outputs)
    prediction = golden.manifest(name)["prediction"]
    for key, wanted in case.outputs.items():
        got = np.array(body["outputs"][key], wanted.dtype).reshape(wanted.shape)
        golden.assert_near(got, wanted, key)
    wanted = case.outputs[prediction]
    assert len(body["predictions"]) == len(wanted)
    golden.assert_near(np.array(body["predictions"], wanted.dtype).reshape(wanted.shape), wanted, "predictions")


FORMS = {
    "list of records": lambda names, rows: [dict(zip(names, row, strict=True)) for row in rows],
    "records": lambda names, rows: {"records": [dict(zip(names, row, strict=True)) for row in rows]},
    "map of columns": lambda names, rows: dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)),
    "columns": lambda names, rows: {
        "columns": dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    },
    "list of rows": lambda names, rows: rows,
    "rows": lambda names, rows: {"rows": rows},
    "data": lambda names, rows: {"data": rows},
    "instances": lambda names, rows: {"instances": rows},
    "split, columns reversed, with an index": lambda names, rows: {
        "dataframe_split": {
            "index": list(range(len(rows))),
            "columns": names[::-1],
            "data": [row[::-1] for row in rows],
        }
    },
    "dataframe_records": lambda names, rows: {
        "dataframe_records": [dict(zip(names, row, strict=True), unused=1) for row in rows]
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", golden.NAMES)
def test_predict_and_invocations(server: Server, session: requests.Session, name: str, form: str) -> None:
    for case in golden.cases(name):
        body = FORMS[form](*table(name, case))
        for path in ("predict", "invocations"):
            check_predictions(session.post(f"{server.url}/{path}?model={name}", json=body), name, case)


@pytest.mark.parametrize("header", [True, False], ids=["header", "no-header"])
@pytest.mark.parametrize("name", golden.NAMES)
def test_invocations_with_csv(server: Server, session: requests.Session, name: str, header: bool) -> None:
    for case in golden.cases(name):
        names, rows = table(name, case)
        lines = [names, *rows] if header else rows
        text = "".join(",".join(map(str, line)) + "\n" for line in lines)
        answer = session.post(
            f"{server.url}/invocations?model={name}", data=text, headers={"Content-Type": "text/csv; charset=utf-8"}
        )
        check_predictions(answer, name, case)


def test_a_reference_picks_the_version(server: Server, session: requests.Session) -> None:
    [case, *_] = golden.cases("wine")
    _, rows = table("wine", case)
    for reference in ("wine@1", "wine@production", "wine%40Production"):
        check_predictions(session.post(f"{server.url}/predict?model={reference}", json=rows), "wine", case)
    for reference in ("wine@2", "wine@staging", "wine@champion"):
        assert session.post(f"{server.url}/predict?model={reference}", json=rows).status_code == 404


def test_health_ping_and_model_info(server: Server, session: requests.Session) -> None:
    assert session.get(f"{server.url}/ping").json() == {}
    health = session.get(f"{server.url}/health").json()
    assert health == {"status": "healthy", "model": None, "models": sorted(golden.NAMES)}
    one = session.get(f"{server.url}/health?model=wine").json()
    assert (one["status"], one["model"]) == ("healthy", "wine")
    missing = session.get(f"{server.url}/health?model=nobody")
    assert missing.status_code == 503
    assert missing.json()["status"] == "unhealthy" and missing.json()["reason"]

    info = session.get(f"{server.url}/model/info?stage=Production&model=wine").json()
    assert {k: info[k] for k in ("model_name", "version", "stage", "aliases")} == {
        "model_name": "wine",
        "version": "1",
        "stage": "Production",
        "aliases": [],
    }
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", info["digest"])
    assert info["signature"]["inputs"][0]["datatype"] == "FP32"
    assert session.get(f"{server.url}/model/info?stage=Staging&model=wine").status_code == 404


def test_the_only_model_needs_no_name(folder: pathlib.Path, session: requests.Session) -> None:
    [case, *_] = golden.cases("flight-delay")
    _, rows = table("flight-delay", case)
    with Server(folder, copy_models(folder / "models", "flight-delay")) as server:
        check_predictions(session.post(f"{server.url}/predict", json=rows), "flight-delay", case)
        check_predictions(session.post(f"{server.url}/invocations", json=rows), "flight-delay", case)
        assert session.get(f"{server.url}/model/info?stage=Production").json()["model_name"] == "flight-delay"


def test_one_file_is_served_and_the_printed_line_can_be_pasted(folder: pathlib.Path) -> None:
    file = folder / "my net.onnx"
    shutil.copy(MODELS / "wine" / "1" / "model.onnx", file)
    with Server(folder, model_file=file) as server:
        assert server.served().keys() == {"my-net"}
        line = server.line("try: ").removeprefix("try: ")
        if not shutil.which("curl"):
            pytest.skip("there is no curl to paste into")
        answer = json.loads(subprocess.run(["sh", "-c", line], check=True, capture_output=True).stdout)
        assert (answer["model_name"], answer["model_version"]) == ("my-net", "1")


def test_a_new_version_is_served_without_one_failed_request(folder: pathlib.Path) -> None:
    models = folder / "models"
    small_models.times(models / "times/1/model.onnx", 1.0)
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    with Server(folder, models, settings={"registry.poll_interval_ms": 50}) as server:
        url = f"{server.url}/v2/models/times/infer"
        answers: list[tuple[int, str, float]] = []
        done = threading.Event()

        def ask(keep: bool) -> None:
            with requests.Session() as session:
                while not done.is_set():
                    answer = session.post(url, json=body, headers={} if keep else {"Connection": "close"})
                    result = answer.json()
                    answers.append((answer.status_code, result["model_version"], result["outputs"][0]["data"][3]))

        threads = [threading.Thread(target=ask, args=(keep,)) for keep in (True, False)]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3, 4):
                small_models.times(models / f"times/{version}/model.onnx", float(version))
                server.wait_served("times", str(version))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert {status for status, _, _ in answers} == {200}
        # Every answer is wholly of one version.
        assert all(value == 4.0 * int(version) for _, version, value in answers)
        assert {version for _, version, _ in answers} >= {"1", "4"}
        last = requests.post(url, json=body).json()
        assert last["model_version"] == "4" and last["outputs"][0]["data"] == [4.0, 8.0, 12.0, 16.0]


# === what is refused ===

WINE = "/v2/models/wine/infer"
ROW = {"name": "input", "shape": [1, 13], "datatype": "FP32", "data": [1.0] * 13}
GOOD = {"inputs": [ROW]}
REFUSALS = {
    "unknown path": ("GET", "/nowhere", {}, b"", 404, "not_found"),
    "metrics are on another port": ("GET", "/metrics", {}, b"", 404, "not_found"),
    "wrong method": ("GET", WINE, {}, b"", 405, "method_not_allowed"),
    "unknown model": ("POST", "/v2/models/nobody/infer", {}, GOOD, 404, "not_found"),
    "unknown version": ("POST", "/v2/models/wine/versions/9/infer", {}, GOOD, 404, "not_found"),
    "no version": ("POST", "/v2/models/wine/versions/x/infer", {}, GOOD, 404, "not_found"),
    "empty body": ("POST", WINE, {}, b"", 400, "invalid_request"),
    "half a body": ("POST", WINE, {}, json.dumps(GOOD).encode()[:-2], 400, "invalid_request"),
    "not UTF-8": ("POST", WINE, {}, b'{"inputs":"\xff"}', 400, "invalid_request"),
    "no inputs": ("POST", WINE, {}, {"inputs": []}, 400, "invalid_request"),
    "wrong type": ("POST", WINE, {}, {"inputs": [{**ROW, "datatype": "INT64"}]}, 400, "invalid_request"),
    "unknown type": ("POST", WINE, {}, {"inputs": [{**ROW, "datatype": "FP8"}]}, 400, "invalid_request"),
    "too few values": ("POST", WINE, {}, {"inputs": [{**ROW, "data": [1.0]}]}, 400, "invalid_request"),
    "a word": ("POST", WINE, {}, {"inputs": [{**ROW, "data": ["x"] * 13}]}, 400, "invalid_request"),
    "huge shape": ("POST", WINE, {}, {"inputs": [{**ROW, "shape": [1 << 60, 13]}]}, 400, "invalid_request"),
    "HTML": ("POST", WINE, {"Content-Type": "text/html"}, b"<p>", 415, "unsupported_media_type"),
    "CSV for OIP": ("POST", WINE, {"Content-Type": "text/csv"}, b"1,2", 415, "unsupported_media_type"),
    "no time": ("POST", WINE, {"x-request-timeout-ms": "0"}, GOOD, 400, "invalid_request"),
    "which model": ("POST", "/predict", {}, [[1]], 400, "model_needed"),
    "missing column": ("POST", "/predict?model=wine", {}, [{"alcohol": 1}], 400, "invalid_request"),
    "load": ("POST", "/v2/repository/models/wine/load", {}, b"{}", 400, "repository_control_off"),
    "shared memory": ("GET", "/v2/systemsharedmemory/status", {}, b"", 501, "unsupported"),
    "bad gzip": ("POST", WINE, {"Content-Encoding": "gzip"}, b"no gzip", 400, None),
    "brotli": ("POST", WINE, {"Content-Encoding": "br"}, b"x", 415, None),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_are_json_with_a_code(server: Server, session: requests.Session, what: str) -> None:
    method, path, headers, body, status, code = REFUSALS[what]
    data = body if isinstance(body, bytes) else json.dumps(body)
    answer = session.request(method, server.url + path, headers=headers, data=data)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json()
    assert error.keys() == {"error", "code"}
    assert error["error"]
    assert code in (None, error["code"])
    # The server goes on.
    assert session.post(server.url + WINE, json=GOOD).status_code == 200


def test_a_missing_column_is_named(server: Server, session: requests.Session) -> None:
    [record] = FORMS["list of records"](*table("penguins", golden.cases("penguins")[0]))
    del record["island"]
    answer = session.post(f"{server.url}/predict?model=penguins", json=[record])
    assert answer.status_code == 400
    assert "`island`" in answer.json()["error"]


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    connection = http.client.HTTPConnection(server.http, timeout=30)
    connection.putrequest("POST", WINE)
    connection.putheader("Content-Length", str(LIMIT + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]
    connection.close()


def test_a_small_body_that_grows_over_the_limit_is_refused(server: Server, session: requests.Session) -> None:
    bomb = gzip.compress(b" " * (4 * LIMIT))
    answer = session.post(server.url + WINE, data=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code in (400, 413), answer.text
    assert answer.json()["error"]


def test_tokens(folder: pathlib.Path, session: requests.Session) -> None:
    tokens = folder / "tokens"
    tokens.write_text("correct-horse-battery\n")
    tokens.chmod(0o600)
    registry = copy_models(folder / "models", "wine")
    with Server(folder, registry, settings={"auth.token_file": tokens}) as server:
        url = server.url + WINE
        assert session.post(url, json=GOOD).status_code == 401
        for token, status in (("wrong", 401), ("correct-horse-battery", 200)):
            answer = session.post(url, json=GOOD, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status, answer.text
        assert session.get(f"{server.url}/v2/health/ready").status_code == 200
