#!/bin/sh
# From a data package to a model that a running gateway serves, and to the next version of it.
set -eu

work=target/demo-train
config=config/train.flights.toml
python=${PYTHON:-python3}

usage() {
    cat <<EOF
Usage: scripts/demo-train.sh [--binaries FOLDER]

Builds sidegate and sidegate-train, fetches flights from New York in 2013 with pip, and
starts a gateway that follows an empty registry, and trains a model of their delay with
$config. The gateway serves it by itself and predicts one flight; a second training
makes a better version, which replaces the first while the gateway answers. Everything stays in target/.

It needs the Rust toolchain, a C compiler, Python 3.9 or newer with pip, curl, and the network.

  --binaries FOLDER  take sidegate and sidegate-train from there instead of building them
  -h, --help         this text

PYTHON names the interpreter whose pip is used (default: python3).
EOF
}

binaries=
case ${1:-} in
    '') ;;
    -h | --help)
        usage
        exit 0
        ;;
    --binaries)
        [ $# -eq 2 ] || { usage >&2; exit 2; }
        binaries=$(cd "$2" && pwd)
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

fail() {
    printf 'demo-train.sh: %s\n' "$*" >&2
    exit 1
}

step() {
    printf '\n=== %s\n' "$*"
}

gateway=
client=
stop() {
    status=$?
    trap '' EXIT HUP INT TERM
    [ -z "$client" ] || kill "$client" 2>/dev/null || true
    if [ -n "$gateway" ]; then
        kill "$gateway" 2>/dev/null || true
        wait "$gateway" 2>/dev/null || true
    fi
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$(dirname "$0")/.."
for program in "$python" curl; do
    command -v "$program" >/dev/null || fail "there is no $program"
done

if [ -z "$binaries" ]; then
    step "building"
    command -v cargo >/dev/null || fail "there is no cargo: install the Rust toolchain"
    cargo build --locked --release --features train --bins
    binaries=target/release
fi
sidegate=$binaries/sidegate
train=$binaries/sidegate-train

step "fetching the data"
"$python" loadtests/train/data.py target/train-data

rm -rf "$work"
mkdir -p "$work/models"

step "a gateway, which has no model yet"
"$sidegate" serve --registry "$work/models" --http 127.0.0.1:0 --admin 127.0.0.1:0 >"$work/gateway.out" 2>"$work/gateway.log" &
gateway=$!

# waited WHAT COMMAND…: until the command succeeds, for half a minute and as long as the gateway runs.
waited() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$gateway" 2>/dev/null; then
            cat "$work/gateway.log" >&2
            fail "$what"
        fi
        sleep 0.1
    done
}

address() {
    http=$(sed -n 's/^listening http=\([^ ]*\) .*/\1/p' "$work/gateway.out")
    [ -n "$http" ]
}

waited "the gateway did not start" address

# A flight that the model has not learned from: it was in the test. It arrived 89 minutes late. A time is seconds since
# 1970, this one is 12:00 UTC on 7 October 2013; what is not known, here the pressure, is null.
cat >"$work/flight.json" <<'EOF'
[{"carrier": "US", "flight": 2071, "tailnum": "N765US", "origin": "LGA", "dest": "CLT", "time_hour": 1381147200,
  "sched_dep_time": 845, "sched_arr_time": 1053, "dep_delay": 41, "distance": 544,
  "temp": 71.6, "dewp": 66.2, "humid": 84.1, "wind_dir": 170, "wind_speed": 19.56326, "wind_gust": 24.16638,
  "precip": 0, "pressure": null, "visib": 10,
  "plane_year": 2000, "manufacturer": "AIRBUS INDUSTRIE", "model": "A319-112", "engines": 2, "seats": 179}]
EOF

predict() {
    curl -sS -H 'content-type: application/json' --data "@$work/flight.json" "http://$http/predict"
}

serves() {
    predict 2>/dev/null | grep -q "\"model_version\":\"$1\""
}

step "training: $config"
began=$(date +%s)
"$train" run "$config" --work "$work/runs"
waited "version 1 is not served" serves 1
echo "from raw rows to a version that answers: $(($(date +%s) - began)) s"

step "asking for a prediction"
printf "curl -H 'content-type: application/json' --data @%s http://%s/predict\n" "$work/flight.json" "$http"
predict | grep '"predictions"' || fail "there is no prediction"

step "training again with twice the leaves, while the gateway answers"
sed 's/num_leaves = [0-9]*/num_leaves = 127/' "$config" >"$work/second.toml"
! cmp -s "$config" "$work/second.toml" || fail "$config has no num_leaves to change"

# Asks all the time; a line for each answer: its version, or what it says instead.
ask() {
    while :; do
        predict 2>&1 | sed 's/.*"model_version":"\([^"]*\)".*/version \1/'
        echo
        sleep 0.02
    done
}
ask >"$work/answers" &
client=$!

began=$(date +%s)
"$train" run "$work/second.toml" --work "$work/runs"

waited "version 2 is not served" serves 2
echo "from raw rows to the next version that answers: $(($(date +%s) - began)) s"
kill "$client"
client=
predict
echo
echo "answers meanwhile:"
grep . "$work/answers" | sort | uniq -c

step "what was trained"
"$train" runs ls flight-delays --registry "$work/models"
printf '\nreports: %s\n' "$work/runs/*/report.html"
