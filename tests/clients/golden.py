"""Rows for the shipped models, and how near two answers have to be. NumPy and the standard library only."""

import dataclasses
import json

import numpy as np

from sidegate import MODELS

NAMES = ("breast-cancer", "digits", "flight-delay", "penguins", "wine")
NUMPY = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32, "BYTES": np.object_}
TOLERANCE = 1e-5


@dataclasses.dataclass
class Case:
    """Inputs of one request and the outputs they must give, by name."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def manifest(name: str) -> dict:
    """What the model's maker says about it."""
    return json.loads((MODELS / name / "1" / "manifest.json").read_text())


def _array(tensor: dict) -> np.ndarray:
    return np.array(tensor["data"], NUMPY[tensor["datatype"]]).reshape(tensor["shape"])


def cases(name: str) -> list[Case]:
    """The golden examples that ship with a model."""
    stored = json.loads((MODELS / name / "1" / "golden.json").read_text())["cases"]
    return [
        Case({t["name"]: _array(t) for t in case["inputs"]}, {t["name"]: _array(t) for t in case["outputs"]})
        for case in stored
    ]


def many(name: str, rows: int, seed: int = 7) -> dict[str, np.ndarray]:
    """Rows near the golden ones: numbers moved by up to a fifth, words drawn from those that occur."""
    random = np.random.default_rng(seed)
    stored = cases(name)
    inputs = {}
    for key in stored[0].inputs:
        known = np.concatenate([case.inputs[key] for case in stored])
        drawn = known[random.integers(0, len(known), rows)]
        if drawn.dtype.kind == "f":
            drawn = (drawn * random.uniform(0.8, 1.2, drawn.shape)).astype(drawn.dtype)
        inputs[key] = drawn
    return inputs


def datatype(array: np.ndarray) -> str:
    """The protocol's name of an array's type."""
    return next(name for name, kind in NUMPY.items() if array.dtype == kind)


def assert_near(answer: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """|a - b| <= 1e-5 * max(1, |b|), NaN equal to NaN; all but floats exactly."""
    assert answer.shape == wanted.shape, f"{what}: {answer.shape} instead of {wanted.shape}"
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(words(answer), words(wanted), what)
        return
    with np.errstate(invalid="ignore"):
        near = np.abs(answer - wanted) <= TOLERANCE * np.maximum(1, np.abs(wanted))
    near |= np.isnan(answer) & np.isnan(wanted)
    assert near.all(), f"{what}: {answer[~near][:5]} instead of {wanted[~near][:5]}"


def words(array: np.ndarray) -> np.ndarray:
    """BYTES as text, whichever of bytes and str a client hands out."""
    if array.dtype.kind not in "OSU":
        return array
    text = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
    return np.array(text, np.object_).reshape(array.shape)
