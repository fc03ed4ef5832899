"""The image by its recipe: what it brings along loses against all that anybody says of a container. That the image is so:
scripts/image.sh."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from image import Image
from sidegate import ROOT, binary, environment

CAPABILITIES = "com.amazonaws.sagemaker.capabilities."
SIDECAR = ROOT / "deploy/k8s/base/sidegate.toml"


def listens(folder: pathlib.Path, image: Image, *arguments: str, **variables: str) -> tuple[str, str]:
    """Where a container of it would listen, and who says so."""
    root = folder / "root"
    for place, file in image.files.items():
        (root / place[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / place[1:])
    env = {**environment(), **image.environment, **variables}
    work = root / image.folder[1:]
    work.mkdir(parents=True, exist_ok=True)
    command = [binary(), "check", "--json", *arguments]
    shown = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
    found = {value["key"]: value for value in json.loads(shown.stdout)["values"]}["http.listen"]
    return found["value"], found["origin"].partition(":")[0]


# As Docker, the sidecar's manifests, SageMaker, `docker run --env` and `docker run IMAGE serve --http` start it.
@pytest.mark.parametrize(
    ("arguments", "variables", "listen", "origin"),
    [
        ((), {}, "0.0.0.0:8000", "config/sidegate.toml"),
        (("--config", str(SIDECAR)), {}, "127.0.0.1:8000", "default"),
        ((), {"SAGEMAKER_BIND_TO_PORT": "18080"}, "0.0.0.0:18080", "SAGEMAKER_BIND_TO_PORT"),
        ((), {"SIDEGATE_HTTP__LISTEN": "127.0.0.1:8000"}, "127.0.0.1:8000", "SIDEGATE_HTTP__LISTEN"),
        (("--http", "127.0.0.1:9000"), {}, "127.0.0.1:9000", "--http"),
    ],
    ids=["docker", "sidecar", "sagemaker", "env", "flag"],
)
def test_who_says_where_a_container_listens(
    folder: pathlib.Path, arguments: tuple[str, ...], variables: dict[str, str], listen: str, origin: str
) -> None:
    assert listens(folder, Image.of("sidegate"), *arguments, **variables) == (listen, origin)


def test_an_address_in_the_images_environment_is_seen(folder: pathlib.Path) -> None:
    """That the test above can fail."""
    open_to_all = Image(environment={"SIDEGATE_HTTP__LISTEN": "0.0.0.0:8000"})
    assert listens(folder, open_to_all, "--config", str(SIDECAR))[0] == "0.0.0.0:8000"


def test_sagemaker_is_told_what_the_image_hears() -> None:
    labels = Image.of("sidegate").labels
    assert {label.removeprefix(CAPABILITIES): value for label, value in labels.items()} == {
        "accept-bind-to-port": "true",
        "multi-models": "true",
    }


def test_a_build_gets_what_it_copies_and_nothing_else() -> None:
    """An edit of the documentation builds no program again; a file that is missing ends the build."""
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    copied = [[word for word in words if not word.startswith("--chmod=")] for words in copied if "--from=" not in words[0]]
    ignored, *let_in = [line for line in (ROOT / ".dockerignore").read_text().split("\n") if line[:1] not in ("", "#")]
    assert ignored == "*" and sorted(let_in) == sorted({f"!{source}" for words in copied for source in words})
    assert all((ROOT / line[1:]).exists() for line in let_in)


def test_what_is_compiled_reads_nothing_beyond_src() -> None:
    """What tests read need not be there."""
    beyond = []
    for path in (ROOT / "src").rglob("*.rs"):
        text = path.read_text().partition("#[cfg(test)]\nmod ")[0]
        for named in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', text):
            if path.stem != "tests" and "tests" not in path.parts:
                beyond += [] if (path.parent / named).resolve().is_relative_to(ROOT / "src") else [f"{path}: {named}"]
    assert not beyond
