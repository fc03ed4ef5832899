"""What is measured: workloads (model and request) and the rows made of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Workload:
    """One request to one model."""

    key: str
    model: str
    body: str
    """File in the folder of the load-test models."""
    rows: int
    engine: str

    @property
    def binary(self) -> bool:
        return self.body.endswith(".bin")

    @property
    def path(self) -> str:
        return f"/v2/models/{self.model}/infer"


WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload("gbt-json", "gbt", "gbt.json", 1, "trees"),
        Workload("gbt-bin", "gbt", "gbt.bin", 1, "trees"),
        Workload("mlp1-json", "mlp", "mlp.1.json", 1, "ort"),
        Workload("mlp1-bin", "mlp", "mlp.1.bin", 1, "ort"),
        Workload("mlp64-json", "mlp", "mlp.64.json", 64, "ort"),
        Workload("mlp64-bin", "mlp", "mlp.64.bin", 64, "ort"),
        Workload("encoder-json", "encoder", "encoder.json", 1, "ort"),
    )
}

TRANSPORTS = ("tcp", "uds")
# "once" is a new connection for every request, eight at a time.
CLIENTS = {"c1": 1, "c8": 8, "c64": 64, "once": 8}
QUOTAS = {"free": None, "q0.5": 0.5, "q1": 1.0, "q2": 2.0}
LOOPS = ("closed", "open")


@dataclass(frozen=True)
class Row:
    """A workload over one transport, with so many clients, under one quota."""

    workload: Workload
    transport: str
    clients: str
    cpus: str
    loop: str

    @property
    def name(self) -> str:
        return f"{self.workload.key}/{self.transport}/{self.clients}/{self.cpus}/{self.loop}"

    @property
    def connections(self) -> int:
        return CLIENTS[self.clients]

    @property
    def keepalive(self) -> bool:
        return self.clients != "once"

    @property
    def closed_twin(self) -> str:
        """The row whose throughput is this one's capacity."""
        return self.name.removesuffix(self.loop) + "closed"


# Which of all combinations are measured when nothing is said: every comparison that
# somebody asked for, without those that only repeat another one.
STANDARD = re.compile(
    r"""^(
      [^/]+          / tcp     / [^/]+  / free    / closed
    | gbt-.*         / uds     / [^/]+  / free    / closed
    | (mlp|encoder).*/ uds     / c8     / free    / closed
    | gbt-.*         / [^/]+   / c8     / free    / open
    | gbt-json       / tcp     / c64    / free    / open
    | (mlp64|encoder).*/ tcp   / c8     / free    / open
    | gbt-json       / tcp     / c8     / q.*     / [^/]+
    | gbt-bin        / uds     / c8     / q.*     / [^/]+
    | gbt-json       / tcp     / once   / q.*     / closed
    | mlp64-bin      / tcp     / c8     / q.*     / closed
    )$""",
    re.VERBOSE,
)

# The rows that the targets speak of.
QUICK = re.compile(
    r"^(gbt-json/tcp/c(1|8|64)/free/closed|gbt-bin/uds/c8/free/closed"
    r"|mlp64-(json|bin)/tcp/c8/free/closed|gbt-json/tcp/c8/(free|q0\.5)/open)$"
)

START = ("start/trees", "start/ort")
SWAP = {"swap/free": "free", "swap/q1": "q1", "swap/q0.5": "q0.5"}
OVERLOAD = {
    "overload/encoder-json/free": ("encoder-json", "free"),
    "overload/gbt-json/q0.5": ("gbt-json", "q0.5"),
}


def all_rows() -> Iterator[Row]:
    """Every combination, grouped by workload and quota."""
    for workload, cpus in product(WORKLOADS.values(), QUOTAS):
        for loop, transport, clients in product(LOOPS, TRANSPORTS, CLIENTS):
            yield Row(workload, transport, clients, cpus, loop)


def special_names() -> list[str]:
    """The rows that are not one load on one server."""
    return [*START, *SWAP, *OVERLOAD]


def choose(
    pattern: str | None, *, everything: bool, quick: bool
) -> tuple[list[Row], list[str]]:
    """The steady rows and the names of the special ones that are to be measured."""
    wanted = re.compile(pattern or "")
    standard = QUICK if quick and not pattern else STANDARD
    rows = [
        row
        for row in all_rows()
        if wanted.search(row.name) and (everything or standard.match(row.name))
    ]
    special = [name for name in special_names() if wanted.search(name)]
    if quick and not pattern:
        special = [*START, "swap/free"]
    return rows, special
