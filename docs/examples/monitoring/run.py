#!/usr/bin/env python3
"""A wind that rises and a unit that changes, on a real sidecar with the shipped model of flight delays.

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


def send(address, rng, rows, edit=lambda row: row):
    for _ in range(rows // ROWS):
        data = [value for _ in range(ROWS) for value in edit(flight(rng))]
        inputs = [{"name": "input", "shape": [ROWS, 8], "datatype": "FP32", "data": data}]
        url = f"http://{address}/v2/models/flight-delay/infer"
        request = urllib.request.Request(url, json.dumps({"inputs": inputs}).encode(), {"content-type": "application/json"})
        urllib.request.urlopen(request).read()
        # As many as are looked at.
        time.sleep(ROWS / 2000)


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
        words = [SIDEGATE, "serve", "--registry", str(ROOT / "models"), "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        server = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        addresses = dict(part.split("=") for part in server.stdout.readline().split()[1:])
        http, admin = addresses["http"], f"--admin {addresses['admin']}"
        time.sleep(2)
        send(http, rng, 6000)
        send(http, rng, 1500, windy)
        time.sleep(1)
        does(f"drift report flight-delay {admin}", folder)
        send(http, rng, 200, metres)
        time.sleep(1)
        does(f"drift ls {admin}", folder)
        server.terminate()


main()
