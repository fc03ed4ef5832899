"""The rows that are more than one load: start, swaps under load, overload."""

import contextlib
import shutil
import statistics
import time
from pathlib import Path

from .bench import NOT_MEASURED, Bench, not_measured
from .generator import Load, Running, failed, median_of
from .programs import say
from .rows import OVERLOAD, SWAP, WORKLOADS
from .servers import Server, ServerError, first_answer, scratch, serving_version
from .steady import OPEN_SHARE

# How often the admin port is asked during swap rows, before the swaps as well as during.
ASK_EVERY = 0.1
# Makes a folder's change visible soon enough for 200 swaps; the default looks once a second.
SWAP_ENVIRONMENT = {"SIDEGATE_REGISTRY__POLL_INTERVAL_MS": "100"}
SWAP_WITHIN = 30.0
OVERLOAD_CONNECTIONS = 512
# One generator core does not offer more than this.
OFFER_LIMIT = 100_000


def measure(bench: Bench, name: str) -> dict:
    """One special row; when it cannot be measured it says why."""
    say(name)
    kind, _, what = name.partition("/")
    try:
        if kind == "start":
            return {"row": name, **_start(bench, what)}
        if kind == "swap":
            return {"row": name, **_swap(bench, SWAP[name])}
        return {"row": name, **_overload(bench, *OVERLOAD[name])}
    except NOT_MEASURED as error:
        return not_measured(name, error)


# === start ===


def _start(bench: Bench, engine: str) -> dict:
    """From the start of the process to its first answer; memory then and after some load."""
    workload = WORKLOADS["gbt-json"]
    runs = [_start_once(bench, engine) for _ in range(max(3, bench.rounds))]
    load = bench.load(workload, connections=1, duration=1.0)
    with (
        scratch() as folder,
        bench.candidate(workload, "free", folder, engine=engine) as server,
    ):
        loaded = bench.run(load, server)
    return {
        "first_answer_s": round(statistics.median(run[0] for run in runs), 4),
        "rss_kib": {
            "first_answer": round(statistics.median(run[1] for run in runs)),
            "after_load": loaded["rss_kib"]["after"],
        },
        "errors": failed(loaded),
    }


def _start_once(bench: Bench, engine: str) -> tuple[float, int]:
    workload = WORKLOADS["gbt-json"]
    body, headers = bench.request(workload)
    with (
        scratch() as folder,
        bench.candidate(workload, "free", folder, engine=engine, ready=False) as server,
    ):
        return first_answer(server, workload.path, body, headers), server.rss_kib()


# === swaps ===


def _swap(bench: Bench, cpus: str) -> dict:
    """Open-loop load at 70 % of capacity, first steady, then while versions replace each other."""
    workload = WORKLOADS["gbt-json"]
    steady = max(10.0, bench.duration) if bench.swaps >= 100 else 3.0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        server = stack.enter_context(
            bench.candidate(workload, cpus, folder, environment=SWAP_ENVIRONMENT)
        )
        answer = bench.sample_answer(workload, server)
        reference = stack.enter_context(bench.reference(len(answer.body), cpus, folder))
        capacities = [bench.run(bench.load(workload), server)["rps"] for _ in range(3)]
        rate = OPEN_SHARE * statistics.median(capacities)
        load = bench.load(workload, rate=rate, duration=steady)
        beside = bench.run(load, reference)
        before = _watched(bench, load, server)
        swapper = Swapper(bench, server, folder)
        during = _watched(bench, load, server, swapper)
        time.sleep(3)
        rss_after = server.rss_kib()
        after = _watched(bench, load, server)
    rss_before = before["rss_kib"]["after"]
    return {
        "rate": round(rate),
        "swaps": len(swapper.seen_after),
        "seen_after_ms": {
            "p50": round(statistics.median(swapper.seen_after) * 1000),
            "max": round(max(swapper.seen_after) * 1000),
        },
        "failed": failed(during) + during["shed"]["count"],
        "p99_ratio": round(during["p99_us"] / before["p99_us"], 2),
        "rss_kib": {
            "before": rss_before,
            "peak": during["rss_kib"]["peak"],
            "after": rss_after,
        },
        "rss_growth_kib": rss_after - rss_before,
        "reference": beside,
        "before": before,
        "during": during,
        "after": after,
        "errors": sum(failed(part) for part in (before, during, after)),
    }


class Swapper:
    """Puts one version after another in place and waits until it is served."""

    def __init__(self, bench: Bench, server: Server, folder: Path) -> None:
        self.count = bench.swaps
        self.server = server
        self.files = bench.models.versions("gbt")
        self.model = folder / "registry" / "gbt"
        self.staging = folder / "staging"
        self.seen_after: list[float] = []
        self.staging.mkdir()

    def swap_all(self) -> None:
        for version in range(2, self.count + 2):
            started = self.put(version)
            self.await_served(version, started)
            # The previous version stays for rollback, as in a real registry.
            shutil.rmtree(self.model / str(version - 2), ignore_errors=True)
            if version % 25 == 0:
                say(f"  {len(self.seen_after)} swaps")
            time.sleep(ASK_EVERY)

    def put(self, version: int) -> float:
        """Written beside the registry, then renamed into it: it is complete when it appears."""
        complete = self.staging / str(version)
        complete.mkdir()
        source = self.files[(version - 1) % len(self.files)]
        (complete / "model.onnx").write_bytes(source.read_bytes())
        complete.rename(self.model / str(version))
        return time.monotonic()

    def await_served(self, version: int, started: float) -> None:
        while time.monotonic() - started < SWAP_WITHIN:
            time.sleep(ASK_EVERY)
            # A server without an admin port (a stand-in) is believed after one look.
            if (
                self.server.admin is None
                or serving_version(self.server, "gbt") == version
            ):
                self.seen_after.append(time.monotonic() - started)
                return
        raise ServerError(f"version {version} not served after {SWAP_WITHIN:g} s")


def _watched(
    bench: Bench, load: Load, server: Server, swapper: Swapper | None = None
) -> dict:
    """A load during which the admin port is asked all the time, with or without swaps."""
    with scratch() as folder:
        stop = folder / "stop"
        endless = Load(**(vars(load) | {"stop_file": stop, "duration": 7200.0}))
        running = Running(bench.programs.loadgen, endless, server, bench.cores)
        try:
            time.sleep(load.warmup)
            if swapper:
                swapper.swap_all()
            else:
                end = time.monotonic() + load.duration
                while time.monotonic() < end:
                    time.sleep(ASK_EVERY)
                    serving_version(server, "gbt")
        finally:
            stop.touch()
            result = running.result()
        return result


# === overload ===


def _overload(bench: Bench, key: str, cpus: str) -> dict:
    """Far more than the capacity is offered: what is answered, how late, and what refusing costs."""
    workload = WORKLOADS[key]
    duration = max(3.0, bench.duration)
    with scratch() as folder, bench.candidate(workload, cpus, folder) as server:

        def offered(rate: float, connections: int = OVERLOAD_CONNECTIONS) -> dict:
            load = bench.load(
                workload, rate=rate, duration=duration, connections=connections
            )
            return bench.run(load, server)

        closed = median_of(offered(0.0, 8) for _ in range(min(3, bench.rounds)))
        capacity = closed["rps"]
        calm = offered(0.8 * capacity)
        levels = {}
        for factor in (2, 5, 10):
            if factor * capacity > OFFER_LIMIT:
                say(f"  {factor} x capacity is more than the generator can offer")
                continue
            say(f"  {factor} x capacity")
            levels[str(factor)] = offered(factor * capacity)
        time.sleep(2)
        recovered = offered(0.8 * capacity)
    return {
        "capacity": capacity,
        "calm": calm,
        "levels": levels,
        "recovered": recovered,
        "goodput": {
            key: round(level["rps"] / capacity, 3) for key, level in levels.items()
        },
        "rss_growth_kib": recovered["rss_kib"]["after"] - calm["rss_kib"]["before"],
        "errors": sum(failed(part) for part in (calm, *levels.values(), recovered)),
    }
