"""A real MLflow server: the gateway follows its registry, as its own client fills it."""

import datetime
import ipaddress
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import onnx
import pytest
import xgboost
from mlflow.tracking import MlflowClient
from onnx import TensorProto, helper

from mlflow_process import Mlflow, door
from sidegate import READY_SECONDS, Server, binary, environment

pytestmark = pytest.mark.mlflow

# What is looked at often changes soon.
OFTEN = {"registry.poll_interval_ms": 200, "registry.min_swap_interval_ms": 0}
ROWS = np.random.default_rng(7).random((200, 3), dtype=np.float32)
TARGET = ROWS @ np.array([1.0, -2.0, 0.5], dtype=np.float32)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with Mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        mlflow.set_tracking_uri(server.url)
        mlflow.set_experiment("gateway")
        yield server


@pytest.fixture(scope="session")
def client(server: Mlflow) -> MlflowClient:
    return MlflowClient(server.url)


def times(factor: float) -> onnx.ModelProto:
    """A graph that multiplies by a number, so that answers tell which version gave them."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def register(name: str, *factors: float) -> None:
    """Versions 1, 2 … of a model, each a factor."""
    for factor in factors:
        with mlflow.start_run():
            mlflow.onnx.log_model(times(factor), name="model", registered_model_name=name, save_as_external_data=False)


def follow(folder: pathlib.Path, url: str, *models: str, **settings: object) -> Server:
    named = {"registry.models": ",".join(models), "registry.cache_dir": folder / "cache"}
    return Server(folder, f"mlflow+{url}", settings={**OFTEN, **named, **settings})


def infer(server: Server, model: str, rows: np.ndarray) -> np.ndarray:
    """The answer, to what the model itself says that it takes."""
    _, metadata = server.get(f"/v2/models/{model}")
    assert isinstance(metadata, dict), metadata
    (tensor,) = metadata["inputs"]
    given = {"name": tensor["name"], "datatype": tensor["datatype"], "shape": rows.shape, "data": rows.ravel().tolist()}
    body = {"inputs": [given]}
    status, _, answer = server.exchange("POST", f"/v2/models/{model}/infer", json.dumps(body).encode())
    assert status == 200, answer
    return np.array(json.loads(answer)["outputs"][0]["data"], dtype=np.float64)


def wait(what: Callable[[], object], wanted: object) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while (found := what()) != wanted:
        assert time.monotonic() < deadline, f"{found}, not {wanted}"
        time.sleep(0.05)


def test_what_the_flavors_log_is_served_with_their_own_answers(server: Mlflow, folder: pathlib.Path) -> None:
    register("f-onnx", 3.0)
    boosted = xgboost.train({"max_depth": 3}, xgboost.DMatrix(ROWS, label=TARGET), 5)
    leaves = lightgbm.train({"verbose": -1, "num_leaves": 7}, lightgbm.Dataset(ROWS, label=TARGET), 5)
    with mlflow.start_run():
        mlflow.xgboost.log_model(boosted, name="xgb", registered_model_name="f-xgb")
        mlflow.xgboost.log_model(boosted, name="json", registered_model_name="f-json", model_format="json")
        mlflow.lightgbm.log_model(leaves, name="lgb", registered_model_name="f-lgb")
    expected = {
        "f-onnx": (ROWS * 3).ravel(),
        "f-xgb": boosted.predict(xgboost.DMatrix(ROWS)),
        "f-json": boosted.predict(xgboost.DMatrix(ROWS)),
        "f-lgb": leaves.predict(ROWS),
    }
    with follow(folder, server.url, *expected) as gateway:
        assert gateway.served() == {name: {"1": "trees"} for name in expected}, gateway.output()
        for name, answers in expected.items():
            np.testing.assert_allclose(infer(gateway, name, ROWS), answers, rtol=1e-5)


def test_aliases_and_stages_say_what_the_plain_name_means(
    server: Mlflow, client: MlflowClient, folder: pathlib.Path
) -> None:
    register("moves", 1.0, 2.0, 3.0)
    with follow(folder, server.url, "moves") as gateway:
        # Nothing is placed yet: the latest.
        gateway.wait_served("moves", "3")
        client.set_registered_model_alias("moves", "champion", "1")
        gateway.wait_served("moves", "1")
        client.transition_model_version_stage("moves", "2", "Staging")
        # A stage does not contradict an alias.
        client.transition_model_version_stage("moves", "3", "Production")
        client.set_registered_model_alias("moves", "green", "3")
        wait(lambda: sorted(gateway.served()["moves"]), ["1", "2", "3"])
        row = ROWS[:1]
        for reference, factor in {"moves": 1, "moves@staging": 2, "moves@green": 3, "moves@champion": 1}.items():
            np.testing.assert_allclose(infer(gateway, reference, row), (row * factor).ravel(), rtol=1e-6)
        client.delete_registered_model_alias("moves", "champion")
        gateway.wait_served("moves", "3")
        client.set_registered_model_alias("moves", "production", "2")
        gateway.wait_served("moves", "2")


def test_a_number_that_is_given_again_is_another_version(
    server: Mlflow, client: MlflowClient, folder: pathlib.Path
) -> None:
    register("again", 1.0)
    with follow(folder, server.url, "again") as gateway:
        row = ROWS[:1]
        np.testing.assert_allclose(infer(gateway, "again", row), row.ravel(), rtol=1e-6)
        client.delete_model_version("again", "1")
        register("again", 5.0)
        wait(lambda: np.allclose(infer(gateway, "again", row), (row * 5).ravel()), True)


def test_what_cannot_be_served_is_refused_by_name(server: Mlflow, folder: pathlib.Path) -> None:
    class Python(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    with mlflow.start_run():
        mlflow.pyfunc.log_model(name="model", python_model=Python(), registered_model_name="pickled", pip_requirements=[])
    register("fine", 1.0)
    with follow(folder, server.url, "fine", "pickled", **{"registry.required": "fine"}) as gateway:
        wait(gateway.refused, {"pickled": "missing_file"})
        _, models = gateway.get("/models", admin=True)
        assert isinstance(models, list)
        (pickled,) = [m for m in models if m["name"] == "pickled"]
        assert "python_function" in json.dumps(pickled), pickled
        assert gateway.served()["fine"] == {"1": "trees"}


def test_a_server_that_goes_away_is_not_missed(server: Mlflow, client: MlflowClient, folder: pathlib.Path) -> None:
    register("outage", 1.0, 2.0)
    row = ROWS[:1]
    with door(server.port) as front:
        url = f"http://127.0.0.1:{front.port}"
        with follow(folder, url, "outage") as gateway:
            front.shut = True
            time.sleep(1)
            np.testing.assert_allclose(infer(gateway, "outage", row), (row * 2).ravel(), rtol=1e-6)
        # Started while it is away: from the cache.
        with follow(folder, url, "outage") as gateway:
            np.testing.assert_allclose(infer(gateway, "outage", row), (row * 2).ravel(), rtol=1e-6)
            front.shut = False
            client.set_registered_model_alias("outage", "production", "1")
            gateway.wait_served("outage", "1")


def test_it_is_spoken_to_over_tls(server: Mlflow, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(folder / "front.pem")
    register("secret", 4.0)
    # What the gateway trusts; its environment is this one.
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(pem))
    with door(server.port, pem) as front:
        with follow(folder, f"https://127.0.0.1:{front.port}", "secret") as gateway:
            np.testing.assert_allclose(infer(gateway, "secret", ROWS[:1]), (ROWS[:1] * 4).ravel(), rtol=1e-6)


def test_a_training_is_tracked_and_what_it_made_is_followed(
    server: Mlflow, client: MlflowClient, folder: pathlib.Path
) -> None:
    rows = "a,b,c,y\n" + "".join(f"{a},{b},{c},{y}\n" for (a, b, c), y in zip(ROWS.tolist(), TARGET.tolist()))
    (folder / "rows.csv").write_text(rows)
    (folder / "train.toml").write_text(f"""
name = "tracked"
target_column = "y"
auto_deploy = true
[data]
source = "file"
path = "rows.csv"
[model]
type = "builtin"
params = {{ num_iterations = 20, min_data_in_leaf = 5 }}
[deployment]
alias = "green"
[registry]
url = "models"
[tracking]
url = "{server.url}"
experiment = "trainings"
""")
    program = binary().with_name("sidegate-train")
    done = subprocess.run([program, "run", "train.toml"], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (run,) = client.search_runs([client.get_experiment_by_name("trainings").experiment_id])
    assert (run.info.run_name, run.info.status) == (result["run_id"], "FINISHED"), done.stderr
    assert run.data.metrics["test_rmse"] == pytest.approx(result["metrics"]["test_rmse"])
    assert run.data.params["num_iterations"] == "20"
    assert run.data.tags["sidegate.learner"] == "builtin"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.source_type and "rows.csv" in dataset.dataset.source
    rounds = [name for name in run.data.metrics if len(client.get_metric_history(run.info.run_id, name)) == 20]
    assert rounds, run.data.metrics
    assert {"report.html", "card.md"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
    (version,) = client.search_model_versions("name='tracked'")
    assert version.current_stage == "Production"
    assert {"green", "production"} <= set(client.get_registered_model("tracked").aliases)
    # The same answers by way of either registry.
    with Server(folder / "own", folder / "models", settings=OFTEN) as own, follow(folder, server.url, "tracked") as gateway:
        given = {"predict": [dict(zip("abc", row)) for row in ROWS[:5].tolist()]}["predict"]
        answers = [side.exchange("POST", "/predict?model=tracked", json.dumps(given).encode()) for side in (own, gateway)]
        assert [answer[0] for answer in answers] == [200, 200], answers
        predictions = [json.loads(answer[2])["predictions"] for answer in answers]
        assert predictions[0] == predictions[1]


def test_the_command_line_says_where_a_training_is_tracked(server: Mlflow, client: MlflowClient, folder: pathlib.Path) -> None:
    rows = "a,b,c,y\n" + "".join(f"{a},{b},{c},{y}\n" for (a, b, c), y in zip(ROWS.tolist(), TARGET.tolist()))
    (folder / "rows.csv").write_text(rows)
    config = """
name = "branched"
target_column = "y"
[data]
source = "file"
path = "rows.csv"
[model]
type = "linear"
[registry]
url = "models"
"""
    program = binary().with_name("sidegate-train")
    # A name that a branch may have; without a server in the file, and over one that is there and answers nobody.
    for tracking in ("", '[tracking]\nurl = "http://127.0.0.1:1"\nexperiment = "file"\n'):
        (folder / "train.toml").write_text(config + tracking)
        command = [program, "run", "train.toml", "--tracking-url", server.url, "--experiment", "feature/fast-lane"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        run_id = json.loads(done.stdout)["run_id"]
        experiment = client.get_experiment_by_name("feature/fast-lane")
        runs = client.search_runs([experiment.experiment_id])
        assert run_id in {run.info.run_name for run in runs}, done.stderr
    assert len(runs) == 2 and client.get_experiment_by_name("file") is None


def certificate(path: pathlib.Path) -> pathlib.Path:
    """A certificate for 127.0.0.1 with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "front")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(encoding)
    )
    return path
