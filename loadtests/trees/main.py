"""The conductor: makes the models, lets everyone run in turns, prints the table. Started by run.py."""

import argparse
import json
import os
import re
import shutil
import signal
import sys
from importlib import metadata
from pathlib import Path

from measure import report as documents
from measure.programs import say

from . import catalog, compiled, report, sidegate
from .race import Race
from .targets import judge

ROWS = (1, 8, 64, 1000)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="loadtests/trees/run.py", description=__doc__.split(".")[0]
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few models, short runs: a smoke check")
    add("--models", metavar="REGEX", help="only models whose name matches")
    add("--rows", metavar="N,N", help="rows per call (default 1,8,64,1000)")
    add("--rounds", type=int, help="interleaved repeats (default 7, quick 3)")
    add("--slice", type=float, help="seconds per measurement (default 0.1, quick 0.05)")
    add(
        "--same-row",
        action="store_true",
        help="one row over and over, instead of thousands in turn",
    )
    add(
        "--least",
        action="store_true",
        help="the least time of each measurement instead of its median: for a machine that is busy",
    )
    add("--without", metavar="REGEX", help="leave competitors out, like TL2cgen")
    add("--core", type=int, help="processor to run on (default: the last one)")
    add("--json", type=Path, metavar="FILE", help="write everything measured")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there as well")
    add("--no-build", action="store_true", help="take the timer as it is")
    add("--prepare", action="store_true", help="make and compile everything, and stop")
    add("--fresh", action="store_true", help="make and compile everything anew")
    add("--list", action="store_true", help="print the models and stop")
    return parser.parse_args()


def chosen(arguments: argparse.Namespace) -> list[catalog.Entry]:
    if arguments.models:
        found = [e for e in catalog.ENTRIES if re.search(arguments.models, e.name)]
        return found or sys.exit("no model matches; --list shows their names")
    return [e for e in catalog.ENTRIES if e.quick or not arguments.quick]


def settings(arguments: argparse.Namespace) -> dict[str, str]:
    """What bears on the figures."""
    keys = (
        "quick",
        "same_row",
        "least",
        "without",
        "models",
        "rows",
        "rounds",
        "slice",
    )
    given = {key.replace("_", "-"): getattr(arguments, key) for key in keys}
    return {
        key: "" if value is True else str(value)
        for key, value in given.items()
        if value
    }


def peers() -> dict[str, str]:
    """Versions of everyone who took part."""
    names = "onnxruntime tl2cgen treelite lleaves llvmlite lightgbm xgboost-cpu scikit-learn"
    versions = {name: metadata.version(name) for name in names.split()}
    return versions | {"cc": compiled.compiler()}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    entries = chosen(arguments)
    if arguments.list:
        print("\n".join(f"{e.name:14} {e.title}" for e in entries))
        return 0
    if arguments.fresh:
        shutil.rmtree(catalog.store(), ignore_errors=True)
    quick = arguments.quick
    race = Race(
        timer=sidegate.timer() if arguments.no_build else sidegate.build(),
        sizes=[int(n) for n in arguments.rows.split(",")] if arguments.rows else [*ROWS],
        rounds=arguments.rounds or (3 if quick else 7),
        seconds=arguments.slice or (0.05 if quick else 0.1),
        figure="min_ns" if arguments.least else "median_ns",
        without=arguments.without,
    )  # fmt: skip
    # Everything that is made or compiled, before anything is timed.
    models = [catalog.get(entry, same_row=arguments.same_row) for entry in entries]
    for model in models:
        race.prepare(model)
    if arguments.prepare:
        return 0
    core = max(os.sched_getaffinity(0)) if arguments.core is None else arguments.core
    os.sched_setaffinity(0, {core})
    results = []
    try:
        for model in models:
            results.append(race.run(model))
    except KeyboardInterrupt:
        say("interrupted: what was measured follows")
    verdicts = judge(results)
    document = documents.document(
        settings(arguments), sidegate.PROFILE, results, verdicts
    )
    document["peers"] = peers()
    text = report.render(document)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    wrong = [line for result in results for line in report.wrong(result)]
    for line in wrong:
        say(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
