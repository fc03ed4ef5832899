#!/bin/sh
# Fetch the XGBoost and LightGBM libraries that sidegate-train loads at run time.
set -eu

xgboost=3.2.0
lightgbm=4.7.0
python=${PYTHON:-python3}
licenses=$(dirname "$0")/licenses

usage() {
    cat <<EOF
Usage: scripts/learners.sh [--arch ARCH] [DEST_DIR]

Downloads the wheels of XGBoost $xgboost (the one without CUDA) and LightGBM $lightgbm with
pip, checks their SHA-256, and puts the libraries into DEST_DIR (default: lib/, one of the
places where sidegate-train looks). Does nothing when they are already there.

Both need GCC's OpenMP runtime. XGBoost's wheel brings one under a name of its own, and
LightGBM's expects the system's libgomp.so.1 (Debian's package libgomp1). So that it works
without that, the first is put there twice: as it is, and as libgomp.so.1. It is under the
GPL 3 with GCC's exception for such libraries. The wheel has neither text, so both are put
beside it (libgomp-COPYING3, libgomp-COPYING.RUNTIME) with the wheel's own word on where it
is from (libgomp-SBOM.json): whoever passes it on, in an image say, passes them on too.

  --arch ARCH  x86_64 or aarch64 (default: this machine's)
  -h, --help   this text

PYTHON names the interpreter whose pip is used (default: python3).

Example:
  scripts/learners.sh && sidegate-train run config/train.flights.toml
EOF
}

fail() {
    printf 'learners.sh: %s\n' "$*" >&2
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

[ "$system" = Linux ] || fail "only Linux libraries are pinned here; on $system install XGBoost and LightGBM yourself and set SIDEGATE_XGBOOST and SIDEGATE_LIGHTGBM"
case $arch in
    x86_64 | amd64)
        arch=x86_64
        runtime=libgomp-e985bcbb.so.1.0.0
        wheels='
9c10b1653e1a689bf4094a328144cf3633c9be0e5217a76fbdc2fde6abcb2950 xgboost_cpu
d23e922acd891e77212e4d0fbcee9ba973c96dee479491341d05ba595357ebb7 lightgbm'
        libraries='
bad3eb7004550b6db2338486061bf628cabc2340d4913e811b0564ba4788eef5 libxgboost.so
573d57e8a2c6290c2271b99b87afa7a802e796eafc9e8d66aefa0913cbc1616a lib_lightgbm.so
a43904e4fa297301d4640dc1bb3c8a3480b406f99e498eba9b1914b68aab604a libgomp-e985bcbb.so.1.0.0
17c1578baa7e0a06f2760d230bf035a58f4498c68ae375554d3bee81a87cb4c9 libgomp.so.1'
        ;;
    aarch64 | arm64)
        arch=aarch64
        runtime=libgomp-a49a47f9.so.1.0.0
        wheels='
896b9e2bc52ec0921edf92ddd1cebedf47032e94992b7aca0293524d380ce6e9 xgboost_cpu
d4529acec5c6fefe4768302a529707d0ead90f6a6f42df694b856212e09695b8 lightgbm'
        libraries='
32a854dcd03f7e66b93ea3df543a4b82f16809c2cd93f74f29a6c97f83723b8d libxgboost.so
05ec49bad350009b9debd36769ef1cced2132cd93abfe3fe0b8aa116c4388052 lib_lightgbm.so
43642df04bdf20f9b4122d336ef3e2e6a486c536e614159ac0e981a901d54537 libgomp-a49a47f9.so.1.0.0
3e9cb556bf41b27b47552b6deab524b7b961bd6f9e3cba23437d7a3eb0160db3 libgomp.so.1'
        ;;
    *) fail "no libraries are pinned for $arch (only x86_64 and aarch64)" ;;
esac

notices='lightgbm-LICENSE xgboost-METADATA libgomp-COPYING3 libgomp-COPYING.RUNTIME libgomp-SBOM.json'

# installed: whether every file is there and is the pinned one.
installed() {
    for name in $notices; do
        [ -f "$destination/$name" ] || return 1
    done
    while read -r sha256 name; do
        [ -n "$name" ] || continue
        [ -f "$destination/$name" ] && [ "$(digest "$destination/$name")" = "$sha256" ] || return 1
    done <<EOF
$libraries
EOF
}

if installed; then
    echo "XGBoost $xgboost and LightGBM $lightgbm are already in $destination"
    exit 0
fi

"$python" -m pip --version >/dev/null 2>&1 ||
    fail "$python has no pip (Debian: apt install python3-pip; or set PYTHON to another interpreter)"

mkdir -p "$destination"
# Beside its goal, so that the last step is a rename: a running process keeps the old library.
work=$(mktemp -d "$destination/.learners.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "downloading XGBoost $xgboost and LightGBM $lightgbm for $arch"
# The wheels are of no certain Python: the libraries inside are what counts.
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 \
    --platform "manylinux_2_28_$arch" --platform "manylinux2014_$arch" \
    --dest "$work" "xgboost-cpu==$xgboost" "lightgbm==$lightgbm" ||
    fail "the download failed (pip's message is above)"
while read -r sha256 name; do
    [ -n "$name" ] || continue
    set -- "$work/$name"-*.whl
    check "$1" "$sha256"
done <<EOF
$wheels
EOF

"$python" - "$work" "$runtime" "xgboost_cpu-$xgboost" "lightgbm-$lightgbm" <<'EOF'
import pathlib, sys, zipfile

work, runtime, xgboost, lightgbm = sys.argv[1:]
work = pathlib.Path(work)
members = {
    "xgboost_cpu": {
        "xgboost/lib/libxgboost.so": "libxgboost.so",
        f"xgboost_cpu.libs/{runtime}": runtime,
        f"{xgboost}.dist-info/METADATA": "xgboost-METADATA",
        f"{xgboost}.dist-info/sboms/auditwheel.cdx.json": "libgomp-SBOM.json",
    },
    "lightgbm": {
        "lightgbm/lib/lib_lightgbm.so": "lib_lightgbm.so",
        f"{lightgbm}.dist-info/licenses/LICENSE": "lightgbm-LICENSE",
    },
}
for name, files in members.items():
    with zipfile.ZipFile(next(work.glob(f"{name}-*.whl"))) as archive:
        for member, file in files.items():
            (work / file).write_bytes(archive.read(member))
# The linker takes a loaded library for another one's need when it says the needed name of itself: the wheel's maker
# had renamed it, and here it gets its first name back.
named, plain = runtime.encode() + b"\0", b"libgomp.so.1\0"
content = (work / runtime).read_bytes()
if content.count(named) != 1:
    sys.exit(f"{runtime} does not say its name once")
(work / "libgomp.so.1").write_bytes(content.replace(named, plain.ljust(len(named), b"\0")))
EOF
while read -r sha256 name; do
    [ -n "$name" ] || continue
    check "$work/$name" "$sha256"
done <<EOF
$libraries
EOF

cp "$licenses/GPL-3.0.txt" "$work/libgomp-COPYING3"
cp "$licenses/GCC-exception-3.1.txt" "$work/libgomp-COPYING.RUNTIME"
# The learners last: whoever finds one finds what it needs.
for name in $notices "$runtime" libgomp.so.1 libxgboost.so lib_lightgbm.so; do
    mv -f "$work/$name" "$destination/"
done
echo "installed XGBoost $xgboost and LightGBM $lightgbm in $destination"
