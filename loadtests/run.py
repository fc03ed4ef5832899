#!/usr/bin/env python3
"""Measure sidegate beside a bare hyper server and the engine's raw run, and check the targets.

    loadtests/run.py                          every standard row (about 45 minutes)
    loadtests/run.py --quick                  the rows that the targets name (about 3 minutes)
    loadtests/run.py --rows '^gbt-json/uds'   some rows; --list shows their names
    loadtests/run.py --out run.json --markdown > run.md

Tables go to standard output, progress to standard error. The exit code is 1 when answers were
wrong or missing, never because something was slow. loadtests/README.md explains rows and columns.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from measure import programs, report, rows, special, steady, targets
from measure.bench import Bench
from measure.generator import Cores
from measure.programs import Programs, say


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", metavar="REGEX", help="only rows whose name matches")
    add("--all", action="store_true", help="choose from every combination")
    add("--list", action="store_true", help="print the names of the rows and stop")
    add(
        "--quick",
        action="store_true",
        help="short runs, without --rows few rows: a smoke check",
    )
    add("--rounds", type=int, help="interleaved repeats (default 5, quick 3)")
    add("--duration", type=float, help="seconds per measurement (default 2, quick 1)")
    add("--swaps", type=int, help="swaps per swap row (default 200, quick 10)")
    add("--workers", type=int, default=1, help="sidegate's --workers (default 1)")
    add("--models", type=Path, metavar="DIR", help="what make-models.py wrote")
    add("--profile", default="release", help="cargo profile (published figures: dist)")
    add("--target-dir", type=Path, metavar="DIR", help="cargo's target folder")
    add("--no-build", action="store_true", help="take the binaries as they are")
    add(
        "--server-cmd",
        metavar="CMD",
        help=f"the candidate; default: {programs.SIDEGATE_CMD}",
    )
    add("--out", type=Path, metavar="FILE.json", help="write everything measured")
    add("--markdown", action="store_true", help="tables in Markdown")
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> Bench:
    if not arguments.no_build:
        programs.build(arguments.profile, sidegate=arguments.server_cmd is None)
    quick = arguments.quick
    bench = Bench(
        programs=Programs(
            programs.target_folder(arguments.target_dir, arguments.profile),
            arguments.server_cmd or programs.SIDEGATE_CMD,
            arguments.workers,
        ),
        models=programs.models(arguments.models),
        cores=Cores.of_this_machine(),
        rounds=arguments.rounds or (3 if quick else 5),
        duration=arguments.duration or (1.0 if quick else 2.0),
        warmup=0.3 if quick else 0.5,
        swaps=arguments.swaps or (10 if quick else 200),
    )
    if not bench.programs.loadgen.exists():
        raise SystemExit(
            f"{bench.programs.loadgen} is missing: build the examples first"
        )
    if bench.cores.server is None:
        say("one processor only: nothing is pinned, and the figures mean little")
    return bench


def measure(bench: Bench, chosen: list[rows.Row], names: list[str]) -> list[dict]:
    """All results so far, even when interrupted."""
    results: list[dict] = []
    try:
        for name in names:
            results.append(special.measure(bench, name))
        # One by one: an interrupt keeps those before it.
        results.extend(steady.measure(bench, chosen))
    except KeyboardInterrupt:
        say("interrupted: what was measured follows")
    return results


def wrong_answers(results: list[dict]) -> list[str]:
    """Rows that failed, or had wrong or missing answers; refusals count only during swaps."""
    wrong = []
    for result in results:
        if "skipped" in result:
            if result["failed"]:
                wrong.append(f"{result['row']}: not measured")
            continue
        if result["row"].startswith("swap/"):
            bad = result.get("failed", 0) + result.get("errors", 0)
        elif "candidate" in result:
            bad = result["candidate"]["errors"]["total"]
        else:
            bad = result.get("errors", 0)
        if bad:
            wrong.append(f"{result['row']}: {bad} failed answers")
    return wrong


def main() -> int:
    # So that servers are stopped when this program is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    chosen, names = rows.choose(
        arguments.rows, everything=arguments.all, quick=arguments.quick
    )
    if arguments.list:
        print("\n".join([*names, *(row.name for row in chosen)]))
        return 0
    if not chosen and not names:
        say("no row matches")
        return 2
    results = measure(prepare(arguments), chosen, names)
    verdicts = targets.judge(results)
    print(report.render(results, verdicts, markdown=arguments.markdown))
    if arguments.out:
        settings = {key: str(value) for key, value in vars(arguments).items() if value}
        content = report.document(settings, arguments.profile, results, verdicts)
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    wrong = wrong_answers(results)
    for line in wrong:
        say(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
