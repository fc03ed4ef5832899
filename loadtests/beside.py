#!/usr/bin/env python3
"""Measure what experiments and monitoring take of the processor, beside a gateway without them.

    loadtests/beside.py                      off, drift, experiment, both: about 4 minutes
    loadtests/beside.py --profile dist               of the profile that is deployed
    loadtests/beside.py --rounds 40 --rate 10000

Every server is pinned to the first core and asked 20,000 times a second from the second one, one
server after the other, round by round. Processor time is that of the server's threads by the
kernel's own count (/proc/PID/task/*/schedstat), by answer; ratios are medians over the rounds of
pairs. The figure of a single round is good to a tenth, the median to a few hundredths.

It needs `cargo build --release --bins --example loadgen`, for what is deployed also
`cargo build --profile dist --bins`, and two cores.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "flight-delay"
EXPERIMENT = f"""
[experiments.e]
model = "{MODEL}"
unit = "header:x-user"
default = "a"
variants = {{ a = "1", b = "2" }}
metric = "squared_error"
"""
CASES = {
    "off": "monitor.drift = false\n",
    "drift": "monitor.drift = true\n",
    "experiment": "monitor.drift = false\n" + EXPERIMENT,
    "both": "monitor.drift = true\n" + EXPERIMENT,
}
ROW = [6.0, 760.0, 152.0, 18.0, 6.0, 12.65858, 0.0, 5.0]


class Server:
    """A sidegate on the first core."""

    def __init__(self, folder: Path, name: str, profile: str) -> None:
        config = folder / f"{name}.toml"
        config.write_text(f'registry.url = "{folder / "models"}"\n{CASES[name]}')
        ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        binary = ROOT / "target" / profile / "sidegate"
        command = ["taskset", "-c", "0", str(binary), "serve", "--config", str(config)]
        self.process = subprocess.Popen(
            [*command, *ports], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        listening = self.process.stdout.readline().split()[1:]
        self.http = dict(word.split("=", 1) for word in listening)["http"]

    def threads(self) -> dict[str, int]:
        """Nanoseconds that each thread has run."""
        found: dict[str, int] = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            ran = int((task / "schedstat").read_text().split()[0])
            found[name] = found.get(name, 0) + ran
        return found

    def measure(self, args: argparse.Namespace, body: Path) -> dict[str, float]:
        """Microseconds of an answer, thread by thread."""
        url = f"http://{self.http}/v2/models/{MODEL}/infer"
        loadgen = ROOT / "target" / "release" / "examples" / "loadgen"
        command = ["taskset", "-c", "1", str(loadgen), "--url", url]
        command += ["--body", str(body), "-c", "8", "--rate", str(args.rate), "--header", "x-user: user-1"]
        command += ["--duration", str(args.duration), "--warmup", "0"]
        before = self.threads()
        answers = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        after = self.threads()
        if answers["errors"]["total"] or not answers["requests"]:
            raise SystemExit(f"answers were wrong: {answers}")
        return {
            name: (after[name] - before.get(name, 0)) / answers["requests"] / 1000
            for name in after
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--duration", type=float, default=1.5, help="seconds of a round")
    parser.add_argument("--rate", type=int, default=20_000, help="requests per second")
    parser.add_argument("--profile", default="release", help="cargo profile of the servers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shipped = ROOT / "models" / MODEL / "1" / "model.onnx"
        for version in "12":
            place = folder / "models" / MODEL / version
            place.mkdir(parents=True)
            shutil.copy(shipped, place)
        body = folder / "body.json"
        tensor = {"name": "input", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
        body.write_text(json.dumps({"inputs": [tensor]}))
        servers = {case: Server(folder, case, args.profile) for case in CASES}
        try:
            report(servers, args, body)
        finally:
            for server in servers.values():
                server.process.terminate()


def report(servers: dict[str, Server], args: argparse.Namespace, body: Path) -> None:
    """Goes round, then prints a table."""
    time.sleep(2)
    for server in servers.values():
        server.measure(args, body)
    rounds = []
    for number in range(args.rounds):
        # Whoever comes after a pause has it easier or harder: everybody comes first in turn.
        turn = number % len(servers)
        order = [*list(servers)[turn:], *list(servers)[:turn]]
        rounds.append({case: servers[case].measure(args, body) for case in order})
    print("| | CPU us per answer | ratio | worker | monitor |\n|---|---|---|---|---|")
    for case in servers:
        total = [sum(one[case].values()) for one in rounds]
        off = [sum(one["off"].values()) for one in rounds]
        middle = statistics.median
        ratio = middle(mine / plain for mine, plain in zip(total, off, strict=True))
        worker, monitor = (middle(one[case][thread] for one in rounds) for thread in ("worker-0", "monitor"))
        print(f"| {case} | {middle(total):.2f} | {ratio:.3f} | {worker:.2f} | {monitor:.2f} |")


if __name__ == "__main__":
    main()
