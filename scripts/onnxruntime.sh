#!/bin/sh
# Fetch the ONNX Runtime library that sidegate loads at run time.
set -eu

version=1.32.0
library=libonnxruntime.so.$version
python=${PYTHON:-python3}

usage() {
    cat <<EOF
Usage: scripts/onnxruntime.sh [--arch ARCH] [DEST_DIR]

Downloads the ONNX Runtime $version wheel with pip, checks its SHA-256, and puts the
library and its licences into DEST_DIR (default: lib/, one of the places where sidegate
looks). Does nothing when the right library is already there.

  --arch ARCH  x86_64 or aarch64 (default: this machine's)
  -h, --help   this text

PYTHON names the interpreter whose pip is used (default: python3).

Example:
  scripts/onnxruntime.sh && cargo run --release
EOF
}

fail() {
    printf 'onnxruntime.sh: %s\n' "$*" >&2
    exit 1
}

digest() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d ' ' -f 1
    else
        shasum -a 256 "$1" | cut -d ' ' -f 1
    fi
}

# check FILE EXPECTED: a file that is not the pinned one is never used.
check() {
    actual=$(digest "$1")
    [ "$actual" = "$2" ] || fail "${1##*/} has SHA-256 $actual, expected $2: not installed"
}

system=$(uname -s)
arch=$(uname -m)
destination=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --arch)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            arch=$2
            system=Linux # an explicit choice: fetched for another machine
            shift
            ;;
        -* | '')
            usage >&2
            exit 2
            ;;
        *)
            [ -z "$destination" ] || { usage >&2; exit 2; }
            destination=$1
            ;;
    esac
    shift
done
destination=${destination:-lib}
[ "$destination" = / ] || destination=${destination%/}

[ "$system" = Linux ] || fail "only Linux libraries are pinned here; on $system install ONNX Runtime $version yourself and set ORT_DYLIB_PATH"
case $arch in
    x86_64 | amd64)
        arch=x86_64
        wheel_sha256=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
        library_sha256=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f
        ;;
    aarch64 | arm64)
        arch=aarch64
        wheel_sha256=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
        library_sha256=49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a
        ;;
    *) fail "no library is pinned for $arch (only x86_64 and aarch64)" ;;
esac

notices='LICENSE ThirdPartyNotices.txt'
complete=yes
for notice in $notices; do
    [ -f "$destination/onnxruntime-$notice" ] || complete=no
done
if [ "$complete" = yes ] && [ -f "$destination/$library" ] &&
    [ "$(digest "$destination/$library")" = "$library_sha256" ]; then
    ln -sfn "$library" "$destination/libonnxruntime.so"
    echo "$destination/$library is already there"
    exit 0
fi

"$python" -m pip --version >/dev/null 2>&1 ||
    fail "$python has no pip (Debian: apt install python3-pip; or set PYTHON to another interpreter)"

mkdir -p "$destination"
# Beside its goal, so that the last step is a rename: a running process keeps the old library.
work=$(mktemp -d "$destination/.onnxruntime.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "downloading ONNX Runtime $version for $arch"
# The wheel of one fixed Python: the library inside is what counts, whichever Python runs this.
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --platform "manylinux_2_28_$arch" \
    --dest "$work" "onnxruntime==$version" ||
    fail "the download failed (pip's message is above)"
set -- "$work"/onnxruntime-*.whl
check "$1" "$wheel_sha256"

"$python" - "$1" "$work" "$library" "$notices" <<'EOF'
import pathlib, sys, zipfile

wheel, work, library, notices = sys.argv[1:]
members = {f"onnxruntime/capi/{library}": library}
members |= {f"onnxruntime/{name}": f"onnxruntime-{name}" for name in notices.split()}
with zipfile.ZipFile(wheel) as archive:
    for member, name in members.items():
        pathlib.Path(work, name).write_bytes(archive.read(member))
EOF
check "$work/$library" "$library_sha256"

for notice in $notices; do
    mv -f "$work/onnxruntime-$notice" "$destination/"
done
mv -f "$work/$library" "$destination/"
ln -sfn "$library" "$destination/libonnxruntime.so"
echo "installed $destination/$library"
