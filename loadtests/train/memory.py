#!/usr/bin/env python3
"""How much memory `sidegate-train` takes for data four times as large as `data.memory_limit`.

    loadtests/train/memory.py                       1 GiB of Parquet, memory_limit = 256, a quarter of an hour with the dev build
    loadtests/train/memory.py --mib 256 --limit 64  less of everything
    loadtests/train/memory.py --binary PATH         a sidegate-train that is there already

The rows are those of data.py, repeated with noise (numbers by a hundredth of their deviation, times by up to a week), until
the files hold as much as asked for: plain Parquet, neither compressed nor with dictionaries, so that they are about as
large in memory. They are read in the order of their dates (`order = "date"`), which sorts all of them at each pass. The
peak is that of the process's resident memory (VmHWM), read after each step; it may be twice the limit, and the matrix of
bins besides, a byte for each feature of each row that is learned from. Needs Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import NUMBERS, TEXTS, build, environment, say

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = 42
# Copies of the flights to a file.
COPIES = 4

CONFIG = """\
name = "memory"
target_column = "arr_delay"
seed = {seed}
threads = {threads}

[data]
source = "file"
path = "{data}"
date_column = "time_hour"
order = "date"
columns = {columns}
memory_limit = {limit}
temp_dir = "{temp}"

[features.time]
type = "time_based"
date_column = "time_hour"

[model]
type = "{learner}"
params = {{ n_estimators = {trees}, num_leaves = 63 }}
{library}

[registry]
url = "{models}"
"""


def make(folder, mib):
    """Files of so many MiB; runs with pyarrow."""
    import numpy
    import pyarrow
    from pyarrow import parquet

    subprocess.run([sys.executable, HERE / "data.py", ROOT / "target" / "train-data", "--parquet"], check=True)
    table = parquet.read_table(ROOT / "target" / "train-data" / "flights.parquet")
    table = table.select(["time_hour", *TEXTS, *NUMBERS, "arr_delay"])
    random = numpy.random.default_rng(SEED)

    def noisy(name):
        column = table.column(name)
        if name in TEXTS:
            return column
        if name == "time_hour":
            shift = random.integers(0, 7 * 86_400_000, len(column))
            return pyarrow.array(column.to_numpy().astype("int64") + shift).cast(column.type)
        values = column.to_numpy().astype("float64")
        noise = random.normal(scale=numpy.nanstd(values) / 100, size=len(values))
        return pyarrow.array(values + noise, from_pandas=True)

    written, number = 0, 0
    while written < mib << 20:
        path, writer = folder / f"part-{number:02}.parquet", None
        for _ in range(COPIES):
            copy = pyarrow.table({name: noisy(name) for name in table.column_names})
            writer = writer or parquet.ParquetWriter(path, copy.schema, compression="none", use_dictionary=False)
            writer.write_table(copy)
            if path.stat().st_size + written >= mib << 20:
                break
        writer.close()
        written, number = written + path.stat().st_size, number + 1


def resident(pid):
    """The most that was resident since the last time this was asked, in bytes."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
                return int(line.split()[1]) << 10
    except OSError:
        pass  # it has ended
    return 0


def run(binary, config):
    """Runs a training; what each step took and what was told of it."""
    command = [binary, "run", config]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDEGATE_")}
    process = subprocess.Popen(command, cwd=config.parent, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    steps, peak = [], 0
    for line in process.stderr:
        peak = max(peak, resident(process.pid))
        try:
            told = json.loads(line)
        except ValueError:
            say(line.decode(errors="replace").rstrip())
            continue
        if "seconds" in told:
            steps.append({**told, "peak": peak})
            say(f"{told['step']:<9} {peak >> 20:5} MiB  {told['seconds']:7.1f} s  {told['message']}")
            peak = 0
        elif told.get("message") not in ("rows", "round") and "rounds_per_second" not in told:
            say(f"{told.get('step')}: {told.get('message')}")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"memory.py: {' '.join(map(str, command))} ended with {process.returncode}")
    return steps, max([usage.ru_maxrss << 10, *(step["peak"] for step in steps)])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--mib", type=int, default=1024, help="of data (default 1024)")
    add("--limit", type=int, default=256, help="data.memory_limit, in MiB (default 256)")
    add("--trees", type=int, default=50, help="(default 50)")
    add("--threads", type=int, default=2, help="(default 2)")
    add("--learner", choices=("builtin", "lightgbm"), default="builtin", help="(default builtin)")
    add("--library", type=Path, help="the learner's library (default: where it is found)")
    add("--binary", type=Path, help="a sidegate-train that is there already")
    add("--profile", default="release", help="how it is built otherwise (default release)")
    add("--folder", type=Path, help="where data is kept (default: a temporary folder)")
    add("--make", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse()
    if arguments.make:
        return make(arguments.make, arguments.mib)
    python = environment()
    binary = (arguments.binary or build(arguments.profile)).resolve()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        work = Path(temporary)
        data = arguments.folder / "data" if arguments.folder else work / "data"
        if not data.exists():
            data.mkdir(parents=True)
            say(f"making {arguments.mib} MiB of rows")
            subprocess.run([python, __file__, "--make", data, "--mib", str(arguments.mib)], check=True)
        (work / "models").mkdir()
        config = work / "train.toml"
        values = {
            "data": data, "limit": arguments.limit, "temp": work / "temp", "models": work / "models", "seed": SEED,
            "threads": arguments.threads, "columns": json.dumps(["time_hour", *TEXTS, *NUMBERS]),
            "learner": arguments.learner, "trees": arguments.trees,
            "library": f"library = {json.dumps(str(arguments.library.resolve()))}" if arguments.library else "",
        }  # fmt: skip
        config.write_text(CONFIG.format(**values))
        began = time.monotonic()
        steps, peak = run(binary, config)
        wall = time.monotonic() - began
        told = {step["step"]: step for step in steps}
        size = sum(path.stat().st_size for path in data.iterdir())
    bins = told["split"]["train"] * told["features"]["features"]
    most = (2 * arguments.limit << 20) + bins
    print(f"{size >> 20} MiB of Parquet, memory_limit = {arguments.limit} MiB, {told['validate']['rows']} rows, {wall:.0f} s")
    print(f"peak resident memory {peak >> 20} MiB; at most {most >> 20} MiB: twice the limit, and {bins >> 20} MiB of bins")
    for step in steps:
        print(f"  {step['step']:<9} {step['peak'] >> 20:5} MiB")
    return 0 if peak <= most else 1


if __name__ == "__main__":
    sys.exit(main())
