"""The targets of the project for these figures, and whether a run met them.

They hold on an otherwise idle machine for medians of interleaved runs; a missed target is a
fact to write down, not a failure of the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1024

GBT = "gbt-json/tcp/{}/free/closed"
GBT_UDS = "gbt-bin/uds/c8/free/closed"


@dataclass(frozen=True)
class Verdict:
    """One target against what was measured; `met` is None where nothing was."""

    name: str
    bound: str
    value: str
    met: bool | None


def judge(results: list[dict]) -> list[Verdict]:
    """Every target whose row was measured in this run."""
    by_name = {result["row"]: result for result in results if "skipped" not in result}
    return [*_steady(by_name), *_swaps(by_name), *_start(by_name), *_overload(by_name)]


def _at_most(name: str, value: float | None, bound: float, unit: str = "") -> Verdict:
    met = None if value is None else value <= bound
    return Verdict(name, f"<= {bound:g}{unit}", _show(value, unit), met)


def _at_least(name: str, value: float | None, bound: float) -> Verdict:
    met = None if value is None else value >= bound
    return Verdict(name, f">= {bound:g}", _show(value, ""), met)


def _show(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.4g}{unit}"


def _steady(results: dict[str, dict]) -> Iterator[Verdict]:
    for label, name in (("JSON, TCP", GBT.format("c8")), ("binary, UDS", GBT_UDS)):
        if row := results.get(name):
            ratios = row["ratios"]
            what = f"100 trees, {label}, 8 connections"
            yield _at_most(f"{what}: CPU / (bare hyper + raw run)", ratios["cpu"], 1.35)
            yield _at_least(f"{what}: req/s / bare hyper", ratios["rps"], 0.65)
            yield _at_least(
                f"{what}: req/s / bare hyper (stretch)", ratios["rps"], 0.75
            )
    if row := results.get(GBT_UDS):
        cpu = row["candidate"].get("cpu_us_per_req")
        name = "100 trees, binary, UDS, 8 connections: CPU per answer (stretch)"
        yield _at_most(name, cpu, 6.0, " µs")
    if row := results.get(GBT.format("c1")):
        extra = row["ratios"]["p50_extra_us"]
        name = "100 trees, JSON, 1 connection: p50 above bare hyper"
        yield _at_most(name, extra, 10.0, " µs")
    if row := results.get(GBT.format("c64")):
        ratios = row["ratios"]
        bound = max(3.0, 1.2 * (ratios["tail_reference"] or 0.0))
        name = "100 trees, JSON, 64 connections: p99 / p50"
        yield _at_most(name, ratios["tail"], round(bound, 2))
    for key, bound in (("mlp64-bin", 1.5), ("mlp64-json", 6.0)):
        if row := results.get(f"{key}/tcp/c8/free/closed"):
            name = f"64 x 784 ({key}): CPU / raw run"
            yield _at_most(name, row["ratios"]["cpu_over_raw"], bound)


def _swaps(results: dict[str, dict]) -> Iterator[Verdict]:
    for cpus in ("free", "q1", "q0.5"):
        row = results.get(f"swap/{cpus}")
        if row is None:
            continue
        what = f"{row['swaps']} swaps under load, {cpus}"
        yield _at_most(f"{what}: failed requests", row["failed"], 0)
        if cpus != "q0.5":  # reported, no target
            yield _at_most(f"{what}: p99 during / before", row["p99_ratio"], 1.5)
        growth = row["rss_growth_kib"] / MIB
        yield _at_most(f"{what}: RSS after - before", growth, 8.0, " MiB")
        seen = row["seen_after_ms"]["max"] / 1000
        yield _at_most(f"{what}: served after", seen, 3.0, " s")


def _start(results: dict[str, dict]) -> Iterator[Verdict]:
    for engine, seconds, mib in (("trees", 0.1, 15.0), ("ort", 0.3, 45.0)):
        if row := results.get(f"start/{engine}"):
            first = row["first_answer_s"]
            yield _at_most(f"start to first answer, {engine}", first, seconds, " s")
            rss = row["rss_kib"]["after_load"] / MIB
            yield _at_most(f"RSS with the 100-tree model, {engine}", rss, mib, " MiB")


def _overload(results: dict[str, dict]) -> Iterator[Verdict]:
    for name, row in results.items():
        if not name.startswith("overload/"):
            continue
        calm_p99 = (row["calm"]["p99_us"] or 0.0) / 1000
        allowed = round(max(2 * calm_p99, 25.0), 1)
        for factor, level in row["levels"].items():
            what = f"{name} at {factor} x capacity"
            bound = 0.95 if factor == "2" else 0.9
            yield _at_least(
                f"{what}: goodput / capacity", row["goodput"][factor], bound
            )
            p99 = _ms(level["p99_us"])
            yield _at_most(f"{what}: p99 of the admitted", p99, allowed, " ms")
            refused = _ms(level["shed"]["p99_us"])
            if refused is not None:
                yield _at_most(f"{what}: p99 of the refused", refused, 5.0, " ms")
        growth = row["rss_growth_kib"] / MIB
        yield _at_most(f"{name}: RSS after - before", growth, 64.0, " MiB")
        recovered = _ms(row["recovered"]["p99_us"])
        what = f"{name}: p99 at 80 % two seconds later"
        yield _at_most(what, recovered, allowed, " ms")


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1000
