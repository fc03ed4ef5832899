#!/usr/bin/env python3
"""What no schema sees of GitHub's workflows: that their parts fit together and to the scripts of this repository.

    scripts/check-workflows.py        a line for each fault, exit code 1 when there is one

Every `run:` is one command that starts a program of this repository, and of scripts/ml-pipeline.sh a job that it has.
`needs` name jobs, outputs that are asked for are declared, those that a script writes are written, variables that are set
for it are read by somebody; actions are pinned by
commit, roles are taken by OIDC and only where the job may, and no key of AWS is a secret. Needs PyYAML.
"""

import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = "scripts/ml-pipeline.sh"
# The jobs of the pipeline for models, in order, as they were founded.
FOUNDED = ["test-code", "validate-data", "train-model", "integration-tests", "deploy-production"]
OUTPUT = re.compile(r"\b(needs|steps)\.([\w-]+)\.(?:outputs\.([\w-]+)|outcome|result)")


def texts(value):
    """Every text in it."""
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


class Checker:
    def __init__(self):
        self.faults = []
        script = (ROOT / PIPELINE).read_text()
        self.read = set(re.findall(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+|BINARIES|WORK|RELEASE", script))
        self.jobs = {name.replace("_", "-") for name in re.findall(r"^job_(\w+)\(\)", script, re.M)}
        self.written = {
            name.replace("_", "-"): set(re.findall(r"^\s+output (\w+)", body, re.M))
            for name, body in re.findall(r"^job_(\w+)\(\) \{\n(.*?)^\}", script, re.M | re.S)
        }

    def fault(self, where, text):
        self.faults.append(f"{where}: {text}")

    def command(self, where, text):
        """That it can be run."""
        words = text.split()
        if "\n" in text or re.search(r"[|&;<>`$]", text):
            return self.fault(where, f"`{text}` is more than one command: put it into a script")
        program = ROOT / words[0]
        if not program.is_file() or not os.access(program, os.X_OK):
            return self.fault(where, f"there is no program {words[0]} in this repository")
        if words[0] == PIPELINE and (len(words) != 2 or words[1] not in self.jobs):
            self.fault(where, f"{PIPELINE} has no job `{' '.join(words[1:])}`")

    def used(self, where, step, permissions):
        """That an action is pinned, is there, and may do what it does."""
        uses = step["uses"]
        if uses.startswith("./"):
            action = ROOT / uses / "action.yml"
            if not action.is_file():
                return self.fault(where, f"there is no {uses}/action.yml")
            declared = yaml.safe_load(action.read_text())
            inputs = declared.get("inputs", {})
            for name in step.get("with", {}).keys() - inputs.keys():
                self.fault(where, f"{uses} has no input `{name}`")
            for name, told in inputs.items():
                if told.get("required") and name not in step.get("with", {}):
                    self.fault(where, f"{uses} needs the input `{name}`")
            for inner in declared["runs"]["steps"]:
                if "uses" in inner:
                    self.used(f"{where}: {uses}", inner, permissions)
                if "run" in inner:
                    self.command(f"{where}: {uses}", inner["run"])
            return None
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses):
            self.fault(where, f"{uses} is not pinned by a commit")
        if uses.startswith("aws-actions/configure-aws-credentials@"):
            if permissions.get("id-token") != "write":
                self.fault(where, "a role is taken, and `id-token: write` is missing")
            if step.get("with", {}).keys() & {"aws-access-key-id", "aws-secret-access-key"}:
                self.fault(where, "credentials are keys and not a role")
        return None

    def variables(self, where, env):
        """That somebody reads them: the script, or a program that it starts."""
        for name in env or {}:
            if name not in self.read and not name.startswith(("SIDEGATE_", "AWS_")):
                self.fault(where, f"{PIPELINE} reads no variable `{name}`")

    def references(self, where, part, job, jobs):
        """That outputs and steps which are asked for are there."""
        ids = {step["id"]: step for step in job.get("steps", []) if "id" in step}
        for text in texts(part):
            for kind, name, output in OUTPUT.findall(text):
                if kind == "needs":
                    needs = job.get("needs", [])
                    if name not in ([needs] if isinstance(needs, str) else needs):
                        self.fault(where, f"`{name}` is asked for and not in `needs`")
                    elif output and output not in jobs.get(name, {}).get("outputs", {}):
                        self.fault(where, f"job `{name}` has no output `{output}`")
                elif name not in ids:
                    self.fault(where, f"there is no step `{name}`")
                elif output:
                    run = ids[name].get("run", "").split()
                    if run[:1] == [PIPELINE] and output not in self.written.get(run[1], set()):
                        self.fault(where, f"{PIPELINE} {run[1]} writes no output `{output}`")

    def workflow(self, path):
        told = yaml.safe_load(path.read_text())
        jobs, name = told["jobs"], path.name
        if "AWS_SECRET" in path.read_text() or "AWS_ACCESS_KEY" in path.read_text():
            self.fault(name, "a key of AWS is named; roles are taken by OIDC")
        if "permissions" not in told:
            self.fault(name, "there is no `permissions`")
        self.variables(name, told.get("env"))
        for key, job in jobs.items():
            where = f"{name}: {key}"
            for part in (job, *job.get("steps", [])):
                self.variables(where, part.get("env"))
            needs = job.get("needs", [])
            for other in [needs] if isinstance(needs, str) else needs:
                if other not in jobs:
                    self.fault(where, f"needs `{other}`, which is no job")
            permissions = job.get("permissions", told.get("permissions") or {})
            if "timeout-minutes" not in job:
                self.fault(where, "there is no `timeout-minutes`")
            for step in job.get("steps", []):
                if "run" in step:
                    self.command(where, step["run"].strip())
                if "uses" in step:
                    self.used(where, step, permissions)
            self.references(where, job, job, jobs)
        return jobs


def main():
    checker = Checker()
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    found = {path.name: checker.workflow(path) for path in workflows}
    if list(found.get("ml-pipeline.yml", {})) != FOUNDED:
        checker.fault("ml-pipeline.yml", f"its jobs are not {', '.join(FOUNDED)}")
    steps = found.get("ml-pipeline.yml", {}).get("train-model", {}).get("steps", [])
    tracked = [step.get("env", {}) for step in steps if step.get("run") == f"{PIPELINE} train"]
    if not all({"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"} <= env.keys() for env in tracked) or not tracked:
        checker.fault("ml-pipeline.yml", "its training is told to no MLflow")
    apply = found.get("infrastructure.yml", {}).get("apply", {})
    if "environment" not in apply or apply.get("needs") != "plan":
        checker.fault("infrastructure.yml", "apply has no environment that approves, or needs no plan")
    for fault in checker.faults:
        print(fault)
    print(f"{len(workflows)} workflows, {sum(map(len, found.values()))} jobs, {len(checker.faults)} faults")
    sys.exit(bool(checker.faults))


if __name__ == "__main__":
    main()
