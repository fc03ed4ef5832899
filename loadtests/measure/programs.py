"""The programs and files a measurement needs: cargo's binaries, models, request bodies."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .rows import Workload

ROOT = Path(__file__).resolve().parents[2]
LOADTESTS = ROOT / "loadtests"

# When the files of a registry came to be, in seconds since 1970: long before any server starts.
PLACED = 1_700_000_000

# What `--server-cmd` may use in braces; the default is sidegate itself.
SIDEGATE_CMD = (
    "{bin}/sidegate serve --registry {registry} --http {http} --admin {admin}"
    " --uds {uds} --workers {workers} --engine {engine}"
)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sidegate"


@dataclass(frozen=True)
class Programs:
    """Where the binaries are, and how the candidate is started."""

    folder: Path
    server_cmd: str
    workers: int

    @property
    def loadgen(self) -> Path:
        return self.folder / "examples" / "loadgen"

    def candidate(
        self, *, registry: Path, uds: Path, engine: str, answer_bytes: int = 250
    ) -> list[str]:
        filled = self.server_cmd.format(
            bin=self.folder,
            registry=registry,
            http="127.0.0.1:0",
            admin="127.0.0.1:0",
            uds=uds,
            workers=self.workers,
            engine=engine,
            answer_bytes=answer_bytes,
        )
        return shlex.split(filled)

    def reference(self, *, uds: Path, answer_bytes: int) -> list[str]:
        program = self.folder / "examples" / "bare_hyper"
        arguments = ["--http", "127.0.0.1:0", "--uds", uds]
        return [
            str(part) for part in (program, *arguments, "--answer-bytes", answer_bytes)
        ]


def build(profile: str, *, sidegate: bool) -> None:
    """Builds what cargo builds; says nothing when it is up to date."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    examples = {example["name"] for example in manifest.get("example", [])}
    examples |= {file.stem for file in (ROOT / "examples").glob("*.rs")}
    command = ["cargo", "build", "--quiet", "--profile", profile]
    for name in ("loadgen", "bare_hyper", "raw_run"):
        if name in examples:
            command += ["--example", name]
    if sidegate:
        command += ["--bin", "sidegate"]
    say(f"building: {' '.join(command)}")
    subprocess.run(command, cwd=ROOT, check=True)


def target_folder(target_dir: Path | None, profile: str) -> Path:
    base = target_dir or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return base.resolve() / ("debug" if profile == "dev" else profile)


def raw_run(folder: Path, model: Path, rows: int, core: int | None) -> dict | None:
    """The engine alone, without HTTP: `{"engine", "p50_us", "mean_us"}`; None when it cannot be had."""
    program = folder / "examples" / "raw_run"
    if not program.exists():
        return None
    command = [str(program), str(model), "--rows", str(rows)]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        say(f"raw_run {model}: {done.stderr.strip()[-300:]}")
        return None
    return json.loads(done.stdout)


# === models and request bodies ===


@dataclass(frozen=True)
class Models:
    """The folder that make-models.py writes."""

    folder: Path

    def versions(self, model: str) -> list[Path]:
        """The model's files, by version."""
        folders = [
            path for path in (self.folder / model).iterdir() if path.name.isdigit()
        ]
        return [
            path / "model.onnx"
            for path in sorted(folders, key=lambda path: int(path.name))
        ]

    def body_file(self, workload: Workload) -> Path:
        return self.folder / workload.body

    def header_length(self, workload: Workload) -> int | None:
        if not workload.binary:
            return None
        beside = self.folder / f"{workload.body}.json"
        return json.loads(beside.read_text())["header_length"]

    def headers(self, workload: Workload) -> dict[str, str]:
        length = self.header_length(workload)
        if length is None:
            return {"Content-Type": "application/json"}
        return {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(length),
        }

    def registry(self, at: Path, model: str) -> Path:
        """A bare repository with version 1 of this model alone."""
        version = at / model / "1"
        version.mkdir(parents=True)
        file = version / "model.onnx"
        file.write_bytes(self.versions(model)[0].read_bytes())
        # As old as files are that were there before a pod started: what is younger than two seconds may still be
        # being written, and is looked at twice.
        os.utime(file, (PLACED, PLACED))
        return at


def models(folder: Path | None) -> Models:
    """The load-test models; made on first use, in an environment of their own."""
    if folder is not None:
        if not (folder / "gbt.json").exists():
            raise SystemExit(f"{folder} has no gbt.json: see loadtests/make-models.py")
        return Models(folder)
    folder = cache_dir() / "loadmodels"
    if not (folder / "encoder.json").exists():
        venv = cache_dir() / "loadtests-venv"
        say(f"making the models in {folder} (once; its packages go into {venv})")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "-r"]
        subprocess.run([*pip, str(LOADTESTS / "requirements.txt")], check=True)
        make = [str(venv / "bin" / "python"), str(LOADTESTS / "make-models.py")]
        # Standard output is for the figures.
        subprocess.run(
            [*make, "--out", str(folder), "--requests"], check=True, stdout=sys.stderr
        )
    return Models(folder)
