#!/usr/bin/env python3
"""The speed table of the trees engine: sidegate beside ONNX Runtime, TL2cgen, lleaves and the libraries themselves.

    loadtests/trees/run.py --quick            three models, a minute or two
    loadtests/trees/run.py                    every model, about 12 minutes
    loadtests/trees/run.py --help             the rest

Installs what it needs into the user's cache folder on first use. loadtests/README.md explains the table.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def environment() -> Path:
    """A Python environment with exactly the pinned packages; a change of them makes a new one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sidegate"
    key = "\0".join((sys.version, sys.executable, REQUIREMENTS.read_text()))
    folder = base / f"env-trees-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    whole = folder / "complete"  # written last
    if not whole.exists():
        print(f"making a Python environment in {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = "install --quiet --disable-pip-version-check --only-binary=:all: -r"
        pip = [folder / "bin" / "python", "-m", "pip"]
        subprocess.run([*pip, *install.split(), REQUIREMENTS], check=True)
        whole.touch()
    return folder


def main() -> None:
    python = str(environment() / "bin" / "python")
    # One thread for everyone, said before any of the libraries is loaded.
    single = {
        name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }  # fmt: skip
    path = {"PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [python, "-P", "-m", "trees.main", *sys.argv[1:]]
    os.execve(python, arguments, os.environ | single | path)


if __name__ == "__main__":
    main()
