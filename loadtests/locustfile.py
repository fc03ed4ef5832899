"""The load of an app beside its sidecar: predictions of one row and of many, and later what came true.

    locust -f loadtests/locustfile.py --config loadtests/scenarios/founding.conf --headless --host http://127.0.0.1:8000

An answer has failed when its status is not 200, when it is not of the rows that were asked, or when a version says
something else of a row than it said before: a swap must not be noticed but by the version's number. Without --data it
asks the shipped model `flight-delay`. loadtests/README.md tells how to read the reports.
"""

import csv
import itertools
import json
import math
import random
import sys
import time
import urllib.request
import uuid
from collections import deque

from locust import FastHttpUser, events, task
from locust.runners import MasterRunner, WorkerRunner

# The shipped model that rows are made up for.
FLIGHTS = "flight-delay"
# Numbers are equal up to there: engines sum float32 in orders of their own.
TOLERANCE = 1e-5
# A batch has so many times the median at most.
LONGEST_BATCH = 20
# Requests whose actuals are posted together, and rows of a request whose predictions sidegate keeps for them.
ACTUALS, ACTUAL_ROWS = 50, 256


@events.init_command_line_parser.add_listener
def options(parser) -> None:
    add = parser.add_argument  # a group takes no `is_secret`
    add("--model", env_var="LOCUST_MODEL", default=FLIGHTS, help="The model that is asked (default: %(default)s)")
    add("--data", env_var="LOCUST_DATA", default="", metavar="FILE.csv",
        help="Rows to ask, with a header and the model's columns in order (default: flights, made up)")  # fmt: skip
    add("--think", env_var="LOCUST_THINK", type=float, default=0.1, metavar="S",
        help="Seconds that a user waits between two requests, on average (default: %(default)s)")  # fmt: skip
    add("--batch-rows", env_var="LOCUST_BATCH_ROWS", type=int, default=16, metavar="N",
        help="Rows of the median batch (default: %(default)s)")  # fmt: skip
    add("--units", env_var="LOCUST_UNITS", type=int, default=10_000, metavar="N",
        help="Units of experiments: people on whose behalf is asked (default: %(default)s)")  # fmt: skip
    add("--unit-skew", env_var="LOCUST_UNIT_SKEW", type=float, default=1.1, metavar="S",
        help="The k-th busiest asks 1/k^S as often as the first; 0: all alike (default: %(default)s)")  # fmt: skip
    add("--unit-header", env_var="LOCUST_UNIT_HEADER", default="x-user", metavar="NAME",
        help="Header that says who the unit is (default: %(default)s)")  # fmt: skip
    add("--actuals-after", env_var="LOCUST_ACTUALS_AFTER", type=float, default=1.0, metavar="S",
        help="Seconds after which it is known what was true; negative: never (default: %(default)s)")  # fmt: skip
    add("--token", env_var="LOCUST_TOKEN", default="", is_secret=True, help="Bearer token of the data port")


class Asked:
    """What there is to ask, and what was answered: shared by the users of a process."""

    def __init__(self, options, host: str) -> None:
        self.model = options.model
        request = urllib.request.Request(f"{host}/v2/models/{self.model}", headers=authorization(options))
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.inputs = json.load(answer)["inputs"]
        if not options.data and self.model != FLIGHTS:
            raise ValueError("name a file of its rows with --data")
        self.rows = read(options.data, self.inputs) if options.data else flights(64)
        # Zipf's law: a few ask all the time, most once in a while.
        shares = (1 / k**options.unit_skew for k in range(1, options.units + 1))
        self.shares = list(itertools.accumulate(shares))
        self.said: dict[tuple[str, str, int], object] = {}

    def unit(self) -> str:
        [number] = random.choices(range(len(self.shares)), cum_weights=self.shares)
        return f"user-{number}"

    def some(self, count: int) -> list[int]:
        """Numbers of rows."""
        return random.choices(range(len(self.rows)), k=count)

    def tensors(self, numbers: list[int]) -> list[dict]:
        """Rows as inputs of the Open Inference Protocol."""
        rows = [self.rows[number] for number in numbers]
        # One tensor of all columns, or one for each.
        parts = [rows] if len(self.inputs) == 1 else [[[value] for value in column] for column in zip(*rows)]
        return [
            {
                "name": tensor["name"],
                "datatype": tensor["datatype"],
                "shape": [len(part), len(part[0])],
                "data": [value for row in part for value in row],
            }
            for tensor, part in zip(self.inputs, parts)
        ]

    def problem(self, form: str, version: str, numbers: list[int], found: list) -> str | None:
        """What is wrong with predictions of rows."""
        if len(found) != len(numbers):
            return f"{len(found)} predictions of {len(numbers)} rows"
        for number, value in zip(numbers, found):
            before = self.said.setdefault((form, version, number), value)
            if not same(before, value):
                return f"version {version} says {value} of row {number}, and said {before}"
        return None


def same(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return one == other


def flights(count: int) -> list[list[float]]:
    """Rows of the shipped model, the same in every process."""
    rng = random.Random(1)
    return [
        [
            rng.choice([-10, -5, 0, 5, 20, 60]),
            rng.randint(200, 2500),
            rng.randint(60, 360),
            rng.randint(6, 21),
            rng.randint(0, 6),
            abs(rng.gauss(0, 8)),
            rng.choice([0, 0, 0, 0.1]),
            rng.uniform(2, 10),
        ]
        for _ in range(count)
    ]


def read(path: str, inputs: list[dict]) -> list[list]:
    """Rows of a file; an empty cell is a missing number."""
    with open(path, newline="") as file:
        cells = list(csv.reader(file))[1:]
    if not cells:
        raise ValueError(f"{path} has no rows below its header")
    types = [tensor["datatype"] for tensor in inputs]
    if len(types) == 1:
        types *= len(cells[0])
    return [[value(cell, datatype) for cell, datatype in zip(row, types, strict=True)] for row in cells]


def value(cell: str, datatype: str) -> object:
    if datatype == "BYTES":
        return cell
    if not cell:
        return None
    return int(cell) if "INT" in datatype else float(cell)


def authorization(options) -> dict[str, str]:
    return {"authorization": f"Bearer {options.token}"} if options.token else {}


@events.test_start.add_listener
def start(environment, **_: object) -> None:
    # The master asks nothing.
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        Caller.asked = Asked(environment.parsed_options, environment.host.rstrip("/"))
    except (OSError, ValueError) as error:
        print(f"{environment.parsed_options.model} at {environment.host} cannot be asked: {error}", file=sys.stderr)
        environment.process_exit_code = 2
        environment.runner.quit()


@events.quitting.add_listener
def failures(environment, **_: object) -> None:
    # Which --json-file keeps locust from saying, and of which the CSV files lack the last second.
    for error in environment.stats.errors.values():
        print(f"failed {error.occurrences} times: {error.method} {error.name}: {error.error}", file=sys.stderr)
    if not environment.stats.total.num_requests and not isinstance(environment.runner, WorkerRunner):
        print("nothing was asked", file=sys.stderr)
        environment.process_exit_code = environment.process_exit_code or 1


class Caller(FastHttpUser):
    """A connection of the app: one request after another, for one person after another."""

    asked: Asked

    def on_start(self) -> None:
        self.options = self.environment.parsed_options
        # When it was answered, with which id, what.
        self.open: deque[tuple[float, str, list]] = deque(maxlen=10 * ACTUALS)

    def wait_time(self) -> float:
        # Exponential: arrivals that know nothing of each other.
        return random.expovariate(1 / self.options.think) if self.options.think else 0

    def ask(self, path: str, body: object, numbers: list[int], read) -> None:
        """Asks for predictions; `read` finds version, id and predictions in the answer."""
        asked = self.asked
        headers = {self.options.unit_header: asked.unit(), **authorization(self.options)}
        form = path.split("?")[0]
        with self.client.post(path, json=body, headers=headers, name=form, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(refusal(response))
                return
            try:
                version, request, found = read(response.json())
                found = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in found]
            except (ValueError, LookupError, TypeError) as error:
                response.failure(f"the answer cannot be read: {error!r}")
                return
            problem = asked.problem(form, version, numbers, found)
            if problem:
                response.failure(problem)
                return
        # Where there are several numbers for a row nothing single comes true.
        if len(found) <= ACTUAL_ROWS and not any(isinstance(prediction, list) for prediction in found):
            self.open.append((time.monotonic(), request, found))

    @task(8)
    def single(self) -> None:
        """The founding document's way: a list of rows, here of one."""
        numbers = self.asked.some(1)

        def read(answer: dict) -> tuple:
            return answer["model_version"], answer["id"], answer["predictions"]

        self.ask(f"/predict?model={self.asked.model}", [self.asked.rows[numbers[0]]], numbers, read)

    @task(2)
    def batch(self) -> None:
        """The Open Inference Protocol; most batches are small, some are long."""
        median = self.options.batch_rows
        count = min(round(random.lognormvariate(math.log(median), 1)) or 1, LONGEST_BATCH * median)
        numbers, request = self.asked.some(count), str(uuid.uuid4())

        def read(answer: dict) -> tuple:
            if answer["id"] != request:
                raise LookupError(f"id {answer['id']}, not {request}")
            data = answer["outputs"][0]["data"]
            width = len(data) // count
            rows = data if width == 1 else [data[at : at + width] for at in range(0, len(data), width or 1)]
            return answer["model_version"], request, rows

        body = {"id": request, "inputs": self.asked.tensors(numbers)}
        self.ask(f"/v2/models/{self.asked.model}/infer", body, numbers, read)

    @task(1)
    def actuals(self) -> None:
        """What came true of predictions, by the ids of their answers."""
        due = time.monotonic() - self.options.actuals_after
        ready = []
        while self.options.actuals_after >= 0 and self.open and self.open[0][0] <= due and len(ready) < ACTUALS:
            _, request, found = self.open.popleft()
            ready.append({"id": request, "actual": [came_true(prediction) for prediction in found]})
        if not ready:
            return
        headers = authorization(self.options)
        with self.client.post("/actuals", json=ready, headers=headers, name="/actuals", catch_response=True) as response:
            # 202 says that some were not taken, and why.
            if response.status_code != 200:
                response.failure(refusal(response))


def refusal(response) -> str:
    """Status and reason, short enough to be a line of the report; status 0: there was no answer at all."""
    return f"{response.status_code} {response.text or getattr(response, 'error', None)}"[:200]


def came_true(prediction: object) -> object:
    """Near a number; as predicted where it is a class."""
    return random.gauss(prediction, 10) if isinstance(prediction, float) else prediction
