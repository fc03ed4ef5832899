"""What is served against what the ONNX Runtime of Python computes, whichever engine was chosen."""

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton

import golden
from sidegate import MODELS, Server

ROWS = 200


def reference(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = MODELS / name / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    labels = golden.manifest(name).get("labels", [])
    outputs = {}
    for key, value in zip(names, session.run(names, inputs), strict=True):
        if isinstance(value, list):  # of a ZipMap: a dictionary per row, which is served as a tensor
            value = np.array([[row[label] for label in labels] for row in value], np.float32)
        outputs[key] = value
    return outputs


def check(server: Server, name: str, inputs: dict[str, np.ndarray]) -> None:
    wanted = reference(name, inputs)
    tensors = []
    for key, array in inputs.items():
        tensor = triton.InferInput(key, list(array.shape), golden.datatype(array))
        tensors.append(tensor.set_data_from_numpy(array))
    with triton.InferenceServerClient(server.http) as client:
        result = client.infer(name, tensors)
    scores = [array for array in wanted.values() if array.dtype.kind == "f" and array.shape[-1] > 1]
    # A label counts where one class is clearly best.
    clear = np.ones(len(next(iter(wanted.values()))), bool)
    for each in scores:
        ordered = np.sort(each, axis=-1)
        clear &= ordered[:, -1] - ordered[:, -2] > golden.TOLERANCE
    for key, array in wanted.items():
        answer = result.as_numpy(key)
        assert answer.shape == array.shape, key
        if array.dtype.kind == "f":
            golden.assert_near(answer, array, f"{name} {key}")
        else:
            golden.assert_near(answer[clear], array[clear], f"{name} {key}")


@pytest.mark.parametrize("name", golden.NAMES)
def test_many_rows(server: Server, name: str) -> None:
    check(server, name, golden.many(name, ROWS))


@pytest.mark.parametrize("name", golden.NAMES)
def test_single_rows(server: Server, name: str) -> None:
    rows = golden.many(name, 8, seed=8)
    for at in range(8):
        check(server, name, {key: array[at : at + 1] for key, array in rows.items()})


@pytest.mark.parametrize("name", ["breast-cancer", "flight-delay", "wine"])
def test_missing_and_extreme_numbers(server: Server, name: str) -> None:
    [(key, array)] = golden.many(name, ROWS, seed=9).items()
    random = np.random.default_rng(10)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], np.float32)
    chosen = random.random(array.shape) < 0.2
    array[chosen] = special[random.integers(0, len(special), int(chosen.sum()))]
    check(server, name, {key: array})


def test_words_never_seen_in_training(server: Server) -> None:
    rows = golden.many("penguins", ROWS, seed=11)
    rows["island"][::3] = "Atlantis"
    rows["sex"][::5] = ""
    check(server, "penguins", rows)
