#!/usr/bin/env bash
# The trees engine against ONNX Runtime: many converted models, thousands of hard rows each.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rows=3000
folder=

usage() {
    cat <<END
Usage: scripts/prove-trees.sh [--rows N] [--keep FOLDER]

Converts some 200 models of scikit-learn, XGBoost, LightGBM and CatBoost, of 1 to 1000 trees, asks
ONNX Runtime for N rows each (random ones, thresholds and their neighbours, NaN, infinities, zeros,
denormals, huge numbers), and compares the trees engine's answers: within 1e-5 * max(1, |answer|),
labels equal wherever the two best scores differ by more than 1e-5. Where the order of float32 sums
decides, both are judged by float64. Model files that XGBoost and LightGBM save themselves are
compared with these libraries' answers in the same way. Everything is done twice: with the layout
for this processor, and with the plain one for any.

  --rows N         rows per model (default: 3000)
  --keep FOLDER    where models and answers are put, and kept (default: a temporary folder)
  -h, --help       this text

It needs the Rust toolchain, a C compiler, Python 3.11 or newer with pip and venv, and PyPI.
END
}

while [ $# -gt 0 ]; do
    case $1 in
        --rows | --keep) [ $# -gt 1 ] || fail "$1 needs a value" ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    if [ "$1" = --rows ]; then rows=$2; else folder=$2; fi
    shift 2
done
case $rows in
    '' | *[!0-9]* | 0*) fail "--rows takes a number of rows, not \`$rows\`" ;;
esac
needed

if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
environment models scripts/make-models.requirements.txt

# prove TEST VARIABLE SCRIPT: makes a folder of models and runs the test that reads it.
prove() {
    local test=$1 variable=$2 script=$3 out status=0
    out=$folder/${variable##*_}
    "$env/bin/python" "$script" --rows "$rows" --out "$out"
    env "$variable=$out" cargo test --locked ${SIDEGATE_FEATURES:+--features "$SIDEGATE_FEATURES"} --quiet --lib "$test" -- --nocapture >"$folder/log" 2>&1 || status=$?
    grep -Eo '[a-z]+ layout: [0-9]+ models, [0-9]+ rows.*' "$folder/log" |
        sed "s/^/$(printf '%-9s' "${variable##*_}")/" >>"$folder/summary" || status=1
    if [ "$status" != 0 ]; then
        cat "$folder/log" >&2
        fail "$test failed"
    fi
}

: >"$folder/summary"
prove answers_are SIDEGATE_PROOF_TREES tests/fixtures/make-trees.py
prove boosters_answer SIDEGATE_PROOF_BOOSTERS tests/fixtures/make-boosters.py
printf '\n'
cat "$folder/summary"
