#!/bin/sh
# Make the example models of models/ with sidegate-train, from the rows in models/_data.
set -eu

work=target/make-models
# What `run` trains, by config/train.NAME.toml; digits is imported.
trained='breast-cancer flight-delay penguins wine'

usage() {
    cat <<EOF
Usage: scripts/make-models.sh [--check] [--binaries FOLDER] [--python PYTHON]

Builds sidegate-train, fetches XGBoost and LightGBM (scripts/learners.sh), trains the tree
and linear models of models/ with config/train.NAME.toml, imports the dense net, and puts
those into models/ that came out otherwise than they are there. The same rows,
configuration, seed and threads give the same bytes, so mostly nothing changes.

It needs the Rust toolchain and a C compiler, and Python 3.9 or newer with pip for the
libraries. Everything stays in target/, lib/ and models/.

  --check            change nothing; exit 1 when models/ is not what comes out
  --binaries FOLDER  take sidegate-train from there instead of building it
  --python PYTHON    train the dense net anew, with an interpreter that has
                     scripts/make-models.requirements.txt; else the file that is
                     there, which Python trained, is imported again
  -h, --help         this text
EOF
}

fail() {
    printf 'make-models.sh: %s\n' "$*" >&2
    exit 1
}

check=
binaries=
python=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --check) check=yes ;;
        --binaries | --python)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            if [ "$1" = --python ]; then python=$2; else binaries=$(cd "$2" && pwd); fi
            shift
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
if [ -z "$binaries" ]; then
    cargo build --locked --release --features train --bins
    binaries=target/release
fi
train=$binaries/sidegate-train
scripts/learners.sh

rm -rf "$work"
mkdir -p "$work"
for name in $trained; do
    "$train" run "config/train.$name.toml" --work "$work/runs" 2>"$work/log" || {
        cat "$work/log" >&2
        fail "$name could not be trained"
    }
done

net=models/digits/1/model.onnx
if [ -n "$python" ]; then
    net=$work/model.onnx
    "$python" scripts/make-digits.py "$net"
fi
"$train" import digits "$net" --data models/_data/digits-held-out.csv --target digit --prediction label \
    --tag "framework=scikit-learn 1.9.1" --why "the net of scripts/make-digits.py" --stage Production \
    --registry "$work/models" --by scripts/make-models.sh

# lasting FOLDER: what the same rows and configurations make the same in a manifest. The rest has times in it.
lasting() {
    grep -o '"\(data\|config\)":"sha256:[0-9a-f]*"\|"signature":.*"breaking":[a-z]*' "$1/1/manifest.json"
}

# same NAME: whether models/ has what was made.
same() {
    for file in model.onnx golden.json profile.json schema.json; do
        cmp -s "$work/models/$1/1/$file" "models/$1/1/$file" || return 1
    done
    [ "$(lasting "$work/models/$1")" = "$(lasting "models/$1")" ]
}

other=
for name in $trained digits; do
    if same "$name"; then
        echo "$name: as in models/"
    else
        other="$other $name"
    fi
done
[ -n "$other" ] || exit 0
[ -z "$check" ] || fail "models/ is not what this script makes:$other"
for name in $other; do
    rm -rf "models/$name"
    cp -r "$work/models/$name" "models/$name"
    echo "$name: new in models/"
done
