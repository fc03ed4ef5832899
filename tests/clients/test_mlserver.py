"""Variants that a real MLServer answers, in the environment of requirements-mlserver.txt."""

import dataclasses
import json
import pathlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import golden
import small_models
from mlserver_process import MLServer
from sidegate import MODELS, READY_SECONDS, Server, copy_models, onnxruntime

pytestmark = pytest.mark.mlserver

# What MLServer calls models of scikit-learn's own.
SKLEARN = "mlserver_sklearn.SKLearnModel"
UNITS = [f"user-{number}" for number in range(40)]
FAST_MS = 400


@dataclasses.dataclass
class Pair:
    """MLServer, and the sidegate that has it answer."""

    far: MLServer
    near: Server


# === what the two serve ===


def wine_rows(rows: int) -> np.ndarray:
    return golden.many("wine", rows)["input"]


def far_models(folder: pathlib.Path) -> MLServer:
    """MLServer with models of scikit-learn, by its own runtime and by runtimes of ours."""
    rows, labels = load_wine(return_X_y=True)
    wine = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows.astype(np.float32), labels)
    # Not what sums are, so that an answer tells who gave it.
    total = LinearRegression().fit(np.eye(4), [0.1, 0.2, 0.3, 0.4])
    for name, model in {"wine": wine, "stock": wine, "total": total}.items():
        (folder / name).mkdir(parents=True)
        joblib.dump(model, folder / name / "model.joblib")
    stored = {"uri": "./model.joblib"}
    # As a maker of models tells MLServer what texts are.
    texts = [
        {"name": name, "datatype": "BYTES", "shape": [-1, 1], "parameters": {"content_type": "str"}}
        for name in ("island", "sex")
    ]
    models = {
        "wine": {"implementation": "mlserver_runtimes.Classifier", "parameters": {**stored, "version": "7"}},
        "stock": {"implementation": SKLEARN, "parameters": stored},
        "total": {"implementation": SKLEARN, "parameters": stored},
        "penguins": {
            "implementation": "mlserver_runtimes.Species",
            "inputs": texts,
            "parameters": {"version": "v2.1-rc"},
        },
        "everything": {"implementation": "mlserver_runtimes.Backwards"},
    }
    return MLServer(folder, models)


def total(path: pathlib.Path, kind: int) -> None:
    """`predict` = the sum of `x`, under the name that MLServer gives to what scikit-learn predicts."""
    nodes = [helper.make_node("ReduceSum", ["x", "axis"], ["predict"], keepdims=1)]
    inputs = [helper.make_tensor_value_info("x", kind, ["n", 4])]
    outputs = [helper.make_tensor_value_info("predict", kind, ["n", 1])]
    axis = [helper.make_tensor("axis", TensorProto.INT64, [1], [1])]
    small_models.save(helper.make_graph(nodes, "total", inputs, outputs, axis), path)


def renamed_wine(path: pathlib.Path, names: dict[str, str]) -> None:
    """The shipped model of wine with these outputs only, under other names."""
    model = onnx.load(MODELS / "wine" / "1" / "model.onnx")
    kept = [output for output in model.graph.output if output.name in names]
    del model.graph.output[:]
    for output in kept:
        model.graph.node.append(helper.make_node("Identity", [output.name], [names[output.name]]))
        output.name = names[output.name]
        model.graph.output.append(output)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


def near_models(folder: pathlib.Path) -> pathlib.Path:
    """The controls: two shipped models, and others that have the outputs which MLServer gives."""
    copy_models(folder, "wine", "penguins")
    renamed_wine(folder / "stock/1/model.onnx", {"label": "predict"})
    renamed_wine(folder / "stock-both/1/model.onnx", {"label": "predict", "probabilities": "predict_proba"})
    total(folder / "total/1/model.onnx", TensorProto.DOUBLE)
    total(folder / "total-fp32/1/model.onnx", TensorProto.FLOAT)
    kinds = {name.lower(): (small_models.DATATYPES[name], ["n", 2]) for name in small_models.JSON_DATATYPES}
    small_models.identity(folder / "everything/1/model.onnx", kinds)
    small_models.identity(folder / "bytes/1/model.onnx", {"x": (TensorProto.STRING, ["n", 1])})
    return folder


def experiments(urls: dict[str, str], more: str = "") -> str:
    """Half of the users of each model get the model at that address."""
    return "".join(
        f'[experiments."{name}"]\nmodel = "{name}"\nunit = "header:x-user"\ndefault = "control"\n'
        f'variants = {{ control = "1", candidate = "remote:{url}" }}\n{more}\n'
        for name, url in urls.items()
    )


def wait_for_variants(server: Server) -> None:
    """Returns when every variant has what answers for it."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        _, found = server.get("/experiments", admin=True)
        assert isinstance(found, list) and found
        versions = {v["name"]: v.get("version") for e in found for v in e["variants"]}
        if versions == {"control": "1", "candidate": "remote"}:
            return
        assert time.monotonic() < deadline, f"{found}\n{server.output()}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Every model with an experiment of its own, whose candidate MLServer answers."""
    onnxruntime()
    folder = tmp_path_factory.mktemp("mlserver")
    registry = near_models(folder / "models")
    with far_models(folder / "far") as far:
        urls = {
            "wine": far.url("wine/versions/7"),
            "stock": far.url("stock"),
            "stock-both": far.url("stock"),
            "total": far.url("total"),
            "total-fp32": far.url("total"),
            "penguins": far.url("penguins"),
            "everything": far.url("everything"),
            "bytes": far.url("everything"),
        }
        with Server(folder, registry, config=experiments(urls)) as near:
            assert not near.refused(), near.output()
            wait_for_variants(near)
            yield Pair(far, near)


# === asking them ===


def body(arrays: dict[str, np.ndarray], datatypes: dict[str, str] | None = None) -> dict:
    kinds = datatypes or {name: golden.datatype(array) for name, array in arrays.items()}
    return {
        "inputs": [
            {"name": name, "shape": list(array.shape), "datatype": kinds[name], "data": array.reshape(-1).tolist()}
            for name, array in arrays.items()
        ]
    }


def post(
    server: Server, path: str, request: object, unit: str | None = None, **headers: str
) -> tuple[int, dict]:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    if unit is not None:
        sent["x-user"] = unit
    status, _, answer = server.exchange("POST", path, json.dumps(request).encode(), sent)
    return status, json.loads(answer)


def infer(server: Server, model: str, request: dict, unit: str | None, **headers: str) -> tuple[int, dict]:
    return post(server, f"/v2/models/{model}/infer", request, unit, **headers)


def variant_of(server: Server, experiment: str, unit: str) -> str:
    """Which variant the unit's is, by sidegate's own explanation."""
    _, said = server.get(f"/experiments/{experiment}/explain?unit={unit}", admin=True)
    assert isinstance(said, dict)
    return said["variant"]


def unit_of(server: Server, experiment: str, variant: str) -> str:
    return next(unit for unit in UNITS if variant_of(server, experiment, unit) == variant)


def values(answer: dict) -> dict[str, tuple]:
    """Datatype and values of each output. Floats by their bits: 32 of them, or 64."""
    found = {}
    for output in answer["outputs"]:
        kind, data = output["datatype"], output["data"]
        if kind in ("FP32", "FP64"):
            data = np.array([np.nan if x is None else x for x in data], golden.NUMPY[kind]).tobytes()
        found[output["name"]] = (kind, data)
    return found


def metric(server: Server, series: str) -> float:
    _, _, text = server.exchange("GET", "/metrics", admin=True)
    found = re.search(f"^{re.escape(series)} (.+)$", text.decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def predictions(server: Server, model: str, outcome: str) -> float:
    labels = f'model="{model}",outcome="{outcome}",variant="candidate",version="remote"'
    return metric(server, f"model_predictions_total{{{labels}}}")


def logged(server: Server, words: str) -> bool:
    """Whether the log says so, soon."""
    deadline = time.monotonic() + 5
    while words not in server.log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# === whose answer it is ===


def test_each_unit_gets_the_answer_of_its_variant(pair: Pair) -> None:
    request = body({"input": wine_rows(5)})
    from_far = values(pair.far.ask("wine", request))
    status, local = post(pair.near, "/v2/models/wine/versions/1/infer", request)
    assert status == 200
    from_near = values(local)
    assert from_far != from_near
    before = predictions(pair.near, "wine", "ok")
    seen = []
    for unit in UNITS:
        status, answer = infer(pair.near, "wine", {"id": unit, **request}, unit)
        assert status == 200, answer
        variant = variant_of(pair.near, "wine", unit)
        wanted = {"control": (from_near, "1"), "candidate": (from_far, "7")}[variant]
        assert (values(answer), answer["model_version"]) == wanted, unit
        assert answer["parameters"] == {"variant": variant}
        assert (answer["model_name"], answer["id"]) == ("wine", unit)
        # MLServer made a column of the list; the client gets the shapes of the model that it asked for.
        assert {o["name"]: o["shape"] for o in answer["outputs"]} == {"label": [5], "probabilities": [5, 3]}
        seen.append(variant)
    assert 5 < seen.count("candidate") < 35
    assert predictions(pair.near, "wine", "ok") - before == seen.count("candidate")
    # Without a unit the default variant answers.
    assert infer(pair.near, "wine", request, None)[1]["parameters"] == {"variant": "control"}


def test_the_other_protocols_say_who_answered(pair: Pair) -> None:
    rows = wine_rows(2)
    labels = dict((name, data) for name, (_, data) in values(pair.far.ask("wine", body({"input": rows}))).items())["label"]
    unit = unit_of(pair.near, "wine", "candidate")
    status, answer = post(pair.near, "/predict?model=wine", rows.tolist(), unit)
    assert status == 200, answer
    assert (answer["variant"], answer["model_version"]) == ("candidate", "7")
    status, answer = post(pair.near, "/invocations?model=wine", {"instances": rows.tolist()}, unit)
    assert status == 200, answer
    assert answer["variant"] == "candidate"
    request = {**body({"input": rows}), "outputs": [{"name": "label"}]}
    status, answer = infer(pair.near, "wine", request, unit)
    assert (status, [o["name"] for o in answer["outputs"]], answer["outputs"][0]["data"]) == (200, ["label"], labels)


def test_many_at_once_get_each_their_own(pair: Pair) -> None:
    rows = wine_rows(160)
    candidates = [unit for unit in UNITS if variant_of(pair.near, "wine", unit) == "candidate"]

    def ask(at: int) -> tuple[dict, dict]:
        request = body({"input": rows[at : at + 1]})
        status, answer = infer(pair.near, "wine", request, candidates[at % len(candidates)])
        assert status == 200, answer
        assert answer["parameters"] == {"variant": "candidate"}
        return values(answer), values(pair.far.ask("wine", request))

    with ThreadPoolExecutor(16) as pool:
        for got, wanted in pool.map(ask, range(len(rows))):
            assert got == wanted


# === what MLServer really sends ===


def test_scikit_learns_labels_as_mlserver_gives_them(pair: Pair) -> None:
    request = body({"input": wine_rows(6)})
    direct = pair.far.ask("stock", request)
    [output] = direct["outputs"]
    # If a later MLServer answers otherwise, this is to be looked at again.
    assert (output["name"], output["datatype"], output["shape"]) == ("predict", "INT64", [6, 1])
    assert output["parameters"] == {"content_type": "np"}
    assert not direct.get("model_version")
    status, answer = infer(pair.near, "stock", request, unit_of(pair.near, "stock", "candidate"))
    assert status == 200, answer
    assert values(answer) == values(direct)
    assert (answer["outputs"][0]["shape"], answer["model_version"]) == ([6], "remote")


def test_numbers_of_64_bits_are_understood_and_no_others_are_made_of_them(pair: Pair) -> None:
    rows = np.random.default_rng(3).uniform(-9, 9, (4, 4))
    direct = pair.far.ask("total", body({"x": rows}))
    assert direct["outputs"][0]["datatype"] == "FP64"
    status, answer = infer(pair.near, "total", body({"x": rows}), unit_of(pair.near, "total", "candidate"))
    assert status == 200, answer
    assert values(answer) == values(direct)
    assert answer["outputs"][0]["shape"] == [4, 1]

    unit = unit_of(pair.near, "total-fp32", "candidate")
    status, answer = infer(pair.near, "total-fp32", body({"x": rows.astype(np.float32)}), unit)
    assert (status, answer["code"]) == (502, "upstream_failed"), answer
    assert logged(pair.near, "output `predict`: expected FP32, got FP64")


def test_outputs_are_asked_for_by_name(pair: Pair) -> None:
    # Of a classifier it gives labels alone, and probabilities where they are asked for.
    request = body({"input": wine_rows(3)})
    named = request | {"outputs": [{"name": "predict"}, {"name": "predict_proba"}]}
    direct = pair.far.ask("stock", named)
    unit = unit_of(pair.near, "stock-both", "candidate")
    status, answer = infer(pair.near, "stock-both", request, unit)
    assert status == 200, answer
    assert set(values(direct)) == {"predict", "predict_proba"}
    assert values(answer) == values(direct)


def test_texts_and_numbers_in_columns(pair: Pair) -> None:
    units = {name: unit_of(pair.near, "penguins", name) for name in ("control", "candidate")}
    species = set()
    for case in golden.cases("penguins"):
        request = body(case.inputs)
        direct = pair.far.ask("penguins", request)
        texts, rows = direct["outputs"][0], len(case.inputs["island"])
        assert (texts["datatype"], texts["shape"], texts["parameters"]) == ("BYTES", [rows, 1], {"content_type": "str"})
        status, answer = infer(pair.near, "penguins", request, units["candidate"])
        assert status == 200, answer
        assert (values(answer), answer["model_version"]) == (values(direct), "v2.1-rc")
        assert answer["outputs"][0]["shape"] == [rows]
        species.update(texts["data"])
        status, answer = infer(pair.near, "penguins", request, units["control"])
        assert (status, answer["outputs"][0]["data"]) == (200, case.outputs["output_label"].tolist())
    assert len(species) > 1


EXTREMES = {
    "BOOL": [True, False, False, True],
    "BYTES": ["", "Ä€𝄞", 'quote " backslash \\', "new\nline"],
    "FP32": [float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny), -0.0, float(np.float32(0.1))],
    "FP64": [float(np.finfo(np.float64).max), 5e-324, -0.0, 0.1],
}


def extremes(datatype: str) -> list:
    if datatype in EXTREMES:
        return EXTREMES[datatype]
    limits = np.iinfo(datatype.lower())
    return [limits.min, limits.max, 0, limits.max - 1]


def everything(rows: dict[str, list]) -> dict:
    return {
        "inputs": [
            {"name": kind.lower(), "shape": [2, 2], "datatype": kind, "data": data} for kind, data in rows.items()
        ]
    }


def test_every_datatype_there_and_back(pair: Pair) -> None:
    sent = {kind: extremes(kind) for kind in small_models.JSON_DATATYPES}
    request = everything(sent)
    status, answer = infer(pair.near, "everything", request, unit_of(pair.near, "everything", "candidate"))
    assert status == 200, answer
    got = values(answer)
    assert got == values(pair.far.ask("everything", request))
    # Row by row, and so that the control's answer would not do.
    backwards = everything({kind: data[2:] + data[:2] for kind, data in sent.items()})["inputs"]
    assert got == values({"outputs": [{**tensor, "name": f"{tensor['name']}_out"} for tensor in backwards]})


def test_no_number_goes_there_and_back_as_null(pair: Pair) -> None:
    sent = {kind: extremes(kind) for kind in small_models.JSON_DATATYPES}
    sent["FP32"] = sent["FP64"] = [None, 1.5, 2.5, None]
    request = everything(sent)
    status, answer = infer(pair.near, "everything", request, unit_of(pair.near, "everything", "candidate"))
    assert status == 200, answer
    assert values(answer) == values(pair.far.ask("everything", request))
    by_name = {output["name"]: output["data"] for output in answer["outputs"]}
    assert by_name["fp32_out"] == by_name["fp64_out"] == [2.5, None, None, 1.5]
    # MLServer reads no such words, which not every client keeps from writing.
    sent["FP32"] = [float("nan"), 1.5, 2.5, float("inf")]
    status, answer = infer(pair.near, "everything", everything(sent), unit_of(pair.near, "everything", "candidate"))
    assert (status, answer["code"]) == (502, "upstream_failed"), answer
    assert logged(pair.near, "it answered 422")


def binary(name: str, datatype: str, shape: list[int], data: bytes) -> tuple[bytes, dict[str, str]]:
    """A request whose only input is binary."""
    tensor = {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + data, {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }


def test_what_json_cannot_say_is_not_sent_as_something_else(pair: Pair) -> None:
    def asked() -> int:
        return pair.far.log.read_text(errors="replace").count('"POST ')

    request = body({"input": wine_rows(1)})
    assert infer(pair.near, "wine", request, unit_of(pair.near, "wine", "candidate"))[0] == 200
    before = asked()
    assert before  # else this would count nothing
    text = b"\xff\xfe"
    sent = [
        ("wine", binary("input", "FP32", [1, 13], np.full(13, np.inf, "<f4").tobytes()), "`input` has an infinite number"),
        ("bytes", binary("x", "BYTES", [1, 1], len(text).to_bytes(4, "little") + text), "`x` has bytes that are not UTF-8"),
    ]
    # More often than a server may fail that is not to be left alone: it is not the server's fault.
    for model, (data, headers), why in sent * 6:
        who = {"x-user": unit_of(pair.near, model, "candidate"), **headers}
        status, _, answer = pair.near.exchange("POST", f"/v2/models/{model}/infer", data, who)
        assert (status, json.loads(answer)["code"]) == (502, "upstream_failed"), answer
        assert logged(pair.near, why)
    assert asked() == before
    assert infer(pair.near, "wine", request, unit_of(pair.near, "wine", "candidate"))[0] == 200


def test_an_error_of_the_model_is_one_of_the_variant_and_nothing_of_it_is_shown(pair: Pair) -> None:
    case = golden.cases("penguins")[0]
    inputs = {**case.inputs, "island": np.array([["Atlantis"]], np.object_)}
    units = {name: unit_of(pair.near, "penguins", name) for name in ("control", "candidate")}
    status, answer = infer(pair.near, "penguins", body(inputs), units["candidate"])
    assert (status, answer["code"]) == (502, "upstream_failed"), answer
    # MLServer answers with a trace of its code.
    assert "Atlantis" not in str(answer) and "Traceback" not in str(answer)
    assert logged(pair.near, "it answered 500")
    assert infer(pair.near, "penguins", body(inputs), units["control"])[0] == 200
    status, answer = infer(pair.near, "penguins", body(case.inputs), units["candidate"])
    assert (status, answer["parameters"]) == (200, {"variant": "candidate"})


# === it goes, and comes back ===

FALLBACK = f'fallback = "control"\nfallback_after_ms = {FAST_MS}'


@pytest.fixture
def fragile(tmp_path: pathlib.Path) -> Iterator[Pair]:
    """Wine without a fallback, `stock` with one, and penguins in no experiment."""
    onnxruntime()
    registry = copy_models(tmp_path / "models", "wine", "penguins")
    renamed_wine(registry / "stock/1/model.onnx", {"label": "predict"})
    with far_models(tmp_path / "far") as far:
        config = experiments({"wine": far.url("wine")}) + experiments({"stock": far.url("stock")}, FALLBACK)
        with Server(tmp_path, registry, config=config) as near:
            wait_for_variants(near)
            yield Pair(far, near)


def check_others(near: Server) -> None:
    """Nothing else fails: units of controls, versions by name, another model, readiness."""
    request = body({"input": wine_rows(1)})
    for model in ("wine", "stock"):
        status, answer = infer(near, model, request, unit_of(near, model, "control"))
        assert (status, answer["parameters"]) == (200, {"variant": "control"})
        assert post(near, f"/v2/models/{model}/versions/1/infer", request)[0] == 200
    assert infer(near, "penguins", body(golden.cases("penguins")[0].inputs), None)[0] == 200
    assert near.get("/v2/health/ready")[0] == 200


@pytest.mark.parametrize("goes", [MLServer.stop, MLServer.end], ids=["stopped", "killed"])
def test_it_goes_and_comes_back(fragile: Pair, goes: Callable[[MLServer], None]) -> None:
    near, far = fragile.near, fragile.far
    units = {model: unit_of(near, model, "candidate") for model in ("wine", "stock")}
    request = body({"input": wine_rows(3)})
    direct = {model: values(far.ask(model, request)) for model in units}
    _, local = post(near, "/v2/models/stock/versions/1/infer", request)

    def check_far() -> None:
        for model, unit in units.items():
            status, answer = infer(near, model, request, unit)
            assert status == 200, answer
            assert (values(answer), answer["parameters"]) == (direct[model], {"variant": "candidate"})

    check_far()
    goes(far)
    # Fewer than would open the circuit, after which it would be left alone for a minute.
    for _ in range(3):
        status, answer = infer(near, "wine", request, units["wine"])
        assert (status, answer["code"]) == (502, "upstream_failed"), answer
        assert str(far.port) not in str(answer)
        status, answer = infer(near, "stock", request, units["stock"])
        assert status == 200, answer
        assert (values(answer), answer["model_version"]) == (values(local), "1")
        assert answer["parameters"] == {"variant": "control", "fallback": True}
        check_others(near)
    assert (predictions(near, "wine", "error"), predictions(near, "stock", "error")) == (3, 3)
    assignments = 'sidegate_experiment_assignments_total{experiment="stock",reason="fallback",variant="control"}'
    assert metric(near, assignments) == 3
    far.start()
    # At once, and over connections made anew.
    check_far()
    check_others(near)


def test_one_that_hangs_costs_no_more_than_the_time_that_a_request_has(fragile: Pair) -> None:
    near, far = fragile.near, fragile.far
    units = {model: unit_of(near, model, "candidate") for model in ("wine", "stock")}
    request = body({"input": wine_rows(1)})
    for model, unit in units.items():
        assert infer(near, model, request, unit)[1]["parameters"] == {"variant": "candidate"}
    far.suspend()
    try:
        begun = time.monotonic()
        status, answer = infer(near, "wine", request, units["wine"], x_request_timeout_ms="500")
        assert (status, answer["code"]) == (504, "deadline_exceeded"), answer
        assert 0.4 < time.monotonic() - begun < 10
        begun = time.monotonic()
        status, answer = infer(near, "stock", request, units["stock"])
        assert (status, answer["parameters"]) == (200, {"variant": "control", "fallback": True}), answer
        assert FAST_MS / 1000 - 0.1 < time.monotonic() - begun < 10
        check_others(near)
    finally:
        far.resume()
    for model, unit in units.items():
        status, answer = infer(near, model, request, unit)
        assert (status, answer["parameters"]) == (200, {"variant": "candidate"}), answer


def test_one_that_keeps_failing_is_left_alone(fragile: Pair) -> None:
    near, far = fragile.near, fragile.far
    units = {model: unit_of(near, model, "candidate") for model in ("wine", "stock")}
    request = body({"input": wine_rows(1)})
    far.end()
    for _ in range(5):
        assert infer(near, "wine", request, units["wine"])[1]["code"] == "upstream_failed"
        assert infer(near, "stock", request, units["stock"])[0] == 200
    far.start()
    status, answer = infer(near, "wine", request, units["wine"])
    assert (status, answer["code"]) == (503, "circuit_open"), answer
    status, answer = infer(near, "stock", request, units["stock"])
    assert (status, answer["parameters"]) == (200, {"variant": "control", "fallback": True})
    check_others(near)


def test_nobody_notices_when_it_is_killed_under_load_but_by_the_mark(fragile: Pair) -> None:
    near, far = fragile.near, fragile.far
    request = body({"input": wine_rows(2)})
    far_says = values(far.ask("stock", request))
    near_says = values(post(near, "/v2/models/stock/versions/1/infer", request)[1])
    variants = {unit: variant_of(near, "stock", unit) for unit in UNITS}
    over = threading.Event()
    wanted = {
        "control": [({"variant": "control"}, near_says)],
        "candidate": [
            ({"variant": "candidate"}, far_says),
            ({"variant": "control", "fallback": True}, near_says),
        ],
    }

    def ask(first: int) -> list[bool]:
        stood_in = []
        while not over.is_set():
            unit = UNITS[(first + len(stood_in)) % len(UNITS)]
            status, answer = infer(near, "stock", request, unit)
            assert status == 200, answer
            assert (answer["parameters"], values(answer)) in wanted[variants[unit]], answer
            stood_in.append("fallback" in answer["parameters"])
        return stood_in

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, 5 * number) for number in range(8)]
        try:
            time.sleep(1)
            far.end()
            time.sleep(2)
        finally:
            over.set()
        stood_in = [each.result() for each in asking]
    # Of every client's answers some are of either time.
    assert all(any(each) and not all(each) for each in stood_in)
    check_others(near)
