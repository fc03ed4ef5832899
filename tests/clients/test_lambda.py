"""`sidegate lambda` against an emulator of the Runtime API that AWS's own client, awslambdaric, takes for the real one."""

import base64
import contextlib
import email.utils
import gzip
import hashlib
import http.client
import http.server
import importlib.util
import json
import pathlib
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import small_models
from image import Image
from lambda_emulator import MOST, Function, Outcome
from sidegate import MODELS, ROOT, Server, binary, copy_models, onnxruntime

HANDLER = """
def answer(event, context):
    if event == {"fail": True}:
        raise ValueError("as asked")
    if event == {"large": True}:
        return "x" * 7_000_000
    return {"event": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis()}
"""
KEY = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}


def reference(folder: pathlib.Path, handler: str = "handler.answer") -> Function:
    """A function by AWS's own client."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handler.py").write_text(HANDLER)
    return Function([sys.executable, "-m", "awslambdaric", handler], folder)


def ours(folder: pathlib.Path, settings: dict[str, object] | None = None, *arguments: str, memory: int = 3008) -> Function:
    """A function by sidegate, with the environment that deploy/terraform/lambda.tf gives it, and what the image says."""
    given = {"registry.url": MODELS, "registry.cache_dir": folder / "cache", "log.format": "json"}
    given |= {"admin.listen": "0.0.0.0:8002", **(settings or {})}
    variables = {f"SIDEGATE_{key.replace('.', '__').upper()}": str(value) for key, value in given.items()}
    [config] = [file for place, file in Image.of("sidegate").files.items() if place.endswith("/config/sidegate.toml")]
    variables |= {"SIDEGATE_CONFIG": str(config), **KEY, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory)}
    # From the root of the tree, where lib/ holds ONNX Runtime.
    return Function([str(binary()), "lambda", *arguments], folder, variables, cwd=ROOT)


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """The five shipped models as a function."""
    onnxruntime()
    with ours(tmp_path_factory.mktemp("lambda")) as function:
        yield function.serving()
        assert function.process.poll() is None, function.output()
        assert function.stop() == 0 and "panicked" not in function.output()


def event(method: str, path: str, body: bytes | str | None = None, **headers: str) -> dict:
    """An event of an HTTP API, payload format 2.0, as API Gateway makes it of a request."""
    path, _, query = path.partition("?")
    made = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "id.execute-api.eu-central-1.amazonaws.com", "x-forwarded-proto": "https"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "agent"},
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if body is not None:
        made["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return made


def answered(outcome: Outcome) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that API Gateway would give to the client."""
    assert outcome.kind == "response", outcome
    made = outcome.json()
    assert isinstance(made, dict)
    body = base64.b64decode(made["body"], validate=True) if made["isBase64Encoded"] else made["body"].encode()
    assert made.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    return made["statusCode"], made["headers"], body


def golden(model: str) -> tuple[dict, list[dict]]:
    """A request of a shipped model, and the outputs it must give."""
    case = json.loads((MODELS / model / "1/golden.json").read_text())["cases"][0]
    return {"inputs": case["inputs"]}, case["outputs"]


def assert_outputs(answer: dict, wanted: list[dict]) -> None:
    given = {output["name"]: output["data"] for output in answer["outputs"]}
    for output in wanted:
        one = output["data"][0]
        assert given[output["name"]] == (pytest.approx(output["data"], rel=1e-4) if isinstance(one, float) else output["data"])


def fault(outcome: Outcome) -> tuple[str, str]:
    """Kind and words of a function's error, which is the kind of its field too."""
    assert outcome.kind == "error", outcome
    said = outcome.json()
    assert isinstance(said, dict)
    assert outcome.headers["lambda-runtime-function-error-type"] == said["errorType"]
    return said["errorType"], said["errorMessage"]


# === the emulator, and both clients on it ===


@pytest.mark.skipif(not importlib.util.find_spec("awslambdaric"), reason="awslambdaric is for Linux")
def test_the_reference_client_takes_the_emulator_for_the_real_one(folder: pathlib.Path) -> None:
    with reference(folder / "one") as function:
        outcome = function.serving().api.invoke({"rows": [1.5, None, "ü"]}, 9)
        said = outcome.json()
        assert said["event"] == {"rows": [1.5, None, "ü"]} and 8000 < said["left"] <= 9001  # it rounds
        failed = function.api.invoke({"fail": True})
        assert failed.kind == "error" and failed.json()["errorType"] == "ValueError"
        assert function.api.invoke({"large": True}).json()["errorType"] == "Function.ResponseSizeTooLarge"
        assert function.wait() == 1  # it does not go on after that
    with reference(folder / "two", "missing.answer") as function:
        refused = function.begun().api.init_error
        assert refused and refused.json()["errorType"] == "Runtime.ImportModuleError" and function.wait() == 1


@pytest.mark.skipif(not importlib.util.find_spec("awslambdaric"), reason="awslambdaric is for Linux")
def test_both_say_the_same_to_lambda(folder: pathlib.Path) -> None:
    def conversation(make: Callable[[], Function], good: object, bad: object) -> list:
        with make() as function:
            for sent in (good, bad, good):
                function.serving().api.invoke(sent)
            deadline = time.monotonic() + 10
            while len(function.api.asked()) < 6 and time.monotonic() < deadline:
                time.sleep(0.01)
            numbers = [fields.get("lambda-runtime-invocation-id") for *_, fields in function.api.calls]
            assert len({number for number in numbers if number}) == 3, "each answer has the number of its invocation"
            kinds = {fields["content-type"] for method, *_, fields in function.api.calls if method == "POST"}
            return [function.api.asked(), kinds, [number is not None for number in numbers]]

    wine = golden("wine")[0] | {"model": "wine"}
    theirs = conversation(lambda: reference(folder / "theirs"), {}, {"fail": True})
    assert conversation(lambda: ours(folder / "ours"), wine, {"model": "nobody"}) == theirs
    assert [call[1:] for call in theirs[0][:4]] == [
        ("invocation/next", 200),
        ("invocation/response", 202),
        ("invocation/next", 200),
        ("invocation/error", 202),
    ]


# === requests and answers ===


@pytest.mark.parametrize("model", ["breast-cancer", "digits", "flight-delay", "penguins", "wine"])
def test_every_model_answers_json_and_binary(function: Function, model: str) -> None:
    request, wanted = golden(model)
    status, headers, body = answered(function.api.invoke(event("POST", f"/v2/models/{model}/infer", json.dumps(request))))
    assert (status, headers["content-type"]) == (200, "application/json"), body
    assert json.loads(body)["model_version"] == "1"
    assert_outputs(json.loads(body), wanted)
    assert "server-timing" in headers and not headers.keys() & {"connection", "content-length", "date"}
    # The same as binary tensors, both ways.
    blobs, inputs = b"", []
    for tensor in request["inputs"]:
        blob = packed(tensor["datatype"], tensor["data"])
        inputs.append({k: v for k, v in tensor.items() if k != "data"} | {"parameters": {"binary_data_size": len(blob)}})
        blobs += blob
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    sent = event("POST", f"/v2/models/{model}/infer", head + blobs, inference_header_content_length=str(len(head)))
    status, headers, body = answered(function.api.invoke(sent))
    assert (status, headers["content-type"]) == (200, "application/octet-stream"), body
    length = int(headers["inference-header-content-length"])
    answer, at = json.loads(body[:length]), length
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        output["data"], at = unpacked(output["datatype"], body[at : at + size]), at + size
    assert at == len(body)
    assert_outputs(answer, wanted)


CODES = {"FP32": "f", "FP64": "d", "INT64": "q", "INT32": "i"}


def packed(datatype: str, data: list) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in data)
    return struct.pack(f"<{len(data)}{CODES[datatype]}", *data)


def unpacked(datatype: str, blob: bytes) -> list:
    if datatype != "BYTES":
        return list(struct.unpack(f"<{len(blob) // struct.calcsize(CODES[datatype])}{CODES[datatype]}", blob))
    texts = []
    while blob:
        (size,) = struct.unpack_from("<I", blob)
        texts.append(blob[4 : 4 + size].decode())
        blob = blob[4 + size :]
    return texts


def test_every_other_path_is_there_and_the_client_is_told_what_is_wrong(function: Function) -> None:
    rows = json.dumps([{"island": "Biscoe", "sex": "male", "year": 2008, "bill_length_mm": 45, "bill_depth_mm": 15,
                        "flipper_length_mm": 210, "body_mass_g": 4800}])
    for method, path, body, status, word in [
        ("POST", "/predict?model=penguins", rows, 200, "predictions"),
        ("POST", "/predict?model=penguins%40production", rows, 200, "Gentoo"),
        ("POST", "/invocations?model=penguins@1", rows, 200, "Gentoo"),
        ("GET", "/health?model=wine", None, 200, "healthy"),
        ("GET", "/model/info?model=wine", None, 200, "Production"),
        ("GET", "/ping", None, 200, "{}"),
        ("GET", "/v2/health/ready", None, 200, ""),
        ("GET", "/v2/models/wine", None, 200, "onnx"),
        ("HEAD", "/v2/models/wine", None, 200, ""),
        ("POST", "/v2/models/nobody/infer", "{}", 404, "not_found"),
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/predict", None, 405, "method_not_allowed"),
        ("POST", "/predict", rows, 400, "model_needed"),
        ("POST", "/predict?model=wine", "[{", 400, "invalid_request"),
        ("POST", "/v2/models/a b/infer", "{}", 404, "not_found"),
    ]:
        given, _, answer = answered(function.api.invoke(event(method, path, body)))
        assert given == status and word in answer.decode(), (method, path, given, answer)
    given, _, answer = answered(function.api.invoke(event("POST", "/predict?model=wine", rows, content_type="text/html")))
    assert given == 415, answer
    broken = event("POST", "/predict?model=wine", rows) | {"isBase64Encoded": True}
    given, _, answer = answered(function.api.invoke(broken))
    assert given == 400 and json.loads(answer)["code"] == "invalid_event"


def test_an_answer_has_the_clients_id_or_the_invocations(function: Function) -> None:
    request = json.dumps(golden("wine")[0])
    _, headers, body = answered(function.api.invoke(event("POST", "/v2/models/wine/infer", request, x_request_id="mine")))
    assert (headers["x-request-id"], json.loads(body)["id"]) == ("mine", "mine")
    _, headers, body = answered(function.api.invoke(event("POST", "/v2/models/wine/infer", request)))
    assert headers["x-request-id"] == json.loads(body)["id"] and len(headers["x-request-id"]) == 36


def test_a_load_balancer_gets_lists_where_it_sends_them(function: Function) -> None:
    sent = {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/a/b"}},
        "httpMethod": "GET",
        "path": "/model/info",
        "multiValueQueryStringParameters": {"model": ["win%65"]},
        "multiValueHeaders": {"host": ["lb.example"], "accept": ["*/*"]},
        "body": "",
        "isBase64Encoded": False,
    }
    answer = function.api.invoke(sent).json()
    assert answer["statusCode"] == 200 and answer["multiValueHeaders"]["content-type"] == ["application/json"]
    assert json.loads(answer["body"])["model_name"] == "wine"


def test_a_direct_invocation_is_a_prediction_or_an_error_of_the_function(function: Function) -> None:
    request, wanted = golden("wine")
    outcome = function.api.invoke(request | {"model": "wine@production"})
    assert outcome.kind == "response"
    answer = outcome.json()
    assert_outputs({"outputs": [{"name": name, "data": data} for name, data in answer["outputs"].items()]}, [
        output | {"data": [output["data"]] if len(output["shape"]) > 1 else output["data"]} for output in wanted])
    instances = {"model": "wine", "instances": [request["inputs"][0]["data"]] if len(request["inputs"]) == 1 else [
        {tensor["name"]: tensor["data"][0] for tensor in request["inputs"]}]}
    assert function.api.invoke(instances).json()["model_name"] == "wine"
    assert fault(function.api.invoke(request | {"model": "nobody"})) == ("not_found", "model `nobody` is not served")
    kind, words = fault(function.api.invoke(request))
    assert kind == "model_needed" and "name one" in words
    assert fault(function.api.invoke({"source": "aws.events", "detail": {}}))[0] == "model_needed"
    assert fault(function.api.invoke(b"null"))[0] == "model_needed"


def test_an_answer_beyond_lambdas_limit_is_a_413_and_the_function_goes_on(folder: pathlib.Path) -> None:
    small_models.identity(folder / "echo.onnx", {"x": (small_models.DATATYPES["BYTES"], ["n"])})
    onnxruntime()
    with ours(folder / "function", {}, str(folder / "echo.onnx")) as function:
        # A quotation mark is one byte on its way in and four on its way back, in JSON in JSON.
        for count, status in ((1_000_000, 200), (2_000_000, 413)):
            blob = packed("BYTES", ['"' * count])
            tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
            head = json.dumps({"inputs": [tensor]}).encode()
            sent = event("POST", "/v2/models/echo/infer", head + blob, inference_header_content_length=str(len(head)))
            assert len(json.dumps(sent)) < MOST
            given, headers, body = answered(function.serving().api.invoke(sent))
            assert (given, headers["content-type"]) == (status, "application/json"), body[:1000]
        told = json.loads(body)
        assert told["code"] == "answer_too_large" and str(MOST) in told["error"] and "fewer rows" in told["error"]
        # What has no status is an error of the function, and the same words.
        direct = {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ['"' * 1_700_000]}]}
        kind, words = fault(function.api.invoke(direct))
        assert kind == "answer_too_large" and str(MOST) in words
        assert answered(function.api.invoke(event("GET", "/ping")))[0] == 200


def test_compressed_bodies_are_unpacked(function: Function) -> None:
    sent = gzip.compress(json.dumps(golden("wine")[0]).encode())
    status, _, body = answered(function.api.invoke(event("POST", "/v2/models/wine/infer", sent, content_encoding="gzip")))
    assert status == 200, body


def test_nothing_listens(function: Function) -> None:
    inodes = set()
    for link in pathlib.Path(f"/proc/{function.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    listening = "0A"
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{function.process.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            assert not (fields[3] == listening and fields[9] in inodes), line


# === time ===


class Slow:
    """A server of the protocol that takes its time before a real one answers."""

    def __init__(self, behind: Server, seconds: float) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(seconds)
                connection = http.client.HTTPConnection(behind.http)
                connection.request("POST", self.path, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                told = answer.read()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(answer.status)
                    self.send_header("content-length", str(len(told)))
                    self.end_headers()
                    self.wfile.write(told)
                connection.close()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@contextlib.contextmanager
def patient(folder: pathlib.Path, seconds: float) -> Iterator[Function]:
    """A function whose model another server answers for, after that long."""
    models = copy_models(folder / "models", "wine")
    with Server(folder / "server", models) as server:
        slow = Slow(server, seconds)
        (folder / "sidegate.toml").write_text(
            f'[experiments.far]\nmodel = "wine"\nunit = "header:x-user"\nslots = {{ far = "0..1000000" }}\n'
            f'variants = {{ near = "1", far = "remote:{slow.url}/v2/models/wine" }}\n'
        )
        try:
            with ours(folder / "function", {"registry.url": models}, "--config", str(folder / "sidegate.toml")) as function:
                yield function.serving()
        finally:
            slow.server.shutdown()
            slow.server.server_close()


def test_the_deadline_of_the_invocation_is_that_of_the_request(folder: pathlib.Path) -> None:
    # Nothing but a deadline is over before the other server answers.
    with patient(folder, 5.0) as function:
        request = golden("wine")[0]
        sent = event("POST", "/v2/models/wine/infer", json.dumps(request), x_user="ann")
        outcome = function.api.invoke(sent, 2.0)
        status, _, body = answered(outcome)
        assert status == 504 and json.loads(body)["code"] == "deadline_exceeded", body
        assert 1.5 < outcome.seconds < 5.0
        sent["headers"]["x-request-timeout-ms"] = "300"
        outcome = function.api.invoke(sent, 20)
        assert answered(outcome)[0] == 504 and 0.2 < outcome.seconds < 5.0
        assert answered(function.api.invoke(sent | {"headers": {"x-request-timeout-ms": "soon"}}))[0] == 400
        sent["headers"].pop("x-request-timeout-ms")
        assert answered(function.api.invoke(sent, 20))[0] == 200


def test_sigterm_ends_it_after_the_answer(folder: pathlib.Path) -> None:
    with patient(folder, 1.0) as function:
        sent = event("POST", "/v2/models/wine/infer", json.dumps(golden("wine")[0]), x_user="ann")
        outcomes: list[Outcome] = []
        asking = threading.Thread(target=lambda: outcomes.append(function.api.invoke(sent)))
        asking.start()
        time.sleep(0.4)
        begun = time.monotonic()
        assert function.stop() == 0, function.output()
        assert time.monotonic() - begun < 15
        asking.join()
        assert answered(outcomes[0])[0] == 200
        assert [path for _, path, *_ in function.api.asked()] == ["invocation/next", "invocation/response"]


# === the start ===


class Bucket:
    """A bucket of S3, as far as it is read: the files of a folder. `delay` is taken by every model file; `status` is the
    answer to everything, where it is not 200."""

    def __init__(self, folder: pathlib.Path, delay: float = 0.0, status: int = 200) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path, _, _ = self.path.partition("?")
                file = folder / path.removeprefix("/bucket/")
                if status != 200:
                    return self.answer(status, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
                if not file.is_file():
                    return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                if file.name == "model.onnx":
                    time.sleep(delay)
                data = file.read_bytes()
                self.answer(200, data, ETag=f'"{hashlib.md5(data).hexdigest()}"')

            do_HEAD = do_GET

            def answer(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in {**headers, "Last-Modified": email.utils.formatdate(0, usegmt=True)}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.settings = {
            "registry.url": "s3://bucket",
            "registry.endpoint": f"http://127.0.0.1:{self.server.server_port}",
            "registry.path_style": "on",
            "registry.models": "wine",
        }

    def __enter__(self) -> "Bucket":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_the_first_invocation_is_asked_for_when_the_models_are_there(folder: pathlib.Path) -> None:
    with Bucket(MODELS, delay=3.0) as bucket:
        started = time.monotonic()
        with ours(folder, bucket.settings) as function:
            # It waits from the beginning; whoever asked for it at once would answer 503.
            outcome = function.api.invoke(event("POST", "/v2/models/wine/infer", json.dumps(golden("wine")[0])), 60)
            assert time.monotonic() - started > 3.0 and outcome.seconds < 3.0
            assert answered(outcome)[0] == 200
            assert function.stop() == 0


def start_refused(function: Function) -> tuple[str, str]:
    """Why a function did not start: what Lambda was told, on a process that ended with 1 or 2 and never asked."""
    refused = function.begun().api.init_error
    assert refused, function.output()
    assert function.wait() in (1, 2) and function.api.asked() == [("POST", "init/error", 202)]
    return fault(refused)


def test_what_cannot_start_is_an_init_error_that_says_why(folder: pathlib.Path) -> None:
    models = copy_models(folder / "models", "wine", "penguins")
    (models / "wine/1/model.onnx").write_bytes(b"no model")
    settings = {"registry.url": models, "registry.models": "wine,penguins"}
    with ours(folder / "model", settings) as function:
        kind, words = start_refused(function)
        assert kind == "Sidegate.NotReady" and words.startswith("model `wine`: ") and "model.onnx" in words, words
    with ours(folder / "absent", {"registry.url": models, "registry.models": "churn"}) as function:
        kind, words = start_refused(function)
        assert kind == "Sidegate.NotReady" and "model `churn` is not in the registry" in words
    with ours(folder / "memory", {"registry.url": models, "registry.models": "penguins"}, memory=1) as function:
        kind, words = start_refused(function)
        assert kind == "Sidegate.NotReady" and "memory" in words, words
    with Bucket(MODELS, status=403) as bucket, ours(folder / "bucket", bucket.settings) as function:
        kind, words = start_refused(function)
        assert kind == "Sidegate.NotReady" and "AccessDenied" in words, words
    with ours(folder / "config", {"http.workers": "many", "limits.max_rows": "-1"}) as function:
        kind, words = start_refused(function)
        assert kind == "Sidegate.Configuration" and "http.workers" in words and "limits.max_rows" in words, words
        assert function.wait() == 2


def test_a_model_that_is_not_required_stops_nobody(folder: pathlib.Path) -> None:
    models = copy_models(folder / "models", "wine", "penguins")
    (models / "penguins/1/model.onnx").write_bytes(b"no model")
    with ours(folder, {"registry.url": models}) as function:
        assert answered(function.serving().api.invoke(event("GET", "/health?model=wine")))[0] == 200
        assert answered(function.api.invoke(event("GET", "/health?model=penguins")))[0] == 503


def embedded(log: str) -> dict[tuple[str, str, frozenset], list[float]]:
    """What CloudWatch makes of the lines of a log by its specification of the embedded metric format: values by namespace,
    metric and dimensions."""
    found: dict[tuple[str, str, frozenset], list[float]] = {}
    for line in log.splitlines():
        if not line.startswith("{") or "_aws" not in (said := json.loads(line)):
            continue
        about = said["_aws"]
        assert about.keys() == {"Timestamp", "CloudWatchMetrics"}
        assert abs(about["Timestamp"] / 1000 - time.time()) < 600
        for directive in about["CloudWatchMetrics"]:
            assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
            for metric in directive["Metrics"]:
                assert metric.keys() == {"Name", "Unit"} and metric["Unit"] in {"Count", "Seconds"}
                values = said[metric["Name"]]
                values = values if isinstance(values, list) else [values]
                assert 1 <= len(values) <= 100 and all(isinstance(value, int | float) for value in values)
                for dimensions in directive["Dimensions"]:
                    assert len(dimensions) <= 30 and all(1 <= len(said[name]) <= 1024 for name in dimensions)
                    key = frozenset((name, said[name]) for name in dimensions)
                    found.setdefault((directive["Namespace"], metric["Name"], key), []).extend(values)
    return found


def test_cloudwatch_makes_metrics_of_the_log(folder: pathlib.Path) -> None:
    body, _ = golden("wine")
    with ours(folder / "told", None, "--embedded-metrics", "acme/models") as function:
        function.serving()
        for _ in range(3):
            assert function.api.invoke(event("POST", "/v2/models/wine/infer", json.dumps(body))).json()["statusCode"] == 200
        assert function.api.invoke(event("POST", "/v2/models/wine/infer", "{")).json()["statusCode"] == 400
        assert function.api.invoke(event("GET", "/v2/models/wine")).json()["statusCode"] == 200
        # What an invocation did is in the log before its answer.
        told = embedded(function.output())
    wine = {("model", "wine"), ("version", "1")}
    count = {outcome: ("acme/models", "model_predictions_total", frozenset(wine | {("outcome", outcome)})) for outcome in ("ok", "client_error")}
    timed = ("acme/models", "model_prediction_duration_seconds", frozenset(wine))
    assert told.keys() == {*count.values(), timed}, told
    assert told[count["ok"]] == [1, 1, 1] and told[count["client_error"]] == [1]
    assert len(told[timed]) >= 3 and all(0 < seconds < 30 for seconds in told[timed]), told
    with ours(folder / "untold") as function:
        function.serving().api.invoke(event("POST", "/v2/models/wine/infer", json.dumps(body)))
        assert not embedded(function.output())
    with ours(folder / "wrong", None, "--embedded-metrics", "AWS/Lambda") as function:
        assert function.wait() == 2 and "is no namespace" in function.output()


def test_it_ends_where_lambda_is_gone_and_asks_nothing_outside_of_it(folder: pathlib.Path) -> None:
    with ours(folder / "gone", {"registry.models": "wine"}) as function:
        function.serving().api.close()
        assert function.wait() == 1 and "Runtime API of AWS Lambda" in function.output()
    with Function([str(binary()), "lambda"], folder / "alone", {"AWS_LAMBDA_RUNTIME_API": ""}, cwd=ROOT) as function:
        assert function.wait() == 2 and "sidegate serve" in function.output()
