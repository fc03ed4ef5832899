#!/usr/bin/env bash
# Makes what a release consists of: wheel, tarball, SBOMs, checksums.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/release.sh [--binaries FOLDER] [--share FOLDER] [DESTINATION]

Writes into DESTINATION (default: target/release-files) a Python wheel and a tarball of sidegate and sidegate-train, with
manual pages and completions, a CycloneDX SBOM of each program, and SHA256SUMS of all. The same commit, programs and Python
give the same bytes: time stamps are SOURCE_DATE_EPOCH (default: that of the commit).

  --binaries FOLDER  has both programs, stripped, for x86-64 or arm64 [default: built here, --profile dist]
  --share FOLDER     manual pages and completions: share/ of another machine's tarball, where the programs do not run
                     here [default: what the programs themselves print]

Examples:
  scripts/release.sh                                              with the Rust toolchain: builds for this machine
  scripts/release.sh --binaries target/dist target/release-files  around what is built
END
}

binaries='' share='' destination=target/release-files
while [ $# -gt 0 ]; do
    case $1 in
        --binaries) binaries=${2:?} && shift ;;
        --share) share=${2:?} && shift ;;
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
if [ -z "$share" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    share=$work/share
    mkdir -p "$share/bash-completion/completions" "$share/fish/vendor_completions.d" "$share/zsh/site-functions"
    for program in sidegate sidegate-train; do
        "$binaries/$program" man-pages "$share/man/man1" ||
            fail "$binaries/$program does not run here; take share/ out of a tarball of this version and name it by --share"
        "$binaries/$program" completions bash >"$share/bash-completion/completions/$program"
        "$binaries/$program" completions fish >"$share/fish/vendor_completions.d/$program.fish"
        "$binaries/$program" completions zsh >"$share/zsh/site-functions/_$program"
    done
fi
"$python" scripts/release/package.py "$binaries" "$share" "$destination"
