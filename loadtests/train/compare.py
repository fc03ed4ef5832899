#!/usr/bin/env python3
"""`sidegate-train` beside Python (pandas with LightGBM, XGBoost and scikit-learn): whole processes, in turns.

    loadtests/train/compare.py                      every learner, both targets, five rounds: about half an hour
    loadtests/train/compare.py --quick              the builtin learner once
    loadtests/train/compare.py --learners lightgbm --targets arr_delay --rounds 3 --markdown table.md

Both sides read the same Parquet file (data.py), make the same features (hour, day of the week and month of the time, texts as
numbers), learn from the same rows with the same parameters and as many threads, and score the same test. Everything
else stays as each library has it. Ours is `sidegate-train run CONFIG --until evaluate`, which validates the data besides; intervals and
importance, which Python is not asked for, are left out unless --whole asks for them. builtin is compared with LightGBM.
Time and memory are those of the process from its start to its end (wait4). Python 3.11 or newer; what else it needs is
installed into the user's cache folder on first use.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"
ROWS = 327_346
SEED, TEST = 42, 0.2

TEXTS = "carrier tailnum origin dest manufacturer model".split()
NUMBERS = (
    "flight sched_dep_time sched_arr_time dep_delay distance temp dewp humid wind_dir wind_speed wind_gust precip pressure "
    "visib plane_year engines seats"
).split()
BOOSTING = {"n_estimators": 300, "learning_rate": 0.1, "num_leaves": 255, "min_child_samples": 20}
# Ours, theirs, parameters. XGBoost's trees have the depth that gives as many leaves.
LEARNERS = {
    "builtin": ("lightgbm", BOOSTING),
    "lightgbm": ("lightgbm", BOOSTING),
    "xgboost": ("xgboost", {"n_estimators": 300, "learning_rate": 0.1, "max_depth": 8}),
    "random_forest": ("random_forest", {"n_estimators": 50, "max_depth": 16, "max_features": 0.33}),
}
METRICS = {"arr_delay": "rmse", "delayed15": "auc"}
# Ours by theirs at most, and how much worse the metric may be.
WALL, MEMORY, BUILTIN_MEMORY, WORSE = 1.0, 0.6, 0.3, 0.002

CONFIG = """\
name = "compare"
target_column = "{target}"
task = "{task}"
seed = {seed}
threads = {threads}

[data]
source = "file"
path = "{data}"
columns = {columns}
limit = {rows}

[split]
test = {test}

[features.time]
type = "time_based"
date_column = "time_hour"

[features.texts]
type = "ordinal"
columns = {texts}
categorical = false

[model]
type = "{learner}"
params = {{ {params} }}
{library}

[evaluation]
{evaluation}

[registry]
url = "{models}"
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def environment():
    """The Python of an environment with exactly the pinned packages; a change of them makes a new one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sidegate"
    key = "\0".join((sys.version, sys.executable, REQUIREMENTS.read_text()))
    folder = base / f"env-train-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    whole = folder / "complete"  # written last
    if not whole.exists():
        say(f"making a Python environment in {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = "install --quiet --disable-pip-version-check --only-binary=:all: -r"
        subprocess.run([folder / "bin" / "python", "-m", "pip", *install.split(), REQUIREMENTS], check=True)
        whole.touch()
    return folder / "bin" / "python"


def build(profile):
    say(f"building sidegate-train ({profile})")
    cargo = ["cargo", "build", "--locked", "--profile", profile, "--features", "train", "--bin", "sidegate-train"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / profile / "sidegate-train"


def library(python, learner):
    """Both sides load the same library."""
    files = {"lightgbm": "lightgbm/lib/lib_lightgbm.so", "xgboost": "xgboost/lib/libxgboost.so"}
    if learner not in files:
        return ""
    (packages,) = python.parent.parent.glob("lib/python3*/site-packages")
    return f"library = {json.dumps(str(packages / files[learner]))}"


def measured(command, variables, log):
    """Runs a program: its standard output, and what it took. This process stays small, as part of its memory counts."""
    with open(f"{log}.out", "w+") as out, open(f"{log}.log", "w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors, env=os.environ | variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{errors.read()[-3000:]}\n{' '.join(map(str, command))} ended with {process.returncode}")
        out.seek(0)
        # Kilobytes on Linux.
        return out.read(), {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}


class Contest:
    """One learner and one target: ours and theirs."""

    def __init__(self, arguments, python, binary, learner, target):
        self.learner, self.target, self.metric = learner, target, METRICS[target]
        self.theirs, params = LEARNERS[learner]
        self.rows, self.python, self.binary = arguments.rows, python, binary
        self.folder = folder = arguments.folder / f"{learner}-{target}"
        (folder / "models").mkdir(parents=True, exist_ok=True)
        classes, data = target == "delayed15", str(arguments.data)
        job = {
            "data": data, "rows": self.rows, "columns": [*TEXTS, *NUMBERS], "time": "time_hour", "target": target,
            "classes": classes, "test": TEST, "seed": SEED, "threads": arguments.threads, "learner": self.theirs,
            "params": params, "parts": str(arguments.folder / "parts.npy"),
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(job))
        config = CONFIG.format(
            target=target, task="classification" if classes else "regression", seed=SEED, threads=arguments.threads,
            data=data, columns=json.dumps([*TEXTS, *NUMBERS, "time_hour"]), rows=self.rows, test=TEST,
            texts=json.dumps(TEXTS), learner=learner, params=", ".join(f"{k} = {v}" for k, v in params.items()),
            library=library(python, self.theirs) if learner == self.theirs else "",
            evaluation="" if arguments.whole else "resamples = 0\nexplained_rows = 0", models=folder / "models",
        )  # fmt: skip
        (folder / "config.toml").write_text(config)
        self.results = {"ours": [], "theirs": []}

    def round(self, threads):
        """Once each."""
        run = [self.binary, "run", self.folder / "config.toml", "--until", "evaluate", "--work", self.folder / "runs"]
        text, took = measured(run, {}, self.folder / "ours")
        took["metric"] = json.loads(text.splitlines()[-1])["metrics"][f"test_{self.metric}"]
        self.results["ours"].append(took)
        script = [self.python, HERE / "reference.py", self.folder / "job.json"]
        text, took = measured(script, {"OMP_NUM_THREADS": str(threads)}, self.folder / "theirs")
        told = json.loads(text.splitlines()[-1])
        took["metric"] = told["metric"]
        self.results["theirs"].append(took)
        split = self.split()
        if split != {part: told[part] for part in split}:
            sys.exit(f"the parts differ: {split} in sidegate-train, {told} in Python")

    def split(self):
        lines = (json.loads(line) for line in (self.folder / "ours.log").read_text().splitlines())
        line = next(line for line in lines if line.get("step") == "split")
        return {part: line[part] for part in ("train", "test")}

    def of(self, side, figure):
        return median(result[figure] for result in self.results[side])

    def ratio(self, figure):
        return self.of("ours", figure) / self.of("theirs", figure)

    def worse(self):
        """By what share ours is worse; negative: better."""
        change = self.ratio("metric") - 1
        return -change if self.metric == "auc" else change

    def missed(self):
        memory = BUILTIN_MEMORY if self.learner == "builtin" else MEMORY
        goals = ("wall time", self.ratio("wall"), WALL), ("peak memory", self.ratio("memory"), memory)
        missed = [f"{what} is {found:.2f} of theirs, the goal is {most}" for what, found, most in goals if found > most]
        if self.worse() > WORSE:
            missed.append(f"{self.metric} is {self.worse():.2%} worse, the goal is {WORSE:.1%}")
        return [f"{self.learner}, {self.target}: {text}" for text in missed]

    def cells(self):
        def shown(side, figure, scale, digits):
            values = [result[figure] / scale for result in self.results[side]]
            return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"

        yield from (self.target, self.learner, self.theirs)
        for figure, scale, digits in (("wall", 1, 2), ("cpu", 1, 2), ("memory", 1 << 20, 0)):
            yield from (shown("ours", figure, scale, digits), shown("theirs", figure, scale, digits))
            yield f"{self.ratio(figure):.2f}"
        yield from (f"{self.metric} {self.of('ours', 'metric'):.4f}", f"{self.of('theirs', 'metric'):.4f}")
        yield f"{self.worse():+.2%}"


HEADER = (
    "target", "ours", "theirs", "wall s, ours", "theirs", "ratio", "CPU s, ours", "theirs", "ratio",
    "peak MiB, ours", "theirs", "ratio", "metric, ours", "theirs", "worse by",
)  # fmt: skip


def table(contests):
    lines = [HEADER, ["---"] * len(HEADER), *(contest.cells() for contest in contests)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--learners", metavar="NAME,NAME", default=",".join(LEARNERS), help="(default: %(default)s)")
    add("--targets", metavar="NAME,NAME", default=",".join(METRICS), help="(default: %(default)s)")
    add("--rounds", type=int, help="how often each runs (default 5, quick 1)")
    add("--quick", action="store_true", help="a smoke check: builtin on arr_delay, once")
    add("--rows", type=int, default=ROWS, metavar="N", help="only the first rows (default: all)")
    add("--threads", type=int, default=2, help="threads of both sides (default 2)")
    add("--whole", action="store_true", help="with the intervals and importance of ours")
    add("--binary", type=Path, help="a sidegate-train that is there already")
    add("--profile", default="release", help="how it is built otherwise; dist for what is published (default release)")
    add("--data", type=Path, help="a file such as data.py writes (default: made in target/train-data)")
    add("--json", type=Path, metavar="FILE", help="write everything measured")
    add("--markdown", type=Path, metavar="FILE", help="write the table there as well")
    add("--strict", action="store_true", help="exit with 1 where a goal is missed")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.learners, arguments.targets = "builtin", "arr_delay"
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    for given, known in ((arguments.learners, LEARNERS), (arguments.targets, METRICS)):
        if strange := [name for name in given.split(",") if name not in known]:
            parser.error(f"there is no {strange[0]}; there are {', '.join(known)}")
    arguments.folder = ROOT / "target" / "train-compare"
    return arguments


def main():
    arguments = parse()
    python = environment()
    binary = (arguments.binary or build(arguments.profile)).resolve()
    if arguments.data is None:
        arguments.data = ROOT / "target" / "train-data" / "flights.parquet"
        subprocess.run([python, HERE / "data.py", arguments.data.parent, "--parquet"], check=True, stdout=sys.stderr)
    arguments.data = arguments.data.resolve()
    contests = [
        Contest(arguments, python, binary, learner, target)
        for target in arguments.targets.split(",")
        for learner in arguments.learners.split(",")
    ]
    subprocess.run([python, HERE / "reference.py", contests[0].folder / "job.json", "parts"], check=True)
    for contest in contests:
        for number in range(1, arguments.rounds + 1):
            say(f"{contest.learner}, {contest.target}: round {number} of {arguments.rounds}")
            contest.round(arguments.threads)
    text = table(contests)
    missed = [line for contest in contests for line in contest.missed()]
    verdict = "\n".join(missed) or "every goal is met"
    about = f"{arguments.rows} rows, {arguments.threads} threads, median (least–most) of {arguments.rounds} rounds"
    print(f"{about}\n\n{text}\n\n{verdict}")
    if arguments.markdown:
        arguments.markdown.write_text(f"{text}\n")
    if arguments.json:
        results = [{"learner": c.learner, "target": c.target, **c.results} for c in contests]
        arguments.json.write_text(json.dumps({"about": about, "results": results, "missed": missed}, indent=1) + "\n")
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
