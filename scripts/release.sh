#!/usr/bin/env bash
# Makes what a release consists of: wheel, tarball, SBOMs, checksums.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/release.sh [--binaries FOLDER] [--pages FOLDER] [DESTINATION]

Writes into DESTINATION (default: target/release-files) a Python wheel and a tarball of sidegate and sidegate-train, a
CycloneDX SBOM of each, and SHA256SUMS of all. The same commit and programs give the same bytes: time stamps are
SOURCE_DATE_EPOCH (default: that of the commit).

  --binaries FOLDER  has both programs, for x86-64 or arm64 [default: built here, --profile dist]
  --pages FOLDER     man pages and completions [default: made by the example \`pages\`]
END
}

binaries='' pages='' destination=target/release-files
while [ $# -gt 0 ]; do
    case $1 in
        --binaries) binaries=${2:?} && shift ;;
        --pages) pages=${2:?} && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) destination=$1 ;;
    esac
    shift
done
needed
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

if [ -z "$binaries" ]; then
    # Apart, because features are of the whole build: the gateway never carries DataFusion.
    cargo build --locked --profile dist --bin sidegate
    cargo build --locked --profile dist --bin sidegate-train --features train
    binaries=${CARGO_TARGET_DIR:-target}/dist
fi
for program in sidegate sidegate-train; do [ -x "$binaries/$program" ] || fail "$binaries has no $program"; done
if [ -z "$pages" ]; then
    pages=$(mktemp -d)
    trap 'rm -rf "$pages"' EXIT
    cargo run --quiet --locked --example pages -- "$pages"
fi
"$python" scripts/release/package.py "$binaries" "$destination" "$pages"
