"""The targets of the speed table, and which rows met them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from measure.targets import Verdict

# What a load costs beside the nodes is not what this bound is about.
LARGE = 5_000


@dataclass(frozen=True)
class Target:
    name: str
    bound: float
    stretch: float | None
    # Name and value of everything it speaks of.
    values: Callable[[dict], Iterable[tuple[str, float]]]


def _over_ort(rows: int) -> Callable[[dict], Iterable[tuple[str, float]]]:
    def values(result: dict) -> Iterable[tuple[str, float]]:
        for line in result["rows"]:
            if line["rows"] == rows:
                yield result["model"], line["over_ort"]["median"]

    return values


def _over_compiled(key: str) -> Callable[[dict], Iterable[tuple[str, float]]]:
    def values(result: dict) -> Iterable[tuple[str, float]]:
        for line in result["rows"]:
            if line[key] is not None:
                yield f"{result['model']}/{line['rows']}", line[key]["median"]

    return values


def _load(result: dict) -> Iterable[tuple[str, float]]:
    for name, load in result["loads"].items():
        if result["nodes"] >= LARGE:
            file = " native" if "native" in name else ""
            yield result["model"] + file, per_100k(load, result["nodes"])


def per_100k(load: dict, nodes: int) -> float:
    """Milliseconds to parse and build, for 100,000 nodes."""
    return (load["parse_ms"] + load["build_ms"]) / nodes * 1e5


TARGETS = (
    Target("one row / ONNX Runtime", 0.35, 0.25, _over_ort(1)),
    Target("64 rows / ONNX Runtime", 0.6, 0.4, _over_ort(64)),
    Target("any rows / best compiled peer", 1.2, None, _over_compiled("over_compiled")),
    Target(
        "the same, from the native file",
        1.2,
        None,
        _over_compiled("native_over_compiled"),
    ),
    Target("parse and build, ms per 100,000 nodes", 50, None, _load),
)


def judge(results: list[dict]) -> list[Verdict]:
    verdicts = []
    for target in TARGETS:
        values = [pair for result in results for pair in target.values(result)]
        if not values:
            verdicts.append(
                Verdict(target.name, f"≤ {target.bound:g}", "not measured", None)
            )
            continue
        values.sort(key=lambda pair: -pair[1])
        met = sum(value <= target.bound for _, value in values)
        text = f"{met} of {len(values)}"
        bound = f"≤ {target.bound:g}"
        if target.stretch is not None:
            bound += f" (stretch {target.stretch:g})"
            reached = sum(value <= target.stretch for _, value in values)
            text += f" (stretch {reached})"
        worst = [f"{name} {value:.2f}" for name, value in values]
        missed = len(values) - met
        text += (
            f"; {'missed' if missed else 'worst'}: {', '.join(worst[: max(missed, 1)])}"
        )
        verdicts.append(Verdict(target.name, bound, text, met == len(values)))
    return verdicts
