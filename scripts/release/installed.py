"""Has the sidegate of an installed wheel ($SIDEGATE_BINARY) serve trees, and a net by the package onnxruntime beside it.

installed.py ENVIRONMENT
"""

import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "clients"))
from sidegate import MODELS, Server  # noqa: E402

environment = pathlib.Path(sys.argv[1]).resolve()
settings = {"registry.models": "wine,digits", "models.wine.engine": "trees", "models.digits.engine": "ort"}
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with Server(folder, settings=settings, cwd=folder) as server:
        assert server.served() == {"wine": {"1": "trees"}, "digits": {"1": "ort"}}, server.served()
        _, status = server.get("/status", admin=True)
        library = pathlib.Path(status["onnxruntime"]["path"])
        assert library.is_relative_to(environment), library
        for model in ("wine", "digits"):
            [case, *_] = json.loads((MODELS / model / "1" / "golden.json").read_text())["cases"]
            body = json.dumps({"inputs": case["inputs"]}).encode()
            code, _, answer = server.exchange("POST", f"/v2/models/{model}/infer", body)
            assert code == 200, answer
            assert json.loads(answer)["outputs"][0]["data"] == case["outputs"][0]["data"], answer
print(f"served by {library.relative_to(environment)}")
