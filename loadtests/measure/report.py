"""Tables for people, JSON for programs."""

import datetime
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path

from .programs import ROOT
from .targets import Verdict

STEADY_HEAD = (
    "row", "req/s", "bare hyper", "ratio",
    "p50 µs", "bare", "p99 µs", "bare", "p99.9 µs",
    "errors", "503", "CPU µs", "bare", "raw run", "ratio",
    "RSS MiB", "throttled", "others",
)  # fmt: skip


def render(results: list[dict], verdicts: list[Verdict], *, markdown: bool) -> str:
    """All tables of a run."""
    parts = []
    done = [result for result in results if "skipped" not in result]
    steady = [_steady_line(result) for result in done if "ratios" in result]
    if steady:
        parts.append(_table(STEADY_HEAD, steady, markdown=markdown))
    for kind, head, line in (
        ("start/", START_HEAD, _start_line),
        ("swap/", SWAP_HEAD, _swap_line),
    ):
        lines = [line(result) for result in done if result["row"].startswith(kind)]
        if lines:
            parts.append(_table(head, lines, markdown=markdown))
    overload = [
        line for result in done if result["row"].startswith("overload/")
        for line in _overload_lines(result)
    ]  # fmt: skip
    if overload:
        parts.append(_table(OVERLOAD_HEAD, overload, markdown=markdown))
    if verdicts:
        words = {True: "met", False: "MISSED", None: "not measured"}
        lines = [(v.name, v.bound, v.value, words[v.met]) for v in verdicts]
        parts.append(
            _table(("target", "bound", "measured", ""), lines, markdown=markdown)
        )
    skipped = [f"skipped {r['row']}: {r['skipped']}" for r in results if "skipped" in r]
    return "\n\n".join([*parts, *skipped])


def _steady_line(result: dict) -> tuple[str, ...]:
    mine, bare, ratios = result["candidate"], result["reference"], result["ratios"]
    throttled = mine.get("throttled") or {}
    others = max(mine["others_cpus"], bare["others_cpus"])
    late = "*" if mine["unsent"] else ""
    return (
        result["row"],
        _number(mine["rps"]), _number(bare["rps"]), _ratio(ratios["rps"]),
        _us(mine["p50_us"]), _us(bare["p50_us"]),
        _us(mine["p99_us"]) + late, _us(bare["p99_us"]), _us(mine["p999_us"]) + late,
        str(mine["errors"]["total"]), str(mine["shed"]["count"]),
        _us(mine.get("cpu_us_per_req")), _us(bare.get("cpu_us_per_req")),
        _us(result["raw_run_us"]), _ratio(ratios["cpu"]),
        _mib(mine["rss_kib"]["after"]),
        f"{throttled.get('throttled', '-')}/{throttled.get('periods', '-')}",
        f"{others:.2f}",
    )  # fmt: skip


START_HEAD = ("row", "first answer s", "RSS MiB then", "after load", "errors")


def _start_line(result: dict) -> tuple[str, ...]:
    rss = result["rss_kib"]
    return (
        result["row"],
        f"{result['first_answer_s']:.3f}",
        _mib(rss["first_answer"]),
        _mib(rss["after_load"]),
        str(result["errors"]),
    )


SWAP_HEAD = (
    "row", "offered/s", "swaps", "failed", "p99 µs before", "during", "after", "bare hyper",
    "during/before", "p99.9 during", "served after ms, p50", "max",
    "RSS MiB before", "peak", "after", "throttled before", "during",
)  # fmt: skip


def _swap_line(result: dict) -> tuple[str, ...]:
    before, during, rss = result["before"], result["during"], result["rss_kib"]
    return (
        result["row"],
        _number(result["rate"]),
        str(result["swaps"]),
        str(result["failed"]),
        *(
            _us(result[part]["p99_us"])
            for part in ("before", "during", "after", "reference")
        ),
        _ratio(result["p99_ratio"]),
        _us(during["p999_us"]),
        str(result["seen_after_ms"]["p50"]),
        str(result["seen_after_ms"]["max"]),
        *(_mib(rss[part]) for part in ("before", "peak", "after")),
        *(_throttled(part) for part in (before, during)),
    )


OVERLOAD_HEAD = (
    "row", "offered/s", "good/s", "of capacity", "503/s", "errors",
    "p50 µs", "p99 µs", "503: p99 µs", "CPU µs per answer", "RSS MiB", "unsent",
)  # fmt: skip


def _overload_lines(result: dict) -> list[tuple[str, ...]]:
    levels = {"80 %": result["calm"]}
    levels |= {f"{factor} x": level for factor, level in result["levels"].items()}
    levels["80 % again"] = result["recovered"]
    return [
        (
            f"{result['row']} {label}",
            _number(level["rate"]),
            _number(level["rps"]),
            _ratio(level["rps"] / result["capacity"]),
            _number(level["shed"]["count"] / level["seconds"]),
            str(level["errors"]["total"]),
            _us(level["p50_us"]),
            _us(level["p99_us"]),
            _us(level["shed"]["p99_us"]),
            _us(level.get("cpu_us_per_req")),
            _mib(level["rss_kib"]["after"]),
            str(level["unsent"]),
        )
        for label, level in levels.items()
    ]


def _throttled(part: dict) -> str:
    throttled = part.get("throttled") or {}
    return f"{throttled.get('throttled', '-')}/{throttled.get('periods', '-')}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _us(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mib(kib: float | None) -> str:
    return "-" if kib is None else f"{kib / 1024:.1f}"


def _table(
    head: tuple[str, ...], lines: list[tuple[str, ...]], *, markdown: bool
) -> str:
    if markdown:
        marks = ["---", *["---:"] * (len(head) - 1)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *lines))
    widths = [
        max(len(cell) for cell in column) for column in zip(head, *lines, strict=True)
    ]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *lines)
    )


def document(
    arguments: dict, profile: str, results: list[dict], verdicts: list[Verdict]
) -> dict:
    """Everything about a run, each single measurement included."""
    return {
        "format": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "profile": profile,
        "revision": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "arguments": arguments,
        "rows": results,
        "targets": [asdict(verdict) for verdict in verdicts],
    }


def machine() -> dict:
    """What the figures were taken on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    names = [
        line.split(":", 1)[1].strip()
        for line in cpuinfo
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
    }


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
