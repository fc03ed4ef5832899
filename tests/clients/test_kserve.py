"""The KServe SDK's REST client, in the environment of requirements-kserve.txt."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

import golden
from sidegate import Server

# The SDK parses the command line when it is imported, and pytest's is none of its business.
_arguments, sys.argv = sys.argv, sys.argv[:1]
import httpx  # noqa: E402
from kserve import (  # noqa: E402
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput  # noqa: E402

sys.argv = _arguments

pytestmark = pytest.mark.kserve


def run(use: Callable[[InferenceRESTClient], Awaitable[None]]) -> None:
    async def inner() -> None:
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        try:
            await use(client)
        finally:
            await client.close()

    asyncio.run(inner())


def request(name: str, arrays: dict[str, np.ndarray], *, binary: bool, **more: object) -> InferRequest:
    inputs = []
    for key, array in arrays.items():
        tensor = InferInput(key, list(array.shape), golden.datatype(array))
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(name, inputs, **more)


def check(response: InferResponse, case: golden.Case, what: str) -> None:
    answers = {output.name: output.as_numpy() for output in response.outputs}
    assert set(answers) == set(case.outputs)
    for key, wanted in case.outputs.items():
        golden.assert_near(answers[key].reshape(wanted.shape), wanted, f"{what}: {key}")


def test_server_and_models_are_live_and_ready(server: Server) -> None:
    async def use(client: InferenceRESTClient) -> None:
        assert await client.is_server_live(server.url) is True
        assert await client.is_server_ready(server.url) is True
        for name in golden.NAMES:
            assert await client.is_model_ready(server.url, name) is True
        assert await client.is_model_ready(server.url, "nobody") is False

    run(use)


@pytest.mark.parametrize("name", golden.NAMES)
@pytest.mark.parametrize("binary_out", [True, False], ids=["to-binary", "to-json"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["from-binary", "from-json"])
def test_golden_examples(server: Server, name: str, binary_in: bool, binary_out: bool) -> None:
    async def use(client: InferenceRESTClient) -> None:
        for case in golden.cases(name):
            data = request(name, case.inputs, binary=binary_in, parameters={"binary_data_output": binary_out})
            response = await client.infer(server.url, data, name)
            check(response, case, name)
            assert response.model_name == name

    run(use)


def test_outputs_by_name_and_the_callers_id(server: Server) -> None:
    async def use(client: InferenceRESTClient) -> None:
        [case, *_] = golden.cases("wine")
        outputs = [RequestedOutput("probabilities", {"binary_data": True})]
        data = request("wine", case.inputs, binary=False, request_id="kserve-7", request_outputs=outputs)
        response = await client.infer(server.url, data, "wine")
        assert response.id == "kserve-7"
        [output] = response.outputs
        assert output.name == "probabilities"
        golden.assert_near(output.as_numpy(), case.outputs["probabilities"], "probabilities")

    run(use)


def test_nan_travels_as_null(server: Server) -> None:
    async def use(client: InferenceRESTClient) -> None:
        rows = golden.many("breast-cancer", 4)["input"]
        rows[:, 3] = np.nan  # orjson writes null
        answers = []
        for binary in (True, False):
            response = await client.infer(
                server.url, request("breast-cancer", {"input": rows}, binary=binary), "breast-cancer"
            )
            answers.append({output.name: output.as_numpy() for output in response.outputs})
        for key in answers[0]:
            golden.assert_near(answers[1][key], answers[0][key], key)

    run(use)


def test_plain_dictionaries_and_many_at_once(server: Server) -> None:
    async def use(client: InferenceRESTClient) -> None:
        [case, *_] = golden.cases("flight-delay")
        [(key, array)] = case.inputs.items()
        tensor = {"name": key, "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
        waiting = [client.infer(server.url, {"inputs": [tensor]}, "flight-delay") for _ in range(20)]
        for response in await asyncio.gather(*waiting):
            check(response, case, "dictionary")

    run(use)


def test_errors_name_what_is_wrong(server: Server) -> None:
    async def use(client: InferenceRESTClient) -> None:
        rows = golden.many("wine", 1)["input"]
        for model, data, status, word in [
            ("nobody", request("nobody", {"input": rows}, binary=True), 404, "nobody"),
            ("wine", request("wine", {"inputt": rows}, binary=False), 400, "inputt"),
            ("wine", request("wine", {"input": rows[:, :12].copy()}, binary=True), 400, "input"),
        ]:
            with pytest.raises(httpx.HTTPStatusError) as error:
                await client.infer(server.url, data, model)
            assert error.value.response.status_code == status
            assert word in str(error.value)

    run(use)
