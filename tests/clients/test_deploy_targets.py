"""`sidegate-train deploy`: what it writes is valid by AWS's own service models and Kubernetes' schemas, and `--apply` has the
real AWS CLI send it to a server that takes it (moto).

The registry is in a bucket of that server, filled by the real `sidegate registry`.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import boto3
import botocore.session
import kubernetes_validate
import pytest
import yaml
from botocore.validate import ParamValidator
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

from sidegate import MODELS, ROOT, Server, binary, copy_models, environment, run

pytestmark = pytest.mark.deploy_targets

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/sidegate@sha256:{'a' * 64}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
REGISTRY = "s3://models/prod"


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """penguins with 1 archived, 2 in Production and 3 in Staging; wine held at 1, with a 2 beside it; boosters in every form."""
    folder = tmp_path_factory.mktemp("registry")
    models = copy_models(folder / "models", "penguins", "wine", "flight-delay")
    place = ("--registry", models)
    for _ in range(2):
        run(folder, "registry", "register", "penguins", models / "penguins/1/model.onnx", "--metric", "auc=0.7", *place)
    run(folder, "registry", "promote", "penguins", "2", "--stage", "Production", *place)
    run(folder, "registry", "promote", "penguins", "3", "--stage", "Staging", *place)
    run(folder, "registry", "register", "wine", models / "wine/1/model.onnx", *place)
    run(folder, "registry", "hold", "wine", "--why", "an audit", *place)
    for booster in ("xgb-stump.ubj", "xgb-dart-classes.json", "lgb-binary.txt"):
        file = ROOT / "tests/fixtures/boosters" / booster
        run(folder, "registry", "register", f"booster-{file.suffix[1:]}", file, *place)
    return models


def update_endpoint(self: SageMakerResponse) -> ActionResult:
    """What moto lacks: the endpoint moves to another configuration, which has to be there."""
    backend, name = self.sagemaker_backend, self._get_param("EndpointConfigName")
    backend.describe_endpoint_config(name)
    endpoint = backend.endpoints[self._get_param("EndpointName")]
    endpoint.endpoint_config_name = name
    return ActionResult({"EndpointArn": endpoint.arn})


@pytest.fixture
def aws(registry: pathlib.Path) -> Iterator[dict[str, str]]:
    """A server with AWS's interfaces, empty but for the bucket and a role; the variables that lead there."""
    if not hasattr(SageMakerResponse, "update_endpoint"):
        SageMakerResponse.update_endpoint = update_endpoint
    # Functions answer, and nothing runs in them.
    default_user_config["lambda"] = {"use_docker": False}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        where = {**AWS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        s3 = client("s3", where)
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for file in registry.rglob("*"):
            if file.is_file() and "_locks" not in file.parts:
                s3.upload_file(str(file), "models", f"prod/{file.relative_to(registry)}")
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]},
        }]}  # fmt: skip
        client("iam", where).create_role(RoleName="serving", AssumeRolePolicyDocument=json.dumps(trust))
        yield where
    finally:
        # What it has been told is the process's.
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        server.stop()


def client(service: str, where: dict[str, str]):
    return boto3.client(
        service,
        endpoint_url=where["AWS_ENDPOINT_URL"],
        region_name=where["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def deploy(where: dict[str, str], *arguments: str | pathlib.Path, code: int = 0) -> str:
    """What `sidegate-train deploy` prints, or says of what it refuses with this exit code."""
    return train(where, "deploy", *arguments, code=code)


def train(where: dict[str, str], *arguments: str | pathlib.Path, code: int = 0) -> str:
    command = [binary().with_name("sidegate-train"), *arguments]
    # The AWS CLI of this environment, which is not activated.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**environment(), "PATH": path, "SIDEGATE_REGISTRY__URL": REGISTRY, **where}
    # As people have it: the AWS CLI of that environment does not hear AWS_REGION.
    env.pop("AWS_DEFAULT_REGION", None)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stderr if code else done.stdout


def faults(shape, value, path: str = "") -> Iterator[str]:
    """What a value has against the patterns, the lists of words and the bounds of its shape, which botocore does not look at."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from faults(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for member in value:
            yield from faults(shape.member, member, f"{path}[]")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from faults(shape.key, name, f"{path}.{name}")
            yield from faults(shape.value, member, f"{path}.{name}")
    meta = shape.metadata
    if isinstance(value, str):
        if "enum" in meta and value not in meta["enum"]:
            yield f"{path}: {value} is none of {meta['enum']}"
        pattern = meta.get("pattern", "").replace(r"\p{L}\p{Z}\p{N}", r"\w\s").replace(r"\/", "/")
        if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value):
            yield f"{path}: {value} does not fit {pattern}"
    size = len(value) if isinstance(value, (str, list, dict)) else value
    if "max" in meta and size > meta["max"]:
        yield f"{path}: {size} is more than {meta['max']}"


def valid(service: str, file: str, request: dict) -> None:
    """By the service model; a file is called as the operation it is for."""
    operation = re.sub(r"(-\d+)?\.json$", "", file).title().replace("-", "")
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert not list(faults(shape, request)), list(faults(shape, request))


SAGEMAKER = ("--target", "sagemaker", "--image", IMAGE, "--role", ROLE)
LAMBDA = ("--target", "lambda", "--image", IMAGE, "--role", ROLE)


@pytest.mark.parametrize(
    "arguments",
    [
        ("penguins", *SAGEMAKER),
        ("penguins@1", *SAGEMAKER, "--name", "production-model"),
        ("penguins", *SAGEMAKER, "--variant", "live=2:9", "--variant", "new=staging:1"),
        ("penguins", *SAGEMAKER, "--shadow", "3"),
        ("penguins", *SAGEMAKER, "--alarm", "errors", "--instances", "2"),
        ("penguins", *SAGEMAKER, "--alarm", "errors"),
        ("penguins", *SAGEMAKER, "--name", "many", "--multi-model", "s3://models/many"),
        ("penguins", *LAMBDA),
        ("penguins", *LAMBDA, "--architecture", "arm64", "--memory", "1024", "--timeout", "20"),
        ("flight-delay", *LAMBDA),
    ],
    ids=lambda arguments: " ".join(word for word in arguments if word not in (*SAGEMAKER[2:], "--target")),
)
def test_requests_are_valid_by_the_service_model(aws: dict[str, str], arguments: tuple[str, ...]) -> None:
    requests = json.loads(deploy(aws, *arguments))
    assert requests
    for file, request in requests.items():
        valid("lambda" if "lambda" in arguments else "sagemaker", file, request)


def test_the_check_of_requests_can_fail(aws: dict[str, str]) -> None:
    requests = json.loads(deploy(aws, "penguins", *SAGEMAKER))
    request = requests["create-model-2.json"]
    for wrong in [{"ModelName": "a_b"}, {"ModelName": "a" * 64}, {"ExecutionRoleArn": "none"}, {"Role": "r"}]:
        with pytest.raises(AssertionError):
            valid("sagemaker", "create-model-2.json", request | wrong)


def terraform(file: str) -> str:
    return (ROOT / "deploy/terraform" / file).read_text()


@pytest.mark.parametrize(
    ("model", "version", "file"),
    [("penguins", 2, "model.onnx"), *((f"booster-{end}", 1, f"model.{end}") for end in ("ubj", "json", "txt"))],
)
def test_a_container_gets_what_terraform_gives_it(aws: dict[str, str], model: str, version: int, file: str) -> None:
    requests = json.loads(deploy(aws, model, *SAGEMAKER))
    container = requests[f"create-model-{version}.json"]["PrimaryContainer"]
    # A version's file is what `variants` says of it, of those that may be said.
    assert f'"{file}"' in terraform("variables.tf")
    given = re.findall(r'(SIDEGATE_\w+) += "(.*)"', terraform("sagemaker.tf"))
    assert container["Environment"] == {name: value.replace("${each.value}", file) for name, value in given}
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == f"s3://models/prod/{model}/{version}/"


def test_a_function_gets_what_terraform_gives_it(aws: dict[str, str]) -> None:
    function = json.loads(deploy(aws, "penguins", *LAMBDA))["create-function.json"]
    asked = re.findall(r"(SIDEGATE_\w+) +=", terraform("lambda.tf"))
    assert set(function["Environment"]["Variables"]) == set(asked)
    assert function["ImageConfig"]["Command"] == ["lambda"]


def test_the_cli_makes_an_endpoint_and_moves_it(aws: dict[str, str], folder: pathlib.Path) -> None:
    sagemaker = client("sagemaker", aws)
    said = deploy(aws, "penguins", *SAGEMAKER, "--apply", "--out", folder / "first")
    assert "aws sagemaker create-endpoint --cli-input-json file://" in said
    [model] = sagemaker.list_models()["Models"]
    made = sagemaker.describe_model(ModelName=model["ModelName"])
    source = made["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://models/prod/penguins/2/"
    # That folder is what the container will find at /opt/ml/model.
    found = client("s3", aws).list_objects_v2(Bucket="models", Prefix="prod/penguins/2/")["Contents"]
    names = {entry["Key"].removeprefix("prod/penguins/2/") for entry in found}
    assert pathlib.Path(made["PrimaryContainer"]["Environment"]["SIDEGATE_REGISTRY__URL"]).name in names
    first = sagemaker.describe_endpoint(EndpointName="penguins")["EndpointConfigName"]

    # The same once more makes nothing new.
    said = deploy(aws, "penguins", *SAGEMAKER, "--apply")
    assert "create-" not in said and "update-" not in said
    assert sagemaker.describe_endpoint(EndpointName="penguins")["EndpointConfigName"] == first

    said = deploy(aws, "penguins", *SAGEMAKER, "--variant", "live=2:9", "--variant", "new=3:1", "--apply")
    assert "update-endpoint" in said
    second = sagemaker.describe_endpoint(EndpointName="penguins")["EndpointConfigName"]
    assert second != first
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=second)["ProductionVariants"]
    assert {v["VariantName"]: v["InitialVariantWeight"] for v in variants} == {"live": 9.0, "new": 1.0}
    assert len(sagemaker.list_models()["Models"]) == 2


def test_a_run_puts_what_it_promotes_where_its_configuration_says(aws: dict[str, str], folder: pathlib.Path) -> None:
    """The founding keys deployment.target and deployment.sagemaker_role."""
    rows = ROOT / "models/_data/penguins.csv"
    config = folder / "train.toml"

    def configure(deployment: str) -> None:
        config.write_text(f"""
            name = "species"
            target_column = "species"
            auto_deploy = true
            [data]
            source = "file"
            path = "{rows}"
            [features.texts]
            type = "one_hot"
            columns = ["island", "sex"]
            [model]
            type = "builtin"
            params = {{ n_estimators = 5, min_child_samples = 5 }}
            [deployment]
            {deployment}
        """)

    def run_it(code: int = 0, **where: str) -> str:
        return train({**aws, **where}, "run", config, "--work", folder / "runs", code=code)

    wanted = f'target = "sagemaker"\nsagemaker_role = "{ROLE}"\n'
    for wrong, registry, said in [
        (f'target = "sagemaker"\nimage = "{IMAGE}"', REGISTRY, "--role is missing"),
        (wanted, REGISTRY, "--image is missing"),
        (f'target = "moon"\nimage = "{IMAGE}"', REGISTRY, "moon"),
        (f'sagemaker_role = "{ROLE}"', REGISTRY, "deployment.sagemaker_role is for"),
        (f'{wanted}image = "{IMAGE}"', f"file://{folder}/models", "name a bucket with registry.url"),
    ]:
        configure(wrong)
        assert said in run_it(2, SIDEGATE_REGISTRY__URL=registry)

    configure(f'{wanted}image = "{IMAGE}"')
    run_it()
    [written] = (folder / "runs").glob("*/deployment")
    assert {"create-endpoint.json", "update-endpoint.json"} <= {file.name for file in written.iterdir()}, list(written.iterdir())
    assert not client("sagemaker", aws).list_endpoints()["Endpoints"]

    configure(f'{wanted}image = "{IMAGE}"\napply = true')
    run_it()
    sagemaker = client("sagemaker", aws)
    [made] = sagemaker.list_models()["Models"]
    container = sagemaker.describe_model(ModelName=made["ModelName"])["PrimaryContainer"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == "s3://models/prod/species/2/"
    assert sagemaker.describe_endpoint(EndpointName="species")["EndpointStatus"] == "InService"


def test_the_cli_makes_an_endpoint_of_many_models_and_adds_to_it(aws: dict[str, str], folder: pathlib.Path) -> None:
    sagemaker, s3 = client("sagemaker", aws), client("s3", aws)
    many = (*SAGEMAKER, "--name", "many", "--multi-model", "s3://models/many/", "--apply")
    said = deploy(aws, "penguins", *many, "--out", folder / "penguins")
    assert "--target-model penguins-2.tar.gz" in said
    [model] = sagemaker.list_models()["Models"]
    container = sagemaker.describe_model(ModelName=model["ModelName"])["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", "s3://models/many/")
    assert "SIDEGATE_REGISTRY__URL" not in container["Environment"]
    # A second one is an archive more, and the same once again is nothing.
    said = deploy(aws, "flight-delay", *many)
    assert "many/flight-delay-1.tar.gz" in said and "create-" not in said and "update-" not in said
    assert "aws s3" not in deploy(aws, "flight-delay", *many)
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket="models", Prefix="many/")["Contents"]}
    assert keys == {"many/penguins-2.tar.gz", "many/flight-delay-1.tar.gz"}

    # What SageMaker unpacks of them is loaded with its digests, columns and examples.
    with Server(folder / "server", f"sagemaker://{folder}/models") as server:
        for name in ["penguins-2", "flight-delay-1"]:
            archive, place = folder / f"{name}.tar.gz", folder / "models" / name / "model"
            s3.download_file("models", f"many/{name}.tar.gz", str(archive))
            place.mkdir(parents=True)
            subprocess.run(["tar", "-xzf", archive, "-C", place], check=True)
            body = json.dumps({"model_name": name, "url": str(place)}).encode()
            status, _, answer = server.exchange("POST", "/models", body, {"content-type": "application/json"})
            assert status == 200, answer
        assert {model["modelName"] for model in server.get("/models")[1]["models"]} == {"penguins-2", "flight-delay-1"}


def test_the_cli_makes_a_function_and_changes_it(aws: dict[str, str]) -> None:
    functions = client("lambda", aws)
    said = deploy(aws, "penguins", *LAMBDA, "--apply")
    assert "create-function" in said
    made = functions.get_function_configuration(FunctionName="penguins")
    assert (made["PackageType"], made["MemorySize"], made["Role"]) == ("Image", 3008, ROLE)
    assert made["Environment"]["Variables"]["SIDEGATE_REGISTRY__URL"] == REGISTRY
    said = deploy(aws, "penguins", *LAMBDA, "--memory", "1024", "--apply")
    assert "create-function" not in said
    assert functions.get_function_configuration(FunctionName="penguins")["MemorySize"] == 1024


# Stands in for Docker: there is a digest of what was pushed.
DOCKER = """#!/bin/sh
case $1 in
    login) cat >/dev/null && echo "$@" >>"$LOG" ;;
    build | push) echo "$@" >>"$LOG" ;;
    inspect) echo "${4%:*}@sha256:DIGEST" ;;
    *) echo "unknown command $1" >&2 && exit 1 ;;
esac
""".replace("DIGEST", "a" * 64)


def documented(*sections: str) -> str:
    """The commands of sections of docs/deploy.md."""
    parts = dict(part.split("\n", 1) for part in (ROOT / "docs/deploy.md").read_text().split("\n## ")[1:])
    return "\n".join(block for name in sections for block in re.findall(r"```sh\n(.*?)```", parts[name], re.S))


def test_what_is_written_for_aws_is_right_to_its_last_line(aws: dict[str, str], folder: pathlib.Path) -> None:
    """Typed as it stands there, from a bucket to answers, which are moto's: its endpoints say `body`, its functions echo."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    for name in ("sidegate", "sidegate-train"):
        (programs / name).symlink_to(binary().with_name(name))
    path = os.pathsep.join([str(programs), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    env = {**environment(), **aws, "PATH": path, "LOG": str(folder / "log"), "AWS_PAGER": ""}
    # Version 1 of the CLI, which PyPI has, takes texts as they are.
    here = {"/dev/stdout": "/dev/stderr", "--out deploy-penguins": f"--out {folder}/out", "--cli-binary-format raw-in-base64-out": ""}
    commands = documented("AWS, for SageMaker and Lambda", "SageMaker", "Lambda")
    for text, replaced in here.items():
        commands = commands.replace(text, replaced)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.startswith('body[{"island": "Biscoe"'), done.stderr
    assert [line.split()[0] for line in (folder / "log").read_text().splitlines()] == ["login", "build", "push"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("penguins", "--target", "sagemaker", "--role", ROLE), 2, "--image is missing"),
        (("penguins", "--target", "sagemaker", "--image", IMAGE), 2, "--role is missing"),
        (("penguins", "--target", "lambda", "--image", IMAGE, "--role", "x"), 2, "arn:aws:iam::ACCOUNT:role/NAME"),
        (("penguins@2", *SAGEMAKER, "--variant", "a=1:1"), 2, "leave one out"),
        (("penguins", *SAGEMAKER, "--variant", "a=1:1", "--variant", "b=2:1", "--shadow", "3"), 2, "exactly one"),
        (("penguins", *LAMBDA, "--shadow", "3"), 2, "are for --target sagemaker"),
        (("penguins", *LAMBDA, "--name", "m", "--multi-model", "s3://models/m"), 2, "are for --target sagemaker"),
        (("penguins", *SAGEMAKER, "--multi-model", "s3://models/m"), 2, "needs --name"),
        (("penguins", *SAGEMAKER, "--name", "m", "--multi-model", "s3://models"), 2, "nothing is but archives"),
        (("penguins", *SAGEMAKER, "--name", "m", "--multi-model", "models"), 2, "nothing is but archives"),
        (("penguins", *SAGEMAKER, "--name", "m", "--multi-model", "s3://models/m", "--shadow", "3"), 2, "leave out"),
        (("penguins", *SAGEMAKER, "--require", "acuracy=1"), 2, "did you mean `accuracy`"),
        (("penguins", *SAGEMAKER, "--registry", str(MODELS)), 2, "on this machine"),
        (("penguins@9", *SAGEMAKER), 6, "no version 9 that is complete"),
        (("penguins@champion", *SAGEMAKER), 6, "called `champion`"),
        (("nobody", *SAGEMAKER), 6, "nobody"),
        (("wine@2", *SAGEMAKER), 6, "held at version 1"),
        (("penguins@3", *LAMBDA), 6, "promote penguins 3 --stage Production"),
        (("penguins@3", "--target", "kubernetes"), 6, "promote penguins 3 --stage Production"),
        (("penguins@1", *SAGEMAKER, "--require", "accuracy=0.99"), 4, "accuracy is 0.967"),
        (("penguins@1", *SAGEMAKER, "--require", "log_loss=0.01"), 4, "at most 0.01"),
        (("penguins@1", *SAGEMAKER, "--require", "auc=0.1"), 4, "auc is not known"),
        (("penguins@1", *SAGEMAKER, "--require", "rmse=1"), 4, "rmse is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(aws: dict[str, str], arguments: tuple[str, ...], code: int, said: str) -> None:
    assert said in deploy(aws, *arguments, code=code)


def test_what_is_demanded_and_kept_passes(aws: dict[str, str]) -> None:
    deploy(aws, "penguins@1", *SAGEMAKER, "--require", "accuracy=0.9", "--require", "test_log_loss=0.1")
    # The shadow answers nobody, and a hold is about those that do.
    deploy(aws, "wine", *SAGEMAKER, "--shadow", "2", "--require", "accuracy=0.9")


def test_a_program_that_is_missing_or_fails_is_told(aws: dict[str, str], folder: pathlib.Path) -> None:
    said = deploy({**aws, "PATH": str(folder)}, "penguins", *SAGEMAKER, "--apply", code=1)
    assert "there is no `aws` on the PATH" in said
    said = deploy({**aws, "PATH": str(folder)}, "penguins", "--target", "kubernetes", "--apply", code=1)
    assert "there is no `kubectl` on the PATH" in said
    # The registry answers, SageMaker does not.
    nowhere = {**aws, "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    said = deploy(nowhere, "penguins", *SAGEMAKER, "--apply", "--out", folder / "out", code=1)
    assert f"file://{folder}/out/create-model-2.json` failed: " in said


# Stands in for a cluster's: takes what `kubectl apply --filename FILE` takes, and says what that says.
KUBECTL = """#!{python}
import json, pathlib, sys
log = pathlib.Path({log!r})
if sys.argv[1:-1] != ["apply", "--filename"]:
    sys.exit(f"error: unknown command {{sys.argv[1:]}}")
one = json.loads(pathlib.Path(sys.argv[-1]).read_text())
if one["kind"] == {refused!r}:
    sys.exit("Error from server (Forbidden): it may not be")
log.open("a").write(sys.argv[-1] + "\\n")
print(one["kind"].lower() + "/" + one["metadata"]["name"] + " created")
"""
APPLIED = ["service-account", "deployment", "service", "disruption-budget"]


@pytest.mark.parametrize(("refused", "code", "reached"), [("", 0, 4), ("Service", 1, 2)])
def test_kubectl_is_given_one_manifest_after_the_other(
    aws: dict[str, str], folder: pathlib.Path, refused: str, code: int, reached: int
) -> None:
    program, log, out = folder / "bin/kubectl", folder / "log", folder / "out"
    program.parent.mkdir()
    program.write_text(KUBECTL.format(python=sys.executable, log=str(log), refused=refused))
    program.chmod(0o755)
    kubernetes = ("--target", "kubernetes", "--image", IMAGE, "--apply", "--out", out)
    said = deploy({**aws, "PATH": str(program.parent)}, "penguins", *kubernetes, code=code)
    files = [f"{out}/{name}.json" for name in APPLIED]
    assert log.read_text().splitlines() == files[:reached]
    if code:
        # What is left is left to somebody who reads why.
        assert f"`kubectl apply --filename {files[reached]}` failed: Error from server (Forbidden)" in said
    else:
        assert "deployment/penguins created" in said and said.strip().endswith("kubectl rollout status deployment/penguins")
        assert json.loads((out / "deployment.json").read_text())["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE


def test_manifests_are_valid_and_their_container_is_the_sidecars(aws: dict[str, str], folder: pathlib.Path) -> None:
    deploy(aws, "penguins", "--target", "kubernetes", "--instances", "2", "--out", folder)
    manifests = {file.name: json.loads(file.read_text()) for file in folder.glob("*.json")}
    assert {manifest["kind"] for manifest in manifests.values()} == {
        "Deployment", "Service", "ServiceAccount", "PodDisruptionBudget",
    }  # fmt: skip
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    pod = manifests["deployment.json"]["spec"]["template"]
    assert manifests["service.json"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    [container] = pod["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["SIDEGATE_REGISTRY__URL"] == REGISTRY and variables["SIDEGATE_REGISTRY__MODELS"] == "penguins"

    component = yaml.safe_load((ROOT / "deploy/k8s/components/sidecar/sidecar.yaml").read_text())
    [sidecar] = component["spec"]["template"]["spec"]["initContainers"]
    same = ["envFrom", "startupProbe", "readinessProbe", "livenessProbe", "resources", "securityContext"]
    assert {key: container[key] for key in same} == {key: sidecar[key] for key in same}
    elsewhere = {entry["name"]: entry["value"] for entry in sidecar["env"]}
    of_the_pod = {"SIDEGATE_CONFIG", "SIDEGATE_HTTP__UDS", "SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS"}
    assert all(variables[name] == value for name, value in elsewhere.items() if name not in of_the_pod)


def test_a_container_takes_the_environment_it_is_given(aws: dict[str, str], folder: pathlib.Path) -> None:
    """The gateway knows every variable, and reads it as it is meant."""
    containers = [
        json.loads(deploy(aws, "penguins", *SAGEMAKER))["create-model-2.json"]["PrimaryContainer"]["Environment"],
        json.loads(deploy(aws, "penguins", *LAMBDA))["create-function.json"]["Environment"]["Variables"],
    ]
    manifests = json.loads(deploy(aws, "penguins", "--target", "kubernetes"))
    [container] = manifests["deployment.json"]["spec"]["template"]["spec"]["containers"]
    containers.append({entry["name"]: entry["value"] for entry in container["env"]})
    # What SageMaker lays at /opt/ml/model is a version's folder.
    [sagemaker, *_] = containers
    many = json.loads(deploy(aws, "penguins", *SAGEMAKER, "--name", "many", "--multi-model", "s3://models/many"))
    containers.append(many["create-model.json"]["PrimaryContainer"]["Environment"])
    file = sagemaker["SIDEGATE_REGISTRY__URL"]
    sagemaker["SIDEGATE_REGISTRY__URL"] = file.replace("/opt/ml/model", str(MODELS / "penguins/1"))
    # That there are many is said by SageMaker, and heard where nothing else says where models are.
    env = {**environment(), "SAGEMAKER_MULTI_MODEL": "true"}
    for variables in containers:
        shown = subprocess.run(
            [binary(), "check", "--json"], cwd=folder, env={**env, **variables}, capture_output=True, text=True
        )
        assert shown.returncode == 0, shown.stdout
        origins = {value["origin"] for value in json.loads(shown.stdout)["values"]}
        assert len([origin for origin in origins if origin.startswith("SIDEGATE_")]) == len(variables), origins
