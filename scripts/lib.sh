# shellcheck shell=bash
# What the scripts share. Whoever sources this is then in the root of the project.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
python=${PYTHON:-python3}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sidegate
export PIP_CACHE_DIR=$cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

needed() {
    command -v cargo >/dev/null || fail "there is no cargo: install the Rust toolchain"
    command -v "$python" >/dev/null || fail "there is no $python: install Python 3.11 or newer, or name it in PYTHON"
}

# environment NAME REQUIREMENTS: sets `env` to a Python environment with exactly these packages. Its folder is named
# after the interpreter and the packages, so a change makes a new one; the last thing written says that it is whole.
environment() {
    local name=$1 requirements=$2 key
    key=$("$python" - "$requirements" <<'END'
import hashlib, pathlib, sys, sysconfig

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; name another one in PYTHON")
what = (sys.version, sysconfig.get_platform(), sys.executable, pathlib.Path(sys.argv[1]).read_text())
print(hashlib.sha256("\0".join(what).encode()).hexdigest()[:12])
END
    )
    env=$cache/env-$name-$key
    [ ! -e "$env/complete" ] || return 0
    echo "making the Python environment $name"
    mkdir -p "$cache"
    (
        # Two runs at once must not build in the same place.
        if command -v flock >/dev/null; then flock 9; fi
        [ ! -e "$env/complete" ] || exit 0
        rm -rf "$env"
        "$python" -m venv "$env" || fail "no venv could be made (Debian: apt install python3-venv)"
        "$env/bin/python" -m pip install --quiet --only-binary=:all: --requirement "$requirements"
        touch "$env/complete"
    ) 9>"$cache/lock"
}
