"""Roles of deploy/terraform/iam.tf, by what the programs ask of a bucket: each gets all that it needs, nothing of it is more, and
what it does not get is told."""

import json
import pathlib
import subprocess
import time
from collections.abc import Callable

import pytest

import test_deploy_targets
from access import Bucket, policy
from sidegate import MODELS, ROOT, Server, binary, environment
from test_deploy_targets import client

pytestmark = pytest.mark.deploy_targets
# The server, and the models in its bucket.
aws, registry = test_deploy_targets.aws, test_deploy_targets.registry

TRAIN = """
name = "penguin-species"
target_column = "species"
task = "classification"
[data]
source = "s3"
path = "s3://models/{place}"
format = "csv"
[model]
type = "builtin"
params = {{ n_estimators = 2 }}
"""
ROWS = "length,species\n" + "\n".join(f"{40 + i % 20},{'Gentoo' if i % 20 > 9 else 'Adelie'}" for i in range(60))
EXPERIMENT = """
[experiments.trial]
model = "penguins"
variants = { a = "2", b = "3" }
unit = "header:x-user"
default = "a"
"""


class Role:
    """Who has these policies, and nothing else."""

    def __init__(self, aws: dict[str, str], folder: pathlib.Path, *policies: str, without: str | None = None) -> None:
        self.statements = [statement for name in policies for statement in policy(name) if statement.sid != without]
        self.aws, self.folder = aws, folder
        self.bucket = Bucket(aws["AWS_ENDPOINT_URL"], self.statements)

    def variables(self, endpoint: str) -> dict[str, str]:
        return {**environment(), **self.aws, "AWS_ENDPOINT_URL": endpoint, "SIDEGATE_REGISTRY__URL": "s3://models/prod"}

    def run(self, program: str, *arguments: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
        with self.bucket.serving() as endpoint:
            return subprocess.run(
                [binary().with_name(program), *arguments],
                cwd=self.folder, env=self.variables(endpoint), capture_output=True, text=True, timeout=120,
            )  # fmt: skip

    def unused(self) -> set[tuple[str, str]]:
        """Rights that nothing has asked for: action and resource."""
        given = {(action, of) for s in self.statements for action in s.actions for of in s.resources}
        return given - {(action, of) for _, action, of in self.bucket.used}


def put(aws: dict[str, str], key: str, body: str) -> None:
    client("s3", aws).put_object(Bucket="models", Key=key, Body=body.encode())


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> Callable[..., Server]:
    """A gateway with a role."""

    def made(role: Role, endpoint: str, config: str = "", **settings: object) -> Server:
        for name, value in {**role.aws, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        of = {"registry.poll_interval_ms": 200, "registry.min_swap_interval_ms": 0, "registry.cache_dir": folder / "cache"}
        return Server(folder / "server", "s3://models/prod", settings={**of, **settings}, config=config)

    return made


def until(what: Callable[[], bool], why: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def test_a_gateway_follows_with_the_role_that_reads(aws: dict[str, str], folder: pathlib.Path, serve: Callable[..., Server]) -> None:
    role, person = Role(aws, folder, "read"), Role(aws, folder, "write")
    with role.bucket.serving() as endpoint, serve(role, endpoint) as server:
        server.wait_served("penguins", "2")
        assert person.run("sidegate", "registry", "promote", "penguins", "3", "--stage", "Production").returncode == 0
        server.wait_served("penguins", "3")
    assert role.bucket.refused == [] and role.unused() == set()


def test_a_gateway_publishes_with_the_role_that_may(aws: dict[str, str], folder: pathlib.Path, serve: Callable[..., Server]) -> None:
    role = Role(aws, folder, "publish", "log")
    often = {"monitor.publish_interval_ms": 200, "experiments.publish_interval_ms": 200}
    often |= {"prediction_log.url": "s3://models/log", "prediction_log.segment_ms": 1000}
    with role.bucket.serving() as endpoint, serve(role, endpoint, EXPERIMENT, **often) as server:
        golden = {name: json.loads((MODELS / name / "1/golden.json").read_text())["cases"][0]["inputs"] for name in ("penguins", "flight-delay")}
        for user in range(20):
            for model, inputs in golden.items():
                body = json.dumps({"inputs": inputs}).encode()
                status, _, answer = server.exchange("POST", f"/v2/models/{model}/infer", body, {"x-user": str(user)})
                assert status == 200, answer
        until(lambda: not role.unused(), lambda: (role.unused(), server.output()))
    assert role.bucket.refused == []


def test_trainings_people_and_the_monitor_write_with_one_role(aws: dict[str, str], folder: pathlib.Path) -> None:
    role = Role(aws, folder, "write")
    (folder / "sidegate.toml").write_text("[monitor]\npublish_interval_ms = 1000\n")
    for place in ("data/penguins", "log/penguins"):
        put(aws, f"{place}/rows.csv", ROWS)
        (folder / "train.toml").write_text(TRAIN.format(place=place))
        done = role.run("sidegate-train", "schedule", "train.toml", "--once", "--work", "runs")
        assert done.returncode == 0, done.stdout + done.stderr
    for command in (["registry", "hold", "penguins", "--why", "a test"], ["registry", "hold", "penguins", "--release"],
                    ["registry", "rollback", "penguins", "--why", "a test"]):  # fmt: skip
        done = role.run("sidegate", *command)
        assert done.returncode == 0, done.stderr
    # A pod that has published nothing for long: the monitor takes its window away.
    gone = json.loads((ROOT / "tests/fixtures/formats/drift.json").read_text()) | {"at": 1_700_000_000_000}
    put(aws, "prod/_drift/m/7/pod-a.json", json.dumps(gone))
    done = role.run("sidegate", "monitor", "--once", "--config", "sidegate.toml")
    assert done.returncode == 0, done.stderr
    assert role.bucket.refused == [] and role.unused() == set()


@pytest.mark.parametrize("name", ["read", "publish"])
def test_who_may_not_write_is_told(aws: dict[str, str], folder: pathlib.Path, name: str) -> None:
    role = Role(aws, folder, name)
    done = role.run("sidegate", "registry", "register", "penguins", MODELS / "penguins/1/model.onnx")
    assert done.returncode == 1 and "do the credentials allow s3:PutObject?" in done.stderr, done.stderr
    assert role.bucket.refused[0].startswith("s3:PutObject arn:aws:s3:::models/prod/")


@pytest.mark.parametrize("sid", [statement.sid for statement in policy("read")])
def test_without_one_of_its_statements_nothing_is_read(aws: dict[str, str], folder: pathlib.Path, sid: str) -> None:
    """That the tests above can fail."""
    role = Role(aws, folder, "read", without=sid)
    done = role.run("sidegate", "registry", "ls")
    assert role.bucket.refused and done.returncode == 1, done.stdout
