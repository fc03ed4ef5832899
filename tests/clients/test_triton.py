"""NVIDIA's client: tritonclient.http and its asyncio form."""

import asyncio
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import golden
import small_models
from sidegate import Server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.http, concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def echo_client(echo: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(echo.http) as client:
        yield client


def tensors(arrays: dict[str, np.ndarray], *, binary: bool) -> list[triton.InferInput]:
    inputs = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), golden.datatype(array))
        inputs.append(tensor.set_data_from_numpy(array, binary_data=binary))
    return inputs


def requested(names: object, *, binary: bool) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def check(result: triton.InferResult, case: golden.Case, what: str) -> None:
    for name, wanted in case.outputs.items():
        golden.assert_near(result.as_numpy(name), wanted, f"{what}: {name}")


# === what a server says of itself ===


def test_server_and_models_are_live_and_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for name in golden.NAMES:
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, "1")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("wine", "99")


def test_server_metadata_names_the_extensions(client: triton.InferenceServerClient) -> None:
    metadata = client.get_server_metadata()
    assert metadata["name"] == "sidegate"
    assert metadata["version"]
    assert {"binary_tensor_data", "model_repository", "model_configuration", "statistics"} <= set(
        metadata["extensions"]
    )


@pytest.mark.parametrize("name", golden.NAMES)
def test_model_metadata_is_the_manifests_signature(client: triton.InferenceServerClient, name: str) -> None:
    for version in ("", "1"):
        metadata = client.get_model_metadata(name, version)
        assert metadata["name"] == name
        assert metadata["versions"] == ["1"]
        assert metadata["platform"] == "onnx_onnxv1"
        for side in ("inputs", "outputs"):
            shown = [{k: t[k] for k in ("name", "datatype", "shape")} for t in metadata[side]]
            assert shown == golden.manifest(name)["signature"][side]


def test_model_configuration(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("penguins")
    assert config["name"] == "penguins"
    assert config["max_batch_size"] == 0
    by_name = {tensor["name"]: tensor for tensor in config["input"]}
    assert by_name["island"]["data_type"] == "TYPE_STRING"
    assert by_name["year"] == {"name": "year", "data_type": "TYPE_INT64", "dims": [-1, 1]}
    assert {tensor["name"] for tensor in config["output"]} == {"output_label", "output_probability"}


def test_repository_index(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert {entry["name"]: (entry["version"], entry["state"]) for entry in index} == {
        name: ("1", "READY") for name in golden.NAMES
    }


def test_statistics_count_requests_and_rows(client: triton.InferenceServerClient) -> None:
    def statistics() -> dict:
        [stats] = client.get_inference_statistics("wine", "1")["model_stats"]
        assert (stats["name"], stats["version"]) == ("wine", "1")
        return stats

    before = statistics()
    for _ in range(3):
        client.infer("wine", tensors(golden.many("wine", 5), binary=True))
    with pytest.raises(InferenceServerException):
        client.infer("wine", tensors({"input": np.zeros((1, 12), np.float32)}, binary=True))
    after = statistics()
    assert after["inference_count"] - before["inference_count"] == 15
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["last_inference"] >= before["last_inference"]
    kinds = {"success": 3, "fail": 1, "queue": 3, "compute_input": 3, "compute_infer": 3, "compute_output": 3}
    for kind, grown in kinds.items():
        now, then = after["inference_stats"][kind], before["inference_stats"][kind]
        assert now["count"] - then["count"] == grown, kind
        assert now["ns"] >= then["ns"], kind
    assert {stats["name"] for stats in client.get_inference_statistics()["model_stats"]} == set(golden.NAMES)


def test_loading_by_request_is_refused_unless_allowed(client: triton.InferenceServerClient) -> None:
    for order in (
        lambda: client.load_model("wine"),
        lambda: client.load_model("wine", config="{}", files={"file:1/model.onnx": b"any"}),
        lambda: client.unload_model("wine"),
    ):
        with pytest.raises(InferenceServerException) as refused:
            order()
        assert refused.value.status() == "400"
    assert client.is_model_ready("wine")


# === inference ===


@pytest.mark.parametrize("name", golden.NAMES)
@pytest.mark.parametrize("binary_out", [True, False], ids=["to-binary", "to-json"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["from-binary", "from-json"])
def test_golden_examples(
    client: triton.InferenceServerClient, name: str, binary_in: bool, binary_out: bool
) -> None:
    for number, case in enumerate(golden.cases(name)):
        outputs = requested(case.outputs, binary=binary_out)
        inputs = tensors(case.inputs, binary=binary_in)
        result = client.infer(name, inputs, "1", outputs=outputs, request_id=f"golden {number}")
        check(result, case, f"case {number}")
        response = result.get_response()
        assert response["id"] == f"golden {number}"
        assert (response["model_name"], response["model_version"]) == (name, "1")


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(client: triton.InferenceServerClient, algorithm: str, binary: bool) -> None:
    for case in golden.cases("digits"):
        result = client.infer(
            "digits",
            tensors(case.inputs, binary=binary),
            outputs=requested(case.outputs, binary=binary),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        check(result, case, algorithm)


def test_without_a_list_every_output_comes(client: triton.InferenceServerClient) -> None:
    [case, *_] = golden.cases("penguins")
    result = client.infer("penguins", tensors(case.inputs, binary=True))
    check(result, case, "all outputs")
    assert [o["name"] for o in result.get_response()["outputs"]] == ["output_label", "output_probability"]


def test_only_the_outputs_asked_for_come_each_in_its_form(client: triton.InferenceServerClient) -> None:
    [case, *_] = golden.cases("wine")
    inputs = tensors(case.inputs, binary=True)
    result = client.infer("wine", inputs, outputs=requested(["probabilities"], binary=True))
    assert [o["name"] for o in result.get_response()["outputs"]] == ["probabilities"]
    assert result.as_numpy("label") is None

    mixed = requested(["probabilities"], binary=False) + requested(["label"], binary=True)
    result = client.infer("wine", inputs, outputs=mixed)
    check(result, case, "mixed")
    by_name = {o["name"]: o for o in result.get_response()["outputs"]}
    assert "data" in by_name["probabilities"]
    assert "data" not in by_name["label"]


def test_inputs_of_both_forms_in_one_request(client: triton.InferenceServerClient) -> None:
    [case, *_] = golden.cases("penguins")
    names = list(case.inputs)
    inputs = [
        tensor
        for at, name in enumerate(names)
        for tensor in tensors({name: case.inputs[name]}, binary=at % 2 == 0)
    ]
    check(client.infer("penguins", inputs[::-1]), case, "mixed inputs")


def test_classification(client: triton.InferenceServerClient) -> None:
    [case, *_] = golden.cases("wine")
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    result = client.infer("wine", tensors(case.inputs, binary=True), outputs=outputs)
    classes = golden.words(result.as_numpy("probabilities"))
    assert classes.shape == (1, 2)
    scores = case.outputs["probabilities"][0]
    best = np.argsort(-scores, kind="stable")[:2]
    for text, at in zip(classes[0], best, strict=True):
        value, index, *_ = text.split(":")
        assert int(index) == at
        assert abs(float(value) - scores[at]) < 1e-5


def test_many_requests_at_once(client: triton.InferenceServerClient) -> None:
    [case, *_] = golden.cases("breast-cancer")
    inputs = tensors(case.inputs, binary=True)
    waiting = [client.async_infer("breast-cancer", inputs) for _ in range(40)]
    for each in waiting:
        check(each.get_result(), case, "async_infer")


def test_asyncio(server: Server) -> None:
    async def run() -> None:
        async with triton_aio.InferenceServerClient(server.http) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("digits")
            assert (await client.get_model_metadata("digits"))["name"] == "digits"
            assert len(await client.get_model_repository_index()) == len(golden.NAMES)
            for binary in (True, False):
                for case in golden.cases("digits"):
                    waiting = [
                        client.infer(
                            "digits",
                            tensors(case.inputs, binary=binary),
                            outputs=requested(case.outputs, binary=binary),
                            request_compression_algorithm=algorithm,
                        )
                        for algorithm in (None, "gzip", "deflate")
                    ]
                    for result in await asyncio.gather(*waiting):
                        check(result, case, "asyncio")
            with pytest.raises(InferenceServerException):
                await client.infer("nobody", tensors(case.inputs, binary=True))

    asyncio.run(run())


# === every datatype comes through unchanged ===


def values(datatype: str) -> np.ndarray:
    """Six values [2, 3], the extremes of the type among them."""
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        texts = ["", "Ä€𝄞", 'quote " backslash \\', "a\0b", "x" * 300, "new\nline"]
        return np.array([text.encode() for text in texts], np.object_).reshape(2, 3)
    if datatype.startswith(("INT", "UINT")):
        kind = np.dtype(datatype.lower())
        limits = np.iinfo(kind)
        return np.array([[limits.min, limits.max, 0], [1, 2, limits.max - 1]], kind)
    kinds = {"BF16": ml_dtypes.bfloat16, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}
    kind = kinds[datatype]
    limits = ml_dtypes.finfo(kind)
    return np.array([[limits.max, limits.min, limits.tiny], [-0.0, 0.1, limits.smallest_subnormal]], kind)


def echoed(
    client: triton.InferenceServerClient, model: str, datatype: str, array: np.ndarray, *, binary: bool
) -> np.ndarray:
    tensor = triton.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    result = client.infer(model, [tensor], outputs=requested(["x_out"], binary=binary))
    return result.as_numpy("x_out")


def same(answer: np.ndarray, sent: np.ndarray) -> None:
    assert answer.shape == sent.shape
    if sent.dtype.kind == "O":
        assert golden.words(answer).tolist() == golden.words(sent).tolist()
    else:
        assert answer.dtype == sent.dtype
        # By their bits: -0.0 is not 0.0, NaN is NaN.
        assert answer.tobytes() == sent.tobytes(), f"{answer} instead of {sent}"


@pytest.mark.parametrize("datatype", small_models.DATATYPES)
def test_binary_tensors_come_back_bit_by_bit(
    echo_client: triton.InferenceServerClient, datatype: str
) -> None:
    sent = values(datatype)
    same(echoed(echo_client, f"rows-{datatype.lower()}", datatype, sent, binary=True), sent)
    same(echoed(echo_client, f"rows-{datatype.lower()}", datatype, sent[:0], binary=True), sent[:0])
    scalar = sent[1, 1:2].reshape(())
    same(echoed(echo_client, f"scalar-{datatype.lower()}", datatype, scalar, binary=True), scalar)


@pytest.mark.parametrize("datatype", small_models.JSON_DATATYPES)
def test_json_tensors_come_back_bit_by_bit(echo_client: triton.InferenceServerClient, datatype: str) -> None:
    sent = values(datatype)
    same(echoed(echo_client, f"rows-{datatype.lower()}", datatype, sent, binary=False), sent)


def test_all_datatypes_in_one_request(echo_client: triton.InferenceServerClient) -> None:
    arrays = {name: values(name)[:, :2].copy() for name in small_models.JSON_DATATYPES}
    inputs = []
    for at, (name, array) in enumerate(arrays.items()):
        tensor = triton.InferInput(name.lower(), [2, 2], name)
        inputs.append(tensor.set_data_from_numpy(array, binary_data=at % 2 == 0))
    result = echo_client.infer("everything", inputs)
    for name, array in arrays.items():
        same(result.as_numpy(f"{name.lower()}_out"), array)


def test_non_finite_numbers_come_back(echo_client: triton.InferenceServerClient) -> None:
    sent = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    for binary in (True, False):  # as JSON this client writes bare NaN and Infinity
        answer = echoed(echo_client, "rows-fp32", "FP32", sent, binary=binary)
        np.testing.assert_array_equal(answer, sent)


def test_tensor_names_as_exporters_make_them(echo_client: triton.InferenceServerClient) -> None:
    names = [tensor["name"] for tensor in echo_client.get_model_metadata("odd-names")["inputs"]]
    arrays = {name: np.array([at], np.float32) for at, name in enumerate(names)}
    result = echo_client.infer("odd-names", tensors(arrays, binary=True))
    for name, array in arrays.items():
        same(result.as_numpy(f"{name}_out"), array)


# === errors reach the user as words ===


def refused(client: triton.InferenceServerClient, model: str, inputs: list, version: str = "", **more: object):
    with pytest.raises(InferenceServerException) as error:
        client.infer(model, inputs, version, **more)
    return error.value.status(), error.value.message()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_errors_name_what_is_wrong(client: triton.InferenceServerClient, binary: bool) -> None:
    row = golden.many("wine", 1)["input"]
    good = tensors({"input": row}, binary=binary)
    assert np_to_triton_dtype(row.dtype) == "FP32"

    status, message = refused(client, "nobody", good)
    assert status == "404" and "nobody" in message
    status, message = refused(client, "wine", good, "99")
    assert status == "404" and "99" in message
    status, message = refused(client, "wine", tensors({"inputt": row}, binary=binary))
    assert status == "400" and "inputt" in message
    status, message = refused(client, "wine", tensors({"input": row[:, :12].copy()}, binary=binary))
    assert status == "400" and "input" in message
    status, message = refused(client, "wine", tensors({"input": row.astype(np.float64)}, binary=binary))
    assert status == "400" and "FP64" in message
    status, message = refused(client, "wine", good, outputs=requested(["labell"], binary=binary))
    assert status == "400" and "labell" in message
    alone = tensors({"sex": np.array([["MALE"]], np.object_)}, binary=binary)
    status, message = refused(client, "penguins", alone)
    assert status == "400" and "`island`" in message, message

    assert client.infer("wine", good).as_numpy("label").shape == (1,)
