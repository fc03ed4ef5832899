"""sidegate's engines, timed in a process of their own: the cargo example `trees_timer`."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from measure.programs import ROOT, say, target_folder

from .catalog import Model
from .competitor import Competitor, Unfit

PROFILE = "dist"
# Without tract, which does not run trees and takes most of the time to compile.
BUILD = f"cargo build --quiet --locked --profile {PROFILE} --example trees_timer --no-default-features --features ort"


def timer() -> Path:
    return target_folder(None, PROFILE) / "examples" / "trees_timer"


def build() -> Path:
    """The timer, up to date."""
    say(f"building: {BUILD}")
    subprocess.run(BUILD.split(), cwd=ROOT, check=True)
    return timer()


def formats(timer: Path) -> list[str]:
    """Extensions of the files that sidegate loads."""
    done = subprocess.run([timer, "--formats"], capture_output=True, check=True)
    return json.loads(done.stdout)


class Timed(Competitor):
    """A process of the timer."""

    def __init__(
        self, model: Model, timer: Path, *, file: Path, engine: str, library: Path
    ) -> None:
        super().__init__(model)
        command = [timer, file, "--rows", model.rows_file, "--engine", engine]
        self.process = subprocess.Popen(
            [*command, "--onnxruntime", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._answer()
        except Unfit:
            self.close()
            raise

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise Unfit(self.process.stderr.read().strip()[-300:])
        answer = json.loads(line)
        if "error" in answer:
            raise Unfit(answer["error"])
        return answer

    def ask(self, command: str) -> dict:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def measure(self, rows: int, seconds: float) -> dict:
        return self.ask(f"run {rows} {seconds}")

    def load(self, repeats: int) -> dict:
        """What parsing and building take."""
        return self.ask(f"load {repeats}")

    def outputs(self, rows: int, count: int) -> np.ndarray:
        with tempfile.NamedTemporaryFile() as file:
            done = self.ask(f"outputs {rows} {count} {file.name}")
            return np.fromfile(file.name).reshape(done["rows"], -1)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()
        self.process.stderr.close()


class Trees(Timed):
    """Our engine, from the ONNX file."""

    column = "sidegate"

    def __init__(self, model: Model, timer: Path, library: Path) -> None:
        super().__init__(model, timer, file=model.onnx, engine="trees", library=library)


class Native(Timed):
    """Our engine, from the library's own file."""

    column = "sidegate, native file"

    def __init__(self, model: Model, timer: Path, library: Path) -> None:
        file = model.native
        if file is None or file.suffix[1:] not in formats(timer):
            raise Unfit("sidegate does not load this kind of file")
        super().__init__(model, timer, file=file, engine="trees", library=library)


class Ort(Timed):
    """ONNX Runtime as sidegate calls it."""

    column = "ONNX Runtime"
    variant = "engine `ort`"

    def __init__(self, model: Model, timer: Path, library: Path) -> None:
        super().__init__(model, timer, file=model.onnx, engine="ort", library=library)
