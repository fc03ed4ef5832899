#!/usr/bin/env python3
"""A shadow, an experiment from its first request to its promotion, and a harmful canary, on real sidecars.

    python3 docs/examples/experiments/run.py [path/to/sidegate]

Needs nothing but Python and sidegate. Takes the shipped model of flight delays as version 2 and, as version 1, what
one would say without a model: it lands as late as it took off. What really happens is simulated: what the trees say,
and chance. A "day" is four seconds long.
"""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from linear_onnx import linear

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIDEGATE = sys.argv[1] if len(sys.argv) > 1 else "sidegate"
CONFIG = """\
registry.url = "models"
registry.poll_interval_ms = 200
experiments.receipt_key_file = "receipt.key"
experiments.publish_interval_ms = 500
"""
VARIANTS = """
[experiments.trees]
model = "flight-delay"
unit = "header:x-user"
default = "rule"
variants = {{ rule = "production", trees = "2" }}
{more}
min_runtime_ms = 0
mode = "auto"
"""
SHADOW = """
[experiments.next]
model = "flight-delay"
unit = "header:x-user"
shadow = { next = "2" }
"""


class Fleet:
    def __init__(self, experiment, bad=False):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        (self.folder / "sidegate.toml").write_text(CONFIG + experiment)
        (self.folder / "receipt.key").write_text("an-example-key-of-no-use\n")
        (self.folder / "rule.onnx").write_bytes(linear([1, 0, 0, 0, 0, 0, 0, 0], 0))
        trees = ROOT / "models/flight-delay/1/model.onnx"
        # What a faulty export may look like: it divides by nothing, and every answer is no number.
        candidate = linear([float("nan")] * 8, 0) if bad else trees.read_bytes()
        (self.folder / "trees.onnx").write_bytes(candidate)
        self.does("registry register flight-delay rule.onnx --stage Production", quiet=True)
        self.does("registry register flight-delay trees.onnx" + (" --no-check" if bad else ""), quiet=True)
        self.pods = []

    def does(self, line, quiet=False):
        words = [SIDEGATE, *line.split(), "--config", "sidegate.toml"]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        if not quiet:
            print(f"$ sidegate {line}\n{done.stdout}{done.stderr}")
        elif done.returncode:
            sys.exit(done.stderr)
        return done.stdout

    def start(self):
        words = [SIDEGATE, "serve", "--config", "sidegate.toml", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        pod = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        addresses = dict(part.split("=") for part in pod.stdout.readline().split()[1:])
        pod.http, pod.admin = addresses["http"], addresses["admin"]
        for _ in range(200):
            experiment = get(f"http://{pod.admin}/experiments")[0]
            served = (experiment["variants"] or []) + (experiment["shadows"] or [])
            if served and all(one["version"] for one in served):
                self.pods.append(pod)
                return pod
            time.sleep(0.1)
        sys.exit("the variants are not served")

    def end(self, pod, how):
        self.pods.remove(pod)
        pod.send_signal(how)
        pod.wait()

    def close(self):
        for pod in list(self.pods):
            self.end(pod, signal.SIGTERM)
        shutil.rmtree(self.folder)


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def ask(pod, user, row, version=""):
    inputs = [{"name": "input", "shape": [1, 8], "datatype": "FP32", "data": row}]
    headers = {"content-type": "application/json", "x-user": user, "x-sidegate-receipt": "1"}
    url = f"http://{pod.http}/v2/models/flight-delay{version}/infer"
    request = urllib.request.Request(url, json.dumps({"inputs": inputs}).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        receipt = answer.headers.get("x-sidegate-receipt")
        return json.load(answer), receipt


def flight(rng):
    return [rng.choice([-5, 0, 5, 20, 60]), rng.randint(200, 2500), rng.randint(60, 360), rng.randint(6, 21), rng.randint(0, 6), rng.uniform(0, 25), 0, 10]


def better():
    print("# A better version: three replicas, of which one ends and one is killed\n")
    fleet, rng = Fleet(VARIANTS.format(more='metric = "squared_error"\nguardrails = ["errors", "latency_p99 within 50%"]\nhorizon_ms = 4000')), random.Random(1)
    for _ in range(3):
        fleet.start()
    rows = []

    def traffic(users):
        for user in users:
            pod, row = fleet.pods[user % len(fleet.pods)], flight(rng)
            _, receipt = ask(pod, f"user-{user}", row)
            said, _ = ask(pod, "nobody", row, "/versions/2")
            rows.append((receipt, said["outputs"][0]["data"][0] + rng.gauss(0, 15)))

    traffic(range(1000))
    time.sleep(1)
    fleet.end(fleet.pods[0], signal.SIGTERM)
    fleet.end(fleet.pods[0], signal.SIGKILL)
    fleet.start()
    fleet.start()
    traffic(range(1000, 2000))
    lines = "".join(f"{receipt},{delay}\n" for receipt, delay in rows)
    (fleet.folder / "landed.csv").write_text("receipt,actual\n" + lines)
    fleet.does(f"outcomes landed.csv --http {fleet.pods[-1].http}")
    time.sleep(6)
    fleet.does("monitor --once")
    fleet.does("experiment report trees --fleet")
    time.sleep(1)
    answer, _ = ask(fleet.pods[0], "user-1", flight(rng))
    print(f"everybody now gets: version {answer['model_version']}\n")
    fleet.does("registry log flight-delay")
    fleet.close()


def harmful():
    print("# A harmful canary\n")
    fleet, rng = Fleet(VARIANTS.format(more='guardrails = ["errors"]\ncanary = ["20% for 500 units and 1h", "100%"]'), bad=True), random.Random(2)
    fleet.start()
    for user in range(800):
        ask(fleet.pods[0], f"user-{user}", flight(rng))
    time.sleep(1)
    fleet.does("monitor --once")
    time.sleep(1)
    said = [ask(fleet.pods[0], f"user-{user}", flight(rng))[0] for user in range(100)]
    print(f"answers of version 2 among the next hundred: {sum(answer['model_version'] == '2' for answer in said)}\n")
    fleet.does("experiment report trees --fleet")
    fleet.close()


def shadow():
    print("# A shadow\n")
    fleet, rng = Fleet(SHADOW), random.Random(3)
    pod = fleet.start()
    for request in range(1000):
        ask(pod, f"user-{request % 250}", flight(rng))
    time.sleep(1)
    fleet.does(f"experiment report next --admin {pod.admin}")
    fleet.close()


shadow()
better()
harmful()
