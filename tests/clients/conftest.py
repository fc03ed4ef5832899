"""Servers that tests share. Standard library and pytest only, as every environment loads it."""

import pathlib
from collections.abc import Iterator

import pytest

from sidegate import Server, onnxruntime

# Files with an environment of their own, and the marker that asks for it: mostly what they are called.
ALONE = {name: name for name in ("deploy", "kserve", "mlflow", "mlserver", "deploy_targets")} | {"access": "deploy_targets"}


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """`-m kserve` collects the tests of the KServe SDK and nothing else, `-m deploy` those of deploy/, `-m mlflow` those
    of MLflow, `-m mlserver` those of MLServer, `-m deploy_targets` those of `sidegate-train deploy` and of roles, any other run all
    but those.

    A marker alone selects too late: each environment lacks what the others' files import.
    """
    if not collection_path.name.startswith("test_"):
        return None
    about = collection_path.stem.removeprefix("test_")
    wanted = config.option.markexpr if config.option.markexpr in ALONE.values() else None
    return ALONE.get(about) != wanted or None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The five shipped models, as a first user serves them."""
    onnxruntime()
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Models that hand back what they were given, one for every datatype."""
    import small_models  # needs `onnx`, which the KServe environment lacks

    onnxruntime()
    folder = tmp_path_factory.mktemp("echo")
    models = small_models.repository(folder / "models")
    with Server(folder, models, settings={"registry.max_models": 64}) as server:
        assert not server.refused(), server.output()
        yield server


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of the test's own."""
    return tmp_path
