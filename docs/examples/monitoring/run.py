#!/usr/bin/env python3
"""A wind that rises, a unit that changes, and what became of flights, on a real sidecar with the shipped model of delays,
without the reference that it comes with: what is usual is learned from the flights that are asked about.

    python3 docs/examples/monitoring/run.py [path/to/sidegate]

Needs nothing but Python and sidegate.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIDEGATE = sys.argv[1] if len(sys.argv) > 1 else "sidegate"
ROWS = 50


def flight(rng):
    return [
        rng.choice([-10, -5, 0, 5, 20, 60]),
        rng.randint(200, 2500),
        rng.randint(60, 360),
        rng.randint(6, 21),
        rng.randint(0, 6),
        abs(rng.gauss(0, 8)),
        rng.choice([0, 0, 0, 0.1]),
        rng.uniform(2, 10),
    ]


def ask(address, path, body):
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def send(address, rng, rows, edit=lambda row: row):
    """Returns the answers."""
    answers = []
    for _ in range(rows // ROWS):
        data = [value for _ in range(ROWS) for value in edit(flight(rng))]
        inputs = [{"name": "input", "shape": [ROWS, 8], "datatype": "FP32", "data": data}]
        answers.append(ask(address, "/v2/models/flight-delay/infer", {"inputs": inputs}))
        # As many as are looked at.
        time.sleep(ROWS / 2000)
    return answers


def lands(address, rng, answers):
    """Says what became of half of them: as predicted, give or take ten minutes."""
    flown = rng.sample(answers, len(answers) // 2)
    actuals = [
        {"id": answer["id"], "actual": [value + rng.gauss(0, 10) for value in answer["outputs"][0]["data"]]} for answer in flown
    ]
    ask(address, "/actuals", actuals)


def does(line, folder):
    done = subprocess.run([SIDEGATE, *line.split()], cwd=folder, capture_output=True, text=True)
    print(f"$ sidegate {line}\n{done.stdout}{done.stderr}")


def windy(row):
    return [*row[:5], row[5] * 1.5 + 2, *row[6:]]


def metres(row):
    return [row[0], row[1] * 1000, *row[2:]]


def main():
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "sidegate.toml").write_text("monitor.performance = true\n")
        model = ROOT / "models/flight-delay/1"
        columns = ",".join(json.loads((model / "manifest.json").read_text())["columns"])
        register = ["registry", "register", "flight-delay", str(model / "model.onnx"), "--columns", columns]
        place = ["--registry", "models"]
        subprocess.run([SIDEGATE, *register, "--stage", "Production", *place], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        words = [SIDEGATE, "serve", "--config", "sidegate.toml", *place, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        server = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        addresses = dict(part.split("=") for part in server.stdout.readline().split()[1:])
        http, admin = addresses["http"], f"--admin {addresses['admin']}"
        time.sleep(2)
        answers = send(http, rng, 6000)
        send(http, rng, 1500, windy)
        time.sleep(1)
        does(f"drift report flight-delay {admin}", folder)
        send(http, rng, 200, metres)
        time.sleep(1)
        does(f"drift ls {admin}", folder)
        lands(http, rng, answers)
        does(f"performance flight-delay {admin}", folder)
        server.terminate()


main()
