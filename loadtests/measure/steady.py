"""The rows of one load on one server, with the reference beside it."""

import contextlib
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from .bench import NOT_MEASURED, Bench, lasting_part, not_measured
from .generator import Load, median_of
from .programs import raw_run, say
from .rows import Row
from .servers import Server, scratch

# Share of the measured capacity that an open-loop row offers.
OPEN_SHARE = 0.7


def measure(bench: Bench, rows: Iterable[Row]) -> Iterator[dict]:
    """Results in the order of the rows; a row that cannot be measured says why."""
    capacity: dict[str, float] = {}
    for _, group in groupby(rows, key=lambda row: (row.workload.key, row.cpus)):
        todo = list(group)
        try:
            for result in _group(bench, list(todo), capacity):
                todo.pop(0)
                yield result
        except NOT_MEASURED as error:
            yield from (not_measured(row.name, error) for row in todo)


def _group(bench: Bench, rows: list[Row], capacity: dict[str, float]) -> Iterator[dict]:
    """Rows that share model, request and quota share their two servers."""
    workload, cpus = rows[0].workload, rows[0].cpus
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        candidate = stack.enter_context(bench.candidate(workload, cpus, folder))
        answer = bench.sample_answer(workload, candidate)
        reference = stack.enter_context(bench.reference(len(answer.body), cpus, folder))
        expected = lasting_part(answer)
        expect_file = None
        if expected is not None:
            expect_file = folder / "expected"
            expect_file.write_bytes(expected)
        raws: list[dict] = []
        for row in rows:
            say(row.name)
            rate = 0.0
            if row.loop == "open":
                rate = OPEN_SHARE * _capacity(bench, row, candidate, capacity)
            load = bench.row_load(row, rate)
            runs = _interleave(
                bench,
                load,
                replace(load, expect_body=expect_file),
                reference,
                candidate,
            )
            raw = raw_run(
                bench.programs.folder,
                bench.models.versions(workload.model)[0],
                workload.rows,
                bench.cores.server,
            )
            raws += [raw] if raw else []
            result = _result(row, runs, raws)
            if row.loop == "closed":
                capacity[row.name] = result["candidate"]["rps"]
            yield result


def _interleave(
    bench: Bench, plain: Load, checked: Load, reference: Server, candidate: Server
) -> list[tuple[dict, dict]]:
    """A B A B …: whatever the machine does meanwhile, it does to both."""
    return [
        (bench.run(plain, reference), bench.run(checked, candidate))
        for _ in range(bench.rounds)
    ]


def _capacity(
    bench: Bench, row: Row, candidate: Server, known: dict[str, float]
) -> float:
    if row.closed_twin not in known:
        known[row.closed_twin] = bench.run(bench.row_load(row, 0.0), candidate)["rps"]
    return known[row.closed_twin]


def _result(row: Row, runs: list[tuple[dict, dict]], raws: list[dict]) -> dict:
    reference = median_of(run[0] for run in runs)
    candidate = median_of(run[1] for run in runs)
    raw = statistics.median(raw["mean_us"] for raw in raws) if raws else None
    return {
        "row": row.name,
        "reference": reference,
        "candidate": candidate,
        "raw_run_us": raw,
        "raw_engine": raws[0]["engine"] if raws else None,
        "ratios": ratios(reference, candidate, raw),
        "runs": runs,
    }


def ratios(reference: dict, candidate: dict, raw_us: float | None) -> dict:
    """The figures that the targets are about."""

    def over(upper: float | None, lower: float | None) -> float | None:
        return round(upper / lower, 3) if upper is not None and lower else None

    def less(upper: float | None, lower: float | None) -> float | None:
        return None if upper is None or lower is None else round(upper - lower, 1)

    cpu, bare_cpu = candidate.get("cpu_us_per_req"), reference.get("cpu_us_per_req")
    floor = None if raw_us is None or bare_cpu is None else bare_cpu + raw_us
    return {
        "rps": over(candidate["rps"], reference["rps"]),
        "cpu_floor_us": None if floor is None else round(floor, 2),
        "cpu": over(cpu, floor),
        "cpu_over_raw": over(cpu, raw_us),
        "p50_extra_us": less(candidate["p50_us"], reference["p50_us"]),
        "tail": over(candidate["p99_us"], candidate["p50_us"]),
        "tail_reference": over(reference["p99_us"], reference["p50_us"]),
    }
