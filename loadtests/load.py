#!/usr/bin/env python3
"""Load by locust on a real sidegate with an experiment, while versions of its model are replaced in the registry.

    scripts/load.sh                       20 seconds, as CI runs it
    scripts/load.sh founding              100 users, 5 minutes
    scripts/load.sh defaults              10 users, of a gateway with its own limits on waiting
    scripts/load.sh ci --every 0.5 --swaps 20 -- --users 20 --think 0

Every so often a version is registered and promoted, in turn into Production and into Staging, which are the variants
of the experiment. The exit code is 0 only when no request failed, enough versions answered, the sidecar counted what
locust counted, every actual was joined to its prediction, and the reports are there. Behind `--` stand options of locust and of
loadtests/locustfile.py. loadtests/README.md tells how to read the reports.
"""

import argparse
import collections
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path += [str(ROOT / "tests" / "clients"), str(ROOT / "docs" / "examples" / "experiments")]

from linear_onnx import linear  # noqa: E402

from sidegate import Server, run  # noqa: E402

MODEL = "flight-delay"
# What the variants of the experiment serve; every one gets a new version in its turn.
STAGES = ("Staging", "Production")
CONFIG = f"""
[registry]
poll_interval_ms = 200
[monitor]
performance = true
[experiments.load]
model = "{MODEL}"
unit = "header:x-user"
variants = {{ control = "production", candidate = "staging" }}
metric = "squared_error"
guardrails = ["errors", "latency_p99"]
"""
# 100 users on two cores that the generator uses as well, in a machine that stalls, wait for longer than a sidecar lets
# requests wait; here the question is what a swap loses, and not how long they wait. The scenario AS_IT_IS asks that too.
PATIENT = """
[http]
queue_wait_ms = 30000
request_timeout_ms = 60000
"""
AS_IT_IS = "defaults"
# What locust leaves behind.
REPORTS = ["load.html", "load.json", "load_stats.csv", "load_stats_history.csv", "load_failures.csv"]


def parse() -> argparse.Namespace:
    scenarios = sorted(file.stem for file in (HERE / "scenarios").glob("*.conf"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("scenario", nargs="?", default="ci", choices=scenarios, help="of loadtests/scenarios/ (default: ci)")
    add("--every", type=float, default=2.0, metavar="S", help="seconds between two promotions (default: 2)")
    add("--swaps", type=int, default=5, metavar="N", help="fail with fewer (default: 5)")
    add("--out", type=Path, metavar="DIR", help="where reports go (default: target/load/SCENARIO)")
    add("--binary", type=Path, metavar="FILE", help="sidegate (default: $SIDEGATE_BINARY, else target/debug/sidegate)")
    # argparse gives what stands behind `--` to the first positional that is free.
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:at])
    arguments.locust = sys.argv[at + 1 :]
    return arguments


class Versions:
    """Registers versions of the model: what the shipped trees say, and in turn what is said without a model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = folder / "models"
        self.next = 1
        self.files = [folder / "trees.onnx", folder / "rule.onnx"]
        shutil.copy(ROOT / "models" / MODEL / "1" / "model.onnx", self.files[0])
        # It lands as late as it took off: the first column.
        self.files[1].write_bytes(linear([1, 0, 0, 0, 0, 0, 0, 0], 0))

    def promote(self, stage: str) -> str:
        """The number of a new version in this stage."""
        # In pairs, so that both stages change what they say.
        file = self.files[(self.next // 2) % 2]
        run(self.folder, "registry", "register", MODEL, file, "--stage", stage, "--registry", self.registry)
        self.next += 1
        return str(self.next - 1)


def load(arguments: argparse.Namespace, url: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url]
    command += ["--locustfile", HERE / "locustfile.py", "--config", HERE / "scenarios" / f"{arguments.scenario}.conf"]
    command += ["--csv", arguments.out / "load", "--html", arguments.out / "load.html"]
    command += ["--json-file", arguments.out / "load", *arguments.locust]
    return subprocess.Popen(list(map(str, command)))


def served(server: Server, stage: str, version: str) -> bool:
    status, info = server.get(f"/model/info?model={MODEL}&stage={stage}")
    return status == 200 and isinstance(info, dict) and info["version"] == version


class Counted:
    """What the sidecar has counted of predictions by version. Such series go with their version, so they are looked at
    all the time; what comes between the last look and the end of a version is missing."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.series: dict[tuple, int] = {}

    def read(self) -> None:
        for labels, value in series(self.server, "model_predictions_total"):
            self.series[tuple(sorted(labels.items()))] = value

    def by(self, label: str) -> collections.Counter:
        counter: collections.Counter = collections.Counter()
        for labels, value in self.series.items():
            counter[dict(labels)[label]] += value
        return +counter


def series(server: Server, metric: str) -> list[tuple[dict[str, str], int]]:
    _, _, text = server.exchange("GET", "/metrics", admin=True)
    found = re.findall(rf"^{metric}{{(.*)}} (\S+)$", text.decode(), re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(float(value))) for labels, value in found]


def swap(versions: Versions, counted: Counted, locust: subprocess.Popen, every: float) -> None:
    """Replaces versions until the load ends; a version is served before the next one comes."""
    server = counted.server
    while locust.poll() is None:
        began = time.monotonic()
        stage = STAGES[versions.next % 2]
        version = versions.promote(stage)
        while locust.poll() is None and (time.monotonic() < began + every or not served(server, stage, version)):
            if time.monotonic() > began + 60:
                raise TimeoutError(f"version {version} is not served in {stage}\n{server.output()}")
            counted.read()
            time.sleep(0.05)
    counted.read()


def judge(counted: Counted, code: int, least: int, report: Path, *, workers: bool) -> list[str]:
    """What is wrong, after saying what was measured."""
    # The CSV files are a second behind when locust ends.
    stats = json.loads(report.read_text())
    requests, failed = (sum(row[name] for row in stats) for name in ("num_requests", "num_failures"))
    predicted = sum(row["num_requests"] for row in stats if row["name"] != "/actuals")
    seconds = max(row["last_request_timestamp"] for row in stats) - min(row["start_time"] for row in stats)
    versions, outcomes = counted.by("version"), counted.by("outcome")
    variants: collections.Counter = collections.Counter()
    for labels, value in series(counted.server, "sidegate_experiment_assignments_total"):
        variants[labels["variant"], labels["reason"]] += value
    variants = +variants
    actuals = {labels["result"]: value for labels, value in series(counted.server, "sidegate_outcomes_total") if value}
    # Those of the beginning took nobody's place.
    swaps = len(versions) - len(STAGES)
    print(f"""
requests   {requests:,}, {failed:,} failed; {requests / seconds:,.0f} a second
versions   {len(versions)} answered, {swaps} of them swapped in under load
variants   {", ".join(f"{name} {count:,} {reason}" for (name, reason), count in sorted(variants.items()))}
actuals    {", ".join(f"{count:,} {name}" for name, count in sorted(actuals.items())) or "none"}""")
    problems = []
    if code:
        problems.append(f"locust ended with {code}")
    if failed or not requests:
        problems.append(f"{failed} of {requests} requests failed")
    if swaps < least:
        problems.append(f"{swaps} swaps were seen, {least} are the least")
    if set(outcomes) != {"ok"}:
        problems.append(f"the sidecar counted predictions that failed: {dict(outcomes)}")
    # What workers count after their last report to the master is lost.
    same = predicted <= variants.total() if workers else predicted == variants.total()
    if not same or {reason for _, reason in variants} != {"enrolled"}:
        problems.append(f"locust had {predicted} predictions, the sidecar assigned {dict(variants)}")
    if set(actuals) - {"ok"}:
        problems.append(f"not every actual was joined: {actuals}")
    return problems


def reports(folder: Path) -> list[str]:
    """What is wrong with the files for people, whose numbers are a second behind those of `judge`."""
    problems = [f"locust wrote no {name}" for name in REPORTS if not (folder / name).is_file()]
    if problems:
        return problems
    if "</html>" not in (folder / "load.html").read_text().lower():
        problems.append("load.html is no page")
    with (folder / "load_stats.csv").open(newline="") as file:
        total = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    if len(total) != 1 or not int(total[0]["Request Count"]):
        problems.append("load_stats.csv counts no requests")
    return problems


def main() -> int:
    # So that what it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    if arguments.binary:
        os.environ["SIDEGATE_BINARY"] = str(arguments.binary)
    arguments.out = (arguments.out or ROOT / "target" / "load" / arguments.scenario).resolve()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        versions = Versions(Path(name))
        first = {stage: versions.promote(stage) for stage in STAGES}
        config = CONFIG if arguments.scenario == AS_IT_IS else CONFIG + PATIENT
        with Server(arguments.out, versions.registry, config=config) as server:
            while not all(served(server, stage, version) for stage, version in first.items()):
                time.sleep(0.02)
            counted, locust = Counted(server), load(arguments, server.url)
            try:
                swap(versions, counted, locust, arguments.every)
            except OSError as error:
                raise SystemExit(f"load: sidegate does not answer: {error}\n{server.output()}") from None
            finally:
                locust.terminate()
                code = locust.wait()
            workers = any(option.startswith("--processes") for option in arguments.locust)
            problems = judge(counted, code, arguments.swaps, arguments.out / "load.json", workers=workers)
            problems += reports(arguments.out)
    print(f"reports    {arguments.out}/{', '.join(REPORTS)}")
    for problem in problems:
        print(f"load: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
